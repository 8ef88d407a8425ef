// Package kit runs the servers of a deployment: it does, from components as data
// (clients.Component), what every system needs the same. It puts files on nodes, wipes,
// starts and stops, waits until servers serve, tells why one does not, with the end of
// its log, and names the logs to be collected.
//
// Servers start in the order of Component.After: all components of a stage at once, and
// the next stage when every one of them serves. They are stopped in reverse.
//
//	servers, err := kit.New(deployment, machines, kit.Options{})
//	… servers.Install(ctx, node) on every node …
//	err = servers.Start(ctx)            // all of them, in order, until they serve
//	err = servers.StartNode(ctx, "n1")  // again, after n1 was without power
//	err = servers.Stop(ctx, grace)
package kit

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/nodes"
	"nemesis/nodes/agent"
)

// Options are how servers are treated.
type Options struct {
	// Patience is how long a server may take over one probe; 0 is a second.
	Patience time.Duration
}

// Servers are the servers of one deployment. Methods that take a node may be called for
// different nodes at once.
type Servers struct {
	abilities clients.Abilities
	patience  time.Duration
	machines  map[string]*agent.Client
	// stages are the components in the order in which they start.
	stages [][]clients.Component
	all    []clients.Component
	// arch is the processor that a file on the control node was made for, "" for files
	// that are no programs.
	arch map[string]string

	mu sync.Mutex
	// started are the components, by their names and nodes, that were started once: no other
	// has logs.
	started map[string]bool
}

// New checks that the components make sense together. It does nothing on the nodes.
func New(d clients.Deployment, machines []*agent.Client, opt Options) (*Servers, error) {
	s := &Servers{
		abilities: clients.AbilitiesOf(d), patience: opt.Patience, all: d.Components(),
		machines: map[string]*agent.Client{}, arch: map[string]string{}, started: map[string]bool{},
	}
	if s.patience <= 0 {
		s.patience = time.Second
	}
	for _, m := range machines {
		s.machines[m.Node().Name] = m
	}
	var err error
	if s.stages, err = stages(s.all); err != nil {
		return nil, fmt.Errorf("deploy the servers: %w", err)
	}
	named := map[string]bool{}
	for _, c := range s.all {
		switch {
		case c.Role == "":
			return nil, fmt.Errorf("deploy the servers: one on %s has no role", c.Node)
		case s.machines[c.Node] == nil:
			return nil, fmt.Errorf("deploy the servers: %s is on a node that is not in the cluster", c)
		case named[c.String()]:
			return nil, fmt.Errorf("deploy the servers: there are two of %s; each needs a name of its own", c)
		}
		named[c.String()] = true
		for _, f := range c.Files {
			if f.From != "" {
				s.arch[f.From] = agent.ArchOf(f.From)
			}
		}
	}
	return s, nil
}

// stages puts components in the order in which they start.
func stages(all []clients.Component) ([][]clients.Component, error) {
	if len(all) == 0 {
		return nil, errors.New("the system has no components")
	}
	roles := map[string]bool{}
	for _, c := range all {
		roles[c.Role] = true
	}
	for _, c := range all {
		for _, role := range c.After {
			if !roles[role] {
				return nil, fmt.Errorf("%s starts after the role %q, which nobody has", c, role)
			}
		}
	}
	var stages [][]clients.Component
	left := slices.Clone(all)
	for len(left) > 0 {
		// A role is done when none of its components is left.
		waits := func(c clients.Component) bool {
			return slices.ContainsFunc(left, func(o clients.Component) bool { return slices.Contains(c.After, o.Role) })
		}
		var stage, later []clients.Component
		for _, c := range left {
			if waits(c) {
				later = append(later, c)
			} else {
				stage = append(stage, c)
			}
		}
		if len(stage) == 0 {
			return nil, fmt.Errorf("%s starts after itself, by way of the roles it starts after", left[0])
		}
		stages, left = append(stages, stage), later
	}
	return stages, nil
}

// Components are all of them, in the deployment's order.
func (s *Servers) Components() []clients.Component { return s.all }

// Main is the component of a node that is meant where no role is named: of the main role,
// or else its first. It is nil on a node without any.
func (s *Servers) Main(node string) *clients.Component {
	var main *clients.Component
	for i, c := range s.all {
		if c.Node == node && (main == nil || c.Role == s.all[0].Role && main.Role != c.Role) {
			main = &s.all[i]
		}
	}
	return main
}

// WithRole are the components of a node that have a role, or for "" that of Main.
func (s *Servers) WithRole(node, role string) []clients.Component {
	if role == "" {
		main := s.Main(node)
		if main == nil {
			return nil
		}
		role = main.Role
	}
	var found []clients.Component
	for _, c := range s.all {
		if c.Node == node && c.Role == role {
			found = append(found, c)
		}
	}
	return found
}

// On are a node's components in the order in which they start.
func (s *Servers) On(node string) []clients.Component {
	var mine []clients.Component
	for _, stage := range s.stages {
		for _, c := range stage {
			if c.Node == node {
				mine = append(mine, c)
			}
		}
	}
	return mine
}

func (s *Servers) machine(node string) (*agent.Client, error) {
	m := s.machines[node]
	if m == nil {
		return nil, fmt.Errorf("find the servers on %q: there is no such node in the cluster", node)
	}
	return m, nil
}

func lives(state agent.ProcessState) bool {
	return state.State == agent.Running || state.State == agent.Paused
}

// Install stops the servers that an earlier run left on a node, removes their data and
// logs, and puts the files there.
func (s *Servers) Install(ctx context.Context, node string) error {
	m, err := s.machine(node)
	if err != nil {
		return err
	}
	mine := s.On(node)
	for _, c := range slices.Backward(mine) {
		if err := s.stopLeftover(ctx, m, c); err != nil {
			return fmt.Errorf("install %s: %w", c, err)
		}
	}
	for _, c := range mine {
		if err := s.install(ctx, m, c); err != nil {
			return fmt.Errorf("install %s: %w", c, err)
		}
	}
	return s.Wipe(ctx, node)
}

// stopLeftover ends a server whose data is about to go, so it need not end well.
func (s *Servers) stopLeftover(ctx context.Context, m *agent.Client, c clients.Component) error {
	state, err := m.ProcessState(ctx, c.Name())
	if err == nil && lives(state) {
		_, err = m.StopProcess(ctx, c.Name(), 500*time.Millisecond)
	}
	return err
}

func (s *Servers) install(ctx context.Context, m *agent.Client, c clients.Component) error {
	for _, f := range c.Files {
		if arch, facts := s.arch[f.From], m.Facts(); arch != "" && (facts.OS != "linux" || facts.Arch != arch) {
			return fmt.Errorf("the executable is for linux/%s and the node is %s/%s; give one for the node with --binary", arch, facts.OS, facts.Arch)
		}
	}
	if c.Spec.Dir != "" {
		if err := m.MakeDir(ctx, c.Spec.Dir); err != nil {
			return err
		}
	}
	for _, log := range append([]string{c.LogFile(), c.Trace}, c.Logs...) {
		if log == "" {
			continue
		}
		if err := m.RemoveAll(ctx, log); err != nil {
			return err
		}
	}
	for _, f := range c.Files {
		err := error(nil)
		if f.From != "" {
			err = m.Upload(ctx, f.From, f.Path, f.Mode)
		} else {
			err = m.WriteFile(ctx, f.Path, f.Content, f.Mode)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Wipe removes the data of a node's servers. It refuses while one of them runs, which
// would go on with files that nobody sees any more.
func (s *Servers) Wipe(ctx context.Context, node string) error {
	m, err := s.machine(node)
	if err != nil {
		return err
	}
	for _, c := range s.On(node) {
		state, err := m.ProcessState(ctx, c.Name())
		if err == nil && lives(state) {
			err = errors.New("the server still runs; stop it first")
		}
		for _, dir := range c.Data {
			if err == nil {
				err = m.RemoveAll(ctx, dir)
			}
			if err == nil && c.MakeData {
				err = m.MakeDir(ctx, dir)
			}
		}
		if err != nil {
			return fmt.Errorf("wipe %s: %w", c, err)
		}
	}
	return nil
}

// Start starts all servers and returns when all of them serve.
func (s *Servers) Start(ctx context.Context) error {
	for _, stage := range s.stages {
		if err := s.each(stage, func(c clients.Component) error { return s.start(ctx, c) }); err != nil {
			return err
		}
		if err := s.ready(ctx, stage); err != nil {
			return err
		}
	}
	return nil
}

// StartNode starts a node's servers again, in order. It does not wait for them: without
// the other nodes they may be unable to serve.
func (s *Servers) StartNode(ctx context.Context, node string) error {
	if _, err := s.machine(node); err != nil {
		return err
	}
	for _, c := range s.On(node) {
		if err := s.start(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func (s *Servers) start(ctx context.Context, c clients.Component) error {
	spec := c.Spec
	spec.Name, spec.Data = c.Name(), c.Data
	s.mu.Lock()
	s.started[c.String()] = true
	s.mu.Unlock()
	if _, err := s.machines[c.Node].StartProcess(ctx, spec); err != nil {
		return fmt.Errorf("start %s: %w", c, err)
	}
	return nil
}

// Stop ends all servers, the last to start first. What does not end within grace is
// killed. It goes on after an error.
func (s *Servers) Stop(ctx context.Context, grace time.Duration) error {
	var errs []error
	for _, stage := range slices.Backward(s.stages) {
		errs = append(errs, s.each(stage, func(c clients.Component) error {
			if _, err := s.machines[c.Node].StopProcess(ctx, c.Name(), grace); err != nil {
				return fmt.Errorf("stop %s: %w", c, err)
			}
			return nil
		}))
	}
	return errors.Join(errs...)
}

// each does something to several components at once and joins what went wrong, a line
// for each node: of a node whose agent is lost, that.
func (s *Servers) each(components []clients.Component, do func(clients.Component) error) error {
	errs := make([]error, len(components))
	where := make([]nodes.Node, len(components))
	var all sync.WaitGroup
	for i, c := range components {
		m := s.machines[c.Node]
		where[i] = m.Node()
		all.Go(func() {
			errs[i] = do(c)
			if lost := m.Err(); errs[i] != nil && lost != nil {
				errs[i] = lost
			}
		})
	}
	all.Wait()
	return nodes.JoinErrors(where, errs)
}

// LogFiles maps the names under which a node's logs are collected to paths on the node, of
// the servers that were started.
func (s *Servers) LogFiles(node string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := map[string]string{}
	for _, c := range s.On(node) {
		if !s.started[c.String()] {
			continue
		}
		files[c.Name()+".log"] = c.LogFile()
		for _, log := range c.Logs {
			name := path.Base(log)
			if !strings.HasPrefix(name, c.Name()) {
				name = c.Name() + "-" + name
			}
			files[name] = log
		}
	}
	return files
}

// LogOwner is the component of a node that writes a log of LogFiles; "" when none does.
func (s *Servers) LogOwner(node, name string) string {
	owner := ""
	for _, c := range s.On(node) {
		if n := c.Name(); len(n) > len(owner) && (name == n+".log" || strings.HasPrefix(name, n)) {
			owner = n
		}
	}
	return owner
}

// TraceFiles maps the names under which a node's traces are collected to paths on the node.
func (s *Servers) TraceFiles(node string) map[string]string {
	files := map[string]string{}
	for _, c := range s.On(node) {
		if c.Trace != "" {
			files[c.Name()+history.TraceSuffix] = c.Trace
		}
	}
	return files
}
