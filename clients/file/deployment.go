package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nemesis/clients"
	"nemesis/clients/external"
	"nemesis/clients/resp"
	"nemesis/history"
	"nemesis/nodes/agent"
)

// deployment is one cluster of a file's processes.
type deployment struct {
	*site
	plan        history.Plan
	machines    []*agent.Client
	programs    *external.Pool        // nil where clients are ours
	executables *external.Executables // nil where clients are none
	components  []clients.Component
	places      map[string]place // by component
	open        opener           // nil where clients are a program

	mu sync.Mutex
	// logged are components whose log had what was waited for once.
	logged map[string]bool
}

var (
	_ clients.Deployment  = (*deployment)(nil)
	_ clients.Prober      = (*deployment)(nil)
	_ clients.Leading     = (*deployment)(nil)
	_ clients.Troubled    = (*deployment)(nil)
	_ clients.Logged      = (*deployment)(nil)
	_ clients.LogSearcher = (*deployment)(nil)
)

func (s System) deploy(install clients.Install, plan history.Plan, machines []*agent.Client) (*deployment, error) {
	d := &deployment{
		site: &site{definition: s.Definition, options: plan.System.Options, version: plan.System.Version, workload: plan.Workload.Name,
			seed: plan.Seed, binaries: map[string]string{}},
		plan: plan, machines: machines, places: map[string]place{}, logged: map[string]bool{},
	}
	for _, m := range machines {
		d.nodes = append(d.nodes, siteNodeOf(m))
	}
	files := make([][]clients.File, len(machines))
	for i, m := range machines {
		var err error
		if files[i], err = d.artifacts(install, m.Facts().Arch); err != nil {
			return nil, err
		}
	}
	for r := range s.Processes {
		role, process := s.Processes[r].Name, &s.Processes[r].Value
		for _, node := range d.runsOn(*process) {
			c, err := d.component(place{d.site, node, role, process})
			if err != nil {
				return nil, fmt.Errorf("%s on %s: %w", role, d.nodes[node].name, err)
			}
			// Artifacts are the node's: the first of its processes brings them.
			c.Files, files[node] = append(files[node], c.Files...), nil
			d.components = append(d.components, c)
		}
	}
	if len(d.components) == 0 {
		return nil, errors.New("no process runs on any node; take more nodes")
	}
	var err error
	if d.open, err = d.clientTable(); err != nil {
		return nil, err
	}
	if s.Client.Executables != nil {
		return d, d.prepareExecutables(s.Client.Executables)
	}
	if program := s.Client.Program; program != nil {
		if err := d.program(program); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// program prepares the user's program that clients are.
func (d *deployment) program(c *ProgramClient) error {
	command, err := place{d.site, 0, d.definition.Processes[0].Name, d.definition.main()}.words(c.Command)
	if err != nil {
		return fmt.Errorf("client.program: %w", err)
	}
	hello := external.Hello{Workload: d.workload, Seed: d.seed, InFlight: c.InFlight, Nodes: d.toldNodes(), TTL: time.Duration(d.plan.Workload.TTL).Milliseconds()}
	d.programs = external.New(external.Options{Command: command, Dir: d.definition.Dir, Count: c.Clients, Hello: hello})
	return nil
}

// toldNodes are the nodes as programs of the user's are told of them.
func (d *deployment) toldNodes() []external.Node {
	var nodes []external.Node
	for i, n := range d.nodes {
		ports := map[string]uint16{}
		for _, p := range d.definition.Processes {
			if !slices.Contains(d.runsOn(p.Value), i) {
				continue
			}
			for _, port := range p.Value.Ports {
				ports[p.Name+"."+port.Name] = port.Number
				if p.Name == d.definition.clientRole() {
					ports[port.Name] = port.Number
				}
			}
		}
		nodes = append(nodes, external.Node{ID: n.name, Addr: n.address.String(), Ports: ports})
	}
	return nodes
}

// prepareExecutables tells executables of the user's about the cluster, in their environment.
func (d *deployment) prepareExecutables(c *ExecutablesClient) error {
	told, err := json.Marshal(d.toldNodes())
	if err != nil {
		return fmt.Errorf("client.executables: %w", err)
	}
	scratch, err := os.MkdirTemp("", "nemesis-executables-")
	if err != nil {
		return fmt.Errorf("client.executables: make a directory for what they remember: %w", err)
	}
	var addresses []string
	byNode := map[string]string{}
	for i, n := range d.nodes {
		if p := (place{d.site, i, d.definition.clientRole(), d.definition.Processes.Find(d.definition.clientRole())}); slices.Contains(d.runsOn(*p.process), i) {
			byNode[n.name] = p.address(d.definition.clientPort())
			addresses = append(addresses, byNode[n.name])
		}
	}
	d.executables = &external.Executables{Dir: d.definition.relative(c.Dir), Addresses: byNode, Scratch: scratch, Env: []string{
		"NEMESIS_SCRATCH=" + scratch, "NEMESIS_ADDRESSES=" + strings.Join(addresses, " "), "NEMESIS_NODES=" + string(told), "NEMESIS_SEED=" + strconv.FormatInt(d.seed, 10)}}
	return nil
}

// Trouble tells that the user's program broke down.
func (d *deployment) Trouble() <-chan error {
	if d.programs == nil {
		return nil
	}
	return d.programs.Trouble()
}

// LogPatterns are the file's own.
func (d *deployment) LogPatterns() []history.LogPattern {
	var all []history.LogPattern
	for _, p := range d.definition.LogPatterns {
		all = append(all, history.LogPattern{Class: p.Class, Expr: p.Match})
	}
	return all
}

// ClientLog is what the user's program wrote to standard error.
func (d *deployment) ClientLog() []byte {
	switch {
	case d.executables != nil:
		return d.executables.Log()
	case d.programs == nil:
		return nil
	}
	return d.programs.Log()
}

// Close ends the user's program.
func (d *deployment) Close() error {
	switch {
	case d.executables != nil:
		return os.RemoveAll(d.executables.Scratch)
	case d.programs == nil:
		return nil
	}
	return d.programs.Close()
}

// artifacts are the files of all artifacts for nodes of an architecture, and fills in where
// their executables are.
func (d *deployment) artifacts(install clients.Install, arch string) ([]clients.File, error) {
	var files []clients.File
	for _, name := range d.definition.Artifacts.Names() {
		key := archKey(name, arch)
		from := install.Files[key]
		if from == "" {
			key = name
			from = install.Files[key]
		}
		if from == "" {
			return nil, fmt.Errorf("there is no artifact %s for %s; give one under %s", name, arch, arch)
		}
		info, err := os.Stat(from)
		if err != nil {
			return nil, fmt.Errorf("read the artifact %s: %w", name, err)
		}
		if !info.IsDir() {
			base := filepath.Base(from)
			d.binaries[name] = path.Join(name, base)
			files = append(files, clients.File{Path: path.Join(artifactsDir, name, base), From: from, Mode: uint32(info.Mode().Perm() | 0o500)})
			continue
		}
		d.binaries[name] = path.Join(name, install.Files[binaryKey(key)])
		err = filepath.WalkDir(from, func(at string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			info, err := os.Stat(at) // what a link leads to
			if err != nil || !info.Mode().IsRegular() {
				return nil
			}
			rest, err := filepath.Rel(from, at)
			if err != nil {
				return err
			}
			if len(files) >= mostFiles {
				return fmt.Errorf("it holds more than %d files", mostFiles)
			}
			files = append(files, clients.File{Path: path.Join(artifactsDir, name, filepath.ToSlash(rest)), From: at, Mode: uint32(info.Mode().Perm() | 0o400)})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read the artifact %s: %w", name, err)
		}
	}
	return files, nil
}

// mostFiles bounds what is put on a node one by one.
const mostFiles = 20_000

// component is one process on one node.
func (d *deployment) component(p place) (clients.Component, error) {
	argv, err := p.words(p.process.Command)
	if err != nil {
		return clients.Component{}, fmt.Errorf("command: %w", err)
	}
	c := clients.Component{
		Node: p.self().name, Role: p.role, MakeData: true, After: p.process.DependsOn,
		Spec: agent.ProcessSpec{Name: p.role, Argv: argv, Dir: p.home(), Log: path.Join(p.home(), p.role+".log"), Env: map[string]string{},
			StopSignal: p.process.Shutdown.Signal, NotRoot: p.process.NotRoot},
		ClientPort: p.process.Ports.Find(clientPort), PeerPort: p.process.Ports.Find(peerPort),
	}
	if p.role == d.definition.clientRole() {
		c.ClientPort = p.process.Ports.Find(d.definition.clientPort())
	}
	for _, name := range dataOf(*p.process) {
		c.Data = append(c.Data, path.Join(p.home(), name))
	}
	for _, name := range p.process.Logs {
		c.Logs = append(c.Logs, path.Join(p.home(), name))
	}
	for _, name := range slices.Sorted(maps.Keys(p.process.Files)) {
		text, err := p.text(p.process.Files[name])
		if err != nil {
			return c, fmt.Errorf("file %s: %w", name, err)
		}
		mode := uint32(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		c.Files = append(c.Files, clients.File{Path: path.Join(p.home(), name), Content: []byte(text), Mode: mode})
	}
	for name, value := range p.process.Environment {
		if c.Spec.Env[name], err = p.text(value); err != nil {
			return c, fmt.Errorf("environment %s: %w", name, err)
		}
	}
	if dir := p.process.WorkingDir; dir != "" {
		text, err := p.text(dir)
		if err != nil {
			return c, fmt.Errorf("working_dir: %w", err)
		}
		c.Spec.Dir = text
		if !path.IsAbs(text) {
			c.Spec.Dir = path.Join(p.home(), text)
		}
	}
	d.places[c.String()] = p
	return c, nil
}

// Components are the file's processes on the nodes where they run.
func (d *deployment) Components() []clients.Component { return d.components }

// Probe asks a process whether it serves, as its file says.
func (d *deployment) Probe(ctx context.Context, c clients.Component) error {
	p := d.places[c.String()]
	probe := p.process.Ready
	if probe == nil {
		if c.ClientPort == 0 {
			return d.runs(ctx, p)
		}
		probe = &Probe{}
	}
	_, err := d.ask(ctx, p, probe, true)
	return err
}

// runs: a process without ports serves when it runs.
func (d *deployment) runs(ctx context.Context, p place) error {
	state, err := d.machines[p.node].ProcessState(ctx, p.role)
	switch {
	case err != nil:
		return fmt.Errorf("its state is not known (%w)", err)
	case state.State != agent.Running:
		return fmt.Errorf("is %s", state.State)
	}
	return nil
}

// Leads asks all processes with a leader probe at once, and tells of everyone that claims to
// lead.
func (d *deployment) Leads(ctx context.Context) ([]history.Lead, error) {
	leads := make([]*history.Lead, len(d.components))
	var wg sync.WaitGroup
	for i, c := range d.components {
		p := d.places[c.String()]
		if p.process.Leader == nil {
			continue
		}
		wg.Go(func() {
			said, err := d.ask(ctx, p, p.process.Leader, false)
			if err != nil {
				return
			}
			lead := history.Lead{Node: c.Node}
			if pattern, err := p.pattern(p.process.Leader.Match); err == nil {
				lead.Term = termIn(pattern, said)
			}
			leads[i] = &lead
		})
	}
	wg.Wait()
	var all []history.Lead
	for _, l := range leads {
		if l != nil {
			all = append(all, *l)
		}
	}
	return history.SortedLeads(all), nil
}

// termIn is the group term of a pattern in an answer; 0 when there is none.
func termIn(r *regexp.Regexp, said string) int64 {
	if r.SubexpIndex("term") < 0 {
		return 0
	}
	found := r.FindStringSubmatch(said)
	if found == nil {
		return 0
	}
	n, _ := strconv.ParseInt(found[r.SubexpIndex("term")], 10, 64)
	return n
}

// clientPlace is the process that a client of a node talks to: that of the node, or where it
// has none the one of the next node that has.
func (d *deployment) clientPlace(node string) (place, error) {
	at, err := d.index(node)
	if err != nil {
		return place{}, err
	}
	role := d.definition.clientRole()
	process := d.definition.Processes.Find(role)
	runs := d.runsOn(*process)
	if len(runs) == 0 {
		return place{}, fmt.Errorf("find the server of %s: no node runs %s", node, role)
	}
	for i := range d.nodes {
		if n := (at + i) % len(d.nodes); slices.Contains(runs, n) {
			return place{d.site, n, role, process}, nil
		}
	}
	return place{}, fmt.Errorf("find the server of %s: no node runs %s", node, role)
}

// address is where a port of a process is.
func (p place) address(port string) string {
	return netip.AddrPortFrom(p.self().address, p.process.Ports.Find(port)).String()
}

// Open makes a client of a node, which connects when it is first asked.
func (d *deployment) Open(_ context.Context, node string, dialer *clients.Dialer) (clients.Client, error) {
	p, err := d.clientPlace(node)
	if err != nil {
		return nil, err
	}
	target := func(context.Context) (string, error) { return p.address(d.definition.clientPort()), nil }
	if to := d.definition.Client.To; to != nil {
		target = func(ctx context.Context) (string, error) { return d.whereTo(ctx, node, to) }
	}
	switch {
	case d.executables != nil:
		return d.executables.Open(node), nil
	case d.programs != nil:
		return d.programs.Open(p.self().name), nil // where a server is
	}
	return d.open(d.workload, node, target, dialer), nil
}

// whereTo asks where to connect: the process of the client's own node, then the others.
func (d *deployment) whereTo(ctx context.Context, node string, to *Ask) (string, error) {
	process := d.definition.Processes.Find(to.Process)
	first, err := d.index(node)
	if err != nil {
		return "", err
	}
	var errs []error
	runs := d.runsOn(*process)
	for i := range d.nodes {
		n := (first + i) % len(d.nodes)
		if !slices.Contains(runs, n) {
			continue
		}
		p := place{d.site, n, to.Process, process}
		said, err := p.where(ctx, to)
		if err == nil {
			return said, nil
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("find out where to connect: %w", errors.Join(errs...))
}

// where asks one process where to connect.
func (p place) where(ctx context.Context, to *Ask) (said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if to.Path != "" {
		said, err = get(ctx, p.address(orClient(to.Port)), to.Path, 0)
	} else {
		var words []string
		if words, err = p.all(to.RESP); err == nil {
			said, err = resp.Ask(ctx, p.address(orClient(to.Port)), words)
		}
	}
	if err != nil {
		return "", err
	}
	fields := strings.Fields(said)
	if len(fields) == 2 {
		said = net.JoinHostPort(fields[0], fields[1])
	}
	if _, port, err := net.SplitHostPort(strings.TrimSpace(said)); err != nil || port == "" {
		return "", fmt.Errorf("%s answered %s, which is no address", p.role, clients.Printable(said))
	}
	return strings.TrimSpace(said), nil
}
