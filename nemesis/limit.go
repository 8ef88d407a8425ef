package nemesis

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// limitFault lowers what servers may use of a resource while they run. P are the parameters of
// its steps, one limit.
type limitFault[P any] struct {
	name, doc, kind string
	special         string // what it needs
	// values is what a list of limits looks like, example one of them, unit what one is called.
	values, example, unit string
	usual                 []P
	parse                 func(text string) (P, bool)
	can                   func(P) error
	// words are what a step does, with the servers in the place of %s.
	words  func(P) string
	effect func(id, process string, p P) agent.Effect
}

func (f limitFault[P]) servers() serverFault {
	return serverFault{name: f.name, doc: f.doc, needs: f.kind, class: Load}
}

// Info has the forms of server faults.
func (f limitFault[P]) Info() Info {
	info := f.servers().Info()
	info.Family, info.Special = "resources", f.special
	info.Settings = append(info.Settings, FaultSetting{
		Setting: history.Setting{Name: f.name, Doc: f.values},
		Example: f.example,
		Check: func(value string, opt Options) error {
			if _, err := f.list(value); err != nil {
				return err
			}
			return usedBy(f.name, "limits servers", f.name, opt)
		},
	})
	return info
}

// Parameters deals limits.
func (f limitFault[P]) Parameters(rng *rand.Rand, opt Options) (Dealer, error) {
	limits := f.usual
	if asked := opt.Settings[f.name]; asked != "" {
		var err error
		if limits, err = f.list(asked); err != nil {
			return nil, err
		}
	}
	indexes := make([]int, len(limits))
	for i := range limits {
		indexes[i] = i
	}
	cards := newDeck(rng, indexes)
	return func(history.Step) any { return limits[cards.deal()] }, nil
}

// list reads limits separated by commas.
func (f limitFault[P]) list(spec string) ([]P, error) {
	var limits []P
	for _, text := range strings.Split(spec, ",") {
		text = strings.TrimSpace(text)
		p, is := f.parse(text)
		if !is || f.can(p) != nil {
			return nil, fmt.Errorf("read --%s: %q is not %s", f.name, text, f.unit)
		}
		limits = append(limits, p)
	}
	return limits, nil
}

// Check refuses a limit that cannot be.
func (f limitFault[P]) Check(step history.Step) error {
	_, err := f.read(step)
	return err
}

func (f limitFault[P]) read(step history.Step) (P, error) {
	p, err := parametersOf[P](step)
	if err == nil && len(step.Params) == 0 {
		err = fmt.Errorf("it does not say what is left")
	}
	if err == nil {
		err = f.can(p)
	}
	return p, err
}

// Needs is a node on which servers can be limited so.
func (f limitFault[P]) Needs(history.Step) Needs { return Needs{Effect: f.kind} }

// Sentence says what is left to whom.
func (f limitFault[P]) Sentence(step history.Step) string {
	p, err := f.read(step)
	if err != nil {
		return f.name + ", which does not say what is left"
	}
	return fmt.Sprintf(f.words(p), serversOf(step))
}

// Bind limits each server of the kind on every target. Whether it lives through it is its own
// affair.
func (f limitFault[P]) Bind(step history.Step, live Live) (Binding, error) {
	p, err := f.read(step)
	if err != nil {
		return Binding{}, err
	}
	servers := f.servers()
	servers.effect = func(id, process string, _ []uint16, _ history.Step) agent.Effect { return f.effect(id, process, p) }
	bound, err := servers.Bind(step, live)
	for i, a := range bound.Actions {
		bound.Actions[i] = a.(*serverAction).agentAction
	}
	return bound, err
}
