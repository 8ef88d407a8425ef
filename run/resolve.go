package run

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/nemesis"
	"nemesis/systems"
	"nemesis/workload"
)

// Options are what the user asked for.
type Options struct {
	System string
	// Definition is the file that the system is; nil for one that Systems has by its name.
	Definition *history.Definition
	// Spec is the --nodes argument, Nodes the names it stands for.
	Spec  string
	Nodes []string
	// Settings are everything else.
	Settings Settings
	// Systems are those that System names one of; nil is Systems().
	Systems []clients.System
}

// UsageError is a mistake in what the user asked for: exit code 64.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

func usage(format string, args ...any) error {
	return &UsageError{fmt.Errorf(format, args...)}
}

// Streams of the seed: each use of randomness draws from its own, so that one
// more draw in one place does not change all others.
const (
	scheduleStream = iota + 1
	workloadStream
	finalStream
)

func random(seed int64, stream uint64) *mathrand.Rand {
	return mathrand.New(mathrand.NewPCG(uint64(seed), stream))
}

// Resolve makes a plan. The same options with the same seed give the same plan,
// byte for byte. Every error is a UsageError of one line.
func Resolve(opt Options) (history.Plan, error) {
	r := resolution{systems: opt.Systems, table: SettingTable(), said: opt.Settings, plan: history.Plan{
		Schema:  history.PlanSchema,
		System:  history.System{Name: opt.System, Definition: opt.Definition},
		Cluster: history.Cluster{Spec: opt.Spec, Nodes: opt.Nodes},
	}}
	for _, step := range []func() error{
		r.findSystem, r.readSettings, r.setOptions, r.findServer, r.findWorkload, r.drawFrom, r.waits, r.claim, r.drawSeed, r.check, r.askSystem, r.drawSchedule,
	} {
		if err := step(); err != nil {
			var bad *UsageError
			if !errors.As(err, &bad) {
				err = &UsageError{err}
			}
			return history.Plan{}, err
		}
	}
	return r.plan, nil
}

// resolution is a plan in the making. Its methods are the steps, in the order in which
// they need each other; each fills in what nobody said.
type resolution struct {
	systems []clients.System
	table   []Setting
	said    Settings
	system  clients.System
	work    workload.Workload
	plan    history.Plan
}

func (r *resolution) findSystem() (err error) {
	if plan := &r.plan.System; plan.Definition == nil && r.systems == nil {
		if text, is := systems.Read(plan.Name); is { // the plan holds it, so that it can be carried out by another nemesis
			plan.Definition = &history.Definition{Text: text}
		}
	}
	r.system, err = systemOf(r.systems, r.plan.System)
	return err
}

// readSettings puts what was said, or the default, into the plan, each by itself.
func (r *resolution) readSettings() error {
	if len(r.plan.Cluster.Nodes) == 0 {
		return usage("resolve plan: --nodes names no node")
	}
	table := r.table
	for name := range r.said {
		setting, _, _ := strings.Cut(name, ".")
		if !slices.ContainsFunc(table, func(s Setting) bool { return s.Name == setting && (s.Name == name) == (s.Kind != history.PairsSetting) }) {
			return usage("resolve plan: there is no setting %q", name)
		}
	}
	for _, s := range table {
		said := r.get(s.Name)
		if s.read == nil || said == "" && s.Default == "" {
			continue
		}
		if err := s.read(&r.plan, said); err != nil {
			return usage("read --%s: %w", s.Name, err)
		}
	}
	return nil
}

// get is what was said, or the default.
func (r *resolution) get(name string) string {
	if said, is := r.said[name]; is {
		return said
	}
	for _, s := range r.table {
		if s.Name == name {
			return s.Default
		}
	}
	return ""
}

func (r *resolution) setOptions() (err error) {
	r.plan.System.Options, err = resolveSet(r.system, r.said.pairs("set"), r.plan.SlowNodes)
	if composed, is := r.system.(clients.Composed); is && err == nil {
		r.plan.Cluster.Roles = composed.Roles(r.plan.Cluster.Nodes, r.plan.System.Options)
	}
	return err
}

// findServer settles which server is run: a version that is built, or the user's own.
func (r *resolution) findServer() (err error) {
	server := &r.plan.System
	if server.Binary == "" {
		if server.Version == "" {
			server.Version = r.system.DefaultVersion()
			return nil
		}
		return r.system.CheckVersion(server.Version)
	}
	// Absolute, so that a replay from another directory finds it.
	if server.Binary, err = filepath.Abs(server.Binary); err != nil {
		return usage("read --binary: %w", err)
	}
	if info, err := os.Stat(server.Binary); err != nil {
		return usage("read --binary: %w; name the server's executable", err)
	} else if !info.Mode().IsRegular() {
		return usage("read --binary: %s is not a file; name the server's executable", server.Binary)
	}
	return nil
}

func (r *resolution) findWorkload() (err error) {
	work := &r.plan.Workload
	if work.Name == "" {
		work.Name = r.system.Workloads()[0]
	}
	if owning, is := r.system.(clients.Owning); is {
		work.Own = owning.OwnWorkload(work.Name)
	}
	if r.work, err = workload.Of(*work); err != nil {
		return err
	}
	if err := checkServed(r.system, work.Name); err != nil {
		return usage("resolve plan: %w", err)
	}
	if work.TTL != 0 && r.work.TTL == 0 {
		return usage("read --ttl: the workload %s has no leases; leave it out", work.Name)
	}
	work.Keys, work.OpsPerKey = cmp.Or(work.Keys, r.work.Keys), cmp.Or(work.OpsPerKey, r.work.OpsPerKey)
	if limited, is := r.system.(clients.Limited); is {
		work.Without = limited.Without(work.Name)
	}
	sharded, is := r.system.(clients.Sharded)
	if r.work.Owners || r.work.Moves && is && sharded.MovesShards(r.plan.System.Options) {
		work.Owners = r.plan.Cluster.Nodes
	}
	return nil
}

// askSystem has the system say what is wrong, before servers are built or nodes made.
func (r *resolution) askSystem() error {
	if system, is := r.system.(clients.Checked); is {
		return system.Check(r.plan)
	}
	return nil
}

func (r *resolution) drawFrom() (err error) {
	if r.plan.Faults, err = nemesis.Parse(r.get("faults")); err != nil {
		return err
	}
	restricted, is := r.system.(clients.Restricted)
	if !is || len(restricted.Faults()) == 0 {
		return nil
	}
	_, said := r.said["faults"]
	for _, fault := range slices.Clone(r.plan.Faults) {
		switch {
		case slices.Contains(restricted.Faults(), fault):
		case said:
			return usage("read --faults: %s is not among the capabilities of %s: %s", fault, r.plan.System.Name, strings.Join(restricted.Faults(), ", "))
		default: // of those that are drawn when nobody says anything
			r.plan.Faults = slices.DeleteFunc(r.plan.Faults, func(f string) bool { return f == fault })
		}
	}
	return nil
}

// What is used on nodes that are not slow where nobody says otherwise.
const (
	usualOpTimeout     = 5 * time.Second
	usualFaultInterval = 5 * time.Second
)

// waits fills in how long things are waited for, and takes no slowness for none.
func (r *resolution) waits() error {
	p := &r.plan
	if err := checkSlowNodes(p); err != nil {
		return usage("read --slow-nodes: %w", err)
	}
	if p.SlowNodes == 1 {
		p.SlowNodes = 0
	}
	p.OpTimeout = cmp.Or(p.OpTimeout, history.Duration(p.Patience(usualOpTimeout)))
	p.FaultInterval = cmp.Or(p.FaultInterval, history.Duration(p.Patience(usualFaultInterval)))
	p.Workload.TTL = cmp.Or(p.Workload.TTL, history.Duration(p.Patience(r.work.TTL).Round(time.Second)))
	return nil
}

// claim settles what the system is held to, and the timeouts that this is measured in.
func (r *resolution) claim() (err error) {
	options := r.plan.System.Options
	if r.plan.Claim, err = resolveClaim(claimOf(r.system, r.plan.Workload.Name, options), r.get("claim"), r.work); err != nil {
		return err
	}
	r.plan.Timing = r.system.Timing(options)
	if ttl := r.plan.Workload.TTL; ttl > 0 {
		r.plan.Timing.Lease = ttl
	}
	r.plan.Claim.Bounds, err = resolveBounds(r.plan.Claim.Bounds, r.plan.Timing, r.said.pairs("bound"))
	return err
}

// claimOf is what a system claims of a workload.
func claimOf(system clients.System, work string, options map[string]string) history.Claim {
	if claiming, is := system.(clients.Claiming); is {
		return claiming.ClaimOf(work, options)
	}
	return system.Claim(options)
}

func (r *resolution) drawSeed() (err error) {
	if _, given := r.said["seed"]; !given {
		r.plan.Seed, err = drawSeed()
	}
	return err
}

// check holds what was said to the same checks as a plan that comes from a file.
func (r *resolution) check() error {
	for _, s := range r.table {
		if s.check == nil {
			continue
		}
		if err := s.check(&r.plan); err != nil {
			return usage("read --%s: %w", s.Name, err)
		}
	}
	return nil
}

func (r *resolution) drawSchedule() error {
	asked, err := r.scheduleOptions()
	if err != nil {
		return err
	}
	r.plan.FaultInterval = history.Duration(asked.Spacing())
	r.plan.Schedule, err = nemesis.Schedule(random(r.plan.Seed, scheduleStream), asked)
	return err
}

// Settings of all faults, which nemesis.Options has fields for.
const (
	faultTarget = "fault-target"
	faultHold   = "fault-hold"
	faultWhen   = "fault-when"
)

// scheduleOptions are what the plan's faults are drawn by.
func (r *resolution) scheduleOptions() (nemesis.Options, error) {
	plan := &r.plan
	out := nemesis.Options{
		Faults: plan.Faults, Nodes: plan.Cluster.Nodes, TimeLimit: time.Duration(plan.TimeLimit), Interval: time.Duration(plan.FaultInterval),
		Timing: plan.Timing, Leases: plan.Workload.TTL > 0, Settings: map[string]string{},
		Roles: plan.Roles(), Leaderless: true,
	}
	cards, err := nemesis.Cards(r.get("faults"))
	if err != nil {
		return out, err
	}
	for _, card := range cards { // without those that the system cannot have
		if !slices.ContainsFunc(strings.Split(card, "+"), func(f string) bool { return !slices.Contains(plan.Faults, f) }) {
			out.Cards = append(out.Cards, card)
		}
	}
	_, out.Members = r.system.(clients.Membership)
	if led, is := r.system.(clients.Led); is {
		out.Leaderless = !led.HasLeaders(plan.System.Options)
	}
	for _, s := range nemesis.Settings() {
		if s.Name != faultTarget && s.Name != faultHold && s.Name != faultWhen {
			out.Settings[s.Name] = r.get(s.Name)
		}
	}
	if out.Settings["clocks"] == nemesis.MachineClocks && strings.HasPrefix(plan.Cluster.Spec, "local:") {
		return out, errors.New("read --clocks machine: local nodes share the clock of this machine, which is not theirs to change; leave it out")
	}
	out.When = r.get(faultWhen)
	if out.Targets, err = nemesis.ParseTargets(r.get(faultTarget), out.Roles...); err != nil {
		return out, err
	}
	if out.Holds, err = nemesis.ParseHolds(r.get(faultHold), plan.Timing); err != nil {
		return out, err
	}
	return out, nil
}

func drawSeed() (int64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("draw a seed: %w", err)
	}
	return int64(binary.LittleEndian.Uint64(b[:]) >> 32), nil // short enough to type
}

func resolveSet(system clients.System, set map[string]string, slow float64) (map[string]string, error) {
	if err := checkOptions(system, set); err != nil {
		return nil, usage("read --set %w", err)
	}
	resolved := map[string]string{}
	for _, o := range system.Options() {
		resolved[o.Name] = o.Default
		value, asked := set[o.Name]
		if !asked {
			if d, err := time.ParseDuration(o.Default); err == nil && o.Waits && slow > 1 {
				resolved[o.Name] = history.Patience(slow, d).Round(time.Millisecond).String()
			}
			if o.Default == "" { // nothing, which need not be said
				delete(resolved, o.Name)
			}
			continue
		}
		resolved[o.Name] = value
	}
	return resolved, nil
}

// checkServed says that a system has no client for a workload.
func checkServed(system clients.System, work string) error {
	if slices.Contains(system.Workloads(), work) {
		return nil
	}
	return fmt.Errorf("%s has no client for workload %q; it has %s", system.Name(), work, strings.Join(system.Workloads(), ", "))
}

// checkOptions says which option a system does not have, or cannot have so.
func checkOptions(system clients.System, options map[string]string) error {
	known := map[string]clients.Option{}
	var names []string
	for _, o := range system.Options() {
		known[o.Name] = o
		names = append(names, o.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		o, is := known[name]
		switch value := options[name]; {
		case !is:
			return fmt.Errorf("%s: %s has no such option; it has %s", name, system.Name(), strings.Join(names, ", "))
		case o.Values != nil && !slices.Contains(o.Values, value):
			return fmt.Errorf("%s=%s: %s takes %s", name, value, name, strings.Join(o.Values, " or "))
		}
	}
	return nil
}
