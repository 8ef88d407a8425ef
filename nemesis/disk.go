package nemesis

import (
	"fmt"
	"math/rand/v2"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/faultfs"
)

// diskFault makes the disks below servers' data fail, stall or lie (package faultfs). What
// its steps do is a faultfs.Rule.
type diskFault struct {
	name, doc string
	// lies: the disk says what is not so, which is beyond what claims take for granted.
	lies bool
}

// disk fails and is slow, and says so.
func disk() Fault {
	return diskFault{name: "disk", doc: "let reads, writes and syncs of servers fail, hang or be slow (where FUSE can be mounted)"}
}

// diskLie acknowledges what it did not do, and gives back other than it was given.
func diskLie() Fault {
	return diskFault{name: history.DiskLie, lies: true, doc: "let disks acknowledge what they did not save, return other bits than they were given, or damage files as they lie (where FUSE can be mounted)"}
}

func (f diskFault) servers() serverFault {
	return serverFault{name: f.name, doc: f.doc, verb: "strike the disk of", class: Load, needs: effects.DiskRuleKind}
}

// Info has the forms of server faults.
func (f diskFault) Info() Info {
	info := f.servers().Info()
	info.Family = "disks"
	info.Special = f.name + " puts a file system of nemesis below the servers' data, which needs FUSE on the nodes"
	info.Settings = append(info.Settings, FaultSetting{
		Setting: history.Setting{
			Name: f.name,
			Doc:  fmt.Sprintf("what %s does, a list to draw from, such as %s (default: all that the fault knows)", f.name, f.example()),
		},
		Example: f.short(),
		Check: func(value string, opt Options) error {
			if _, err := f.parse(value, opt.Timing); err != nil {
				return err
			}
			return usedBy(f.name, "strikes disks", f.name, opt)
		},
	})
	return info
}

func (f diskFault) short() string {
	if f.lies {
		return "lie"
	}
	return "error:EIO/op=sync"
}

func (f diskFault) example() string {
	if f.lies {
		return "lie,fail-once:EIO,early:1s,torn/share=10%,misdirect/share=5%,flip/path=*.db,corrupt-zero/times=1"
	}
	return "error:EIO/op=sync/times=1,error:ENOSPC/op=write/share=10%,delay:200ms/op=sync,stall/op=write/path=*.wal,rate:500KB,full:64KB,short"
}

// Parameters deals rules.
func (f diskFault) Parameters(rng *rand.Rand, opt Options) (Dealer, error) {
	rules := f.usual(opt.Timing)
	if asked := opt.Settings[f.name]; asked != "" {
		var err error
		if rules, err = f.parse(asked, opt.Timing); err != nil {
			return nil, err
		}
	}
	indexes := make([]int, len(rules))
	for i := range rules {
		indexes[i] = i
	}
	cards := newDeck(rng, indexes)
	return func(history.Step) any {
		r := rules[cards.deal()]
		r.Seed = uint64(rng.Uint32())
		return r
	}, nil
}

// Check wants a rule that can be, and of the fault's kind: what lies is judged otherwise.
func (f diskFault) Check(step history.Step) error {
	_, err := f.read(step)
	return err
}

func (f diskFault) read(step history.Step) (faultfs.Rule, error) {
	r, err := parametersOf[faultfs.Rule](step)
	switch {
	case err != nil:
		return r, err
	case len(step.Params) == 0:
		return r, fmt.Errorf("it does not say what the disk does")
	}
	return r, f.can(r)
}

func (f diskFault) can(r faultfs.Rule) error {
	switch err := r.Check(); {
	case err != nil:
		return err
	case r.ID != "":
		return fmt.Errorf("a rule of a plan has no ID")
	case r.Do == faultfs.HoldBefore || r.Do == faultfs.HoldAfter:
		return fmt.Errorf("%s belongs to power-loss; take stall", r.Do)
	case r.Lies() && !f.lies:
		return fmt.Errorf("%s is a lie; it belongs to disk-lie", r.Do)
	case !r.Lies() && f.lies:
		return fmt.Errorf("%s is no lie; it belongs to disk", r.Do)
	}
	return nil
}

// Needs is a disk of ours.
func (f diskFault) Needs(history.Step) Needs { return Needs{Effect: effects.DiskRuleKind, Disk: true} }

// Sentence says what happens to whose calls.
func (f diskFault) Sentence(step history.Step) string {
	r, err := f.read(step)
	if err != nil {
		return f.name + ", which does not say what the disk does"
	}
	return fmt.Sprintf("%s: %s", f.servers().Sentence(step), effects.DiskWords(r))
}

// Bind strikes the disk below each server of the kind on every target.
func (f diskFault) Bind(step history.Step, live Live) (Binding, error) {
	r, err := f.read(step)
	if err != nil {
		return Binding{}, err
	}
	servers := f.servers()
	servers.effect = func(id, process string, _ []uint16, _ history.Step) agent.Effect {
		return &effects.DiskRule{ID: id, Process: process, Rule: r}
	}
	bound, err := servers.Bind(step, live)
	for i, a := range bound.Actions {
		// Whether the server lives through it is its own affair.
		bound.Actions[i] = a.(*serverAction).agentAction
	}
	switch {
	case r.Corrupts():
		bound.Limits = append(bound.Limits, "the damage stays after it healed, until the server writes there again")
	case r.Lies():
		bound.Limits = append(bound.Limits, "what was not saved while it lied stays unsaved after it healed: a later power-loss takes it")
	}
	return bound, err
}
