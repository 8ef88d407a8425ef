package ssh

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"nemesis/nodes"
)

// The forms of a file of hosts.
type form int

const (
	formList form = iota // hosts as --nodes takes them
	formINI              // an Ansible inventory
	formYAML             // the same in YAML
)

// formOf tells an inventory from a list by what only an inventory can hold: a
// section, a variable, a range of names, or a mapping.
func formOf(content string) form {
	begun := false
	for line := range strings.Lines(content) {
		line = uncomment(strings.TrimPrefix(line, "\ufeff"))
		if line == "" {
			continue
		}
		if !begun && (line == "---" || line[0] == '{' || mapping.MatchString(line)) {
			return formYAML
		}
		begun = true
		name, isSection := section(line)
		_, err := netip.ParseAddr(name)
		if isSection && err != nil || nameRange.MatchString(line) {
			return formINI
		}
		if words := strings.Fields(line); len(words) > 1 && strings.Contains(words[1], "=") {
			return formINI
		}
	}
	return formList
}

var (
	mapping   = regexp.MustCompile(`^["']?[\pL\pN_.-]+["']?:$`)
	nameRange = regexp.MustCompile(`\[(\w+):(\w+)(?::(\d+))?\]`)
)

// lineError is a mistake in a file, which the file's name belongs in front of.
type lineError struct {
	line    int
	problem string
}

func (e *lineError) Error() string { return fmt.Sprintf("%d: %s", e.line, e.problem) }

func wrong(line int, format string, args ...any) error {
	return &lineError{line, fmt.Sprintf(format, args...)}
}

// ansible is an inventory. Its hosts are in groups, groups are in groups, and
// variables of a host come before its group's, and those before what the group is in.
type ansible struct {
	order  []string // of the hosts
	hosts  map[string]map[string]string
	groups map[string]*group
}

type group struct {
	hosts, children []string
	vars            map[string]string
}

func newAnsible() *ansible {
	return &ansible{hosts: map[string]map[string]string{}, groups: map[string]*group{}}
}

func (a *ansible) group(name string) *group {
	if a.groups[name] == nil {
		a.groups[name] = &group{vars: map[string]string{}}
	}
	return a.groups[name]
}

// host adds a host to a group, or variables to a host that is there.
func (a *ansible) host(in, name string, vars map[string]string) {
	if a.hosts[name] == nil {
		a.hosts[name] = map[string]string{}
		a.order = append(a.order, name)
	}
	maps.Copy(a.hosts[name], vars)
	g := a.group(in)
	if !slices.Contains(g.hosts, name) {
		g.hosts = append(g.hosts, name)
	}
}

const everybody = "all"

// inventory makes hosts of those of one group, or of all where none is named.
func inventory(f form, content []byte, of string) ([]Host, error) {
	read := readINI
	if f == formYAML {
		read = readYAML
	}
	a, err := read(string(content))
	if err != nil {
		return nil, err
	}
	if of == "" {
		of = everybody
	}
	if a.groups[of] == nil && of != everybody {
		return nil, fmt.Errorf("it has no group %s, but %s", of, strings.Join(slices.Sorted(maps.Keys(a.groups)), ", "))
	}
	wanted := a.order
	if of != everybody {
		members := a.members(of, nil)
		wanted = slices.DeleteFunc(slices.Clone(wanted), func(name string) bool { return !slices.Contains(members, name) })
	}
	var hosts []Host
	for _, name := range wanted {
		if len(hosts) == maxHosts {
			return nil, fmt.Errorf("more than %d hosts", maxHosts)
		}
		h, err := a.reach(name)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

// members are the hosts of a group and of all groups in it.
func (a *ansible) members(of string, within []string) []string {
	g := a.groups[of]
	if g == nil || slices.Contains(within, of) {
		return nil // a group that is in itself has no more hosts for that
	}
	all := slices.Clone(g.hosts)
	for _, child := range g.children {
		all = append(all, a.members(child, append(within, of))...)
	}
	return all
}

// variables are those that hold for a host: of groups first, the outer ones before
// the inner and equals by name, then its own.
func (a *ansible) variables(host string) map[string]string {
	names := slices.DeleteFunc(slices.Collect(maps.Keys(a.groups)), func(g string) bool {
		return g != everybody && !slices.Contains(a.members(g, nil), host)
	})
	slices.SortFunc(names, func(x, y string) int {
		return cmp.Or(a.depth(x, nil)-a.depth(y, nil), strings.Compare(x, y))
	})
	vars := map[string]string{}
	for _, g := range names {
		maps.Copy(vars, a.groups[g].vars)
	}
	maps.Copy(vars, a.hosts[host])
	return vars
}

func (a *ansible) depth(of string, below []string) int {
	if of == everybody {
		return 0
	}
	deepest := 1
	for name, g := range a.groups {
		if slices.Contains(g.children, of) && !slices.Contains(below, name) {
			deepest = max(deepest, 1+a.depth(name, append(below, of)))
		}
	}
	return deepest
}

// reach says how Ansible would log in to a host. What else its variables say is
// Ansible's own business.
func (a *ansible) reach(name string) (Host, error) {
	vars := a.variables(name)
	var template string
	get := func(names ...string) string {
		for _, n := range names {
			if v := vars[n]; v != "" {
				if strings.Contains(v, "{{") {
					template = n
				}
				return v
			}
		}
		return ""
	}
	h := Host{Node: nodes.Node{Name: name}, HostName: name}
	if at := get("ansible_host", "ansible_ssh_host"); at != "" {
		h.HostName = strings.Trim(at, "[]")
	}
	h.User = get("ansible_user", "ansible_ssh_user")
	port := get("ansible_port", "ansible_ssh_port")
	if key := get("ansible_ssh_private_key_file", "ansible_private_key_file"); key != "" {
		if rest, ok := strings.CutPrefix(key, "~/"); ok {
			if home, err := os.UserHomeDir(); err == nil {
				key = filepath.Join(home, rest)
			}
		}
		h.Keys = []string{key}
	}
	for _, args := range []string{get("ansible_ssh_common_args"), get("ansible_ssh_extra_args"), get("ansible_ssh_args")} {
		if found := jumpArgument.FindStringSubmatch(args); found != nil && h.Jump == "" {
			h.Jump = found[1]
		}
	}
	how := get("ansible_connection")
	if template != "" {
		return h, fmt.Errorf("%s of %s is a template that only Ansible can fill in; write its value", template, name)
	}
	switch how {
	case "", "ssh", "smart", "ansible.builtin.ssh", "paramiko", "paramiko_ssh":
	default:
		return h, fmt.Errorf("%s is reached by ansible_connection=%s, and nodes are reached by ssh alone", name, how)
	}
	if port != "" {
		var err error
		if h.Port, err = parsePort(port); err != nil {
			return h, fmt.Errorf("the port of %s: %w", name, err)
		}
	}
	if _, err := netip.ParseAddr(h.HostName); err != nil {
		if err := checkName(h.HostName); err != nil {
			return h, err
		}
	}
	return h, nil
}

var jumpArgument = regexp.MustCompile(`(?:-J\s*|-o\s*["']?ProxyJump[= ]\s*)([^\s"']+)`)
