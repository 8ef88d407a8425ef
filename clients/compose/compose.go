// Package compose makes the file of a nemesis system of a compose file: services become processes, several of one image
// become one process on several nodes, and what is said of commands, ports, environment, health checks, order and volumes is
// taken over. What cannot be taken over is told line by line, as an image is a file system and a node gets executables.
//
//	taken, err := compose.Read("compose.yaml", text)
//	system := taken.System("redis", sections)
package compose

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Left is something that was not taken over, and why.
type Left struct {
	Line int    `json:"line"`
	Text string `json:"text"`
}

// Project is a compose file as far as it can be taken over.
type Project struct {
	path   string
	groups []*group
	left   []Left
}

// service is one service of the file.
type service struct {
	name string
	// aliases are the names that others may know it by.
	aliases               []string
	image                 string
	replicas              int
	command               []string
	shell                 string // a command line that a shell reads; "" for none
	environment           []pair
	ports                 []port
	files                 []mounted
	data                  []string // paths of volumes in the container
	depends               []string
	health                *health
	signal, workingDir    string
	notRoot               bool
	line                  int
	commandLine, portLine int
}

type pair struct{ name, value string }

type port struct {
	number int
	line   int
}

// mounted is a file of this machine that the service sees at a path.
type mounted struct{ at, name, text string }

// health is how to find out that a service serves.
type health struct {
	kind  string // resp, http, sql, port or exec
	words []string
	path  string
	port  int
}

// reader reads a compose file and notes what it leaves.
type reader struct {
	project *Project
	dir     string
	told    map[string]bool
}

// Bounds of what is read.
const (
	mostServices = 200
	mostFile     = 1 << 20 // bytes of a mounted file
)

// Read reads a compose file. Files that it mounts are looked for from its directory.
func Read(path string, text []byte) (*Project, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("read %s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("read %s: it is no compose file; one has services", path)
	}
	r := reader{project: &Project{path: path}, dir: filepath.Dir(path), told: map[string]bool{}}
	var services []*service
	for _, e := range entries(root.Content[0]) {
		switch e.key {
		case "version", "name":
		case "services":
			for _, s := range entries(e.value) {
				if len(services) == mostServices {
					return nil, fmt.Errorf("read %s: it has more than %d services", path, mostServices)
				}
				services = append(services, r.service(s))
			}
		case "volumes":
		case "networks":
			r.leave(e.line, "networks: every node reaches every other; partitions are a fault (--faults partition)")
		default:
			r.leave(e.line, e.key+": there is no such thing on nodes")
		}
	}
	if len(services) == 0 {
		return nil, fmt.Errorf("read %s: it has no services", path)
	}
	r.project.groups = grouped(services, r.leave)
	return r.project, nil
}

// Left is what was not taken over, by lines; all of it once System was called.
func (p *Project) Left() []Left { return p.left }

func (r *reader) leave(line int, text string) {
	r.project.left = append(r.project.left, Left{line, text})
}

type entry struct {
	key   string
	line  int
	value *yaml.Node
}

// entries are those of a mapping, in order, merged ones (<<) first.
func entries(n *yaml.Node) []entry {
	n = real(n)
	var all []entry
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Value == "<<" {
			merged := real(n.Content[i+1])
			if merged.Kind == yaml.MappingNode && merged != n {
				for j := 0; j+1 < len(merged.Content); j += 2 {
					all = append(all, entry{merged.Content[j].Value, merged.Content[j].Line, merged.Content[j+1]})
				}
			}
			continue
		}
		all = slices.DeleteFunc(all, func(e entry) bool { return e.key == key.Value })
		all = append(all, entry{key.Value, key.Line, n.Content[i+1]})
	}
	return all
}

func real(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// texts are the entries of a list, or a single value.
func texts(n *yaml.Node) []string {
	n = real(n)
	if n.Kind == yaml.ScalarNode {
		return []string{filled(n.Value)}
	}
	var all []string
	for _, one := range n.Content {
		if one = real(one); one.Kind == yaml.ScalarNode {
			all = append(all, filled(one.Value))
		}
	}
	return all
}

var variable = regexp.MustCompile(`\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::?[-?+]([^}]*))?\}|\$([A-Za-z_][A-Za-z0-9_]*)`)

// filled puts defaults in the place of variables. Those without a default stay as they are; unset finds them.
func filled(text string) string {
	return variable.ReplaceAllStringFunc(text, func(found string) string {
		if found == "$$" {
			return "$"
		}
		m := variable.FindStringSubmatch(found)
		if strings.Contains(found, "-") && m[1] != "" {
			return m[2]
		}
		if value, is := os.LookupEnv(m[1] + m[3]); is {
			return value
		}
		return found
	})
}

// service reads one service.
func (r *reader) service(e entry) *service {
	s := &service{name: e.key, aliases: []string{e.key}, replicas: 1, line: e.line}
	leave := func(line int, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		if once := fmt.Sprint(line, text); !r.told[once] { // a line may be of several services, by an anchor
			r.told[once] = true
			r.leave(line, "services."+s.name+"."+text)
		}
	}
	var entrypoint, command []string
	for _, e := range entries(e.value) {
		v := real(e.value)
		switch e.key {
		case "image":
			s.image = filled(v.Value)
			leave(e.line, "image: %s: nodes get executables (see artifacts); what an image sets by itself, such as an entrypoint or a configuration, is not known here", s.image)
		case "build":
			leave(e.line, "build: nemesis builds no images; say under artifacts where the executable comes from")
		case "command", "entrypoint":
			words := texts(v)
			if v.Kind == yaml.ScalarNode {
				words = split(words[0])
			}
			s.commandLine = cmp.Or(s.commandLine, e.line)
			if e.key == "command" {
				command = words
			} else {
				entrypoint = words
			}
		case "environment":
			s.environment = append(s.environment, r.environment(s, e, leave)...)
		case "env_file":
			for _, name := range texts(v) {
				s.environment = append(s.environment, r.environmentFile(e.line, name, leave)...)
			}
		case "ports", "expose":
			s.portLine = e.line
			r.ports(s, e, leave)
		case "volumes":
			r.volumes(s, e, leave)
		case "depends_on":
			if v.Kind == yaml.MappingNode {
				for _, d := range entries(v) {
					s.depends = append(s.depends, d.key)
				}
			} else {
				s.depends = texts(v)
			}
		case "healthcheck":
			r.healthcheck(s, e, leave)
		case "hostname", "container_name":
			s.aliases = append(s.aliases, filled(v.Value))
		case "stop_signal":
			s.signal = strings.TrimPrefix(strings.ToUpper(v.Value), "SIG")
			if !slices.Contains([]string{"TERM", "INT", "QUIT", "HUP"}, s.signal) {
				leave(e.line, "stop_signal: a server is asked to end by TERM, INT, QUIT or HUP, not %s", v.Value)
				s.signal = ""
			}
		case "working_dir":
			s.workingDir = filled(v.Value)
		case "user":
			s.notRoot = !slices.Contains([]string{"root", "0", "0:0"}, v.Value)
			leave(e.line, "user: %s: servers run as the nodes' user, or with not_root as one that is not root", v.Value)
		case "deploy", "scale":
			r.deploy(s, e, leave)
		case "networks":
			for _, one := range entries(v) {
				for _, net := range entries(one.value) {
					if net.key == "aliases" {
						s.aliases = append(s.aliases, texts(net.value)...)
					} else {
						leave(net.line, "networks.%s.%s: nodes have addresses of their own", one.key, net.key)
					}
				}
			}
		case "restart":
			leave(e.line, "restart: %s: nemesis itself starts servers again, after faults; one that ends by itself stays down, and is told", v.Value)
		case "stop_grace_period":
			leave(e.line, "stop_grace_period: the fault stop has a time of its own")
		case "labels", "logging", "profiles", "platform", "pull_policy", "init", "tty", "stdin_open":
			leave(e.line, "%s: it means nothing on nodes", e.key)
		default:
			leave(e.line, "%s: nodes have no such thing; prepare it on the nodes, or leave it", e.key)
		}
	}
	s.command = append(entrypoint, command...)
	if n := len(s.command); n >= 3 && slices.Contains([]string{"sh", "bash", "/bin/sh", "/bin/bash"}, s.command[0]) && strings.HasSuffix(s.command[1], "c") {
		s.shell = strings.Join(s.command[2:], " ")
	}
	for _, text := range append(slices.Clone(s.command), s.image) {
		for _, found := range variable.FindAllString(text, -1) {
			if s.shell == "" {
				leave(cmp.Or(s.commandLine, s.line), "the variable %s has no value here; write it into the file", found)
			}
		}
	}
	return s
}

func (r *reader) environment(s *service, e entry, leave func(int, string, ...any)) []pair {
	v := real(e.value)
	var all []pair
	if v.Kind == yaml.MappingNode {
		for _, one := range entries(v) {
			value := real(one.value)
			if value.Tag == "!!null" {
				leave(one.line, "environment.%s: it has no value here; write it into the file", one.key)
				continue
			}
			all = append(all, pair{one.key, filled(value.Value)})
		}
		return all
	}
	for _, one := range v.Content {
		name, value, is := strings.Cut(real(one).Value, "=")
		if !is {
			leave(one.Line, "environment: %s has no value here; write it into the file", name)
			continue
		}
		all = append(all, pair{name, filled(value)})
	}
	return all
}

func (r *reader) environmentFile(line int, name string, leave func(int, string, ...any)) []pair {
	text, err := readSmall(filepath.Join(r.dir, name))
	if err != nil {
		leave(line, "env_file: %v", err)
		return nil
	}
	var all []pair
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, value, is := strings.Cut(line, "="); is && !strings.HasPrefix(line, "#") {
			all = append(all, pair{strings.TrimSpace(name), strings.Trim(strings.TrimSpace(value), `"'`)})
		}
	}
	return all
}

// readSmall reads a regular file that is not large.
func readSmall(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is no file", path)
	case info.Size() > mostFile:
		return "", fmt.Errorf("%s is larger than %d bytes", path, mostFile)
	}
	text, err := os.ReadFile(path)
	if err == nil && strings.ContainsRune(string(text), 0) {
		err = errors.New(path + " is no text")
	}
	return string(text), err
}
