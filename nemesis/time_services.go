package nemesis

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"nemesis/history"
	"nemesis/nemesis/effects"
)

// suspendTimeServices stops the time services of all machines when a schedule changes the
// clocks of machines: they would undo a fault at once. The function it returns starts them
// again, after the end of ctx too; its errors name the machines where it could not. Should
// nobody live to call it, the ledgers hold the effect.
func (in *Injector) suspendTimeServices(ctx context.Context, steps []history.Step) (resume func() []string) {
	if !slices.ContainsFunc(steps, func(s history.Step) bool {
		fault, err := Find(s.Kind)
		return err == nil && fault.Needs(s).SuspendTimeServices
	}) {
		return func() []string { return nil }
	}
	effect := &effects.Service{ID: "services"}
	in.suspended = effect
	said := in.everywhere(func(m Agent) string {
		_, err := bounded(ctx, in.patient(recoveryTime), func(ctx context.Context) (struct{}, error) {
			return struct{}{}, m.Apply(ctx, effect)
		})
		var seen history.Evidence
		if err == nil {
			seen, err = bounded(ctx, in.patient(recoveryTime), func(ctx context.Context) (history.Evidence, error) {
				return m.Probe(ctx, effect)
			})
		}
		if err != nil {
			return "the time services could not be stopped, so clock faults may not last: " + oneLine(err)
		}
		return "time services for the length of the run: " + seen.Summary
	})
	for i, text := range said {
		in.Record(history.Event{Time: in.Now(), Type: history.Note, Node: in.Machines[i].Node().Name, Message: text})
	}
	return func() []string {
		in.suspended = nil
		failed := in.everywhere(func(m Agent) string {
			_, err := bounded(context.WithoutCancel(ctx), in.patient(recoveryTime), func(ctx context.Context) (struct{}, error) {
				return struct{}{}, m.Undo(ctx, effect)
			})
			if err != nil {
				return fmt.Sprintf("start the time services of %s again: %s", m.Node().Name, oneLine(err))
			}
			return ""
		})
		return slices.DeleteFunc(failed, func(text string) bool { return text == "" })
	}
}

// everywhere does something on every machine at once and gives the answers in order.
func (in *Injector) everywhere(do func(Agent) string) []string {
	answers := make([]string, len(in.Machines))
	var all sync.WaitGroup
	for i, m := range in.Machines {
		all.Go(func() { answers[i] = do(m) })
	}
	all.Wait()
	return answers
}
