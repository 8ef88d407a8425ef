package file

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/template"

	sockaddr "github.com/hashicorp/go-sockaddr"
	sockaddrtemplate "github.com/hashicorp/go-sockaddr/template"

	"nemesis/clients/operands"
	"nemesis/nodes"
	"nemesis/nodes/agent"
)

// site is a cluster as the templates of a file see it.
type site struct {
	definition *Definition
	options    map[string]string
	version    string
	workload   string
	seed       int64
	nodes      []siteNode
	// binaries are the paths of artifacts' executables below artifactsDir.
	binaries map[string]string
}

// siteNode is one node of it.
type siteNode struct {
	name       string
	address    netip.Addr
	dir        string // of the agent, in which everything lies
	interfaces sockaddr.IfAddrs
}

// artifactsDir is where artifacts lie on a node, in the agent's directory.
const artifactsDir = "artifacts"

// siteNodeOf is a node as its own agent reported it.
func siteNodeOf(m *agent.Client) siteNode {
	n := siteNode{name: m.Node().Name, address: m.Node().Address, dir: m.Dir()}
	for _, i := range m.Facts().Interfaces {
		for _, prefix := range i.Addrs {
			address, err := sockaddr.NewIPAddr(prefix.String())
			if err != nil {
				continue // of a family that go-sockaddr does not know
			}
			mac, _ := net.ParseMAC(i.MAC)
			n.interfaces = append(n.interfaces, sockaddr.IfAddr{SockAddr: address, Interface: net.Interface{
				Index: i.Index, MTU: i.MTU, Name: i.Name, HardwareAddr: mac, Flags: net.Flags(i.Flags)}})
		}
	}
	return n
}

// trial is a site of three nodes that do not exist, to try templates on.
func (d *Definition) trial() *site {
	s := &site{definition: d, options: map[string]string{}, version: d.Version, workload: "register", seed: 1, binaries: map[string]string{}}
	for _, o := range d.Options {
		s.options[o.Name] = o.Value.Default
	}
	for _, a := range d.Artifacts.Names() {
		s.binaries[a] = path.Join(a, a)
	}
	for i := range 3 {
		address := netip.AddrFrom4([4]byte{192, 168, 57, byte(11 + i)})
		ip, _ := sockaddr.NewIPAddr(address.String() + "/24") // it is one
		s.nodes = append(s.nodes, siteNode{name: fmt.Sprintf("n%d", i+1), address: address, dir: "/var/lib/nemesis",
			interfaces: sockaddr.IfAddrs{{SockAddr: ip, Interface: net.Interface{Index: 2, MTU: 1500, Name: "eth0", Flags: net.FlagUp}}}})
	}
	return s
}

// runsOn are the indexes of the nodes that a process runs on.
func (s *site) runsOn(p Process) []int {
	var all []int
	for i := range s.nodes {
		all = append(all, i)
	}
	return placed(p.Nodes, all)
}

// placed picks from things, one a node, those where a process runs. The form was checked.
func placed[T any](where string, all []T) []T {
	switch where {
	case "", "all":
		return all
	case "first":
		return all[:min(1, len(all))]
	case "last":
		return all[max(0, len(all)-1):]
	case "others":
		return all[min(1, len(all)):]
	}
	n, _ := strconv.Atoi(where)
	return all[:min(n, len(all))]
}

// place is one process on one node, of which templates speak.
type place struct {
	*site
	node    int
	role    string
	process *Process
}

func (p place) self() siteNode { return p.nodes[p.node] }

// home is the process' own directory on the node, in the agent's.
func (p place) home() string { return p.role }

// absolute is the path of something in the agent's directory of the node.
func (p place) absolute(name string) string { return path.Join(p.self().dir, name) }

func (s *site) index(name string) (int, error) {
	i := slices.IndexFunc(s.nodes, func(n siteNode) bool { return n.name == name })
	if i < 0 {
		return 0, fmt.Errorf("there is no node %q; {{ node 0 }} is the first", name)
	}
	return i, nil
}

// names of nodes at these indexes.
func (s *site) names(indexes []int) []string {
	names := make([]string, len(indexes))
	for i, at := range indexes {
		names[i] = s.nodes[at].name
	}
	return names
}

// port finds one of a process by its name: port "client" of this process, port "data" "client"
// of another, and port NODE "data" "client", which is the same on every node.
func (p place) port(words ...string) (uint16, error) {
	role, name := p.role, ""
	switch len(words) {
	case 1:
		name = words[0]
	case 2:
		role, name = words[0], words[1]
	case 3:
		if _, err := p.index(words[0]); err != nil {
			return 0, err
		}
		role, name = words[1], words[2]
	default:
		return 0, errors.New(`port takes the name of a port, and before it that of another process`)
	}
	process := p.definition.Processes.Find(role)
	if process == nil {
		return 0, fmt.Errorf("there is no process %q; there are %s", role, strings.Join(p.definition.Processes.Names(), ", "))
	}
	if n := process.Ports.Find(name); n != 0 {
		return n, nil
	}
	return 0, fmt.Errorf("the process %s has no port %q", role, name)
}

// functions are what templates may call. Those of go-sockaddr that would look at the machine
// nemesis runs on look at the node instead, or say so.
func (p place) functions() template.FuncMap {
	local := func(name string) func(...string) (string, error) {
		return func(...string) (string, error) {
			return "", fmt.Errorf("%s looks at the machine that nemesis runs on; the dot has the node's own interfaces: {{ . | include \"name\" \"eth0\" | attr \"address\" }}", name)
		}
	}
	f := template.FuncMap{}
	for name := range sockaddrtemplate.SourceFuncs {
		f[name] = local(name)
	}
	for name, function := range sockaddrtemplate.HelperFuncs {
		if strings.HasPrefix(name, "Get") {
			f[name] = local(name)
		} else {
			f[name] = function
		}
	}
	for _, more := range []template.FuncMap{sockaddrtemplate.SortFuncs, sockaddrtemplate.FilterFuncs, {
		"GetPrivateIP": func() string { return p.self().address.String() },
		"self":         func() string { return p.self().name },
		"index0":       func() int { return p.node },
		"number":       func() int { return p.node + 1 },
		"node": func(i int) (string, error) {
			if i < 0 || i >= len(p.nodes) {
				return "", fmt.Errorf("there is no node %d; the cluster has %d, the first is 0", i, len(p.nodes))
			}
			return p.nodes[i].name, nil
		},
		"nodes": func(role ...string) ([]string, error) {
			if len(role) == 0 {
				return p.names(p.runsOn(Process{})), nil
			}
			process := p.definition.Processes.Find(role[0])
			if process == nil {
				return nil, fmt.Errorf("there is no process %q", role[0])
			}
			return p.names(p.runsOn(*process)), nil
		},
		"peers": func() []string {
			var others []string
			for _, i := range p.runsOn(*p.process) {
				if i != p.node {
					others = append(others, p.nodes[i].name)
				}
			}
			return others
		},
		"addr": func(name string) (string, error) {
			i, err := p.index(name)
			if err != nil {
				return "", err
			}
			return p.nodes[i].address.String(), nil
		},
		"port": p.port,
		"dir":  func() string { return p.absolute(p.home()) },
		"data": func() string { return p.absolute(path.Join(p.home(), dataOf(*p.process)[0])) },
		"file": func(name string) (string, error) {
			if _, is := p.process.Files[name]; !is {
				return "", fmt.Errorf("the process %s has no file %q", p.role, name)
			}
			return p.absolute(path.Join(p.home(), name)), nil
		},
		"bin": func(name string) (string, error) {
			binary, is := p.binaries[name]
			if !is {
				return "", fmt.Errorf("there is no artifact %q; there are %s", name, strings.Join(p.definition.Artifacts.Names(), ", "))
			}
			return p.absolute(path.Join(artifactsDir, binary)), nil
		},
		"option": func(name string) (string, error) {
			if p.definition.Options.Find(name) == nil {
				return "", fmt.Errorf("there is no option %q; there are %s", name, strings.Join(p.definition.Options.Names(), ", "))
			}
			return p.options[name], nil
		},
		"version":  func() string { return p.version },
		"workload": func() string { return p.workload },
		"seed":     func() int64 { return p.seed },
		"secret": func(name string) string {
			sum := sha256.Sum256([]byte(fmt.Sprintf("nemesis %d %s", p.seed, name)))
			return hex.EncodeToString(sum[:16])
		},
		"quote": strconv.Quote,
		"add":   func(a, b int) int { return a + b },
	}} {
		for name, function := range more {
			f[name] = function
		}
	}
	return f
}

// dataOf are the data directories of a process, in its own.
func dataOf(p Process) []string {
	if len(p.Data) == 0 {
		return []string{"data"}
	}
	return p.Data
}

// text fills in a template. The dot is the interfaces of the node, as go-sockaddr has them.
func (p place) text(text string) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	t, err := template.New("t").Option("missingkey=error").Funcs(p.functions()).Parse(text)
	if err != nil {
		return "", errors.New(strings.TrimPrefix(err.Error(), "template: t:"))
	}
	var b strings.Builder
	if err := operands.Bounded(text, func() error { return t.Execute(&limited{&b}, p.self().interfaces) }); err != nil {
		return "", errors.New(strings.TrimPrefix(err.Error(), "template: t:"))
	}
	return b.String(), nil
}

// limited ends a template that writes without end.
type limited struct{ *strings.Builder }

// mostRendered is more than any configuration of a server takes, in bytes.
const mostRendered = 16 << 20

func (l *limited) Write(b []byte) (int, error) {
	if l.Len()+len(b) > mostRendered {
		return 0, fmt.Errorf("it makes more than %d bytes", mostRendered)
	}
	return l.Builder.Write(b)
}

// words fills in a command line.
func (p place) words(c Command) ([]string, error) {
	if c.Line != "" {
		text, err := p.text(c.Line)
		if err != nil {
			return nil, err
		}
		words, err := nodes.Words(strings.ReplaceAll(text, "\n", " "))
		if err != nil {
			return nil, fmt.Errorf("read the command line: %w", err)
		}
		if len(words) == 0 {
			return nil, errors.New("the command line is empty")
		}
		return words, nil
	}
	return p.all(c.Args)
}

// all fills in several templates.
func (p place) all(texts []string) ([]string, error) {
	words := make([]string, len(texts))
	for i, text := range texts {
		var err error
		if words[i], err = p.text(text); err != nil {
			return nil, err
		}
	}
	return words, nil
}

// Trial is one process on one of three nodes that do not exist, as a file comes to.
type Trial struct {
	Node    string   `json:"node"`
	Role    string   `json:"role"`
	Command []string `json:"command"`
	// Files are the paths of its files on the node.
	Files []string `json:"files,omitempty"`
}

// Trial fills in the templates of every process on three nodes, with the options' defaults.
func (d *Definition) Trial() ([]Trial, error) {
	s := d.trial()
	var all []Trial
	for i := range d.Processes {
		for _, node := range s.runsOn(d.Processes[i].Value) {
			p := place{s, node, d.Processes[i].Name, &d.Processes[i].Value}
			words, err := p.words(p.process.Command)
			if err != nil {
				return nil, fmt.Errorf("%s: processes.%s.command: %w", d.path, p.role, err)
			}
			t := Trial{Node: p.self().name, Role: p.role, Command: words}
			for _, name := range slices.Sorted(maps.Keys(p.process.Files)) {
				t.Files = append(t.Files, p.absolute(path.Join(p.home(), name)))
			}
			all = append(all, t)
		}
	}
	return all, nil
}
