package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"nemesis/checker"
	"nemesis/nemesis"
)

// triggerInterval is how often is looked whether something has happened that a fault waits for.
const triggerInterval = 20 * time.Millisecond

// happens waits for what a fault waits for, and says what it was.
func (r *runner) happens(ctx context.Context, t nemesis.Trigger, nodes []string) (string, error) {
	if t.Leader && r.abilities.Leads == nil {
		return "", errors.New("nobody leads in this system")
	}
	if t.Line != "" {
		return r.logged(ctx, t, nodes)
	}
	begun := r.completed()
	led, known := "", false
	for {
		if done := r.completed() - begun; t.Operations > 0 && done >= t.Operations {
			return fmt.Sprintf("clients had completed %d operations more", done), nil
		}
		if t.Leader {
			leader, err := r.abilities.Leader(ctx)
			switch {
			case err != nil || leader == "": // nobody who could be asked knows: whoever comes next is another
				known = true
			case known && leader != led:
				if led == "" {
					return leader + " led, and nobody before", nil
				}
				return fmt.Sprintf("%s led, and before %s", leader, led), nil
			default:
				led, known = leader, true
			}
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(triggerInterval):
		}
	}
}

// completed is how many operations clients have completed.
func (r *runner) completed() int64 {
	ok, fail, info := r.clients.Counts()
	return ok + fail + info
}

// tail is the log of a server that is waited for to say something.
type tail struct {
	machine interface {
		ReadPart(ctx context.Context, path string, offset int64) ([]byte, int64, error)
	}
	node, server string
	path         string
	// offset is how much of it was read; -1 before it is known how long it is. rest is the beginning of a line.
	offset int64
	rest   []byte
}

// logged waits until main servers of the nodes have logged so many lines that match, all of them together.
func (r *runner) logged(ctx context.Context, t nemesis.Trigger, nodes []string) (string, error) {
	pattern, err := regexp.Compile(t.Line)
	if err != nil {
		return "", err
	}
	var tails []*tail
	for _, m := range r.machines {
		if !slices.Contains(nodes, m.Node().Name) {
			continue
		}
		for _, c := range r.servers.WithRole(m.Node().Name, "") {
			tails = append(tails, &tail{machine: m, node: c.Node, server: c.Name(), path: c.LogFile(), offset: -1})
		}
	}
	if len(tails) == 0 {
		return "", errors.New("there is no server whose log could be read")
	}
	return matched(ctx, tails, pattern, t.Count)
}

// matched waits until so many lines that are new match.
func matched(ctx context.Context, tails []*tail, pattern *regexp.Regexp, wanted int64) (string, error) {
	for count := int64(0); ; {
		for _, l := range tails {
			for _, line := range l.read(ctx) {
				if !pattern.Match(line) {
					continue
				}
				if count++; count == wanted {
					return fmt.Sprintf("%s on %s logged: %s", l.server, l.node, checker.ShowLine(string(line))), nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(triggerInterval):
		}
	}
}

// read returns the lines that are new. What was there at the first call is old. There are
// none while the node does not answer: the next call may do better.
func (l *tail) read(ctx context.Context) [][]byte {
	part, size, err := l.machine.ReadPart(ctx, l.path, max(l.offset, 0))
	switch {
	case err != nil:
		return nil
	case l.offset < 0:
		l.offset = size
		return nil
	case size < l.offset: // it was begun anew
		l.offset, l.rest = 0, nil
		return nil
	}
	l.offset += int64(len(part))
	lines := bytes.Split(append(l.rest, part...), []byte("\n"))
	last := lines[len(lines)-1]
	l.rest = slices.Clone(last[:min(len(last), 1<<16)])
	return lines[:len(lines)-1]
}
