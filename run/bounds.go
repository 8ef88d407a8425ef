package run

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"nemesis/history"
)

// bound is one number of a claim that the user can set with --bound.
type bound struct {
	name, doc string
	set       func(*history.Bounds, string) error
}

// boundTable lists what --bound takes.
func boundTable() []bound {
	duration := func(name, doc string, field func(*history.Bounds) *history.Duration) bound {
		return bound{name, doc, func(b *history.Bounds, text string) error {
			d, err := time.ParseDuration(text)
			if err != nil || d < 0 {
				return fmt.Errorf("read --bound %s=%s: it takes a time such as 20s, or 0 for no promise", name, text)
			}
			*field(b) = history.Duration(d)
			return nil
		}}
	}
	return []bound{
		{"clock-rate", "the share by which the servers' clocks may run fast or slow, such as 1% or 0.01", func(b *history.Bounds, text string) error {
			number, percent := strings.CutSuffix(text, "%")
			rate, err := strconv.ParseFloat(number, 64)
			if percent {
				rate /= 100
			}
			if err != nil || math.IsNaN(rate) || rate < 0 || rate >= 1 {
				return fmt.Errorf("read --bound clock-rate=%s: it takes a share from 0 up to 100%%, such as 1%%", text)
			}
			b.ClockRate = rate
			return nil
		}},
		{"clock-offset", "how far the servers' wall clocks may be off, such as 500ms, or any", func(b *history.Bounds, text string) error {
			if text == "any" {
				b.ClockOffset = -1
				return nil
			}
			d, err := time.ParseDuration(text)
			if err != nil || d < 0 {
				return fmt.Errorf("read --bound clock-offset=%s: it takes a time such as 500ms, or any", text)
			}
			b.ClockOffset = history.Duration(d)
			return nil
		}},
		duration("recovery", "the longest time without success after a heal", func(b *history.Bounds) *history.Duration { return &b.Recovery }),
		duration("outage", "the longest time without success while only a minority is hit", func(b *history.Bounds) *history.Duration { return &b.Outage }),
		duration("handover", "the longest wait for a lease after its latest end", func(b *history.Bounds) *history.Duration { return &b.Handover }),
		duration("expiry", "how long after its latest end a lease may still be shown as held", func(b *history.Bounds) *history.Duration { return &b.Expiry }),
	}
}

// resolveBounds are the bounds that a run judges by: those the user gave, else the
// system's own, else some that follow from its timeouts and are generous, since a
// machine under test may be a slow one.
func resolveBounds(bounds history.Bounds, timing history.Timing, given map[string]string) (history.Bounds, error) {
	election := time.Duration(timing.Election)
	for _, d := range []struct {
		field *history.Duration
		least time.Duration
		times time.Duration
	}{
		{&bounds.Recovery, 15 * time.Second, 10},
		{&bounds.Outage, 15 * time.Second, 10},
		{&bounds.Handover, 10 * time.Second, 5},
	} {
		if *d.field == 0 && election > 0 {
			*d.field = history.Duration(max(d.least, d.times*election))
		}
	}
	table := boundTable()
	var names []string
	for _, b := range table {
		names = append(names, b.name)
		if text, is := given[b.name]; is {
			if err := b.set(&bounds, text); err != nil {
				return bounds, &UsageError{err}
			}
		}
	}
	for name := range given {
		if !slices.Contains(names, name) {
			return bounds, usage("read --bound %s: there is no such bound; there are %s", name, strings.Join(names, ", "))
		}
	}
	return bounds, nil
}

// boundNames lists what --bound takes, in a sentence.
func boundNames() string {
	var names []string
	for _, b := range boundTable() {
		names = append(names, b.name)
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// checkBounds says which number of a plan's claim cannot be.
func checkBounds(plan *history.Plan) error {
	b := plan.Claim.Bounds
	if !(b.ClockRate >= 0 && b.ClockRate < 1) {
		return fmt.Errorf("clockRate is a share from 0 up to 1, not %v", b.ClockRate)
	}
	if b.ClockOffset < -1 {
		return fmt.Errorf("clockOffset is a time, or -1ns for any, not %s", b.ClockOffset)
	}
	for _, d := range []struct {
		name  string
		value history.Duration
	}{{"recovery", b.Recovery}, {"outage", b.Outage}, {"handover", b.Handover}, {"expiry", b.Expiry}} {
		if d.value < 0 {
			return fmt.Errorf("%s is a time, or 0 for no promise, not %s", d.name, d.value)
		}
	}
	return nil
}

// BoundsDoc is a line for each bound that --bound takes.
func BoundsDoc() string {
	var lines []string
	for _, b := range boundTable() {
		lines = append(lines, fmt.Sprintf("  %-13s %s", b.name, b.doc))
	}
	return strings.Join(lines, "\n")
}
