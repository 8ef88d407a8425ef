package nemesis

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"nemesis/history"
)

// Options are what a schedule is drawn for.
type Options struct {
	// Faults are the names of all that may occur, as Parse returns them; none means no faults.
	Faults []string
	// Cards are what is drawn from, as Cards returns it: names, and pairs such as partition+kill. None is each of Faults alone.
	Cards []string
	// Nodes are the names of the cluster's nodes in the plan's order.
	Nodes []string
	// TimeLimit is how long the workload runs.
	TimeLimit time.Duration
	// Interval is the time from one fault's start to the next one's, about; 0 is 5 s.
	Interval time.Duration
	// Delay is how long the run stays clean at first; 0 is 2 s.
	Delay time.Duration

	// Timing is the system's timeouts, the units of amounts.
	Timing history.Timing
	// Leases: there are leases, so there are nodes that hold and grant them to aim at.
	Leases bool
	// Leaderless: no node leads, so none can be aimed at for it.
	Leaderless bool
	// Members: the system's clusters can change their members.
	Members bool
	// Roles are the kinds of servers and where they run, the main one first. Their names are
	// targets as well: a node that has such a server.
	Roles []history.Role
	// Targets restrict how faults are aimed, as ParseTargets returns them; none allows all.
	Targets []string
	// Holds are what a fault's length is drawn from; none leaves it to the slots.
	Holds []Amount
	// When is what steps wait for from their moments on (ParseTrigger): the second ones of pairs where there are pairs, else all. "" is nothing.
	When string
	// Settings are the values of the faults' own settings (Info.Settings), by their names.
	// One that is missing or "" has its default.
	Settings map[string]string
}

// shortestSlot is the least time that a fault, its heal and a clean moment after it
// can share: below it, a server that was killed is not back before the next fault.
const shortestSlot = 1500 * time.Millisecond

// Schedule draws the faults of a run. The same random state and options give the
// same steps. No two overlap, unless they were asked for as a pair: a paused server cannot be killed to any purpose, and a
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
	if err := opt.check(); err != nil || len(opt.Faults) == 0 {
		return nil, err
	}
	drawn := map[string]*cards{}
	for _, name := range opt.Faults {
		fault, err := Find(name)
		if err != nil {
			return nil, fmt.Errorf("schedule faults: %w", err)
		}
		if drawn[name], err = cardsOf(fault, rng, opt); err != nil {
			return nil, err
		}
	}
	if len(opt.Cards) == 0 {
		opt.Cards = opt.Faults
	}
	pairs := slices.ContainsFunc(opt.Cards, func(card string) bool { return strings.Contains(card, "+") })
	kinds := newDeck(rng, opt.Cards)
	length := lengths(rng, opt)

	begin, slot, count := slots(opt, len(opt.Cards))
	if count == 0 && len(opt.Holds) > 0 {
		return nil, fmt.Errorf("schedule faults: a fault of %s does not fit into a run of %s; give a shorter --fault-hold or a longer --time-limit", longest(opt.Holds), opt.TimeLimit)
	}
	if opt.When == healedBefore && (pairs || count < 2) {
		return nil, errors.New("schedule faults: --fault-when healed lets every second fault strike when the one before it heals, which takes two faults and no pairs; give a longer --time-limit or other --faults")
	}
	var steps []history.Step
	for i := range count {
		card := kinds.deal()
		first, second, paired := strings.Cut(card, "+")
		cards := drawn[first]
		step := cards.draw(rng, opt, nil)
		step.ID = len(steps) + 1
		// Every second fault strikes when the one before it heals.
		follows := opt.When == healedBefore && i%2 == 1
		if !pairs && (opt.When != healedBefore || follows) {
			step.When = opt.When
		}
		hold, said := length(slot)
		// A tenth of the slot stays clean, for the heal to finish in.
		room := slot - hold - slot/10
		at := begin + time.Duration(i)*slot + fraction(room, rng.Float64())
		if follows {
			before := steps[len(steps)-1]
			at = time.Duration(before.At + before.Hold)
		}
		step.At, step.Hold, step.Said = history.Duration(at), history.Duration(hold), said
		if err := cards.dealParameters(&step); err != nil {
			return nil, err
		}
		steps = append(steps, step)
		if !paired {
			continue
		}
		cards = drawn[second]
		inner, fits := cards.drawWithin(rng, opt.Nodes, step, func(avoid []string) history.Step { return cards.draw(rng, opt, avoid) })
		if !fits {
			return nil, fmt.Errorf("schedule faults: %s cannot be drawn on %d nodes without one's hiding the other on the same node; give more nodes or other targets", card, len(opt.Nodes))
		}
		if inner.ID = len(steps) + 1; opt.When != "" {
			// It may happen as soon as the outer strikes.
			inner.When = opt.When
			inner.At, inner.Hold = step.At+history.Duration(10*time.Millisecond), history.Duration(fraction(time.Duration(step.Hold), 0.8))
		}
		if err := cards.dealParameters(&inner); err != nil {
			return nil, err
		}
		steps = append(steps, inner)
	}
	return steps, nil
}

// check refuses options that cannot be read or would go unnoticed.
func (opt Options) check() error {
	var unused []string
	if opt.When != "" {
		unused = append(unused, "--fault-when")
		if err := checkTrigger(&history.Step{When: opt.When}, opt); err != nil {
			return fmt.Errorf("read --fault-when: %w", err)
		}
	}
	if len(opt.Targets) > 0 {
		unused = append(unused, "--fault-target")
	}
	if len(opt.Holds) > 0 {
		unused = append(unused, "--fault-hold")
	}
	known := faultSettings()
	for _, s := range known {
		value := opt.Settings[s.Name]
		if value == "" || value == s.Default {
			continue
		}
		unused = append(unused, "--"+s.Name)
		if len(opt.Faults) > 0 {
			if err := s.Check(value, opt); err != nil {
				return err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(opt.Settings)) {
		if !slices.ContainsFunc(known, func(s FaultSetting) bool { return s.Name == name }) {
			return fmt.Errorf("schedule faults: no fault has a setting %q", name)
		}
	}
	if len(opt.Faults) == 0 && len(unused) > 0 {
		say := "say"
		if len(unused) == 1 {
			say = "says"
		}
		return fmt.Errorf("schedule faults: %s %s how faults strike, and there are none; add some to --faults", strings.Join(unused, ", "), say)
	}
	for _, target := range opt.Targets {
		role, _ := roleOf(target)
		switch {
		case role.leases && !opt.Leases:
			return fmt.Errorf("schedule faults: no node plays %s where there are no leases; leave it out of --fault-target or take another workload", target)
		case role.leads && opt.Leaderless:
			return fmt.Errorf("schedule faults: no node plays %s in this system; leave it out of --fault-target", target)
		}
	}
	return nil
}

// cards are what the steps of one fault are dealt from.
type cards struct {
	fault      Fault
	forms      *deck[Form]
	parameters Dealer // nil for a fault without
}

// cardsOf makes the decks of a fault out of what the options leave of it.
func cardsOf(f Fault, rng *rand.Rand, opt Options) (*cards, error) {
	name, fitting := f.Info().Name, fitting(f, len(opt.cluster(f)), opt)
	if f.Needs(history.Step{Kind: name}).Members && !opt.Members {
		return nil, fmt.Errorf("schedule faults: the members of this system's clusters cannot be changed; leave %s out of --faults", name)
	}
	if len(fitting) == 0 {
		return nil, fmt.Errorf("schedule faults: a cluster of %d node cannot have a %s; give more nodes or leave it out of --faults", len(opt.Nodes), name)
	}
	var forms []Form
	fitting = append(fitting, roleForms(fitting, opt)...)
	fitting = append(fitting, blockingForms(fitting, opt)...)
	for _, form := range fitting {
		if len(opt.Targets) > 0 && !slices.Contains(opt.Targets, form.Target) {
			continue
		}
		for range form.Weight {
			forms = append(forms, form)
		}
	}
	if len(forms) == 0 {
		return nil, fmt.Errorf("schedule faults: on %d nodes a %s cannot be aimed at %s, only at %s", len(opt.Nodes), name, strings.Join(opt.Targets, " or "), strings.Join(targets(fitting), ", "))
	}
	parameters, err := f.Parameters(rng, opt)
	if err != nil {
		return nil, err
	}
	return &cards{fault: f, forms: newDeck(rng, forms), parameters: parameters}, nil
}

// cluster are the nodes that a fault can strike: those that have a server of the kind that
// it acts on, or all.
func (opt Options) cluster(f Fault) []string {
	if process := opt.Settings[processSetting]; process != "" && actsOnServers(f) {
		return opt.nodesWith(process)
	}
	return opt.Nodes
}

// roleForms are the forms aimed at one node, aimed instead at one that has a server of a
// role which was asked for as a target.
func roleForms(fitting []Form, opt Options) []Form {
	var forms []Form
	for _, role := range opt.Roles {
		if !slices.Contains(opt.Targets, role.Name) || len(role.Nodes) == 0 {
			continue
		}
		for _, form := range fitting {
			if form.Target == "one" {
				form.Target = role.Name
				forms = append(forms, form)
			}
		}
	}
	return forms
}

// draw makes the next step of a fault, which spares the nodes to avoid if there are enough others.
func (c *cards) draw(rng *rand.Rand, opt Options, avoid []string) history.Step {
	form := c.forms.deal()
	cluster := opt.cluster(c.fault)
	step := Draw(c.fault, rng, cluster, form)
	if len(avoid) > 0 && !symbolic(step) {
		isFree := func(n string) bool { return !slices.Contains(avoid, n) }
		order := shuffled(rng, cluster)
		slices.SortStableFunc(order, func(a, b string) int { // the free ones first
			switch {
			case isFree(a) == isFree(b):
				return 0
			case isFree(a):
				return -1
			}
			return 1
		})
		aim(&step, cluster, order)
	}
	if actsOnServers(c.fault) {
		step.Process = opt.Settings[processSetting]
	}
	with := opt.nodesWith(form.Target)
	if len(with) == 0 {
		return step
	}
	// Whoever comes first in the order is struck.
	first := with[rng.IntN(len(with))]
	order := append([]string{first}, slices.DeleteFunc(shuffled(rng, opt.Nodes), func(n string) bool { return n == first })...)
	aim(&step, opt.Nodes, order)
	if actsOnServers(c.fault) && step.Process == "" {
		step.Process = form.Target
	}
	return step
}

// dealParameters says what a step does beyond its kind and form.
func (c *cards) dealParameters(step *history.Step) error {
	if c.parameters == nil {
		return nil
	}
	dealt := c.parameters(*step)
	if dealt == nil {
		return nil
	}
	var err error
	if step.Params, err = json.Marshal(dealt); err != nil {
		return fmt.Errorf("schedule faults: write the parameters of a %s: %w", step.Kind, err)
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

// ParseTargets reads the value of --fault-target: targets separated by commas, the roles
// of a system's servers among them. None for "". The error is one sentence that lists what
// exists.
func ParseTargets(spec string, roles ...history.Role) ([]string, error) {
	if spec == "" {
		return nil, nil
	}
	var all []Form
	for _, f := range Faults() {
		all = append(all, f.Info().Forms...)
	}
	known, chosen := append(targets(all), blocking), []string{}
	for _, r := range roles {
		if !slices.Contains(known, r.Name) {
			known = append(known, r.Name)
		}
	}
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
