package nemesis

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"nemesis/history"
)

// Amount is a length of time as somebody asked for it: what breaks a system breaks at
// multiples of its own timeouts, so these are units beside seconds.
type Amount struct {
	Time time.Duration
	// Said is the amount in units of a timeout, such as "2lease"; "" when it was asked
	// for in seconds.
	Said string
}

// unit is a timeout that amounts are measured in.
type unit struct {
	name string
	of   func(history.Timing) history.Duration
	// none says that a system has no such timeout.
	none string
}

func units() []unit {
	return []unit{
		{"lease", func(t history.Timing) history.Duration { return t.Lease }, "this workload has no leases"},
		{"election", func(t history.Timing) history.Duration { return t.Election }, "the election timeout of this system is not known"},
	}
}

// mostAmount bounds what can be asked for; it is more than any run lasts.
const mostAmount = 365 * 24 * time.Hour

// ParseAmount reads a time such as 6s, or a multiple of a timeout such as 1.5lease or
// 0.5election. The error is one sentence.
func ParseAmount(text string, timing history.Timing) (Amount, error) {
	for _, u := range units() {
		number, is := strings.CutSuffix(text, u.name)
		if !is {
			continue
		}
		times, err := strconv.ParseFloat(number, 64)
		if err != nil || !(times > 0) || math.IsInf(times, 0) {
			return Amount{}, fmt.Errorf("%q is not a multiple of a timeout, such as 1.5%s", text, u.name)
		}
		of := u.of(timing)
		if of <= 0 {
			return Amount{}, fmt.Errorf("%q says nothing here, since %s; give a time such as 6s", text, u.none)
		}
		if times*float64(of) > float64(mostAmount) {
			return Amount{}, fmt.Errorf("%q is more than a year", text)
		}
		return multiple(times, u, timing), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || text[0] == '+' {
		return Amount{}, fmt.Errorf("%q is neither a time such as 6s nor a multiple of a timeout such as 1.5lease or 0.5election", text)
	}
	if d > mostAmount {
		return Amount{}, fmt.Errorf("%q is more than a year", text)
	}
	return Amount{Time: d}, nil
}

// multiple is so many times a timeout, in whole milliseconds.
func multiple(times float64, u unit, timing history.Timing) Amount {
	d := time.Duration(times * float64(u.of(timing))).Round(time.Millisecond)
	return Amount{Time: max(d, time.Millisecond), Said: number(times) + u.name}
}

// String is what ParseAmount reads.
func (a Amount) String() string {
	if a.Said != "" {
		return a.Said
	}
	return a.Time.String()
}

// number is a factor as people write it.
func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// inUnits is what was said, for people: "2 × lease"; "" for what was not said in units.
func inUnits(said string) string {
	for _, u := range units() {
		if times, is := strings.CutSuffix(said, u.name); is {
			return times + " × " + u.name
		}
	}
	return ""
}

// inWords is a time for people: "8 s", "500 ms", "1 h".
func inWords(d time.Duration) string {
	d = d.Abs()
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d < time.Second:
		return number(float64(d)/float64(time.Millisecond)) + " ms"
	}
	return number(d.Seconds()) + " s"
}

// ParseHolds reads the value of --fault-hold: amounts separated by commas, to draw from.
// Nothing for "".
func ParseHolds(spec string, timing history.Timing) ([]Amount, error) {
	if spec == "" {
		return nil, nil
	}
	var holds []Amount
	for _, text := range strings.Split(spec, ",") {
		hold, err := ParseAmount(strings.TrimSpace(text), timing)
		if err != nil {
			return nil, fmt.Errorf("read --fault-hold: %w", err)
		}
		if hold.Time < 10*time.Millisecond {
			return nil, fmt.Errorf("read --fault-hold: %s is too short for a fault; give at least 10ms", hold)
		}
		holds = append(holds, hold)
	}
	return holds, nil
}
