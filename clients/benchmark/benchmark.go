// Package benchmark measures the servers that nemesis brings along against those that people run, as their clients see
// them: paxos against etcd, and shardkv against Redis, on this machine, with values of 128 bytes and clients that wait for each
// answer before they ask again.
//
// A row is one kind of operation, one number of clients, and one policy of syncing. Ours and the rival are started as
// processes of their own, with the same policy, and are measured in turns within the same seconds, several rounds each; the
// median of each counts. Every client has connections of its own: to the leader, or, where keys are in shards, to each node
// that holds some. What follows is a Row:
//
//	err := benchmark.Run(ctx, cfg, func(row benchmark.Row) { fmt.Println(row) })
//
// All nodes and all clients share this machine's cores and disk: figures say which server does more with the same machine,
// and nothing of what either does on machines of its own.
package benchmark

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"nemesis/clients/etcd"
)

// Config says what to measure.
type Config struct {
	// Self is the nemesis executable, which serves ours.
	Self string
	// Version is the release of etcd; "" is the usual one. It is built if need be, with its progress on Progress, which also gets
	// a line for rows that cannot be measured here. Redis is what is installed.
	Version  string
	Progress io.Writer
	// Only are the names of rows to measure; none means all.
	Only []string
	// Time is how long each of Rounds measurements of a side takes.
	Time   time.Duration
	Rounds int
	// Dir is where the servers keep their data, on the disk to measure. It is removed again.
	Dir string
	// Seed determines which keys are asked for.
	Seed uint64
}

// Row is one measurement.
type Row struct {
	Name  string `json:"row"`
	Rival string `json:"rival"`
	// Operations a second, and how long they took.
	Ours   Figures `json:"ours"`
	Theirs Figures `json:"theirs"`
	// Ratio is ours / theirs in operations a second.
	Ratio float64 `json:"ratio"`
	// Target is what the ratio is to be at least; 0 for none, which is always met.
	Target float64 `json:"target"`
	Met    bool    `json:"met"`
}

// Figures are those of one side.
type Figures struct {
	PerSecond float64 `json:"per_second"`
	P50MS     float64 `json:"p50_ms"`
	P99MS     float64 `json:"p99_ms"`
	// CPUMicros is the processor time that all of its nodes took for an operation, in microseconds; 0 where that is not known.
	CPUMicros float64 `json:"cpu_us"`
}

// Header stands above rows.
const Header = `row                             ours/s   p50 ms   p99 ms   cpu us    rival/s   p50 ms   p99 ms   cpu us    ratio   target`

func (r Row) String() string {
	target := "    none"
	switch {
	case !r.Met:
		target = fmt.Sprintf("%6.2f MISSED", r.Target)
	case r.Target > 0:
		target = fmt.Sprintf("%6.2f met", r.Target)
	}
	return fmt.Sprintf("%-29s %8.0f %8.2f %8.2f %8.1f   %8.0f %8.2f %8.2f %8.1f   %6.2f   %s  (%s)",
		r.Name, r.Ours.PerSecond, r.Ours.P50MS, r.Ours.P99MS, r.Ours.CPUMicros,
		r.Theirs.PerSecond, r.Theirs.P50MS, r.Theirs.P99MS, r.Theirs.CPUMicros, r.Ratio, target, r.Rival)
}

// row is a workload.
type row struct {
	kind operation
	// how it is done: synced or not, how reads are made linearizable, over how many shards.
	how     string
	clients int
	target  float64
}

type operation string

const (
	put  operation = "puts"
	read operation = "reads"
)

func (r row) name() string { return fmt.Sprintf("%s-%s-%d", r.kind, r.how, r.clients) }

// contest is two servers that promise the same, with the rows in which they are measured.
type contest struct {
	ours, theirs server
	rows         []row
}

// numbers are those of clients.
var numbers = [...]int{1, 64, 256}

func contests() []contest {
	synced := contest{ours: paxosServer{synced: true, reads: "index"}, theirs: etcdServer{synced: true}}
	lease := contest{ours: paxosServer{synced: true, reads: "lease"}, theirs: etcdServer{synced: true}}
	unsynced := contest{ours: paxosServer{reads: "index"}, theirs: etcdServer{}}
	for _, clients := range numbers {
		target := 1.0
		if clients == 64 {
			target = 2
		}
		synced.rows = append(synced.rows, row{put, "synced", clients, target}, row{read, "index", clients, 1.5})
		lease.rows = append(lease.rows, row{read, "lease", clients, 1.5})
		unsynced.rows = append(unsynced.rows, row{put, "unsynced", clients, target})
	}
	all := []contest{synced, lease, unsynced}
	for _, s := range []struct {
		name          string
		nodes, shards int
	}{{"1-shard", 1, 1}, {"16-shards", 3, 16}} {
		everysec := contest{ours: shardkvServer{s.nodes, s.shards, "everysec"}, theirs: redisServer{s.nodes, true}}
		none := contest{ours: shardkvServer{s.nodes, s.shards, "none"}, theirs: redisServer{s.nodes, false}}
		for _, clients := range numbers {
			target := 0.75
			if clients == 1 {
				target = 0
			}
			everysec.rows = append(everysec.rows, row{put, "everysec-" + s.name, clients, target})
			none.rows = append(none.rows, row{put, "memory-" + s.name, clients, target}, row{read, "memory-" + s.name, clients, target})
		}
		all = append(all, everysec, none)
	}
	return all
}

// Names are the names of all rows.
func Names() []string {
	var names []string
	for _, c := range contests() {
		for _, r := range c.rows {
			names = append(names, r.name())
		}
	}
	return names
}

// Check says what is wrong with a configuration.
func (c Config) Check() error {
	for _, name := range c.Only {
		if !slices.Contains(Names(), name) {
			return fmt.Errorf("measure %q: there is no such row; use %s", name, strings.Join(Names(), ", "))
		}
	}
	if c.Version != "" {
		if err := (etcd.System{}).CheckVersion(c.Version); err != nil {
			return err
		}
	}
	if c.Time <= 0 || c.Rounds <= 0 {
		return fmt.Errorf("measure servers: %d rounds of %s; both must be positive", c.Rounds, c.Time)
	}
	return nil
}

// errMissing is that a rival is not installed.
var errMissing = errors.New("it is not installed")

// Run measures one row after another and yields each. It stops with an error when a server cannot be started or
// answers wrongly, and when ctx ends. Rows whose rival is not installed are left out, unless the configuration names them.
func Run(ctx context.Context, cfg Config, yield func(Row)) error {
	if err := cfg.Check(); err != nil {
		return err
	}
	return measure(ctx, cfg, contests(), yield)
}

func measure(ctx context.Context, cfg Config, all []contest, yield func(Row)) error {
	var missing error
	for _, c := range all {
		if len(cfg.Only) > 0 {
			c.rows = slices.DeleteFunc(c.rows, func(r row) bool { return !slices.Contains(cfg.Only, r.name()) })
		}
		if len(c.rows) == 0 {
			continue
		}
		_, _, err := c.theirs.prepare(ctx, cfg)
		if errors.Is(err, errMissing) && len(cfg.Only) == 0 {
			missing = err
			continue
		}
		if err != nil {
			return fmt.Errorf("measure %s: %w", c.rows[0].name(), err)
		}
		if err := c.run(ctx, cfg, yield); err != nil {
			return err
		}
	}
	if missing != nil {
		fmt.Fprintf(cfg.Progress, "rows of shardkv are left out: %v\n", missing)
	}
	return nil
}

func (c contest) run(ctx context.Context, cfg Config, yield func(Row)) (err error) {
	var sides [2]*group
	for i, s := range []server{c.ours, c.theirs} {
		g, startErr := start(ctx, cfg, s)
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, g.stop()) }()
		sides[i] = g
	}
	for _, r := range c.rows {
		var figures [2][]Figures
		for range cfg.Rounds {
			for i, g := range sides {
				f, err := g.measure(ctx, r, cfg)
				if err != nil {
					return fmt.Errorf("measure %s of %s: %w", r.name(), g.name, err)
				}
				figures[i] = append(figures[i], f)
			}
		}
		result := Row{Name: r.name(), Rival: sides[1].name, Ours: median(figures[0]), Theirs: median(figures[1]), Target: r.target}
		result.Ratio = result.Ours.PerSecond / result.Theirs.PerSecond
		result.Met = result.Ratio >= result.Target
		yield(result)
	}
	return nil
}

// median is the round in the middle.
func median(rounds []Figures) Figures {
	rounds = slices.SortedFunc(slices.Values(rounds), func(a, b Figures) int { return int(a.PerSecond - b.PerSecond) })
	return rounds[len(rounds)/2]
}
