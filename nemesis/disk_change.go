package nemesis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nodes/faultfs"
)

// parse reads the value of --disk or --disk-lie: rules separated by commas, to draw from.
//
//	error:EIO              each call fails so
//	delay:200ms, stall     each call waits, so long or until the fault heals
//	rate:500KB             so many bytes a second, or 2MB
//	full:64KB              files grow by so much together, and then there is no space
//	short                  writes are made in part, and say so
//	lie, fail-once:EIO, early:1s, torn, misdirect, flip    (disk-lie)
//	corrupt-flip, corrupt-zero, corrupt-truncate           (disk-lie, of files as they lie)
//
// Conditions follow, each after a slash: op=sync+write, share=10%, from=3, times=1,
// path=*.wal.
func (f diskFault) parse(spec string, timing history.Timing) ([]faultfs.Rule, error) {
	var rules []faultfs.Rule
	for _, text := range strings.Split(spec, ",") {
		text = strings.TrimSpace(text)
		r, err := parseRule(text, timing)
		if err == nil {
			err = f.can(r)
		}
		if err != nil {
			return nil, fmt.Errorf("read --%s: %q: %w", f.name, text, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func parseRule(text string, timing history.Timing) (faultfs.Rule, error) {
	// The pattern of a path comes last and may have slashes in it.
	text, pattern, pathed := strings.Cut(text, "/path=")
	parts := strings.Split(text, "/")
	name, value, valued := strings.Cut(parts[0], ":")
	r := faultfs.Rule{Do: name, Path: pattern}
	if pathed && pattern == "" {
		return r, fmt.Errorf("it names no path")
	}
	var err error
	switch name {
	case faultfs.Fail, faultfs.FailOnce:
		r.Error = value
	case faultfs.Delay, faultfs.Early:
		var amount Amount
		amount, err = ParseAmount(value, timing)
		r.Delay = history.Duration(amount.Time)
	case faultfs.Rate:
		if r.Rate, err = parseBytes(value); err != nil {
			err = fmt.Errorf("%w per second", err)
		}
	case faultfs.Full:
		if value != "0" {
			r.Room, err = parseBytes(value)
		}
	default:
		if valued {
			err = fmt.Errorf("%s takes no %q", name, value)
		}
	}
	for _, condition := range parts[1:] {
		if err != nil {
			break
		}
		key, value, _ := strings.Cut(condition, "=")
		switch key {
		case "op":
			r.Ops = strings.Split(value, "+")
		case "share":
			if r.Share, err = parseShare(value); err != nil {
				err = fmt.Errorf("%q is not a share of calls such as 10%%", value)
			}
		case "from":
			r.From, err = parseCount(value)
		case "times":
			r.Times, err = parseCount(value)
		default:
			err = fmt.Errorf("%q is no condition; give some of op=sync, share=10%%, from=3, times=1, path=*.wal", condition)
		}
	}
	return r, err
}

func parseCount(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is not a number of calls", text)
	}
	return n, nil
}

// parseBytes reads 64KB or 1.5MB.
func parseBytes(text string) (int64, error) {
	for _, unit := range []struct {
		name  string
		times float64
	}{{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}} {
		if digits, is := strings.CutSuffix(text, unit.name); is {
			if n, err := strconv.ParseFloat(digits, 64); err == nil && n > 0 && n*unit.times < 1e12 {
				return max(int64(n*unit.times), 1), nil
			}
		}
	}
	return 0, fmt.Errorf("%q is not bytes such as 500KB or 2MB", text)
}

// usual is what a disk fault draws from where nobody says otherwise.
func (f diskFault) usual(timing history.Timing) []faultfs.Rule {
	ms := func(n int) history.Duration { return history.Duration(n) * history.Duration(time.Millisecond) }
	syncs, changes := []string{"sync", "syncdir"}, []string{"write", "create", "mkdir", "truncate", "rename", "link"}
	if f.lies {
		return []faultfs.Rule{
			{Do: faultfs.Lie},
			{Do: faultfs.FailOnce, Error: "EIO"},
			{Do: faultfs.Early, Delay: ms(500)},
			{Do: faultfs.Torn, Share: 0.1},
			{Do: faultfs.Misdirect, Share: 0.05},
			{Do: faultfs.Flip, Share: 0.05},
			{Do: faultfs.CorruptFlip, Times: 1},
			{Do: faultfs.CorruptZero, Times: 1},
			{Do: faultfs.CorruptTruncate, Times: 1},
		}
	}
	rules := []faultfs.Rule{
		{Do: faultfs.Fail, Error: "EIO", Ops: syncs, Times: 1},
		{Do: faultfs.Fail, Error: "EIO", Ops: []string{"write"}, Share: 0.1},
		{Do: faultfs.Fail, Error: "ENOSPC", Ops: changes},
		{Do: faultfs.Fail, Error: "EROFS", Ops: slices.Concat(changes, []string{"remove"})},
		{Do: faultfs.Delay, Delay: ms(100), Ops: syncs},
		{Do: faultfs.Stall, Ops: syncs},
		{Do: faultfs.Stall, Ops: []string{"write"}},
		{Do: faultfs.Rate, Rate: 200_000, Ops: []string{"write"}},
		{Do: faultfs.Short, Share: 0.2},
		{Do: faultfs.Full, Room: 64_000},
	}
	if timing.Election > 0 {
		rules = append(rules, faultfs.Rule{Do: faultfs.Delay, Delay: timing.Election, Ops: syncs})
	}
	return rules
}
