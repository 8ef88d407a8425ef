package file

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"nemesis/history"
	"nemesis/workload"
)

// Workload is a workload of the file's own.
type Workload struct {
	Doc        string           `yaml:"doc" doc:"one line that says what it does"`
	Model      string           `yaml:"model" doc:"a Starlark file, from the directory of the system's file, or the model's text itself"`
	Operations Named[Generated] `yaml:"operations" doc:"what clients do, by the names that the model and the client know"`
	Final      []string         `yaml:"final" doc:"operations without a value that every client performs on each key in the end"`
}

// Generated is an operation as it is made.
type Generated struct {
	Weight int    `yaml:"weight" doc:"how often it is drawn, compared with the others; default 1"`
	Value  *Value `yaml:"value" doc:"its value: unique, used, a mapping with range or one_of, or a list of such; default none"`
}

// Value says how a value is drawn.
type Value struct{ history.OwnValue }

func (v *Value) read(d *decoder, n *yaml.Node, path string) {
	switch n.Kind {
	case yaml.AliasNode:
		v.read(d, n.Alias, path)
	case yaml.ScalarNode:
		switch n.Value {
		case "unique":
			v.Unique = true
		case "used":
			v.Used = true
		default:
			d.bad(n, "%s: %q is none of unique and used, nor a mapping such as {range: [1, 9]} or {one_of: [a, b]}", path, n.Value)
		}
	case yaml.SequenceNode:
		v.List = []history.OwnValue{}
		for i, item := range n.Content {
			if d.nodes++; d.nodes > mostNodes {
				d.bad(n, "the file holds more than %d values, aliases counted each time", mostNodes)
				return
			}
			var one Value
			one.read(d, item, fmt.Sprintf("%s[%d]", path, i))
			v.List = append(v.List, one.OwnValue)
		}
	default:
		d.each(n, path, func(key string, at, child *yaml.Node) {
			switch key {
			case "range":
				if child.Decode(&v.Range) != nil || len(v.Range) != 2 {
					d.bad(child, "%s.range: give the smallest and the greatest whole number, such as [1, 9]", path)
					v.Range = []int64{0, 0}
				}
			case "distribution":
				v.Distribution = child.Value
			case "one_of":
				v.OneOf = oneOf(d, child, path)
			default:
				d.unknown(at, key, path, []string{"range", "distribution", "one_of"})
			}
		})
	}
}

// oneOf reads values as JSON.
func oneOf(d *decoder, n *yaml.Node, path string) []json.RawMessage {
	var values []any
	if n.Kind != yaml.SequenceNode || n.Decode(&values) != nil {
		d.bad(n, "%s.one_of: give a list of values", path)
		return []json.RawMessage{history.EncodeNull()}
	}
	all := []json.RawMessage{}
	for _, value := range values {
		text, err := json.Marshal(value)
		if err != nil {
			d.bad(n, "%s.one_of: %v is no value that JSON can hold", path, value)
			continue
		}
		all = append(all, text)
	}
	return all
}

func (*Value) schema() map[string]any {
	whole := map[string]any{"type": "integer"}
	drawn := map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{
		"range": listOf(whole), "distribution": map[string]any{"enum": workload.Distributions()}, "one_of": map[string]any{"type": "array"}}}
	return either(map[string]any{"enum": []string{"unique", "used"}}, drawn, map[string]any{"type": "array"})
}

// Models gets the text of a model by the name that the file gives it, and of a directory the
// names of the executables in it, one a line.
type Models func(name string) (string, error)

// FromDisk reads models that are files, from a directory.
func FromDisk(dir string) Models {
	return func(name string) (string, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if info, err := os.Stat(name); err != nil {
			return "", err
		} else if info.IsDir() {
			return executablesIn(name)
		} else if !info.Mode().IsRegular() {
			return "", fmt.Errorf("%s is no file", name)
		}
		text, err := history.ReadFile(name, workload.MostModel)
		return string(text), err
	}
}

// executablesIn are the names of executables whose names say when they are run.
func executablesIn(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var names []string
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue
		}
		if slices.ContainsFunc(workload.ExecutablePrefixes(), func(p string) bool { return strings.HasPrefix(e.Name(), p) }) {
			names = append(names, e.Name())
		}
	}
	return strings.Join(names, "\n"), nil
}

func (c *ExecutablesClient) operations() map[string][]string {
	return map[string][]string{workload.Executables: {history.FRun}}
}

// table has nothing to check that is not checked where the workload is made.
func (c *ExecutablesClient) table(func(string) (string, error)) (opener, error) { return nil, nil }

// executables makes the workload of executables.
func (c checker) executables(d *Definition, open Models) {
	if d.Client.Executables == nil {
		return
	}
	at := []string{"client", "executables"}
	dir := d.Client.Executables.Dir
	if dir == "" {
		c.bad("it has no dir; name the directory with the executables")(at...)
		return
	}
	text, err := open(dir)
	if err != nil {
		c.bad("%v", err)(append(at, "dir")...)
		return
	}
	made := &history.OwnWorkload{Executables: []string{}}
	if text != "" {
		made.Executables = strings.Split(text, "\n")
	}
	d.Models[dir], d.own[workload.Executables] = text, made
	if _, err := workload.Own(workload.Executables, *made); err != nil {
		c.bad("%s: %v", dir, err)(append(at, "dir")...)
	}
}

// Held are models that a plan holds.
func Held(texts map[string]string) Models {
	return func(name string) (string, error) {
		text, is := texts[name]
		if !is {
			return "", fmt.Errorf("the plan does not hold the model %s", name)
		}
		return text, nil
	}
}

// workload is one that the file describes, or one that nemesis knows.
func (d *Definition) workload(name string) (workload.Workload, error) {
	if w := d.own[name]; w != nil {
		return workload.Own(name, *w)
	}
	return workload.Find(name)
}

// workloads makes the workloads of the file, with their models.
func (c checker) workloads(d *Definition, open Models) {
	d.own, d.Models = map[string]*history.OwnWorkload{}, map[string]string{}
	for _, w := range d.Workloads {
		at := []string{"workloads", w.Name}
		if _, err := workload.Find(w.Name); err == nil || w.Name == workload.Executables || !nameForm.MatchString(w.Name) {
			c.bad("a workload of your own needs a name of letters, digits, dots and dashes that is none of nemesis' own")(at...)
			continue
		}
		made := &history.OwnWorkload{Doc: w.Value.Doc, Model: w.Name, Text: w.Value.Model, Final: w.Value.Final}
		switch name := w.Value.Model; {
		case name == "":
			c.bad("it has no model, which judges it; name a file such as model.star")(at...)
			continue
		case !strings.Contains(name, "\n"):
			text, err := open(name)
			if err != nil {
				c.bad("%v", err)(append(at, "model")...)
				continue
			}
			made.Model, made.Text = filepath.Base(name), text
			d.Models[name] = text
		}
		for _, o := range w.Value.Operations {
			one := history.OwnOperation{F: o.Name, Weight: o.Value.Weight}
			if one.Weight == 0 {
				one.Weight = 1
			}
			if o.Value.Value != nil {
				one.Value = &o.Value.Value.OwnValue
			}
			made.Operations = append(made.Operations, one)
		}
		d.own[w.Name] = made
		if _, err := workload.Own(w.Name, *made); err != nil {
			c.bad("%s", strings.TrimPrefix(err.Error(), "the workload "+w.Name+": "))(at...)
		}
	}
	c.executables(d, open)
	spoken := slices.Sorted(maps.Keys(d.operations()))
	for _, w := range d.Workloads {
		if !slices.Contains(spoken, w.Name) {
			c.bad("the client does not speak it; give its operations among the client's workloads")("workloads", w.Name)
		}
	}
}
