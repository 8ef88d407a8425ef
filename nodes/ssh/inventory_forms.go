package ssh

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"nemesis/nodes"
)

// ungrouped is the group of hosts that are in no other.
const ungrouped = "ungrouped"

// readINI reads an inventory of sections: [group] with a host a line,
// [group:vars] with a variable a line, and [group:children] with a group a line.
func readINI(content string) (*ansible, error) {
	a := newAnsible()
	of, kind := ungrouped, ""
	n := 0
	for line := range strings.Lines(content) {
		n++
		line = uncomment(line)
		if line == "" {
			continue
		}
		if name, ok := section(line); ok {
			of, kind, _ = strings.Cut(name, ":")
			if kind != "" && kind != "vars" && kind != "children" {
				return nil, wrong(n, "[%s]: a section is a group, group:vars or group:children", name)
			}
			a.group(of)
			continue
		}
		switch kind {
		case "vars":
			key, value, ok := strings.Cut(line, "=")
			if !ok {
				return nil, wrong(n, "%q is not a variable; write name=value", line)
			}
			a.group(of).vars[strings.TrimSpace(key)] = strings.Trim(strings.TrimSpace(value), `"'`)
		case "children":
			a.group(line)
			a.group(of).children = append(a.group(of).children, line)
		default:
			words, err := nodes.Words(line)
			if err != nil {
				return nil, wrong(n, "%v", err)
			}
			vars := map[string]string{}
			for _, word := range words[1:] {
				key, value, ok := strings.Cut(word, "=")
				if !ok {
					return nil, wrong(n, "%q is not a variable; a line is a host and then name=value", word)
				}
				vars[key] = value
			}
			if err := a.add(of, words[0], vars); err != nil {
				return nil, wrong(n, "%v", err)
			}
		}
	}
	return a, nil
}

// add adds the hosts that a name with ranges stands for, and a port behind it.
func (a *ansible) add(of, pattern string, vars map[string]string) error {
	bare := nameRange.ReplaceAllString(pattern, "x") // a range has colons of its own
	if strings.Count(bare, ":") == 1 && !strings.HasPrefix(bare, "[") {
		before, port, _ := cutLast(pattern, ":")
		if _, err := parsePort(port); err != nil {
			return err
		}
		if vars["ansible_port"] == "" {
			vars["ansible_port"] = port
		}
		pattern = before
	}
	names, err := ranges(pattern)
	if err != nil {
		return err
	}
	for _, name := range names {
		a.host(of, name, vars)
	}
	return nil
}

// ranges makes n1, n2, n3 of n[1:3], n01, n02 of n[01:02], and na, nc of n[a:d:2].
func ranges(pattern string) ([]string, error) {
	at := nameRange.FindStringSubmatchIndex(pattern)
	if at == nil {
		return []string{pattern}, nil
	}
	part := nameRange.FindStringSubmatch(pattern)
	from, to, step := part[1], part[2], 1
	if part[3] != "" {
		step, _ = strconv.Atoi(part[3]) // digits; too many of them are 0
	}
	first, err1 := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	write := func(i int) string { return fmt.Sprintf("%0*d", len(from), i) }
	if err1 != nil && err2 != nil && len(from) == 1 && len(to) == 1 {
		first, last, err1, err2 = int(from[0]), int(to[0]), nil, nil
		write = func(i int) string { return string(rune(i)) }
	}
	if err1 != nil || err2 != nil || last < first || step < 1 || (last-first)/step >= maxHosts || len(from) > 9 {
		return nil, fmt.Errorf("%q is not a range of up to %d names; write it as n[1:5] or n[a:e]", pattern[at[0]:at[1]], maxHosts)
	}
	var names []string
	for i := first; i <= last; i += step {
		rest, err := ranges(pattern[at[1]:])
		if err != nil {
			return nil, err
		}
		for _, r := range rest {
			if names = append(names, pattern[:at[0]]+write(i)+r); len(names) > maxHosts {
				return nil, fmt.Errorf("%q stands for more than %d hosts", pattern, maxHosts)
			}
		}
	}
	return names, nil
}

var sectionLine = regexp.MustCompile(`^\[([^\]\s]+)\]$`)

func section(line string) (string, bool) {
	found := sectionLine.FindStringSubmatch(line)
	if found == nil {
		return "", false
	}
	return found[1], true
}

// uncomment takes the blanks and the comment off a line. A # within a word is none.
func uncomment(line string) string {
	line = strings.TrimSpace(line)
	if line != "" && (line[0] == '#' || line[0] == ';') {
		return ""
	}
	if i := strings.Index(line, " #"); i >= 0 {
		line = line[:i]
	}
	return strings.TrimSpace(line)
}

// readYAML reads an inventory of groups with hosts, vars and children.
func readYAML(content string) (*ansible, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(content), &doc); err != nil {
		return nil, fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 {
		return newAnsible(), nil
	}
	a := newAnsible()
	err := each(doc.Content[0], "the inventory", func(name string, _ int, body *yaml.Node) error {
		return a.readGroup(name, body, 0)
	})
	return a, err
}

// maxDepth bounds groups in groups. An alias may put a group into itself.
const maxDepth = 32

func (a *ansible) readGroup(name string, body *yaml.Node, depth int) error {
	if depth > maxDepth {
		return wrong(body.Line, "the group %s is more than %d groups deep", name, maxDepth)
	}
	g := a.group(name)
	return each(body, "the group "+name, func(key string, line int, value *yaml.Node) error {
		switch key {
		case "hosts":
			return each(value, "the hosts of "+name, func(host string, line int, body *yaml.Node) error {
				vars, err := variables(body, "the host "+host)
				if err != nil {
					return err
				}
				if err := a.add(name, host, vars); err != nil {
					return wrong(line, "%v", err)
				}
				return nil
			})
		case "vars":
			vars, err := variables(value, "the variables of "+name)
			for k, v := range vars {
				g.vars[k] = v
			}
			return err
		case "children":
			return each(value, "the children of "+name, func(child string, _ int, body *yaml.Node) error {
				g.children = append(g.children, child)
				return a.readGroup(child, body, depth+1)
			})
		}
		return wrong(line, "the group %s has %q; a group has hosts, vars and children", name, key)
	})
}

// each goes through a mapping; nothing at all is an empty one.
func each(n *yaml.Node, what string, do func(key string, line int, value *yaml.Node) error) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return wrong(n.Line, "%s must be a mapping, as in \"n1:\"", what)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if err := do(n.Content[i].Value, n.Content[i].Line, n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// variables are those with a single value; lists and mappings are for Ansible.
func variables(n *yaml.Node, what string) (map[string]string, error) {
	vars := map[string]string{}
	err := each(n, what, func(key string, _ int, value *yaml.Node) error {
		if value.Kind == yaml.ScalarNode && value.Tag != "!!null" {
			vars[key] = value.Value
		}
		return nil
	})
	return vars, err
}
