package nemesis

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"nemesis/history"
)

// Options are what a schedule is drawn for.
type Options struct {
	// Faults are the names to draw from, as Parse returns them; none means no faults.
	Faults []string
	// Nodes are the names of the cluster's nodes in the plan's order.
	Nodes []string
	// TimeLimit is how long the workload runs.
	TimeLimit time.Duration
	// Interval is the time from one fault's start to the next one's, about; 0 is 5 s.
	Interval time.Duration
	// Delay is how long the run stays clean at first; 0 is 2 s.
	Delay time.Duration
}

// shortestSlot is the least time that a fault, its heal and a clean moment after it
// can share: below it, a server that was killed is not back before the next fault.
const shortestSlot = 1500 * time.Millisecond

// Schedule draws the faults of a run. The same random state and options give the
// same steps. No two overlap: a paused server cannot be killed to any purpose, and a
// recovery that another fault interrupts says nothing.
//
// Time is cut into slots of about one interval, after a clean beginning and before a
// clean end, which shows the recovery (both shrink to a fifth of a short run). A fault
// starts at a random moment of its slot and holds for 0.3 to 0.8 of it: with intervals
// of 4 s or more always longer than a second, the usual election timeout. Kinds,
// forms and three bands of length are dealt from shuffled decks, which is what makes
// every kind occur: slots are narrowed, down to 1.5 s, until there is one for each. A
// run too short even for that gets as many faults as fit.
//
// The error, one sentence, names a fault that does not exist or that this cluster
// cannot have.
func Schedule(rng *rand.Rand, opt Options) ([]history.Step, error) {
	if len(opt.Faults) == 0 {
		return nil, nil
	}
	forms := map[string]*deck[Form]{}
	table := map[string]Fault{}
	for _, name := range opt.Faults {
		fault, err := Find(name)
		if err != nil {
			return nil, fmt.Errorf("schedule faults: %w", err)
		}
		cards := []Form{}
		for _, form := range fault.fitting(len(opt.Nodes)) {
			for range form.Weight {
				cards = append(cards, form)
			}
		}
		if len(cards) == 0 {
			return nil, fmt.Errorf("schedule faults: a cluster of %d node cannot have a %s; give more nodes or leave it out of --faults", len(opt.Nodes), name)
		}
		table[name], forms[name] = fault, newDeck(rng, cards)
	}
	kinds := newDeck(rng, opt.Faults)
	holds := newDeck(rng, [][2]float64{{0.30, 0.45}, {0.45, 0.60}, {0.60, 0.80}})

	begin, slot, count := slots(opt, len(opt.Faults))
	var steps []history.Step
	for i := range count {
		kind := kinds.deal()
		step := table[kind].Draw(rng, opt.Nodes, forms[kind].deal())
		step.ID = i + 1
		band := holds.deal()
		hold := fraction(slot, band[0]+rng.Float64()*(band[1]-band[0]))
		// A tenth of the slot stays clean, for the heal to finish in.
		room := slot - hold - slot/10
		at := begin + time.Duration(i)*slot + fraction(room, rng.Float64())
		step.At, step.Hold = history.Duration(at), history.Duration(hold)
		if step.Shape == "flapping" {
			// Three to six cuts; fewer in a fault so short that a cut would only be a hiccup.
			step.Period = history.Duration(max(fraction(hold, 1/(3+3*rng.Float64())), 200*time.Millisecond))
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// slots divides a run: the first slot's start, the width of each, and their number.
func slots(opt Options, kinds int) (begin, slot time.Duration, count int) {
	interval, delay := opt.Interval, opt.Delay
	if interval <= 0 {
		interval = 5 * time.Second
	}
	if delay <= 0 {
		delay = 2 * time.Second
	}
	begin = min(delay, opt.TimeLimit/5)
	tail := min(max(interval/2, 2*time.Second), 5*time.Second, opt.TimeLimit/5)
	usable := opt.TimeLimit - begin - tail
	count = max(int(usable/interval), kinds)
	count = min(count, int(usable/min(interval, shortestSlot)))
	if count == 0 {
		return begin, 0, 0
	}
	return begin, usable / time.Duration(count), count
}

// fraction is a part of d, in whole hundredths of a second: a plan is read by people.
func fraction(d time.Duration, part float64) time.Duration {
	return time.Duration(float64(d) * part).Truncate(10 * time.Millisecond)
}

// deck deals its cards in random order, all of them before any comes again.
type deck[T comparable] struct {
	rng   *rand.Rand
	cards []T
	left  []T
	last  *T
}

func newDeck[T comparable](rng *rand.Rand, cards []T) *deck[T] {
	return &deck[T]{rng: rng, cards: cards}
}

// deal takes the next card. Where one deck ends and the next begins, the same card
// does not come twice in a row, if there is another.
func (d *deck[T]) deal() T {
	if len(d.left) == 0 {
		d.left = shuffled(d.rng, d.cards)
		other := slices.IndexFunc(d.left, func(card T) bool { return d.last == nil || card != *d.last })
		if other > 0 {
			d.left[0], d.left[other] = d.left[other], d.left[0]
		}
	}
	card := d.left[0]
	d.left, d.last = d.left[1:], &card
	return card
}
