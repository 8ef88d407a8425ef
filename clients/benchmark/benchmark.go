// Package benchmark measures the servers that nemesis brings along against those that people run, as their clients see
// them: three nodes on this machine, values of 128 bytes, and clients that wait for each answer before they ask again.
//
// A row is one kind of operation, one number of clients, and one policy of syncing. Ours and the rival are started as
// processes of their own, with the same policy, and are measured in turns within the same seconds, several rounds each; the
// median of each counts. Every client has a connection of its own, to the leader in both. What follows is a Row:
//
//	err := benchmark.Run(ctx, cfg, func(row benchmark.Row) { fmt.Println(row) })
//
// All three nodes and all clients share this machine's cores and disk: figures say which server does more with
// the same machine, and nothing of what either does on machines of its own.
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
	// Version is the rival's release; "" is the usual one. It is built if need be, with its progress on Progress.
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
	Ratio  float64 `json:"ratio"`
	Target float64 `json:"target"`
	Met    bool    `json:"met"`
}

// Figures are those of one side.
type Figures struct {
	PerSecond float64 `json:"per_second"`
	P50MS     float64 `json:"p50_ms"`
	P99MS     float64 `json:"p99_ms"`
}

// Header stands above rows.
const Header = `row                        ours/s   p50 ms   p99 ms    rival/s   p50 ms   p99 ms    ratio   target`

func (r Row) String() string {
	met := "met"
	if !r.Met {
		met = "MISSED"
	}
	return fmt.Sprintf("%-24s %8.0f %8.2f %8.2f   %8.0f %8.2f %8.2f   %6.2f   %6.2f %s  (%s)",
		r.Name, r.Ours.PerSecond, r.Ours.P50MS, r.Ours.P99MS, r.Theirs.PerSecond, r.Theirs.P50MS, r.Theirs.P99MS, r.Ratio, r.Target, met, r.Rival)
}

// row is a workload.
type row struct {
	kind operation
	// how it is done: synced or unsynced, or how reads are made linearizable.
	how     string
	clients int
	target  float64
}

type operation string

const (
	put  operation = "puts"
	read operation = "reads"
)

// contest is two servers that promise the same, with how the operations are done that are measured of them.
type contest struct {
	how          []string
	ours, theirs server
}

func contests() []contest {
	return []contest{
		{[]string{"synced", "index"}, paxosServer{synced: true, reads: "index"}, etcdServer{synced: true}},
		{[]string{"lease"}, paxosServer{synced: true, reads: "lease"}, etcdServer{synced: true}},
		{[]string{"unsynced"}, paxosServer{reads: "index"}, etcdServer{}},
	}
}

func rows() []row {
	var all []row
	for _, clients := range []int{1, 64, 256} {
		target := 1.0
		if clients == 64 {
			target = 2
		}
		all = append(all, row{put, "synced", clients, target}, row{read, "index", clients, 1.5},
			row{read, "lease", clients, 1.5}, row{put, "unsynced", clients, target})
	}
	return all
}

func (r row) name() string { return fmt.Sprintf("%s-%s-%d", r.kind, r.how, r.clients) }

// Names are the names of all rows.
func Names() []string {
	var names []string
	for _, r := range rows() {
		names = append(names, r.name())
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

// Run measures one row after another and yields each. It stops with an error when a server cannot be started or
// answers wrongly, and when ctx ends.
func Run(ctx context.Context, cfg Config, yield func(Row)) error {
	if err := cfg.Check(); err != nil {
		return err
	}
	for _, c := range contests() {
		var wanted []row
		for _, r := range rows() {
			if slices.Contains(c.how, r.how) && (len(cfg.Only) == 0 || slices.Contains(cfg.Only, r.name())) {
				wanted = append(wanted, r)
			}
		}
		if len(wanted) == 0 {
			continue
		}
		if err := c.run(ctx, cfg, wanted, yield); err != nil {
			return err
		}
	}
	return nil
}

func (c contest) run(ctx context.Context, cfg Config, wanted []row, yield func(Row)) (err error) {
	var sides [2]*group
	for i, s := range []server{c.ours, c.theirs} {
		g, startErr := start(ctx, cfg, s)
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, g.stop()) }()
		sides[i] = g
	}
	for _, r := range wanted {
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
