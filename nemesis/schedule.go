package nemesis

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
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

	// Timing is the system's timeouts, the units of clock changes.
	Timing history.Timing
	// Leases: there are leases, so there are nodes that hold and grant them to aim at.
	Leases bool
	// Targets restrict how faults are aimed, as ParseTargets returns them; none allows all.
	Targets []string
	// Holds are what a fault's length is drawn from; none leaves it to the slots.
	Holds []Amount
	// Changes are what clock faults draw from; none leaves it to each of them.
	Changes []Change
	// Packets are what packet faults draw from; none leaves it to them.
	Packets []history.PacketChange
	// Clocks is ShadowClocks or MachineClocks; "" is ShadowClocks.
	Clocks string
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
// run too short even for that gets as many faults as fit. Where Holds are given, slots are
// instead made wide enough for the longest, so there are fewer of them; a hold is
// never shortened.
//
// The error, one sentence, names a fault that does not exist, that this cluster
// cannot have, or that the options leave nothing of.
func Schedule(rng *rand.Rand, opt Options) ([]history.Step, error) {
	if err := opt.idle(); err != nil || len(opt.Faults) == 0 {
		return nil, err
	}
	drawn := map[string]*cards{}
	for _, name := range opt.Faults {
		fault, err := Find(name)
		if err != nil {
			return nil, fmt.Errorf("schedule faults: %w", err)
		}
		if drawn[name], err = fault.cards(rng, opt); err != nil {
			return nil, err
		}
	}
	if err := opt.usesAll(drawn); err != nil {
		return nil, err
	}
	kinds := newDeck(rng, opt.Faults)
	length := lengths(rng, opt)

	begin, slot, count := slots(opt, len(opt.Faults))
	if count == 0 && len(opt.Holds) > 0 {
		return nil, fmt.Errorf("schedule faults: a fault of %s does not fit into a run of %s; give a shorter --fault-hold or a longer --time-limit", longest(opt.Holds), opt.TimeLimit)
	}
	var steps []history.Step
	for i := range count {
		cards := drawn[kinds.deal()]
		step := cards.fault.Draw(rng, opt.Nodes, cards.forms.deal())
		step.ID = i + 1
		hold, said := length(slot)
		// A tenth of the slot stays clean, for the heal to finish in.
		room := slot - hold - slot/10
		at := begin + time.Duration(i)*slot + fraction(room, rng.Float64())
		step.At, step.Hold, step.Said = history.Duration(at), history.Duration(hold), said
		if step.Shape == "flapping" {
			// Three to six cuts; fewer in a fault so short that a cut would only be a hiccup.
			step.Period = history.Duration(max(fraction(hold, 1/(3+3*rng.Float64())), 200*time.Millisecond))
		}
		if cards.fault.clock {
			cards.change(rng, &step, opt.Clocks)
		}
		if cards.fault.packets {
			change := cards.packets.deal()
			step.Packets = &change
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// idle refuses options that would go unnoticed.
func (opt Options) idle() error {
	switch {
	case opt.Clocks != "" && opt.Clocks != ShadowClocks && opt.Clocks != MachineClocks:
		return fmt.Errorf("schedule faults: --clocks is %s or %s, not %q", ShadowClocks, MachineClocks, opt.Clocks)
	case len(opt.Faults) > 0:
	case len(opt.Targets)+len(opt.Holds)+len(opt.Changes)+len(opt.Packets) > 0:
		return fmt.Errorf("schedule faults: --fault-target, --fault-hold, --clock-change and --packets say how faults strike, and there are none; add some to --faults")
	}
	for _, target := range opt.Targets {
		if role, _ := roleOf(target); role.leases && !opt.Leases {
			return fmt.Errorf("schedule faults: no node plays %s where there are no leases; leave it out of --fault-target or take another workload", target)
		}
	}
	return nil
}

// cards are what the steps of one fault are dealt from.
type cards struct {
	fault   Fault
	forms   *deck[Form]
	changes *deck[Change]               // of clock faults
	packets *deck[history.PacketChange] // of packet faults
}

// cards makes the decks of a fault out of what the options leave of it.
func (f Fault) cards(rng *rand.Rand, opt Options) (*cards, error) {
	fitting := f.fitting(len(opt.Nodes), opt.Leases)
	if len(fitting) == 0 {
		return nil, fmt.Errorf("schedule faults: a cluster of %d node cannot have a %s; give more nodes or leave it out of --faults", len(opt.Nodes), f.Name)
	}
	var forms []Form
	for _, form := range fitting {
		if len(opt.Targets) > 0 && !slices.Contains(opt.Targets, form.Target) {
			continue
		}
		for range form.Weight {
			forms = append(forms, form)
		}
	}
	if len(forms) == 0 {
		return nil, fmt.Errorf("schedule faults: on %d nodes a %s cannot be aimed at %s, only at %s", len(opt.Nodes), f.Name, strings.Join(opt.Targets, " or "), strings.Join(targets(fitting), ", "))
	}
	c := &cards{fault: f, forms: newDeck(rng, forms)}
	if f.packets {
		changes := opt.Packets
		if len(changes) == 0 {
			changes = packetChanges(opt.Timing)
		}
		c.packets = newDeck(rng, changes)
	}
	if !f.clock {
		return c, nil
	}
	changes := f.changes(opt.Timing)
	if len(opt.Changes) > 0 {
		changes = slices.DeleteFunc(slices.Clone(opt.Changes), func(c Change) bool { return !f.takes(c) })
	}
	if len(changes) == 0 {
		return nil, fmt.Errorf("schedule faults: --clock-change names nothing that a %s does; add %s", f.Name, f.offers)
	}
	c.changes = newDeck(rng, changes)
	return c, nil
}

// change says what a clock fault does.
func (c *cards) change(rng *rand.Rand, step *history.Step, clocks string) {
	change := c.changes.deal()
	if change.Period == 0 && c.fault.Name == clockStrobe().Name {
		periods := strobePeriods()
		change.Period = history.Duration(periods[rng.IntN(len(periods))])
	}
	// A machine's clock is read and set for all that runs on it: nothing strobes there.
	change.Machine = clocks == MachineClocks && change.Period == 0 && effects.MachineCan(change.ClockChange) == nil
	step.Clock, step.Period, step.Said = &change.ClockChange, change.Period, change.Said
}

// usesAll refuses changes that no fault of the schedule takes.
func (opt Options) usesAll(drawn map[string]*cards) error {
	if name := packet().Name; len(opt.Packets) > 0 && drawn[name] == nil {
		return fmt.Errorf("schedule faults: no fault of this run changes packets as --packets says; add %s to --faults", name)
	}
	for _, change := range opt.Changes {
		used := false
		for _, c := range drawn {
			used = used || c.fault.clock && c.fault.takes(change)
		}
		if !used {
			return fmt.Errorf("schedule faults: no fault of this run does --clock-change %s; add one to --faults", change)
		}
	}
	return nil
}

// targets are how forms are aimed, each once.
func targets(forms []Form) []string {
	var names []string
	for _, form := range forms {
		if !slices.Contains(names, form.Target) {
			names = append(names, form.Target)
		}
	}
	return names
}

// ParseTargets reads the value of --fault-target: targets separated by commas. None for
// "". The error is one sentence that lists what exists.
func ParseTargets(spec string) ([]string, error) {
	if spec == "" {
		return nil, nil
	}
	var all []Form
	for _, f := range Faults() {
		all = append(all, f.Forms...)
	}
	known, chosen := targets(all), []string{}
	for _, word := range strings.Split(spec, ",") {
		word = strings.TrimSpace(word)
		if !slices.Contains(known, word) {
			return nil, fmt.Errorf("read --fault-target: %q is no target; choose from %s", word, strings.Join(known, ", "))
		}
		chosen = append(chosen, word)
	}
	return chosen, nil
}

// lengths deals how long faults hold: what the options say, else a part of the slot.
func lengths(rng *rand.Rand, opt Options) func(slot time.Duration) (time.Duration, string) {
	if len(opt.Holds) > 0 {
		holds := newDeck(rng, opt.Holds)
		return func(time.Duration) (time.Duration, string) {
			hold := holds.deal()
			return hold.Time, hold.Said
		}
	}
	bands := newDeck(rng, [][2]float64{{0.30, 0.45}, {0.45, 0.60}, {0.60, 0.80}})
	return func(slot time.Duration) (time.Duration, string) {
		band := bands.deal()
		return fraction(slot, band[0]+rng.Float64()*(band[1]-band[0])), ""
	}
}

// usualInterval is from one fault to the next where nobody says otherwise.
const usualInterval = 5 * time.Second

// Spacing is the time from one fault's start to the next one's, about: Interval, or more
// where the longest of Holds needs more.
func (opt Options) Spacing() time.Duration {
	return max(cmp.Or(opt.Interval, usualInterval), roomFor(opt.Holds))
}

// roomFor is the slot that the longest hold needs: as tight as the tightest that is
// drawn where no holds are given.
func roomFor(holds []Amount) time.Duration { return longest(holds) * 5 / 4 }

func longest(holds []Amount) time.Duration {
	most := time.Duration(0)
	for _, h := range holds {
		most = max(most, h.Time)
	}
	return most
}

// slots divides a run: the first slot's start, the width of each, and their number.
func slots(opt Options, kinds int) (begin, slot time.Duration, count int) {
	interval, delay := cmp.Or(opt.Interval, usualInterval), opt.Delay
	if delay <= 0 {
		delay = 2 * time.Second
	}
	begin = min(delay, opt.TimeLimit/5)
	tail := min(max(interval/2, 2*time.Second), 5*time.Second, opt.TimeLimit/5)
	usable := opt.TimeLimit - begin - tail
	narrowest := max(shortestSlot, roomFor(opt.Holds))
	interval = opt.Spacing()
	count = max(int(usable/interval), kinds)
	count = min(count, int(usable/min(interval, narrowest)))
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
