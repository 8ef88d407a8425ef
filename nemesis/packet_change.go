package nemesis

import (
	"fmt"
	"strconv"
	"strings"

	"nemesis/history"
	"nemesis/nemesis/effects"
)

// packetExamples shows in messages what --packets reads.
const packetExamples = "delay:100ms/20ms/normal, loss:10%/4, duplicate:5%, reorder:25%, corrupt:2%, rate:1mbit, joined by +"

// ParsePackets reads the value of --packets: changes separated by commas, to draw from,
// each made of parts that act at once. None for "". The error is one sentence.
//
//	delay:100ms            later by 100 ms; or by a multiple: delay:0.5election
//	delay:100ms/20ms       each by up to 20 ms more or less
//	delay:100ms/20ms/normal  with 20 ms as the standard deviation; or pareto
//	loss:10%               each with its own chance
//	loss:10%/4             four in a row, on average
//	delay:50ms+reorder:25%+rate:1mbit
func ParsePackets(spec string, timing history.Timing) ([]history.PacketChange, error) {
	if spec == "" {
		return nil, nil
	}
	var changes []history.PacketChange
	for _, text := range strings.Split(spec, ",") {
		change, err := parsePackets(strings.TrimSpace(text), timing)
		if err == nil {
			err = effects.PacketsCan(change)
		}
		if err != nil {
			return nil, fmt.Errorf("read --packets: %q: %w", strings.TrimSpace(text), err)
		}
		changes = append(changes, change)
	}
	return changes, nil
}

func parsePackets(text string, timing history.Timing) (history.PacketChange, error) {
	var c history.PacketChange
	for _, part := range strings.Split(text, "+") {
		name, value, _ := strings.Cut(part, ":")
		values := strings.Split(value, "/")
		most := map[string]int{"delay": 3, "loss": 2}[name]
		if len(values) > max(most, 1) {
			return c, fmt.Errorf("%s takes no %q", name, values[max(most, 1)])
		}
		var err error
		switch name {
		case "delay":
			err = parseDelay(&c, values, timing)
		case "loss":
			c.Loss, err = parseShare(values[0])
			if err == nil && len(values) > 1 {
				if c.Burst, err = strconv.ParseFloat(values[1], 64); err != nil {
					err = fmt.Errorf("%q is not a number of packets", values[1])
				}
			}
		case "duplicate":
			c.Duplicate, err = parseShare(value)
		case "reorder":
			c.Reorder, err = parseShare(value)
		case "corrupt":
			c.Corrupt, err = parseShare(value)
		case "rate":
			c.Rate, err = parseRate(value)
		default:
			err = fmt.Errorf("%q is nothing that happens to packets; give some of %s", name, packetExamples)
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

func parseDelay(c *history.PacketChange, values []string, timing history.Timing) error {
	delay, err := ParseAmount(values[0], timing)
	if err != nil {
		return err
	}
	c.Delay = history.Duration(delay.Time)
	if len(values) > 1 {
		jitter, err := ParseAmount(values[1], timing)
		if err != nil {
			return err
		}
		c.Jitter = history.Duration(jitter.Time)
	}
	if len(values) > 2 {
		c.Spread = values[2]
	}
	return nil
}

// parseShare reads 12.5%.
func parseShare(text string) (float64, error) {
	digits, is := strings.CutSuffix(text, "%")
	percent, err := strconv.ParseFloat(digits, 64)
	if !is || err != nil || !(percent > 0 && percent <= 100) {
		return 0, fmt.Errorf("%q is not a share of packets such as 10%%", text)
	}
	return percent / 100, nil
}

// parseRate reads 64kbit, 1.5mbit or 1gbit.
func parseRate(text string) (int64, error) {
	for _, unit := range []struct {
		name  string
		times float64
	}{{"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}} {
		if digits, is := strings.CutSuffix(text, unit.name); is {
			n, err := strconv.ParseFloat(digits, 64)
			if err != nil || !(n > 0 && n*unit.times < 1e12) {
				break
			}
			return int64(n * unit.times), nil
		}
	}
	return 0, fmt.Errorf("%q is not bits per second such as 64kbit, 1mbit or 1gbit", text)
}
