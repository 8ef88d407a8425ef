package nemesis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// Binding is a step tied to a cluster: what is done when it fires.
type Binding struct {
	// Actions are what it does. All are applied at once, and the fault is confirmed when
	// there is at least one and each is.
	Actions []Action
	// Probes are measurements across actions. Each is made once while the actions are in
	// force, before these are probed, so that they can draw on it, and again after the heal.
	Probes []Probe
	// Pulse lets the actions be undone and applied by turns, each turn as long as this; 0
	// is a fault that holds all the time.
	Pulse time.Duration
	// Limits say what the fault does not do although one might expect it, a sentence
	// each; none for faults that are what they seem.
	Limits []string
	// ApplyTime bounds applying, ProbeTime is set aside before the heal for the last probe
	// of the actions; 0 is as usual.
	ApplyTime, ProbeTime time.Duration
	// UndoTime bounds undoing, and the heal has at least as long; 0 is as usual.
	UndoTime time.Duration
}

// Action is one thing that an injected fault does to one node: by the node's agent, by the
// machine's power, or by anything else. The injection calls Before, then Apply, Probe and
// Undo in any number and order, then Recovered; one call at a time, but an Apply or Undo
// that it gave up waiting for may still be under way when the next call comes. Before,
// Probe and Recovered return in bounded time, whoever does not answer.
type Action interface {
	// Effect is the action's entry in the history, without what was measured: node, kind
	// and its own data, enough to undo it again.
	Effect() history.Effect
	// Before measures what the action is about to change, to compare with. What fails here
	// becomes a doubt.
	Before(context.Context)
	// Apply puts it in force. It is idempotent.
	Apply(context.Context) error
	// Probe measures whether it is in force now. What was measured since it was applied may
	// be weighed together.
	Probe(context.Context) (history.Evidence, error)
	// Doubts say, one clause each, why it cannot be said that the action is in force, by
	// what was measured last; none when evidence shows it. It is asked when every action
	// and probe of the fault has measured, so an action may draw on what others found.
	Doubts() []string
	// Lost reports whether a probe found that something else had undone it, after another
	// had shown it in force. That is final, and a doubt.
	Lost() bool
	// Undo takes it back. It is idempotent.
	Undo(context.Context) error
	// Recovered measures whether anything of it is left after Undo; its error says what.
	Recovered(context.Context) (history.Evidence, error)
	// UndoAgain reports whether undoing it once more may help when it has not recovered.
	UndoAgain() bool
	// Gone reports whether nobody can be asked any more who would have to do it.
	Gone() bool
}

// Outage is an action that takes its node away altogether, agent and all.
type Outage interface {
	Action
	// Return gives the node back, before the fault heals. Its error says what is missing;
	// it is tried again.
	Return(context.Context) error
}

// Probe is a measurement across the actions of a fault, such as connecting over a link
// that two filters cut.
type Probe interface {
	// During measures while the fault is in force, After once it is healed. After tells
	// what is still not as it was before, one clause each, and is tried again until nothing is.
	During(context.Context) history.Effect
	After(context.Context) (history.Effect, []string)
	// Gone reports whether nobody can be asked any more.
	Gone() bool
}

// agentAction is an effect on a node, done by the node's agent.
type agentAction struct {
	cluster Config
	machine Agent
	effect  agent.Effect
	spec    json.RawMessage

	mu sync.Mutex // guards what follows; not held during calls of the agent
	// before was measured before it was applied, during by every probe since, for effects
	// that say nothing without comparison.
	before history.Evidence
	during []history.Evidence
	undone bool // last, rather than applied
	// seen is the last evidence that it is in force, missed why the last probe has none;
	// past is what was seen before it was undone and applied again.
	seen, past history.Evidence
	missed     error
	// shown: some probe showed it. lost is what a later one said that found it undone, by
	// something else than us.
	shown bool
	lost  string
}

// onAgent is an action by the agent of a machine.
func (live Live) onAgent(node string, effect agent.Effect) (*agentAction, error) {
	spec, err := json.Marshal(effect)
	if err != nil {
		return nil, fmt.Errorf("write effect %s for %s: %w", effect.Kind(), node, err)
	}
	return &agentAction{cluster: live.Config, machine: live.machine(node), effect: effect, spec: spec}, nil
}

// onEachNode is an action by the agent of every node of a step.
func (live Live) onEachNode(step history.Step, effect func(id, node string) agent.Effect) ([]Action, error) {
	var actions []Action
	for _, node := range step.Nodes {
		a, err := live.onAgent(node, effect(effectID(step), node))
		if err != nil {
			return nil, err
		}
		actions = append(actions, a)
	}
	return actions, nil
}

// effectID tells the effects of a step from those of others.
func effectID(step history.Step) string { return fmt.Sprintf("f%d", step.ID) }

// comparedEffect is an effect that is shown by what is different since it was applied.
type comparedEffect interface {
	Compare(before history.Evidence, during ...history.Evidence) history.Evidence
}

// glancingEffect is an effect whose probe takes long; that of Glancing only looks whether
// it is there.
type glancingEffect interface {
	Glancing() agent.Effect
}

func (a *agentAction) Effect() history.Effect {
	return history.Effect{Node: a.machine.Node().Name, Kind: a.effect.Kind(), Spec: a.spec}
}

// Before fails silently: then nothing is shown.
func (a *agentAction) Before(ctx context.Context) {
	if _, is := a.effect.(comparedEffect); is {
		before, _ := a.ask(ctx)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.before = before
	}
}

func (a *agentAction) Apply(ctx context.Context) error {
	a.mu.Lock()
	a.undone = false
	a.mu.Unlock()
	return a.machine.Apply(ctx, a.effect)
}

func (a *agentAction) Undo(ctx context.Context) error {
	a.mu.Lock()
	a.undone, a.past = true, a.seen
	a.mu.Unlock()
	return a.machine.Undo(ctx, a.effect)
}

func (a *agentAction) Probe(ctx context.Context) (history.Evidence, error) {
	seen, err := a.ask(ctx)
	effect, is := a.effect.(comparedEffect)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.undone {
		return seen, err
	}
	if err == nil && seen.NotInForce {
		seen.Confirmed, seen.Undone = false, true // it says that nothing of it is left
	}
	if err == nil && is {
		a.during = append(a.during, seen)
		undone := seen.Undone // whatever was measured before
		seen = effect.Compare(a.before, a.during...)
		seen.Undone, seen.Confirmed = undone, seen.Confirmed && !undone
	}
	if a.missed = err; err == nil {
		if a.shown && seen.Undone && a.lost == "" {
			a.lost = seen.Summary
		}
		seen = added(a.past, seen)
		a.seen, a.shown = seen, a.shown || seen.Confirmed
	}
	return seen, err
}

// Glance looks whether something else has undone it, and measures nothing.
func (a *agentAction) Glance(ctx context.Context) {
	effect := a.effect
	if long, is := effect.(glancingEffect); is {
		effect = long.Glancing()
	}
	seen, err := a.askOf(ctx, effect)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil && a.shown && (seen.Undone || seen.NotInForce) && !a.undone && a.lost == "" {
		a.lost = seen.Summary
	}
}

// ask lets the agent probe the effect.
func (a *agentAction) ask(ctx context.Context) (history.Evidence, error) {
	return a.askOf(ctx, a.effect)
}

func (a *agentAction) askOf(ctx context.Context, effect agent.Effect) (history.Evidence, error) {
	return bounded(ctx, a.cluster.patient(callTime), func(ctx context.Context) (history.Evidence, error) {
		return a.machine.Probe(ctx, effect)
	})
}

// added is the evidence of earlier turns of a fault that is applied again and again, and
// of this one. Counters begin anew with each.
func added(past, now history.Evidence) history.Evidence {
	now.Confirmed = (now.Confirmed || past.Confirmed) && !now.Undone
	now.Measures = slices.Clone(now.Measures)
	for _, m := range past.Measures {
		i := slices.IndexFunc(now.Measures, func(n history.Measure) bool { return n.Name == m.Name })
		if i < 0 {
			now.Measures = append(now.Measures, m)
			continue
		}
		if now.Measures[i].Requested != nil {
			continue // of this turn alone: so much was asked of each
		}
		now.Measures[i].Value += m.Value
	}
	return now
}

func (a *agentAction) Doubts() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lost != "" {
		return []string{lostDoubt(a.Effect(), a.lost)}
	}
	return doubtsOf(a.Effect(), a.seen, a.missed)
}

func (a *agentAction) Lost() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lost != ""
}

// lostDoubt is the doubt about an action that was undone before its heal.
func lostDoubt(effect history.Effect, seen string) string {
	return fmt.Sprintf("%s: something else undid it before it was healed: %s", effect.Node, seen)
}

// doubtsOf are the doubts about an action that evidence of its own must show. Where the
// last probe had no answer, what was seen before counts.
func doubtsOf(effect history.Effect, seen history.Evidence, missed error) []string {
	switch {
	case seen.Confirmed && seen.Within():
		return nil
	case seen.Confirmed:
		return outOfBounds(effect.Node, seen)
	case seen.Summary != "":
		return []string{fmt.Sprintf("%s: nothing shows that it acted: %s", effect.Node, seen.Summary)}
	}
	what, _, _ := strings.Cut(effect.Kind, ".")
	doubt := fmt.Sprintf("%s: nothing shows what its %s does", effect.Node, what)
	if missed != nil {
		doubt += ": " + oneLine(missed)
	}
	return []string{doubt}
}

// outOfBounds are the doubts about an action that acts, and not as it was asked to.
func outOfBounds(node string, seen history.Evidence) (doubts []string) {
	for _, m := range seen.Measures {
		if r := m.Requested; !m.Within() {
			bounds := fmt.Sprintf("%.3g or more", r.Least)
			if r.Most != nil {
				bounds = fmt.Sprintf("%.3g to %.3g", r.Least, *r.Most)
			}
			doubts = append(doubts, fmt.Sprintf("%s: %s is %.3g%s, where %.3g was asked for (%s will do)", node, m.Name, m.Value, unitOf(m), r.Value, bounds))
		}
	}
	return doubts
}

func unitOf(m history.Measure) string {
	if m.Unit == "" {
		return ""
	}
	return " " + m.Unit
}

func (a *agentAction) Recovered(ctx context.Context) (history.Evidence, error) {
	seen, err := a.ask(ctx)
	switch {
	case err != nil:
		return seen, fmt.Errorf("probe %s after undoing it: %w", a.effect.Kind(), err)
	case !seen.Confirmed:
		return seen, errors.New("still in force after it was undone: " + seen.Summary)
	}
	return seen, nil
}

// UndoAgain: an attempt to apply it that nobody answered may have arrived late.
func (a *agentAction) UndoAgain() bool { return true }

func (a *agentAction) Gone() bool { return gone(a.machine) }

// gone reports whether an agent is lost: asking it again is in vain.
func gone(a Agent) bool {
	select {
	case <-a.Lost():
		return true
	default:
		return false
	}
}
