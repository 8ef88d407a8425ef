package run

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nemesis"
	"nemesis/workload"
)

// Settings are what a user said about a run, as text by the names of SettingTable. One of
// the pairs of a setting stands under Pair. What is not there has its default.
type Settings map[string]string

// Pair is the name of one pair of a setting: set.reads.
func Pair(setting, key string) string { return setting + "." + key }

// With is s with what is said in over laid over it. It changes neither.
func (s Settings) With(over Settings) Settings {
	both := maps.Clone(s)
	if both == nil {
		both = Settings{}
	}
	maps.Copy(both, over)
	return both
}

// pairs are those of one setting, by their keys; nil when there are none.
func (s Settings) pairs(setting string) map[string]string {
	var pairs map[string]string
	for name, value := range s {
		key, is := strings.CutPrefix(name, Pair(setting, ""))
		if !is {
			continue
		}
		if pairs == nil {
			pairs = map[string]string{}
		}
		pairs[key] = value
	}
	return pairs
}

// Setting is a row of the table: what a user can say, how that goes into a plan, and what
// of it is right, whichever way it came into the plan.
type Setting struct {
	history.Setting
	// Cell: in a campaign the matrix, subjects and canaries decide on it, and not the
	// settings of runs.
	Cell bool

	// field is where plan.json holds it.
	field string
	// read puts what was said into a plan whose nodes are known. nil for what is read
	// together with others: by the claim, or by the faults.
	read func(plan *history.Plan, text string) error
	// check says, as a clause, what a plan must not hold here; nil for what is checked
	// with others.
	check func(plan *history.Plan) error
}

// What may be asked for at most. A run of more can be no intention, and would not end.
const (
	mostClients   = 100_000
	mostTimeLimit = 30 * 24 * time.Hour
	mostWait      = time.Hour
	mostTTL       = time.Hour
	mostKeys      = 1_000_000
	mostRate      = 1e9
	mostSlowness  = 100
	mostMemory    = 1 << 50
	mostFaults    = 100_000 // steps of a schedule
)

// SettingTable is every setting of a run. Flags of `nemesis run`, keys of campaign files,
// the plan and the documentation follow from it.
func SettingTable() []Setting {
	table := []Setting{
		text("version", "", "version of the system to build, e.g. v3.5.7 (default: the one nemesis list systems shows)",
			"system.version", func(p *history.Plan) *string { return &p.System.Version }).ofCell(),
		text("binary", "", "server executable to use instead of building one",
			"system.binary", func(p *history.Plan) *string { return &p.System.Binary }).ofCell(),
		{Setting: history.Setting{Name: "set", Kind: history.PairsSetting,
			Doc: "system option, as key=value; nemesis list systems shows them"}, field: "system.options", Cell: true},
		text("workload", "", "what the clients do; nemesis list workloads shows them (default: the system's first)",
			"workload.name", func(p *history.Plan) *string { return &p.Workload.Name }).ofCell(),
		{Setting: history.Setting{Name: "faults", Default: "partition,kill,pause",
			Doc: "faults to draw from, clock for all that change clocks, all that any cluster can have, such as all,packet,power-off, a+b for b while a is in force, or none"},
			field: "faults", check: checkFaults, Cell: true},
		duration("time-limit", "1m0s", "how long clients and faults run",
			"timeLimit", func(p *history.Plan) *history.Duration { return &p.TimeLimit }, time.Second, mostTimeLimit),
		duration("fault-interval", "", "time from one fault to the next (default 5s, or as many times more as nodes are slower)",
			"faultInterval", func(p *history.Plan) *history.Duration { return &p.FaultInterval }, 500*time.Millisecond, mostTimeLimit).
			and(checkFaultCount),
		{Setting: history.Setting{Name: "require-faults", Kind: history.SwitchSetting, Default: "false",
			Doc: "call the run vacuous when a fault of its schedule shows no evidence"}, field: "requireFaults", read: readRequireFaults},
		{Setting: history.Setting{Name: "require-coverage", Kind: history.SwitchSetting, Default: "false",
			Doc: "call the run vacuous when its faults did not meet all that they could: the leader hit and spared, each fault on each role, each state of elections and leases"},
			field: "requireCoverage", read: readRequireCoverage},
		{Setting: history.Setting{Name: "concurrency", Default: "2n", Unit: "clients",
			Doc: "number of clients, or a multiple of the nodes such as 2n"}, field: "workload.concurrency", read: readConcurrency, check: checkConcurrency},
		{Setting: history.Setting{Name: "rate", Kind: history.NumberSetting, Default: "0", Unit: "operations per second",
			Doc: "operations per second of all clients together; 0 is as fast as they can"}, field: "workload.rate",
			read: number(func(p *history.Plan) *float64 { return &p.Workload.Rate }), check: checkRate},
		whole("keys", "independent keys in use at once; 0 leaves it to the workload", "keys",
			"workload.keys", func(p *history.Plan) *int { return &p.Workload.Keys }),
		whole("ops-per-key", "operations before a key is left for a new one; 0 leaves it to the workload", "operations",
			"workload.opsPerKey", func(p *history.Plan) *int { return &p.Workload.OpsPerKey }),
		text("key-distribution", history.UniformKeys, "how the keys in use are drawn: "+strings.Join(workload.Distributions(), ", ")+" (hot: the first gets four fifths); holders and workloads of one key are not concerned",
			"workload.keyDistribution", func(p *history.Plan) *string { return &p.Workload.KeyDistribution }).and(checkDistribution),
		{Setting: history.Setting{Name: "ttl", Kind: history.DurationSetting,
			Doc: "how long leases and locks last without renewal; 0 leaves it to the workload"}, field: "workload.ttl",
			read: readDuration(func(p *history.Plan) *history.Duration { return &p.Workload.TTL }), check: checkTTL},
		{Setting: history.Setting{Name: "bound", Kind: history.PairsSetting,
			Doc: "number of the claim that is judged, as name=value: " + boundNames()}, field: "claim.bounds", check: checkBounds},
		{Setting: history.Setting{Name: "claim",
			Doc: "consistency model to hold the system to, such as linearizable (default: the one that its documentation claims)"},
			field: "claim", check: checkClaim},
		duration("op-timeout", "", "after this an operation's outcome is unknown (default 5s, or as many times more as nodes are slower)",
			"opTimeout", func(p *history.Plan) *history.Duration { return &p.OpTimeout }, time.Millisecond, mostWait),
		{Setting: history.Setting{Name: "slow-nodes", Kind: history.NumberSetting, Default: "1", Unit: "times",
			Doc: "how many times slower than usual the nodes are, such as 5 for emulated machines: timeouts of the servers, the clients and nemesis are so much longer, unless they are given"},
			field: "slowNodes", read: number(func(p *history.Plan) *float64 { return &p.SlowNodes }), check: checkSlowNodes},
		{Setting: history.Setting{Name: "seed", Kind: history.WholeSetting,
			Doc: "determines every random choice (default: drawn, and printed)"}, field: "seed", read: readSeed, Cell: true},
		duration("checker-time", "1m0s", "a checker that needs longer ends in unknown",
			"checkerTime", func(p *history.Plan) *history.Duration { return &p.CheckerTime }, time.Millisecond, mostTimeLimit),
		{Setting: history.Setting{Name: "checker-memory", Default: "1GiB",
			Doc: "a checker that needs more heap ends in unknown"}, field: "checkerMemory", read: readMemory, check: checkMemory},
		{Setting: history.Setting{Name: "capture", Default: "off",
			Doc: "keep the last packets of each node in a ring of so many bytes, such as 16MiB, where something is found"}, field: "capture", read: readCapture, check: checkCapture},
	}
	for _, s := range nemesis.Settings() {
		table = append(table, Setting{Setting: s, field: "schedule"})
	}
	return table
}

func (s Setting) ofCell() Setting {
	s.Cell = true
	return s
}

// and adds a check to those that s has.
func (s Setting) and(check func(*history.Plan) error) Setting {
	before := s.check
	s.check = func(p *history.Plan) error {
		if before != nil {
			if err := before(p); err != nil {
				return err
			}
		}
		return check(p)
	}
	return s
}

func text(name, byDefault, doc, field string, of func(*history.Plan) *string) Setting {
	return Setting{Setting: history.Setting{Name: name, Default: byDefault, Doc: doc}, field: field,
		read: func(p *history.Plan, said string) error {
			*of(p) = said
			return nil
		}}
}

func duration(name, byDefault, doc, field string, of func(*history.Plan) *history.Duration, least, most time.Duration) Setting {
	return Setting{Setting: history.Setting{Name: name, Kind: history.DurationSetting, Default: byDefault, Doc: doc}, field: field,
		read: readDuration(of),
		check: func(p *history.Plan) error {
			switch d := time.Duration(*of(p)); {
			case d < least:
				return fmt.Errorf("%s is too short; give at least %s", d, least)
			case d > most:
				return fmt.Errorf("%s is too long; give at most %s", d, most)
			}
			return nil
		}}
}

func readDuration(of func(*history.Plan) *history.Duration) func(*history.Plan, string) error {
	return func(p *history.Plan, said string) error {
		d, err := time.ParseDuration(said)
		if err != nil {
			return fmt.Errorf("%q is not a time such as 5s or 1m30s", said)
		}
		*of(p) = history.Duration(d)
		return nil
	}
}

func number(of func(*history.Plan) *float64) func(*history.Plan, string) error {
	return func(p *history.Plan, said string) error {
		v, err := strconv.ParseFloat(said, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", said)
		}
		*of(p) = v
		return nil
	}
}

// whole is a setting that counts something and that 0 leaves to the workload.
func whole(name, doc, unit, field string, of func(*history.Plan) *int) Setting {
	return Setting{Setting: history.Setting{Name: name, Kind: history.WholeSetting, Default: "0", Unit: unit, Doc: doc}, field: field,
		read: func(p *history.Plan, said string) error {
			v, err := strconv.Atoi(said)
			if err != nil {
				return fmt.Errorf("%q is not a whole number", said)
			}
			*of(p) = v
			return nil
		},
		check: func(p *history.Plan) error {
			switch n := *of(p); {
			case n < 0:
				return fmt.Errorf("%d cannot be; a number of %s cannot be negative", n, unit)
			case n > mostKeys:
				return fmt.Errorf("%d %s are more than %d", n, unit, mostKeys)
			}
			return nil
		}}
}

func checkDistribution(p *history.Plan) error {
	return workload.CheckDistribution(p.Workload.KeyDistribution)
}

func checkFaults(p *history.Plan) error {
	for i, name := range p.Faults {
		if _, err := nemesis.Find(name); err != nil {
			return err
		}
		if slices.Contains(p.Faults[:i], name) {
			return fmt.Errorf("%s is there twice; name it once", name)
		}
	}
	return nil
}

// checkFaultCount refuses what would draw a schedule without end.
func checkFaultCount(p *history.Plan) error {
	if len(p.Faults) > 0 && p.TimeLimit/p.FaultInterval > mostFaults {
		return fmt.Errorf("a fault every %s in a run of %s is more than %d faults; give a longer one", p.FaultInterval, p.TimeLimit, mostFaults)
	}
	return nil
}

func readRequireFaults(p *history.Plan, said string) (err error) {
	if p.RequireFaults, err = strconv.ParseBool(said); err != nil {
		return fmt.Errorf("%q is neither true nor false", said)
	}
	return nil
}

func readRequireCoverage(p *history.Plan, said string) (err error) {
	if p.RequireCoverage, err = strconv.ParseBool(said); err != nil {
		return fmt.Errorf("%q is neither true nor false", said)
	}
	return nil
}

func readConcurrency(p *history.Plan, said string) (err error) {
	p.Workload.Concurrency, err = parseConcurrency(said, len(p.Cluster.Nodes))
	return err
}

func parseConcurrency(s string, nodes int) (int, error) {
	number, perNode := strings.CutSuffix(s, "n")
	n, err := strconv.Atoi(number)
	if perNode && number == "" {
		n, err = 1, nil
	}
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is not a number of clients such as 10, nor a multiple of the nodes such as 2n", s)
	}
	if perNode {
		if n > mostClients { // before it overflows
			return 0, tooManyClients(n)
		}
		n *= nodes
	}
	if n > mostClients {
		return 0, tooManyClients(n)
	}
	return n, nil
}

func tooManyClients(n int) error {
	return fmt.Errorf("%d clients are more than %d", n, mostClients)
}

func checkConcurrency(p *history.Plan) error {
	switch n := p.Workload.Concurrency; {
	case n < 1:
		return fmt.Errorf("%d is not a number of clients; give at least 1", n)
	case n > mostClients:
		return tooManyClients(n)
	}
	return nil
}

func checkRate(p *history.Plan) error {
	if r := p.Workload.Rate; !(r >= 0) || math.IsInf(r, 0) {
		return fmt.Errorf("%v is not a number of operations per second; 0 means as fast as the clients can", r)
	} else if r > mostRate {
		return fmt.Errorf("%v operations per second are more than %v; 0 means as fast as the clients can", r, mostRate)
	}
	return nil
}

func checkTTL(p *history.Plan) error {
	ttl := time.Duration(p.Workload.TTL)
	if ttl != 0 && (ttl < time.Second || ttl%time.Second != 0 || ttl > mostTTL) {
		return fmt.Errorf("leases last whole seconds, from 1s to 1h, not %s", ttl)
	}
	return nil
}

func checkSlowNodes(p *history.Plan) error {
	if s := p.SlowNodes; s != 0 && !(s >= 1 && s <= mostSlowness) {
		return fmt.Errorf("%v is not how many times slower than usual nodes can be; give a number from 1 to %d", s, mostSlowness)
	}
	return nil
}

func readSeed(p *history.Plan, said string) (err error) {
	if p.Seed, err = strconv.ParseInt(said, 10, 64); err != nil {
		return fmt.Errorf("%q is not a whole number of 64 bits", said)
	}
	return nil
}

func readMemory(p *history.Plan, said string) (err error) {
	p.CheckerMemory, err = ParseBytes(said)
	return err
}

func checkMemory(p *history.Plan) error {
	if m := p.CheckerMemory; m < 1 || m > mostMemory {
		return fmt.Errorf("%d bytes are no memory to check with; give from 1 to %d", m, int64(mostMemory))
	}
	return nil
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
