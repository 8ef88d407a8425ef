package nemesis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/faultfs"
)

// callWait is one server whose calls are counted by the disk below it, which holds the one that is waited for.
type callWait struct {
	machine Agent
	effect  *effects.DiskRule
	evident string // what its disk said when it held the call
}

// awaitCall waits until a server makes a call, which its disk then holds. release lets it go on.
func (in *Injector) awaitCall(ctx context.Context, step history.Step, t Trigger, nodes []string) (why string, release func(), err error) {
	rule := faultfs.Rule{Do: faultfs.HoldBefore, Ops: callOps(t.Call), Path: t.Path, From: t.Count, Times: 1}
	if t.After {
		rule.Do = faultfs.HoldAfter
	}
	var waits []*callWait
	for _, node := range nodes {
		for i, process := range in.Servers(node, step.Process) {
			waits = append(waits, &callWait{machine: in.machine(node), effect: &effects.DiskRule{
				ID: fmt.Sprintf("w%d-%d", step.ID, i+1), Process: process, Rule: rule,
			}})
		}
	}
	if len(waits) == 0 {
		return "", func() {}, errors.New("no server is watched")
	}
	var once sync.Once
	release = func() { once.Do(func() { in.letGo(ctx, waits) }) }
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	held := make(chan *callWait, len(waits))
	errs := make([]error, len(waits))
	var all sync.WaitGroup
	for i, w := range waits {
		all.Go(func() {
			if errs[i] = w.until(waiting, in); errs[i] == nil {
				held <- w
				stop()
			}
		})
	}
	all.Wait()
	close(held)
	first := <-held
	if first == nil {
		release()
		if err := ctx.Err(); err != nil {
			return "", release, err
		}
		return "", release, errors.Join(errs...)
	}
	return fmt.Sprintf("%s: %s", first.machine.Node().Name, first.evident), release, nil
}

// until returns when the call is held; its error says why it cannot be.
func (w *callWait) until(ctx context.Context, in *Injector) error {
	_, err := bounded(ctx, in.patient(callTime), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, w.machine.Apply(ctx, w.effect)
	})
	for err == nil {
		var seen history.Evidence
		seen, err = bounded(ctx, in.patient(callTime), func(ctx context.Context) (history.Evidence, error) {
			return w.machine.Probe(ctx, w.effect)
		})
		if err == nil && seen.Confirmed {
			w.evident = seen.Summary
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond): // the call waits for us
		}
	}
	return err
}

// letGo clears the rules of all, whether or not they hold a call, also after the end of the run. Where an agent does not answer, its ledger has
// them.
func (in *Injector) letGo(ctx context.Context, waits []*callWait) {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), in.patient(callTime))
	defer cancel()
	var all sync.WaitGroup
	for _, w := range waits {
		all.Go(func() {
			insist(within, func() bool {
				_, err := bounded(within, in.patient(callTime), func(ctx context.Context) (struct{}, error) {
					return struct{}{}, w.machine.Undo(ctx, w.effect)
				})
				return err == nil || gone(w.machine)
			})
		})
	}
	all.Wait()
}
