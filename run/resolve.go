package run

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/nemesis"
	"nemesis/workload"
)

// Options are what the user asked for. Zero values mean the default.
type Options struct {
	System  string
	Version string
	Binary  string
	Set     map[string]string

	// Spec is the --nodes argument, Nodes the names it stands for.
	Spec  string
	Nodes []string

	Workload    string
	Concurrency string // "10", or "2n": twice the number of nodes
	Rate        float64
	Keys        int
	OpsPerKey   int
	// TTL is how long leases last without renewal; 0 leaves it to the workload.
	TTL time.Duration
	// Claim is the consistency model to hold the system to; "" is the documented one.
	Claim string
	// Bounds are numbers of the claim, by the names that BoundsDoc lists.
	Bounds map[string]string

	Faults        string        // "partition,kill", "none", "all,packet"
	FaultInterval time.Duration // 0 is 5 s
	RequireFaults bool
	FaultTargets  string // "leader,one"; "" leaves it to each fault
	FaultHolds    string // "6s,1.5lease"; "" leaves it to the interval
	ClockChanges  string // "wall:+2lease,monotonic:x0.5"; "" leaves it to each fault
	Packets       string // "delay:100ms/20ms+loss:5%"; "" leaves it to the fault
	Clocks        string // nemesis.ShadowClocks or nemesis.MachineClocks

	TimeLimit time.Duration
	// OpTimeout is after what an operation's outcome is unknown; 0 is 5 s.
	OpTimeout time.Duration
	// SlowNodes is how many times slower than usual the nodes are, 1 to 100; 0 is as
	// usual. What is waited for takes so much longer, unless it is given.
	SlowNodes float64
	// Seed determines every random choice; nil draws one.
	Seed *int64

	CheckerTime   time.Duration
	CheckerMemory string // "1GiB"
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
	var none history.Plan
	system, err := FindSystem(opt.System)
	if err != nil {
		return none, &UsageError{err}
	}
	if opt, err = slowed(opt); err != nil {
		return none, err
	}
	options, err := resolveSet(system, opt.Set, opt.SlowNodes)
	if err != nil {
		return none, err
	}
	if opt.Version != "" && opt.Binary == "" {
		if err := system.CheckVersion(opt.Version); err != nil {
			return none, &UsageError{err}
		}
	}
	if opt.Binary != "" {
		// Absolute, so that a replay from another directory finds it.
		if opt.Binary, err = filepath.Abs(opt.Binary); err != nil {
			return none, usage("read --binary: %w", err)
		}
		if info, err := os.Stat(opt.Binary); err != nil {
			return none, usage("read --binary: %w; name the server's executable", err)
		} else if !info.Mode().IsRegular() {
			return none, usage("read --binary: %s is not a file; name the server's executable", opt.Binary)
		}
	}
	work, err := workload.Find(opt.Workload)
	if err != nil {
		return none, &UsageError{err}
	}
	if !slices.Contains(system.Workloads(), work.Name) {
		return none, usage("resolve plan: %s has no client for workload %q; it has %s", system.Name(), work.Name, strings.Join(system.Workloads(), ", "))
	}
	faults, err := nemesis.Parse(opt.Faults)
	if err != nil {
		return none, &UsageError{err}
	}
	if len(opt.Nodes) == 0 {
		return none, usage("resolve plan: --nodes names no node")
	}
	concurrency, err := parseConcurrency(opt.Concurrency, len(opt.Nodes))
	if err != nil {
		return none, err
	}
	memory, err := ParseBytes(opt.CheckerMemory)
	if err != nil {
		return none, usage("read --checker-memory: %w", err)
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
		least time.Duration
	}{
		{"--time-limit", opt.TimeLimit, time.Second},
		{"--op-timeout", opt.OpTimeout, time.Millisecond},
		{"--fault-interval", opt.FaultInterval, 500 * time.Millisecond},
		{"--checker-time", opt.CheckerTime, time.Millisecond},
	} {
		if d.value < d.least {
			return none, usage("read %s: %s is too short; give at least %s", d.flag, d.value, d.least)
		}
	}
	if opt.Rate < 0 || math.IsNaN(opt.Rate) || math.IsInf(opt.Rate, 0) {
		return none, usage("read --rate: %v is not a number of operations per second; 0 means as fast as the clients can", opt.Rate)
	}
	if opt.Keys < 0 || opt.OpsPerKey < 0 {
		return none, usage("read --keys and --ops-per-key: they cannot be negative")
	}
	ttl, err := resolveTTL(opt.TTL, work, opt.SlowNodes)
	if err != nil {
		return none, err
	}
	claim, err := resolveClaim(system.Claim(options), opt.Claim, work)
	if err != nil {
		return none, err
	}
	timing := system.Timing(options)
	if ttl > 0 {
		timing.Lease = history.Duration(ttl)
	}
	if claim.Bounds, err = resolveBounds(claim.Bounds, timing, opt.Bounds); err != nil {
		return none, err
	}
	seed := int64(0)
	if opt.Seed != nil {
		seed = *opt.Seed
	} else if seed, err = drawSeed(); err != nil {
		return none, err
	}
	plan := history.Plan{
		Schema: history.PlanSchema,
		Seed:   seed,
		System: history.System{Name: system.Name(), Version: opt.Version, Options: options, Binary: opt.Binary},
		Cluster: history.Cluster{
			Spec: opt.Spec, Nodes: opt.Nodes,
		},
		Workload: history.Workload{
			Name: work.Name, Concurrency: concurrency, Rate: opt.Rate,
			Keys: first(opt.Keys, work.Keys), OpsPerKey: first(opt.OpsPerKey, work.OpsPerKey),
			TTL: history.Duration(ttl),
		},
		Timing:        timing,
		Claim:         claim,
		TimeLimit:     history.Duration(opt.TimeLimit),
		OpTimeout:     history.Duration(opt.OpTimeout),
		SlowNodes:     opt.SlowNodes,
		Faults:        faults,
		FaultInterval: history.Duration(opt.FaultInterval),
		RequireFaults: opt.RequireFaults,
		CheckerTime:   history.Duration(opt.CheckerTime),
		CheckerMemory: memory,
	}
	if work.Owners {
		plan.Workload.Owners = opt.Nodes
	}
	if plan.System.Version == "" && plan.System.Binary == "" {
		plan.System.Version = system.DefaultVersion()
	}
	asked, err := scheduleOptions(opt, plan)
	if err == nil {
		plan.FaultInterval = history.Duration(asked.Spacing())
		plan.Schedule, err = nemesis.Schedule(random(seed, scheduleStream), asked)
	}
	if err != nil {
		return none, &UsageError{err}
	}
	return plan, nil
}

// scheduleOptions are what the plan's faults are drawn by.
func scheduleOptions(opt Options, plan history.Plan) (nemesis.Options, error) {
	out := nemesis.Options{
		Faults: plan.Faults, Nodes: opt.Nodes, TimeLimit: opt.TimeLimit, Interval: opt.FaultInterval,
		Timing: plan.Timing, Leases: plan.Workload.TTL > 0,
		Settings: map[string]string{"clock-change": opt.ClockChanges, "packets": opt.Packets, "clocks": opt.Clocks},
	}
	if opt.Clocks == nemesis.MachineClocks && strings.HasPrefix(opt.Spec, "local:") {
		return out, errors.New("read --clocks machine: local nodes share the clock of this machine, which is not theirs to change; leave it out")
	}
	var err error
	if out.Targets, err = nemesis.ParseTargets(opt.FaultTargets); err != nil {
		return out, err
	}
	if out.Holds, err = nemesis.ParseHolds(opt.FaultHolds, plan.Timing); err != nil {
		return out, err
	}
	return out, nil
}

// resolveTTL is how long the workload's leases last; 0 for a workload without leases.
func resolveTTL(asked time.Duration, work workload.Workload, slow float64) (time.Duration, error) {
	switch {
	case work.TTL == 0 && asked != 0:
		return 0, usage("read --ttl: the workload %s has no leases; leave it out", work.Name)
	case asked == 0:
		return history.Patience(slow, work.TTL).Round(time.Second), nil
	case asked < time.Second || asked%time.Second != 0 || asked > time.Hour:
		return 0, usage("read --ttl: leases last whole seconds, from 1s to 1h, not %s", asked)
	}
	return asked, nil
}

// slowed fills in how long things are waited for, and takes no slowness for none.
func slowed(opt Options) (Options, error) {
	if s := opt.SlowNodes; s != 0 && !(s >= 1 && s <= 100) {
		return opt, usage("read --slow-nodes %v: it takes how many times slower than usual the nodes are, from 1 to 100", s)
	}
	if opt.SlowNodes == 1 {
		opt.SlowNodes = 0
	}
	if opt.OpTimeout == 0 {
		opt.OpTimeout = history.Patience(opt.SlowNodes, usualOpTimeout)
	}
	if opt.FaultInterval == 0 {
		opt.FaultInterval = history.Patience(opt.SlowNodes, usualFaultInterval)
	}
	return opt, nil
}

// What is used on nodes that are not slow where nobody says otherwise.
const (
	usualOpTimeout     = 5 * time.Second
	usualFaultInterval = 5 * time.Second
)

func first(asked, byDefault int) int {
	if asked != 0 {
		return asked
	}
	return byDefault
}

func drawSeed() (int64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("draw a seed: %w", err)
	}
	return int64(binary.LittleEndian.Uint64(b[:]) >> 32), nil // short enough to type
}

func resolveSet(system clients.System, set map[string]string, slow float64) (map[string]string, error) {
	resolved := map[string]string{}
	known := []string{}
	for _, o := range system.Options() {
		known = append(known, o.Name)
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
		if o.Values != nil && !slices.Contains(o.Values, value) {
			return nil, usage("read --set %s=%s: %s takes %s", o.Name, value, o.Name, strings.Join(o.Values, " or "))
		}
		resolved[o.Name] = value
	}
	for name := range set {
		if !slices.Contains(known, name) {
			return nil, usage("read --set %s: %s has no such option; it has %s", name, system.Name(), strings.Join(known, ", "))
		}
	}
	return resolved, nil
}

func parseConcurrency(s string, nodes int) (int, error) {
	number, perNode := strings.CutSuffix(s, "n")
	n, err := strconv.Atoi(number)
	if perNode && number == "" {
		n, err = 1, nil
	}
	if err != nil || n < 1 {
		return 0, usage("read --concurrency: %q is not a number of clients such as 10, nor a multiple of the nodes such as 2n", s)
	}
	if perNode {
		n *= nodes
	}
	const most = 100_000
	if n > most {
		return 0, usage("read --concurrency: %d clients are more than %d", n, most)
	}
	return n, nil
}

// ParseBytes reads a size such as 512MiB, 1GiB, 64KB or 1000000.
func ParseBytes(s string) (int64, error) {
	units := []struct {
		suffix string
		factor float64
	}{
		{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
		{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
	}
	for _, u := range units {
		number, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || v <= 0 || v*u.factor >= math.MaxInt64 || math.IsNaN(v) {
			break
		}
		return int64(v * u.factor), nil
	}
	return 0, fmt.Errorf("%q is not a size such as 512MiB or 1GiB", s)
}
