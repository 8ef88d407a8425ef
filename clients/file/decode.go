package file

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"nemesis/history"
)

// decoder reads YAML into Go values by their yaml tags, strictly: what a type has no field
// for is a mistake, with its line, its column and the nearest name. One type decides what is
// read, what the schema says (schema.go) and what messages name.
type decoder struct {
	path     string
	mistakes []error
	// nodes counts what was looked at: aliases make more of a file than its bytes.
	nodes int
}

// Bounds of a file: more is no description of a system.
const (
	mostNodes    = 100_000
	mostMistakes = 20
)

// reader is a type that reads itself, such as one that may be a text or a list.
type reader interface {
	read(d *decoder, n *yaml.Node, path string)
}

// bad notes a mistake at a place.
func (d *decoder) bad(n *yaml.Node, format string, args ...any) {
	if len(d.mistakes) < mostMistakes {
		d.mistakes = append(d.mistakes, fmt.Errorf("%s:%d:%d: %s", d.path, n.Line, n.Column, fmt.Sprintf(format, args...)))
	}
}

// value reads a node into v. path is where it is, for messages.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	if d.nodes++; d.nodes > mostNodes {
		if d.nodes == mostNodes+1 {
			d.bad(n, "the file holds more than %d values, aliases counted each time", mostNodes)
		}
		return
	}
	if n.Kind == yaml.AliasNode {
		d.value(n.Alias, v, path)
		return
	}
	if r, is := v.Addr().Interface().(reader); is {
		r.read(d, n, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), path)
	case reflect.Struct:
		d.object(n, v, path)
	case reflect.Slice:
		d.list(n, v, path)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		d.each(n, path, func(key string, at, child *yaml.Node) {
			one := reflect.New(v.Type().Elem()).Elem()
			d.value(child, one, path+"."+key)
			v.SetMapIndex(reflect.ValueOf(key), one)
		})
	default:
		d.scalar(n, v, path)
	}
}

// each goes through the keys of a mapping, each once.
func (d *decoder) each(n *yaml.Node, path string, visit func(key string, at, child *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.bad(n, "%s must be a mapping of keys to values, not %s", path, kindOf(n))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		switch line, twice := seen[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			d.bad(key, "a key of %s is %s; it must be a name", path, kindOf(key))
		case twice:
			d.bad(key, "the key %q is there twice, first in line %d; leave one", key.Value, line)
		default:
			seen[key.Value] = key.Line
			visit(key.Value, key, n.Content[i+1])
		}
	}
}

// object reads a mapping into a struct.
func (d *decoder) object(n *yaml.Node, v reflect.Value, path string) {
	fields := fieldsOf(v.Type())
	if alone := aloneIn(v.Type()); alone != nil && n.Kind == yaml.ScalarNode {
		d.value(n, v.FieldByIndex(alone.Index), path)
		return
	}
	d.each(n, path, func(key string, at, child *yaml.Node) {
		index, is := fields[key]
		if !is {
			d.unknown(at, key, path, slices.Sorted(maps.Keys(fields)))
			return
		}
		if child.Kind == yaml.ScalarNode && child.Tag == "!!null" {
			d.bad(at, "%s has no value; fill it in or remove it", join(path, key))
			return
		}
		d.value(child, v.FieldByIndex(index), join(path, key))
	})
}

// unknown notes a name that is none of names.
func (d *decoder) unknown(n *yaml.Node, name, path string, names []string) {
	near := history.Nearest(name, names)
	advice := "there are " + strings.Join(names, ", ")
	if near != "" {
		advice = "did you mean " + near + "?"
	}
	in := "here"
	if path != "" {
		in = "in " + path
	}
	d.bad(n, "there is no key %q %s; %s", name, in, advice)
}

// aloneIn is the field of a struct that a single value stands for; nil where there is none.
func aloneIn(t reflect.Type) *reflect.StructField {
	for _, f := range reflect.VisibleFields(t) {
		if f.Tag.Get("alone") != "" {
			return &f
		}
	}
	return nil
}

// fieldsOf maps the keys of a struct to its fields, those of embedded ones included.
func fieldsOf(t reflect.Type) map[string][]int {
	fields := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		if name := f.Tag.Get("yaml"); name != "" && name != "-" {
			fields[name] = f.Index
		}
	}
	return fields
}

// list reads a sequence; one scalar stands for a list of it.
func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	items := n.Content
	if n.Kind != yaml.SequenceNode {
		items = []*yaml.Node{n}
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		if item.Kind == yaml.ScalarNode && item.Tag == "!!null" {
			d.bad(item, "an entry of %s is empty; fill it in or remove it", path)
			continue
		}
		d.value(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

// scalar reads a single value: numbers and words are texts as they are written.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.bad(n, "%s must be %s, not %s", path, nameOf(v.Type()), kindOf(n))
		return
	}
	if v.Type() == reflect.TypeFor[history.Duration]() {
		t, err := time.ParseDuration(n.Value)
		if err != nil || t < 0 {
			d.bad(n, "%s: %q is not a time such as 5s or 1m30s", path, n.Value)
		}
		v.SetInt(int64(t))
		return
	}
	var err error
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
	case reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(n.Value)
		v.SetBool(b)
	case reflect.Int:
		var i int64
		i, err = strconv.ParseInt(n.Value, 10, 32)
		v.SetInt(i)
	case reflect.Uint16:
		var u uint64
		u, err = strconv.ParseUint(n.Value, 10, 16)
		v.SetUint(u)
	case reflect.Float64:
		var f float64
		f, err = strconv.ParseFloat(n.Value, 64)
		v.SetFloat(f)
	default:
		err = fmt.Errorf("no way to read %s", v.Type())
	}
	if err != nil {
		d.bad(n, "%s: %q is not %s", path, n.Value, nameOf(v.Type()))
	}
}

func nameOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Uint16:
		return "a number from 0 to 65535"
	case reflect.Float64:
		return "a number"
	}
	return "a text"
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "empty"
		}
		return "the single value " + strconv.Quote(n.Value)
	}
	return "an alias"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Named are values by their names, in the order of the file.
type Named[T any] []NamedValue[T]

// NamedValue is one of them.
type NamedValue[T any] struct {
	Name  string
	Value T
	at    *yaml.Node // of the name
}

func (m *Named[T]) read(d *decoder, n *yaml.Node, path string) {
	d.each(n, path, func(key string, at, child *yaml.Node) {
		one := NamedValue[T]{Name: key, at: at}
		d.value(child, reflect.ValueOf(&one.Value).Elem(), join(path, key))
		*m = append(*m, one)
	})
}

// Find is the value of that name; nil when there is none.
func (m Named[T]) Find(name string) *T {
	for i := range m {
		if m[i].Name == name {
			return &m[i].Value
		}
	}
	return nil
}

// Names are the names, in order.
func (m Named[T]) Names() []string {
	names := make([]string, len(m))
	for i := range m {
		names[i] = m[i].Name
	}
	return names
}

// Ports are the ports of a process by their names. A list of numbers is client, peer, and the
// rest without a name.
type Ports []Port

// Port is one of them.
type Port struct {
	Name   string
	Number uint16
}

func (p *Ports) read(d *decoder, n *yaml.Node, path string) {
	number := func(at *yaml.Node, text string) uint16 {
		v, err := strconv.ParseUint(text, 10, 16)
		if err != nil || v == 0 {
			d.bad(at, "%s: %q is not a port from 1 to 65535; nodes have addresses of their own, so that no port is mapped to another", path, text)
		}
		return uint16(v)
	}
	if n.Kind == yaml.MappingNode {
		d.each(n, path, func(key string, at, child *yaml.Node) {
			*p = append(*p, Port{key, number(child, child.Value)})
		})
		return
	}
	var numbers []string
	d.value(n, reflect.ValueOf(&numbers).Elem(), path)
	for i, text := range numbers {
		name := text
		if i < 2 {
			name = []string{clientPort, peerPort}[i]
		}
		*p = append(*p, Port{name, number(n, text)})
	}
}

// Find is the number of the port of that name, 0 when there is none.
func (p Ports) Find(name string) uint16 {
	for _, one := range p {
		if one.Name == name {
			return one.Number
		}
	}
	return 0
}

// Command is a command line: a text that is split at blanks outside quotes once its
// templates are filled in, or a list of arguments.
type Command struct {
	Line string
	Args []string
}

func (c *Command) read(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode {
		c.Line = n.Value
		return
	}
	d.value(n, reflect.ValueOf(&c.Args).Elem(), path)
}

func (c Command) empty() bool { return c.Line == "" && len(c.Args) == 0 }

// Environment is a mapping of names to values, or a list of NAME=value.
type Environment map[string]string

func (e *Environment) read(d *decoder, n *yaml.Node, path string) {
	*e = Environment{}
	if n.Kind == yaml.MappingNode {
		d.each(n, path, func(key string, at, child *yaml.Node) {
			var value string
			d.scalar(child, reflect.ValueOf(&value).Elem(), join(path, key))
			(*e)[key] = value
		})
		return
	}
	var pairs []string
	d.value(n, reflect.ValueOf(&pairs).Elem(), path)
	for _, pair := range pairs {
		name, value, is := strings.Cut(pair, "=")
		if !is || name == "" {
			d.bad(n, "%s: %q is not NAME=value", path, pair)
		}
		(*e)[name] = value
	}
}

// Dependencies are the processes that must serve before this one starts: a list, or a
// mapping as in compose files, whose conditions all mean that the other serves.
type Dependencies []string

func (l *Dependencies) read(d *decoder, n *yaml.Node, path string) {
	if n.Kind != yaml.MappingNode {
		d.value(n, reflect.ValueOf((*[]string)(l)).Elem(), path)
		return
	}
	d.each(n, path, func(key string, at, child *yaml.Node) {
		*l = append(*l, key)
		d.each(child, join(path, key), func(name string, at, child *yaml.Node) {
			known := []string{"process_healthy", "process_started", "service_healthy", "service_started"}
			if name != "condition" {
				d.unknown(at, name, join(path, key), []string{"condition"})
			} else if !slices.Contains(known, child.Value) {
				d.bad(child, "%s.condition: %q is none of %s; a process starts once those it depends on serve", join(path, key), child.Value, strings.Join(known, ", "))
			}
		})
	})
}

// Source is the sentence of a documentation: a text, or the sentence and its address.
type Source struct {
	Sentence string `yaml:"sentence" doc:"what the documentation says, quoted or paraphrased"`
	Address  string `yaml:"address" doc:"where it stands"`
}

func (s *Source) read(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode {
		s.Sentence = n.Value
		return
	}
	d.object(n, reflect.ValueOf(s).Elem(), path)
	s.Sentence = cmp.Or(s.Sentence, s.Address)
}
