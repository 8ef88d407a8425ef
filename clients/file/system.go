package file

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/nodes/agent"
	"nemesis/workload"
)

// System is the system of a file.
type System struct{ *Definition }

var (
	_ clients.System     = System{}
	_ clients.Composed   = System{}
	_ clients.Led        = System{}
	_ clients.Claiming   = System{}
	_ clients.Limited    = System{}
	_ clients.Restricted = System{}
	_ clients.Sized      = System{}
	_ clients.Owning     = System{}
)

// New makes a system of what was read.
func New(d *Definition) System { return System{d} }

// Name is what the file calls it.
func (s System) Name() string { return s.System }

// Doc is the file's line about it.
func (s System) Doc() string { return s.Definition.Doc }

// DefaultVersion is the one in the file.
func (s System) DefaultVersion() string { return s.Version }

// CheckVersion accepts any: only those who hand out the artifacts know which there are.
func (s System) CheckVersion(string) error { return nil }

// DefaultNodes is how many local nodes a run has where nobody names its nodes; 0 says nothing.
func (s System) DefaultNodes() int { return s.Nodes }

// Options are what --set accepts.
func (s System) Options() []clients.Option {
	var options []clients.Option
	for _, o := range s.Definition.Options {
		options = append(options, clients.Option{Name: o.Name, Doc: o.Value.Doc, Default: o.Value.Default, Values: o.Value.Values, Waits: o.Value.Waits})
	}
	return options
}

// Workloads are those that its clients speak, in the order of the table of workloads, and then
// those of the file.
func (s System) Workloads() []string {
	spoken := s.operations()
	var names []string
	for _, w := range workload.All() {
		if _, is := spoken[w.Name]; is {
			names = append(names, w.Name)
		}
	}
	for _, name := range append(s.Definition.Workloads.Names(), workload.Executables) {
		if _, is := spoken[name]; is {
			names = append(names, name)
		}
	}
	return names
}

// OwnWorkload is a workload of the file.
func (s System) OwnWorkload(name string) *history.OwnWorkload { return s.own[name] }

// Without are the operations of a workload that its clients do not speak.
func (s System) Without(name string) []string {
	work, err := workload.Find(name)
	if err != nil {
		return nil
	}
	var without []string
	for _, f := range work.Optional {
		if !slices.Contains(s.operations()[name], f) {
			without = append(without, f)
		}
	}
	return without
}

// Faults are those that make sense; nil for all.
func (s System) Faults() []string { return s.Capabilities }

// main is the process that is meant where none is named.
func (d *Definition) main() *Process { return &d.Processes[0].Value }

// clientRole is the process that clients connect to, clientPort the name of its port.
func (d *Definition) clientRole() string {
	if d.Client.Process != "" {
		return d.Client.Process
	}
	return d.Processes[0].Name
}

func (d *Definition) clientPort() string { return orClient(d.Client.Port) }

func orClient(port string) string {
	if port == "" {
		return clientPort
	}
	return port
}

// Roles are the processes, each where it runs.
func (s System) Roles(names []string, _ map[string]string) []history.Role {
	var roles []history.Role
	for _, p := range s.Processes {
		if on := placed(p.Value.Nodes, names); len(on) > 0 {
			roles = append(roles, history.Role{Name: p.Name, Nodes: on})
		}
	}
	return roles
}

// HasLeaders: some process can be asked whether it leads.
func (s System) HasLeaders(map[string]string) bool {
	return slices.ContainsFunc(s.Processes, func(p NamedValue[Process]) bool { return p.Value.Leader != nil })
}

// Timing is the system's own timeouts.
func (s System) Timing(map[string]string) history.Timing {
	return history.Timing{Election: s.Definition.Timing.Election, Lease: s.Definition.Timing.Lease}
}

// Claim is what is claimed of any workload.
func (s System) Claim(options map[string]string) history.Claim { return s.ClaimOf("", options) }

// ClaimOf is the first claim of the file that fits a workload and the options.
func (s System) ClaimOf(work string, options map[string]string) history.Claim {
	for _, c := range s.Claims {
		if work != "" && len(c.Workload) > 0 && !slices.Contains(c.Workload, work) {
			continue
		}
		fits := true
		for name, value := range c.Options {
			fits = fits && options[name] == value
		}
		if fits {
			return c.claim()
		}
	}
	if work == workload.Executables { // what they find needs no claim
		return history.Claim{Origin: history.Documented, Bounds: history.Bounds{ClockOffset: -1}}
	}
	return history.Claim{Origin: history.Documented, Bounds: history.Bounds{ClockOffset: -1},
		Notes: []string{"The system's file claims nothing of this workload with these options, so that nothing that is found is a violation; give a claim in the file, or a model with --claim."}}
}

// claim is a claim of the file as plans have it.
func (c Claim) claim() history.Claim {
	claim := history.Claim{
		Origin: history.Documented, Model: history.Model(c.Model),
		Bounds: history.Bounds{ClockOffset: -1, ClockRate: c.ClockRate, Recovery: c.Recovery, Outage: c.Outage},
	}
	if c.Model == "none" {
		claim.Model = ""
	}
	for _, rule := range c.Rules {
		claim.Rules = append(claim.Rules, history.Model(rule))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Assumptions)) {
		claim.Assumptions = append(claim.Assumptions, history.Assumption{Name: name, Text: c.Assumptions[name]})
	}
	if c.ClockOffset > 0 {
		claim.Bounds.ClockOffset = c.ClockOffset
	}
	for _, s := range c.Source {
		claim.Sources = append(claim.Sources, history.Source{Sentence: s.Sentence, Address: s.Address})
	}
	return claim
}

// Prepare gets the artifacts onto the control node.
func (s System) Prepare(ctx context.Context, plan history.System, w io.Writer) (clients.Install, error) {
	p := preparation{Definition: s.Definition, plan: plan, w: w}
	return p.prepare(ctx)
}

// Deploy describes a cluster of the system's processes.
func (s System) Deploy(install clients.Install, plan history.Plan, machines []*agent.Client) (clients.Deployment, error) {
	d, err := s.deploy(install, plan, machines)
	if err != nil {
		return nil, fmt.Errorf("deploy %s: %w", s.System, err)
	}
	return d, nil
}

// relative is a path of the file, from its directory.
func (d *Definition) relative(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(d.Dir, name)
}
