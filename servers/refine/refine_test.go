package refine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"nemesis/servers/spec"
)

// counter is the simplest application: every operation adds one.
type counter struct{ n uint64 }

func (c *counter) Apply([]byte) []byte { c.n++; return c.Query(nil) }
func (c *counter) Query([]byte) []byte { return binary.BigEndian.AppendUint64(nil, c.n) }

func count(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// specification is what checkers want of each.
type specification interface {
	Read(node uint64, step string, event json.RawMessage, at uint64) (any, uint64, error)
	Restart(node uint64) error
	Next(read any) error
	Assume(read any) error
}

// reader takes steps that it makes of events.
type reader struct {
	t  *testing.T
	s  specification
	at map[uint64]uint64
}

func newReader(t *testing.T, s specification) *reader { return &reader{t, s, map[uint64]uint64{}} }

func (r *reader) read(node uint64, kind string, event any) (any, uint64) {
	r.t.Helper()
	b, err := json.Marshal(event)
	if err != nil {
		r.t.Fatal(err)
	}
	step, place, err := r.s.Read(node, kind, b, r.at[node])
	if err != nil {
		r.t.Fatalf("read %s %s: %v", kind, b, err)
	}
	r.at[node] = place
	return step, place
}

// takes fails the test unless the step is allowed, or breaks this rule.
func (r *reader) takes(breaks spec.Rule, node uint64, kind string, event any) {
	r.t.Helper()
	step, _ := r.read(node, kind, event)
	r.broke(breaks, r.s.Next(step))
}

func (r *reader) broke(breaks spec.Rule, err error) {
	r.t.Helper()
	var b *spec.Broken
	if breaks == "" && err == nil || errors.As(err, &b) && b.Rule == breaks {
		return
	}
	r.t.Fatalf("got %v, want a break of %q", err, breaks)
}

var (
	inc  = []byte("inc")
	one  = spec.Request{Client: 1, Seq: 1}
	two  = spec.Request{Client: 2, Seq: 1}
	look = spec.Request{Seq: 7}
)

func TestPlacesPutCausesBeforeEffects(t *testing.T) {
	r := newReader(t, NewRSM(&counter{}))
	for _, c := range []struct {
		kind  string
		event any
		place uint64
	}{
		{"restored", spec.Restored{}, 1},
		{"invoke", spec.Invoke{Request: one, Op: inc}, 1},
		{"execution", spec.Execution{Position: 1, Request: one, Op: inc, Result: count(1)}, 2},
		{"reply", spec.Reply{Request: one, Result: count(1)}, 3},
		{"invoke", spec.Invoke{Request: look, Read: true}, 3},
		{"withdrawal", spec.Withdrawal{Request: look}, 3},
		{"execution", spec.Execution{Position: 2, Request: two, Op: inc, Result: count(2)}, 4},
		{"restored", spec.Restored{Position: 9}, 19},
		{"restored", spec.Restored{Position: 1}, 3},
	} {
		if _, place := r.read(1, c.kind, c.event); place != c.place {
			t.Errorf("%s %v is at place %d, want %d", c.kind, c.event, place, c.place)
		}
	}
}

func TestWhatIsNoStepIsRefused(t *testing.T) {
	for _, c := range []struct {
		s           specification
		kind, event string
	}{
		{NewRSM(&counter{}), "jump", `{}`},
		{NewRSM(&counter{}), "invoke", `[]`},
		{NewRSM(&counter{}), "execution", `{"position":0}`},
		{NewRSM(&counter{}), "execution", `{"position":9223372036854775808}`},
		{NewRSM(&counter{}), "execution", `{"position":-1}`},
		{NewRSM(&counter{}), "restored", `{"position":18446744073709551615}`},
		{NewLock(3), "execution", `{}`},
		{NewLock(3), "locked", `{"node":1,"epoch":0}`},
		{NewLock(3), "locked", `{"node":1,"epoch":18446744073709551615}`},
	} {
		if step, place, err := c.s.Read(1, c.kind, json.RawMessage(c.event), 0); err == nil {
			t.Errorf("%s %s is %v at place %d", c.kind, c.event, step, place)
		}
	}
}

func TestNodesMayReadUnderOneName(t *testing.T) {
	r := newReader(t, NewRSM(&counter{}))
	r.takes("", 1, "invoke", spec.Invoke{Request: one, Op: inc})
	r.takes("", 1, "invoke", spec.Invoke{Request: look, Read: true})
	r.takes("", 1, "invoke", spec.Invoke{Request: look, Read: true}) // sent again to the same node
	r.takes("", 1, "execution", spec.Execution{Position: 1, Request: one, Op: inc, Result: count(1)})
	r.takes("", 2, "execution", spec.Execution{Position: 1, Request: one, Op: inc, Result: count(1)})
	r.takes("", 2, "invoke", spec.Invoke{Request: look, Read: true})
	r.takes("", 1, "reply", spec.Reply{Request: look, Result: count(0)})
	r.takes(spec.Reads, 2, "reply", spec.Reply{Request: look, Result: count(0)})
}

// TestAReadThatIsAskedAgainIsAnsweredAgain: a client that gets no answer for a while asks the node again, which answers each
// when it may, from what it has executed by then.
func TestAReadThatIsAskedAgainIsAnsweredAgain(t *testing.T) {
	r := newReader(t, NewRSM(&counter{}))
	r.takes("", 1, "invoke", spec.Invoke{Request: one, Op: inc})
	r.takes("", 1, "invoke", spec.Invoke{Request: look, Read: true})
	r.takes("", 1, "invoke", spec.Invoke{Request: look, Read: true})
	r.takes("", 1, "reply", spec.Reply{Request: look, Result: count(0)})
	r.takes("", 1, "execution", spec.Execution{Position: 1, Request: one, Op: inc, Result: count(1)})
	r.takes("", 1, "reply", spec.Reply{Request: look, Result: count(1)})
	r.takes(spec.Origin, 1, "reply", spec.Reply{Request: look, Result: count(1)})
}

func TestARestartedNodeAnswersNoRead(t *testing.T) {
	s := NewRSM(&counter{})
	r := newReader(t, s)
	r.takes("", 1, "invoke", spec.Invoke{Request: look, Read: true})
	r.takes("", 2, "invoke", spec.Invoke{Request: look, Read: true})
	if err := s.Restart(1); err != nil {
		t.Fatal(err)
	}
	r.takes("", 2, "reply", spec.Reply{Request: look, Result: count(0)})
	r.takes(spec.Origin, 1, "reply", spec.Reply{Request: look, Result: count(0)})
}

func TestAWithdrawnReadIsNotAnswered(t *testing.T) {
	r := newReader(t, NewRSM(&counter{}))
	r.takes("", 1, "withdrawal", spec.Withdrawal{Request: look})
	r.takes("", 1, "invoke", spec.Invoke{Request: look, Read: true})
	r.takes("", 1, "withdrawal", spec.Withdrawal{Request: look})
	r.takes(spec.Origin, 1, "reply", spec.Reply{Request: look, Result: count(0)})
}

func TestOnlyWhatIsMissingIsAssumed(t *testing.T) {
	s := NewRSM(&counter{})
	r := newReader(t, s)
	absent := func(rule spec.Rule, node uint64, kind string, event any) any {
		t.Helper()
		step, _ := r.read(node, kind, event)
		err := s.Next(step)
		r.broke(rule, err)
		var b *spec.Broken
		if errors.As(err, &b); !b.Absent {
			t.Fatalf("%v lacks no earlier step", err)
		}
		return step
	}
	asked := absent(spec.Origin, 1, "execution", spec.Execution{Position: 1, Request: one, Op: inc, Result: count(1)})
	if err := s.Assume(asked); err != nil {
		t.Fatal(err)
	}
	r.takes("", 2, "execution", spec.Execution{Position: 1, Request: one, Op: inc, Result: count(1)})
	r.takes(spec.Agreement, 2, "execution", spec.Execution{Position: 1, Request: two, Op: inc, Result: count(1)})
	wrong := absent(spec.Origin, 1, "execution", spec.Execution{Position: 2, Request: two, Op: inc, Result: count(7)})
	r.broke(spec.Result, s.Assume(wrong))
	ahead := absent(spec.Order, 1, "execution", spec.Execution{Position: 5, Request: one, Op: inc, Result: count(5)})
	if err := s.Assume(ahead); err == nil || !strings.Contains(err.Error(), "between position 1 and position 5") {
		t.Errorf("got %v", err)
	}
	restored := absent(spec.Order, 1, "restored", spec.Restored{Position: 5})
	if err := s.Assume(restored); err == nil {
		t.Error("a state that nobody has is assumed")
	}
	answered := absent(spec.Origin, 1, "reply", spec.Reply{Request: spec.Request{Client: 3, Seq: 1}})
	if err := s.Assume(answered); err != nil {
		t.Error(err)
	}
}

func TestLockGoesAround(t *testing.T) {
	l := NewLock(3)
	r := newReader(t, l)
	for epoch := range uint64(5) {
		r.takes("", 1+epoch%3, "locked", spec.Locked{Node: 1 + epoch%3, Epoch: epoch + 1})
	}
	r.takes("", 2, "locked", spec.Locked{Node: 2, Epoch: 2})
	r.takes(spec.OneHolder, 3, "locked", spec.Locked{Node: 3, Epoch: 2})
	r.takes(spec.OneHolder, 1, "locked", spec.Locked{Node: 1, Epoch: 6})
	step, place := r.read(2, "locked", spec.Locked{Node: 2, Epoch: 8})
	if err := l.Next(step); err == nil || place != 8 {
		t.Errorf("epoch 8 follows epoch 5: %v, at place %d", err, place)
	}
	if err := l.Assume(step); err == nil || l.Restart(2) != nil {
		t.Error("holders that nobody knows are assumed")
	}
}
