package effects

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
	"nemesis/nodes/faultfs"
)

// DiskRuleKind is DiskRule's kind.
const DiskRuleKind = "disk.rule"

// DiskRule makes the disk below a server's data do something wrong with some calls. A
// server that ended of it is started again when it is undone, as whoever replaces a disk
// would.
type DiskRule struct {
	ID string `json:"id"`
	// Process is the supervised process's name.
	Process string `json:"process"`
	// Rule is what goes wrong; its ID is this effect's.
	Rule faultfs.Rule `json:"rule"`
}

// leastWaited is the part of a requested delay that struck calls must have waited.
const leastWaited = 0.5

// Kind is DiskRuleKind.
func (d *DiskRule) Kind() string { return DiskRuleKind }

// String is the effect in one line.
func (d *DiskRule) String() string {
	return fmt.Sprintf("%s: %s below %s", d.ID, DiskWords(d.Rule), d.Process)
}

// Check passes where a file system of ours can be mounted.
func (d *DiskRule) Check(h *agent.Host) error { return diskAvailable(h) }

func diskAvailable(h *agent.Host) error {
	if h.Disks == nil {
		return errors.New("no file system of ours can be put below a server: it takes Linux")
	}
	return h.Disks.Available()
}

func (d *DiskRule) rule() faultfs.Rule {
	r := d.Rule
	r.ID = d.ID
	return r
}

// Apply puts the rule in force, unless it is.
func (d *DiskRule) Apply(h *agent.Host) error {
	if err := checkID(DiskRuleKind, d.ID); err != nil {
		return err
	}
	if err := d.Rule.Check(); err != nil {
		return fmt.Errorf("%s %s: %w", DiskRuleKind, d.ID, err)
	}
	stats, err := h.Disks.Stats(d.Process)
	if err != nil {
		return err
	}
	if _, there := stats.Rules[d.ID]; there {
		return nil
	}
	return h.Disks.Set(d.Process, d.rule())
}

// Undo takes it back, and starts a server again that ended meanwhile.
func (d *DiskRule) Undo(h *agent.Host) error {
	if checkID(DiskRuleKind, d.ID) != nil || h.Disks == nil {
		return nil // it was refused, so it never acted
	}
	return errors.Join(h.Disks.Clear(d.Process, d.ID), h.Processes.Revive(d.Process))
}

// Probe reads how many calls the disk saw, and to how many it did something.
func (d *DiskRule) Probe(h *agent.Host) (e history.Evidence, err error) {
	if h.Disks == nil {
		return e, d.Check(h)
	}
	for range looks { // it takes a moment until a server writes
		if e, err = d.measure(h); err != nil || e.Confirmed || e.Undone {
			break
		}
		time.Sleep(lookAgain)
	}
	return e, err
}

func (d *DiskRule) measure(h *agent.Host) (history.Evidence, error) {
	stats, err := h.Disks.Stats(d.Process)
	counts, there := stats.Rules[d.ID]
	if !h.InForce(d) {
		if err == nil && there {
			return history.Evidence{Summary: "the disk still does it"}, nil
		}
		state, err := h.Processes.State(d.Process)
		if err != nil {
			return history.Evidence{}, err
		}
		return history.Evidence{Confirmed: true, Summary: fmt.Sprintf("the disk does nothing wrong any more; %s %s", d.Process, state.State)}, nil
	}
	if err != nil {
		return history.Evidence{}, err
	}
	if !there {
		return history.Evidence{Undone: true, Summary: "the disk does nothing wrong: something else on the node took the rule away"}, nil
	}
	what := "calls"
	if d.Rule.Corrupts() {
		what = "files"
	}
	e := history.Evidence{
		Confirmed: counts.Struck > 0,
		Summary:   fmt.Sprintf("%s: %d of %d %s", DiskWords(d.Rule), counts.Struck, counts.Calls, what),
		Measures: []history.Measure{
			{Name: what, Value: float64(counts.Calls)},
			{Name: what + " struck", Value: float64(counts.Struck)},
		},
	}
	if counts.Struck > 0 && counts.LastPath != "" {
		e.Summary += ", the last on " + strings.TrimPrefix(counts.LastPath, "/")
	}
	if d.Rule.Share > 0 && counts.Calls > 0 {
		e.Measures = append(e.Measures,
			history.Measure{Name: "share", Value: float64(counts.Struck) / float64(counts.Calls)},
			history.Measure{Name: "share requested", Value: d.Rule.Share})
	}
	if d.Rule.Do == faultfs.Full {
		e.Summary += fmt.Sprintf("; files grew by %d bytes", counts.Grown)
		e.Measures = append(e.Measures, history.Between("bytes grown", float64(max(counts.Grown, 0)), float64(d.Rule.Room), 0, float64(d.Rule.Room), "B"))
	}
	if counts.Bytes > 0 {
		e.Summary += fmt.Sprintf(", %d bytes", counts.Bytes)
		e.Measures = append(e.Measures, history.Measure{Name: "bytes", Value: float64(counts.Bytes), Unit: "B"})
	}
	switch d.Rule.Do {
	case faultfs.Delay, faultfs.Stall, faultfs.Rate:
		e.Summary += fmt.Sprintf(", which waited for %s together; %d wait now", rounded(time.Duration(counts.Waited)), counts.Waiting)
		e.Measures = append(e.Measures,
			history.Measure{Name: "waited", Value: time.Duration(counts.Waited).Seconds(), Unit: "s"},
			history.Measure{Name: "waiting", Value: float64(counts.Waiting)})
	}
	if d.Rule.Do == faultfs.Delay {
		over := counts.Struck - counts.Waiting
		if over <= 0 {
			e.Confirmed = false // nobody knows yet for how long
			return e, nil
		}
		mean := time.Duration(counts.Waited) / time.Duration(over)
		e.Measures = append(e.Measures,
			history.Measure{Name: "delay", Value: mean.Seconds(), Unit: "s"},
			history.Measure{Name: "delay requested", Value: time.Duration(d.Rule.Delay).Seconds(), Unit: "s"})
		// Of a server that is killed, calls end at once.
		e.Confirmed = mean >= time.Duration(leastWaited*float64(d.Rule.Delay))
	}
	return e, nil
}

// DiskWords says what a rule does, for people: "syncs return EIO".
func DiskWords(r faultfs.Rule) string {
	which := "calls"
	switch ops := r.Ops; {
	case len(ops) > 0:
		which = strings.Join(ops, " and ") + " calls"
	case r.Do == faultfs.Lie || r.Do == faultfs.Early || r.Do == faultfs.FailOnce:
		which = "syncs"
	case r.Do == faultfs.Torn || r.Do == faultfs.Short || r.Do == faultfs.Misdirect:
		which = "writes"
	case r.Do == faultfs.Flip:
		which = "reads"
	case r.Corrupts():
		which = "files"
	}
	switch {
	case r.Path != "" && r.Corrupts():
		which += " " + r.Path
	case r.Path != "":
		which += " on " + r.Path
	}
	if r.Share > 0 && r.Share < 1 {
		which = fmt.Sprintf("%.4g %% of %s", 100*r.Share, which)
	}
	switch {
	case r.From > 1 && r.Times > 0:
		which += fmt.Sprintf(" (%d from call %d)", r.Times, r.From)
	case r.From > 1:
		which += fmt.Sprintf(" (from call %d)", r.From)
	case r.Times > 0 && r.Corrupts():
		which = fmt.Sprintf("%d of the %s", r.Times, which)
	case r.Times > 0:
		which += fmt.Sprintf(" (the first %d)", r.Times)
	}
	switch r.Do {
	case faultfs.Fail:
		return which + " return " + r.Error
	case faultfs.Delay:
		return which + " take " + time.Duration(r.Delay).String() + " longer"
	case faultfs.Stall:
		return which + " hang"
	case faultfs.Rate:
		return fmt.Sprintf("%s pass at %d bytes a second", which, r.Rate)
	case faultfs.Full:
		return fmt.Sprintf("there is room for %d bytes more, and then no space", r.Room)
	case faultfs.Lie:
		return which + " succeed and save nothing"
	case faultfs.FailOnce:
		return which + " return " + r.Error + " once for each file, and succeed afterwards without what that one was for"
	case faultfs.Early:
		return which + " succeed " + time.Duration(r.Delay).String() + " before they are made"
	case faultfs.Torn:
		return which + " are made in part and succeed"
	case faultfs.Short:
		return which + " are made in part and say so"
	case faultfs.Misdirect:
		return which + " go to another place of the file"
	case faultfs.Flip:
		return which + " return one bit that is wrong"
	}
	if words := map[string]string{
		faultfs.HoldBefore:      " are held before they are made",
		faultfs.HoldAfter:       " are held before they are answered",
		faultfs.CorruptFlip:     " have one bit flipped where they are stored",
		faultfs.CorruptZero:     " have blocks zeroed where they are stored",
		faultfs.CorruptTruncate: " are cut short where they are stored",
	}[r.Do]; words != "" {
		return which + words
	}
	return which + " do " + r.Do
}
