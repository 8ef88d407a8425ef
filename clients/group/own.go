package group

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/nodes/agent"
)

// Version is the only one that servers of our own have: that of the nemesis which runs.
const Version = "own"

// program is the name of the servers' executable where the user gives one.
const program = "nemesis"

// Own is a system that nemesis itself serves, so that nothing is downloaded or built.
type Own struct {
	// Name is that of the system, of its servers' role, of their directory on a node and of their subcommand of nemesis server.
	Name string
	// Port is where nodes and clients connect, on every node.
	Port uint16
}

// CheckVersion accepts Version and no other.
func (o Own) CheckVersion(v string) error {
	if v != Version {
		return fmt.Errorf("find %s %q: its servers are nemesis itself, which has no other version; give another nemesis with --binary", o.Name, v)
	}
	return nil
}

// Install has nothing to get: the agent on each node is the server's program, unless the user gives another.
func (o Own) Install(plan history.System) (clients.Install, error) {
	install := clients.Install{Version: Version}
	if plan.Binary == "" {
		return install, nil
	}
	binary, err := filepath.Abs(plan.Binary)
	if err == nil && agent.ArchOf(binary) == "" {
		err = fmt.Errorf("check the %s executable: %s is no Linux program; give a nemesis", o.Name, binary)
	}
	install.Files = map[string]string{program: binary}
	return install, err
}

// Servers are those of a system of our own: server i+1 is on the node Names[i], at Addresses[i].
type Servers struct {
	Own
	Names     []string
	Addresses []netip.AddrPort
}

// Place puts one server on each machine.
func (o Own) Place(machines []*agent.Client) (Servers, error) {
	if len(machines) == 0 {
		return Servers{}, fmt.Errorf("deploy %s: there are no nodes", o.Name)
	}
	s := Servers{Own: o}
	for _, m := range machines {
		node := m.Node()
		at := netip.AddrPortFrom(node.Address, o.Port)
		if slices.Contains(s.Addresses, at) {
			return Servers{}, fmt.Errorf("deploy %s: two nodes share the address %v; each server needs port %d of its own", o.Name, node.Address, o.Port)
		}
		s.Names, s.Addresses = append(s.Names, node.Name), append(s.Addresses, at)
	}
	return s, nil
}

// Component is server i+1, on its machine: the arguments follow its number, the addresses of all and its directory. A
// traced one writes down its steps.
func (s Servers) Component(i int, m *agent.Client, install clients.Install, traced bool, arguments ...string) clients.Component {
	home := s.Name // relative to the agent's directory, as all that follow
	data, trace, executable := home+"/data", home+"/"+s.Name+".trace", home+"/"+program
	c := clients.Component{
		Node: s.Names[i], Role: s.Name, Data: []string{data}, ClientPort: s.Port, PeerPort: s.Port,
		Spec: agent.ProcessSpec{Name: s.Name, Dir: home, Log: home + "/" + s.Name + ".log"},
	}
	server := agent.OwnExecutable
	if binary := install.Files[program]; binary != "" {
		server = executable
		c.Files = []clients.File{{Path: executable, From: binary, Mode: 0o755}}
	}
	var members []string
	for _, a := range s.Addresses {
		members = append(members, a.String())
	}
	c.Spec.Argv = append([]string{server, "server", s.Name, "--id", strconv.Itoa(i + 1), "--members", strings.Join(members, ","),
		"--data", path.Join(m.Dir(), data)}, arguments...)
	if traced {
		c.Trace = trace
		c.Spec.Argv = append(c.Spec.Argv, "--trace", path.Join(m.Dir(), trace))
	}
	return c
}

// Index is that of the server on a node.
func (s Servers) Index(node string) (int, error) {
	i := slices.Index(s.Names, node)
	if i < 0 {
		return 0, fmt.Errorf("find the %s server on %q: there is no such node in the cluster", s.Name, node)
	}
	return i, nil
}

// Ended is how an operation ended that was not answered: without effect if err, an *Unanswered, says that it cannot have had
// one.
func Ended(err error) clients.Completion {
	if e := (*Unanswered)(nil); errors.As(err, &e) && !e.Open {
		return clients.Failed(err)
	}
	return clients.Unsure(err)
}

// Conns are new connections to servers.
func Conns(addresses []netip.AddrPort, dialer *clients.Dialer) []*Conn {
	var all []*Conn
	for _, a := range addresses {
		all = append(all, &Conn{Address: a, Dialer: dialer})
	}
	return all
}
