package nemesis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/hostile"
)

// hostileBytes sends servers what no client of theirs sends, to every port that they listen at: from another
// node of the cluster and from outside of it, the control node.
type hostileBytes struct{}

// sending are the parameters of its steps.
type sending struct {
	// Forms are what is sent, as of package hostile.
	Forms []string `json:"forms"`
	// Idle is how many connections that say nothing each of the two keeps open to each port.
	Idle int `json:"idle,omitempty"`
	// Rate is how many inputs a second each of the two sends to each port.
	Rate int    `json:"rate"`
	Seed uint64 `json:"seed"`
}

const (
	usualIdle = 1000
	usualRate = 40
)

func (hostileBytes) servers() serverFault {
	return serverFault{name: history.HostileBytes, doc: "send servers random, overlong, cut, repeated and reordered frames, and open idle connections, on every port they have", class: Packets}
}

// Info has the forms of server faults.
func (f hostileBytes) Info() Info {
	info := f.servers().Info()
	info.Special = "bytes sends servers what no client sends, and some end of it"
	info.Settings = append(info.Settings, FaultSetting{
		Setting: history.Setting{
			Name: info.Name,
			Doc:  "what bytes sends, a list to draw from, each one or some joined by + of " + strings.Join(hostile.Forms(), ", ") + " (idle:2000 for so many connections) or all (default: all)",
		},
		Example: "random+cut",
		Check: func(value string, opt Options) error {
			if _, err := parseSendings(value); err != nil {
				return err
			}
			return usedBy(info.Name, "sends bytes", info.Name, opt)
		},
	})
	return info
}

func allForms() sending { return sending{Forms: hostile.Forms(), Idle: usualIdle, Rate: usualRate} }

// parseSendings reads forms joined by plus, separated by commas.
func parseSendings(spec string) ([]sending, error) {
	var out []sending
	for _, text := range strings.Split(spec, ",") {
		text = strings.TrimSpace(text)
		if text == "all" {
			out = append(out, allForms())
			continue
		}
		s := sending{Rate: usualRate}
		for _, word := range strings.Split(text, "+") {
			form, number, counted := strings.Cut(strings.TrimSpace(word), ":")
			if form == hostile.Idle && !counted {
				s.Idle = usualIdle
			}
			if counted {
				n, err := strconv.Atoi(number)
				if err != nil || form != hostile.Idle {
					return nil, fmt.Errorf("read --bytes: %q is not a number of idle connections such as idle:2000", word)
				}
				s.Idle = n
			}
			if !slices.Contains(s.Forms, form) {
				s.Forms = append(s.Forms, form)
			}
		}
		if err := s.can(); err != nil {
			return nil, fmt.Errorf("read --bytes: %q: %w", text, err)
		}
		out = append(out, s)
	}
	return out, nil
}

// to is the input for some targets.
func (s sending) to(targets []netip.AddrPort) hostile.Input {
	return hostile.Input{Targets: targets, Forms: s.Forms, Idle: s.Idle, Rate: s.Rate, Seed: s.Seed}
}

func (s sending) can() error {
	return s.to([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}).Check()
}

// Parameters deals what is sent.
func (f hostileBytes) Parameters(rng *rand.Rand, opt Options) (Dealer, error) {
	list := []sending{allForms()}
	if asked := opt.Settings[f.servers().name]; asked != "" {
		var err error
		if list, err = parseSendings(asked); err != nil {
			return nil, err
		}
	}
	indexes := make([]int, len(list))
	for i := range list {
		indexes[i] = i
	}
	cards := newDeck(rng, indexes)
	return func(history.Step) any {
		s := list[cards.deal()]
		s.Seed = uint64(rng.Uint32())
		return s
	}, nil
}

// Check refuses what cannot be sent.
func (f hostileBytes) Check(step history.Step) error {
	_, err := f.read(step)
	return err
}

func (hostileBytes) read(step history.Step) (sending, error) {
	s, err := parametersOf[sending](step)
	if err == nil {
		err = s.can()
	}
	return s, err
}

// Needs is a process of an agent's.
func (hostileBytes) Needs(history.Step) Needs { return Needs{Effect: effects.BytesKind} }

// Sentence says what is sent to whom.
func (f hostileBytes) Sentence(step history.Step) string {
	s, err := f.read(step)
	if err != nil {
		return "bytes, which does not say what is sent"
	}
	what := strings.Join(s.Forms, ", ")
	if len(s.Forms) == len(hostile.Forms()) {
		what = "hostile"
	}
	return fmt.Sprintf("send %s input to every port of %s", what, serversOf(step))
}

// Bind sends to the ports that the run's own servers on the step's nodes listen at, and to nothing else.
func (f hostileBytes) Bind(step history.Step, live Live) (Binding, error) {
	s, err := f.read(step)
	if err != nil {
		return Binding{}, err
	}
	b := Binding{
		ProbeTime: time.Second,
		Limits:    []string{"nothing that is sent asks for a change: valid frames greet, ping and read", "clients and the other servers share the ports with it: nobody must answer meanwhile"},
	}
	for i, node := range step.Nodes {
		var targets []netip.AddrPort
		names := live.Servers(node, step.Process)
		if len(names) == 0 {
			return b, fmt.Errorf("%s has no server of that kind", node)
		}
		for _, name := range names {
			if live.Ports == nil {
				break
			}
			for _, port := range live.Ports(node, name) {
				targets = append(targets, netip.AddrPortFrom(live.machine(node).Node().Address, port))
			}
		}
		if len(targets) == 0 {
			return b, fmt.Errorf("no port of %s is known", node)
		}
		for k, name := range names {
			a, err := live.onAgent(node, &effects.Revive{ID: fmt.Sprintf("%s-%d", effectID(step), k+1), Process: name})
			if err != nil {
				return b, err
			}
			b.Actions = append(b.Actions, a)
		}
		from := live.neighbour(node)
		beside := live.Servers(from, "")
		if len(beside) == 0 {
			return b, fmt.Errorf("%s, from which it would be sent, has no server", from)
		}
		inside, err := live.onAgent(from, &effects.Bytes{ID: fmt.Sprintf("%s-%s", effectID(step), strconv.Itoa(i+1)), Process: beside[0], Input: s.to(targets)})
		if err != nil {
			return b, err
		}
		outer := s
		outer.Seed++
		input := outer.to(targets)
		outside := &outsideBytes{node: node, input: input, make: func() InputSender { return hostile.New(input) }}
		if live.Sender != nil {
			outside.make = func() InputSender { return live.Sender(input) }
		}
		b.Actions = append(b.Actions, inside, outside)
	}
	return b, nil
}

// neighbour is the node after another in the cluster's order; itself where it is alone.
func (live Live) neighbour(node string) string {
	at := slices.IndexFunc(live.Machines, func(m Agent) bool { return m.Node().Name == node })
	return live.Machines[(at+1)%len(live.Machines)].Node().Name
}

// InputSender sends hostile input until the end of Run's context, and counts it.
type InputSender interface {
	Run(ctx context.Context)
	Counts() hostile.Counts
}

// outsideBytes sends from the control node, which is none of the cluster's. It ends with this process.
type outsideBytes struct {
	node  string
	input hostile.Input
	make  func() InputSender

	mu     sync.Mutex
	sender InputSender
	stop   context.CancelFunc
	done   chan struct{}
	seen   history.Evidence
}

// Effect names the node that is sent to: the control node is none.
func (o *outsideBytes) Effect() history.Effect {
	spec, err := json.Marshal(o.input)
	if err != nil {
		spec = nil // it is made of numbers and words: it cannot fail
	}
	return history.Effect{Node: o.node, Kind: effects.OutsideBytesKind, Spec: spec}
}

func (o *outsideBytes) Before(context.Context) {}

func (o *outsideBytes) Apply(context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stop != nil {
		return nil
	}
	// It is not the caller's to end: Undo does.
	ctx, cancel := context.WithCancel(context.Background())
	sender, done := o.make(), make(chan struct{})
	go func() { sender.Run(ctx); close(done) }()
	o.sender, o.stop, o.done = sender, cancel, done
	return nil
}

func (o *outsideBytes) Undo(ctx context.Context) error {
	o.mu.Lock()
	stop, done := o.stop, o.done
	o.stop = nil
	o.mu.Unlock()
	if stop == nil {
		return nil
	}
	stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.New("its connections have not been closed yet")
	}
}

// Probe looks again for a while: it takes a moment to begin.
func (o *outsideBytes) Probe(ctx context.Context) (seen history.Evidence, err error) {
	for range 20 {
		if seen = o.look(); seen.Confirmed {
			break
		}
		select {
		case <-ctx.Done():
			return seen, nil
		case <-time.After(50 * time.Millisecond):
		}
	}
	return seen, nil
}

func (o *outsideBytes) look() history.Evidence {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stop == nil {
		return history.Evidence{Confirmed: true, Summary: nothingSent}
	}
	o.seen = effects.InputEvidence(o.input, o.sender.Counts())
	o.seen.Summary = "from outside: " + o.seen.Summary
	return o.seen
}

const nothingSent = "nothing is sent any more"

func (o *outsideBytes) Doubts() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return doubtsOf(o.Effect(), o.seen, nil)
}

func (o *outsideBytes) Lost() bool { return false }

func (o *outsideBytes) Recovered(ctx context.Context) (history.Evidence, error) {
	seen, err := o.Probe(ctx)
	if err == nil && seen.Summary != nothingSent {
		err = errors.New("it is still sent from outside")
	}
	return seen, err
}

func (o *outsideBytes) UndoAgain() bool { return true }

func (o *outsideBytes) Gone() bool { return false }

var _ agent.Worker = (*effects.Bytes)(nil)
