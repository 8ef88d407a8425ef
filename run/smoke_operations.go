package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/workload"
	"nemesis/workload/generator"
)

// operations tries the operations of one workload, until each was performed.
func (s *smoke) operations(ctx context.Context, at int) {
	s.step("operations", s.plans[at].Workload.Name, func() (string, error) {
		ctx, cancel := context.WithTimeout(ctx, smokeTime)
		defer cancel()
		tried, err := s.drive(ctx, at, "")
		if err != nil {
			return "", err
		}
		work, err := workload.Of(s.plans[at].Workload)
		if err != nil {
			return "", err
		}
		var good, bad []string
		for _, f := range slices.Sorted(maps.Keys(tried)) {
			k := tried[f]
			if k.ok > 0 || slices.Contains(work.Optional, f) && k.failed > 0 {
				text := fmt.Sprintf("%s %d of %d", f, k.ok, k.ok+k.failed+k.unknown)
				if k.ok == 0 {
					text += " (" + k.last + ")"
				}
				good = append(good, text)
				continue
			}
			bad = append(bad, fmt.Sprintf("no %s of %d succeeded (%s)", f, k.failed+k.unknown, k.last))
		}
		for _, f := range work.Operations {
			if tried[f] == nil {
				bad = append(bad, "no "+f+" was tried")
			}
		}
		if len(bad) > 0 {
			return "", errors.New(strings.Join(bad, "; "))
		}
		return strings.Join(good, ", "), nil
	})
}

// kindTried is how the operations of one kind ended.
type kindTried struct {
	ok, failed, unknown int
	last                string // the error of the last one that had one
}

// drive performs operations of one plan's workload one by one, until one of each kind succeeded, or any where through
// is the node that they go through. Its generator sees them in the time that they take.
func (s *smoke) drive(ctx context.Context, at int, through string) (map[string]*kindTried, error) {
	plan, d := s.plans[at], s.deployments[at]
	work, err := workload.Of(plan.Workload)
	if err != nil {
		return nil, err
	}
	open := map[int]clients.Client{}
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	tried := map[string]*kindTried{}
	enough := func() bool {
		if ctx.Err() != nil {
			return true
		}
		if through != "" {
			return slices.ContainsFunc(slices.Collect(maps.Values(tried)), func(k *kindTried) bool { return k.ok > 0 })
		}
		return !slices.ContainsFunc(slices.Concat(work.Operations, work.Optional), func(f string) bool {
			return !slices.Contains(plan.Workload.Without, f) && (tried[f] == nil || tried[f].ok == 0)
		})
	}
	process := 0
	perform := func(_ *rand.Rand, op generator.Op) (time.Duration, generator.End, json.RawMessage) {
		if enough() {
			return time.Millisecond, generator.EndFail, nil
		}
		began := time.Now()
		k := tried[op.F]
		if k == nil {
			k = &kindTried{}
			tried[op.F] = k
		}
		node := through
		if node == "" {
			node = plan.Cluster.Nodes[op.Thread%len(plan.Cluster.Nodes)]
		}
		c := open[op.Thread]
		if c == nil {
			var err error
			if c, err = d.Open(ctx, node, new(clients.Dialer)); err != nil {
				k.failed, k.last = k.failed+1, clients.Printable(err.Error())
				return time.Since(began), generator.EndFail, nil
			}
			open[op.Thread] = c
		}
		within, cancel := context.WithTimeout(ctx, time.Duration(plan.OpTimeout))
		defer cancel()
		process++
		key := op.Key
		if key != "" { // what another workload left under it may be of another type
			key += "-" + plan.Workload.Name
		}
		done := invoke(within, c, history.Event{Process: process, Node: node, F: op.F, Key: key, Value: op.Value, Type: history.Invoke})
		if done.Error != "" {
			k.last = done.Error
		}
		switch done.Type {
		case history.OK:
			k.ok++
			return time.Since(began), generator.EndOK, done.Value
		case history.Fail:
			k.failed++
			if through != "" { // the server may not serve yet
				time.Sleep(20 * time.Millisecond)
			}
			return time.Since(began), generator.EndFail, nil
		}
		k.unknown++
		_ = c.Close()
		delete(open, op.Thread)
		return time.Since(began), generator.EndInfo, nil
	}
	operations := smokeOperations
	if through != "" {
		operations = 1 << 20 // until the context ends
	}
	gen := &until{Generator: work.Main(plan.Workload), over: enough}
	_, err = generator.Simulation{Threads: max(plan.Workload.Concurrency, 1), Seed: 1, Client: perform, Operations: operations}.Run(gen)
	return tried, err
}

// until ends a generator when something is over.
type until struct {
	generator.Generator
	over func() bool
}

func (u *until) Next(ctx *generator.Context) (generator.Op, generator.Status, generator.Generator) {
	if u.over() {
		return generator.Op{}, generator.Done, nil
	}
	op, status, next := u.Generator.Next(ctx)
	if next == nil {
		return op, status, nil
	}
	return op, status, &until{next, u.over}
}

func (u *until) Update(ctx *generator.Context, ev generator.Event) generator.Generator {
	next := u.Generator.Update(ctx, ev)
	if next == nil {
		return nil
	}
	return &until{next, u.over}
}

// works waits until an operation through a node succeeds.
func (s *smoke) works(ctx context.Context, node string) error {
	tried, err := s.drive(ctx, 0, node)
	if err != nil {
		return err
	}
	last := "none was tried"
	for _, k := range tried {
		if k.ok > 0 {
			return nil
		}
		last = k.last
	}
	return fmt.Errorf("no operation through %s succeeded within %s (%s)", node, smokeWithin, last)
}
