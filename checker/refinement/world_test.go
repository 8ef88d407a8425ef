package refinement

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"nemesis/checker"
)

// chain specifies a history of values, one a position. A node puts a value at a position, and sees values that were put.
type chain struct {
	values   []string
	restarts int
}

type put struct {
	P uint64
	V string
}

type see struct{ V string }

type broken struct {
	rule   string
	absent bool
}

func (b *broken) Error() string         { return b.rule + ": it is wrong" }
func (b *broken) Break() (string, bool) { return b.rule, b.absent }

func (c *chain) Read(_ uint64, step string, event json.RawMessage, at uint64) (any, uint64, error) {
	switch step {
	case "put":
		var e put
		err := json.Unmarshal(event, &e)
		return e, 2 * e.P, err
	case "see":
		var e see
		err := json.Unmarshal(event, &e)
		return e, at | 1, err
	}
	return nil, 0, fmt.Errorf("a chain has no step %q", step)
}

func (c *chain) Restart(uint64) error { c.restarts++; return nil }

func (c *chain) Next(read any) error {
	switch e := read.(type) {
	case put:
		switch n := uint64(len(c.values)); {
		case e.P > n+1:
			return &broken{"order", true}
		case e.P == n+1:
			c.values = append(c.values, e.V)
		case c.values[e.P-1] != e.V:
			return &broken{"agreement", false}
		}
	case see:
		if !slices.Contains(c.values, e.V) {
			return &broken{"origin", true}
		}
	}
	return nil
}

func (c *chain) Assume(read any) error {
	if e, is := read.(put); is {
		return fmt.Errorf("nobody knows what was put before position %d", e.P)
	}
	return nil
}

func find(name string, _ int) Specification {
	if name != "chain" {
		return nil
	}
	return &chain{}
}

// tape makes a trace.
type tape struct {
	node, nodes int
	boot        string
	line        int
	b           strings.Builder
}

func newTape(node, nodes int) *tape {
	t := &tape{node: node, nodes: nodes, boot: "b"}
	return t.begin()
}

func (t *tape) add(step, event string) *tape {
	fmt.Fprintf(&t.b, `{"node":%d,"line":%d,"at":%d,"step":%q,"event":%s}`+"\n", t.node, t.line, t.line*1000, step, event)
	t.line++
	return t
}

func (t *tape) begin() *tape {
	t.line = 0
	t.b.WriteByte('\n')
	return t.add("start", fmt.Sprintf(`{"specification":"chain","nodes":%d,"boot":%q}`, t.nodes, t.boot))
}

func (t *tape) put(p int, v string) *tape { return t.add("put", fmt.Sprintf(`{"P":%d,"V":%q}`, p, v)) }
func (t *tape) see(v string) *tape        { return t.add("see", fmt.Sprintf(`{"V":%q}`, v)) }
func (t *tape) raw(s string) *tape        { t.b.WriteString(s); return t }
func (t *tape) reboot(boot string) *tape  { t.boot = boot; return t.begin() }
func (t *tape) lose(lines int) *tape      { t.line += lines; return t }

// of is a checker of traces. "" is none.
func of(traces ...string) judge {
	open := func() (all []*trace, missing []string, err error) {
		for i, text := range traces {
			node := fmt.Sprintf("n%d", i+1)
			if text == "" {
				missing = append(missing, node)
			} else {
				all = append(all, newTrace(node, io.NopCloser(strings.NewReader(text))))
			}
		}
		return all, missing, nil
	}
	return judge{open: open, nodes: len(traces), name: "chain", find: find}
}

func check(traces ...string) checker.Result {
	return of(traces...).Check(context.Background(), nil, checker.Budget{})
}

// story is a run whose verdict is known.
type story struct {
	outcome checker.Outcome
	says    string // part of the summary, or of the anomaly's sentence
	traces  []string
}

func (s story) differs() error {
	r := check(s.traces...)
	said := r.Summary
	if len(r.Anomalies) > 0 {
		said = r.Anomalies[0].Sentence
	}
	if r.Outcome != s.outcome || !strings.Contains(said, s.says) {
		return fmt.Errorf("got %s: %q; want %s: %q", r.Outcome, said, s.outcome, s.says)
	}
	if (len(r.Anomalies) == 1) != (s.outcome == checker.Violation) {
		return errors.New("anomalies and outcome do not agree")
	}
	return nil
}
