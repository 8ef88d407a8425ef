package iron

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/nodes/agent"
)

// Version is the only one there is: what the user's command starts.
const Version = "given"

// Options are the settings that the systems share.
type Options struct {
	Command string
	Wire    string
	Port    int
}

// Settings are the table of what the systems share, for an O that has Options in it.
func Settings[O any](of func(*O) *Options) []clients.Setting[O] {
	return []clients.Setting[O]{{
		Option: clients.Option{Name: "command",
			Doc: "shell command that starts one server; {id}, {index}, {address}, {port}, {peers} and {binary} are filled in (docs/servers.md)"},
		Read: func(o *O, v string) bool { of(o).Command = v; return true },
	}, {
		Option: clients.Option{Name: "wire", Default: WireUDP, Values: []string{WireUDP, WireTCP},
			Doc: "udp: one datagram a message, as of before 2022; tcp: frames without TLS (useSSL=false)"},
		Read: func(o *O, v string) bool { of(o).Wire = v; return true },
	}, {
		Option:  clients.Option{Name: "port", Default: "4001", Doc: "where each server listens"},
		Allowed: "a port from 1 to 65535",
		Read:    clients.ReadNumber(1, 65535, func(o *O, n int) { of(o).Port = n }),
	}}
}

// CheckVersion accepts no version but the one that is given.
func CheckVersion(system, v string) error {
	if v != Version {
		return fmt.Errorf("find %s %q: nemesis has no %s; say by --set command=… how yours is started", system, v, system)
	}
	return nil
}

const program = "server"

// Check says whether there is something to start.
func Check(system string, o Options, plan history.System) error {
	switch {
	case strings.TrimSpace(o.Command) == "":
		return fmt.Errorf("start %s: nobody says how; give --set command='…', such as '{binary} {peers} {address} {port}' (docs/servers.md)", system)
	case plan.Binary == "" && strings.Contains(o.Command, "{binary}"):
		return fmt.Errorf("start %s: the command names {binary}; give the file with --binary", system)
	}
	return nil
}

// Prepare has nothing to get but the user's own file.
func Prepare(system string, o Options, plan history.System) (clients.Install, error) {
	install := clients.Install{Version: Version}
	if err := Check(system, o, plan); err != nil || plan.Binary == "" {
		return install, err
	}
	path, err := filepath.Abs(plan.Binary)
	install.Files = map[string]string{program: path}
	return install, err
}

// Servers are the servers of a deployment: one on each node.
type Servers struct {
	Names     []string
	Addresses []netip.AddrPort
	Wire      string
	all       []clients.Component
}

// Deploy describes them. last is put at the end of {peers}: members that are no servers.
func Deploy(system string, o Options, install clients.Install, machines []*agent.Client, last ...netip.AddrPort) (*Servers, error) {
	if len(machines) == 0 {
		return nil, fmt.Errorf("deploy %s: there are no nodes", system)
	}
	s := &Servers{Wire: o.Wire}
	for _, m := range machines {
		node := m.Node()
		at := netip.AddrPortFrom(node.Address.Unmap(), uint16(o.Port))
		if slices.Contains(s.Addresses, at) {
			return nil, fmt.Errorf("deploy %s: two nodes share the address %v; each server needs port %d of its own", system, node.Address, o.Port)
		}
		s.Names, s.Addresses = append(s.Names, node.Name), append(s.Addresses, at)
	}
	var peers []string
	for _, a := range append(slices.Clone(s.Addresses), last...) {
		peers = append(peers, a.Addr().String(), strconv.Itoa(int(a.Port())))
	}
	for i, m := range machines {
		c := clients.Component{
			Node: s.Names[i], Role: system, PeerPort: uint16(o.Port), ClientPort: uint16(o.Port),
			Spec: agent.ProcessSpec{Name: system, Dir: system, Log: system + "/" + system + ".log"},
		}
		binary := ""
		if from := install.Files[program]; from != "" {
			binary = system + "/" + program
			c.Files = []clients.File{{Path: binary, From: from, Mode: 0o755}}
			binary = filepath.Join(m.Dir(), binary)
		}
		command := strings.NewReplacer(
			"{id}", strconv.Itoa(i+1), "{index}", strconv.Itoa(i), "{address}", s.Addresses[i].Addr().String(), "{port}", strconv.Itoa(o.Port),
			"{peers}", strings.Join(peers, " "), "{binary}", binary,
		).Replace(o.Command)
		c.Spec.Argv = []string{"/bin/sh", "-c", "exec " + command}
		s.all = append(s.all, c)
	}
	return s, nil
}

// Components are one server on each node.
func (s *Servers) Components() []clients.Component { return s.all }

// Index finds a node's server.
func (s *Servers) Index(node string) (int, error) {
	if i := slices.Index(s.Names, node); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("find the server on %q: there is no such node in the cluster", node)
}

// silence is for how long nobody must say that a port is closed.
const silence = 150 * time.Millisecond

// Probe asks whether the server's port is open. Over UDP an open port is silent, and a closed one answers: what is sent there
// is no message of the protocol, as any that is would be an operation.
func (s *Servers) Probe(ctx context.Context, c clients.Component) error {
	conn, err := new(net.Dialer).DialContext(ctx, s.Wire, s.Addresses[slices.Index(s.Names, c.Node)].String())
	if err != nil {
		return fmt.Errorf("does not listen (%w)", err)
	}
	defer conn.Close()
	if s.Wire == WireTCP {
		return nil
	}
	for range 2 {
		if _, err = conn.Write(AppendUint(nil, 1<<32)); err != nil {
			break
		}
		conn.SetReadDeadline(time.Now().Add(silence / 2))
		if _, err = conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) && err != nil {
			break
		}
		err = nil
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("does not listen (%w)", err)
	}
	return nil
}
