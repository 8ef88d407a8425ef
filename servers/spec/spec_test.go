package spec

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

// counter is the simplest application: every operation adds one.
type counter struct{ n uint64 }

func (c *counter) Apply([]byte) []byte { c.n++; return c.Query(nil) }
func (c *counter) Query([]byte) []byte { return binary.BigEndian.AppendUint64(nil, c.n) }

func value(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

type step struct {
	event  any
	breaks string // the rule, or "" if the step is allowed
}

type specification interface{ Next(any) error }

// follow takes the steps, the last of which may break a rule.
func follow(t *testing.T, s specification, steps []step) {
	t.Helper()
	for i, step := range steps {
		err := s.Next(step.event)
		switch {
		case step.breaks == "" && err != nil:
			t.Fatalf("step %d %+v: %v", i, step.event, err)
		case step.breaks != "" && (err == nil || !strings.HasPrefix(err.Error(), step.breaks+": ")):
			t.Fatalf("step %d %+v: got %v, want a break of %q", i, step.event, err, step.breaks)
		}
	}
}

func TestRSMRules(t *testing.T) {
	a, b, r := Request{1, 1}, Request{2, 1}, Request{3, 1}
	inc, read := []byte("inc"), []byte("read")
	invokeA, invokeB := Invoke{Request: a, Op: inc}, Invoke{Request: b, Op: inc}
	first := Execution{1, a, inc, value(1)}
	second := Execution{2, b, inc, value(2)}
	for name, steps := range map[string][]step{
		"two increments and their answers":                 {{invokeA, ""}, {invokeB, ""}, {first, ""}, {Reply{a, value(1)}, ""}, {second, ""}, {Reply{b, value(2)}, ""}},
		"another replica follows":                          {{invokeA, ""}, {first, ""}, {first, ""}, {Reply{a, value(1)}, ""}, {Reply{a, value(1)}, ""}},
		"executed again":                                   {{invokeA, ""}, {first, ""}, {Execution{2, a, inc, value(2)}, "exactly once"}},
		"executed and never made":                          {{first, "origin"}},
		"another operation executed than made":             {{invokeA, ""}, {Execution{1, a, read, value(1)}, "origin"}},
		"replicas execute different requests":              {{invokeA, ""}, {invokeB, ""}, {first, ""}, {Execution{1, b, inc, value(1)}, "agreement"}},
		"replicas get different results":                   {{invokeA, ""}, {first, ""}, {Execution{1, a, inc, value(7)}, "agreement"}},
		"a position left out":                              {{invokeA, ""}, {Execution{2, a, inc, value(1)}, "order"}},
		"a position 0":                                     {{invokeA, ""}, {Execution{0, a, inc, value(1)}, "order"}},
		"a wrong result":                                   {{invokeA, ""}, {Execution{1, a, inc, value(2)}, "result"}},
		"answered before it is executed":                   {{invokeA, ""}, {Reply{a, value(1)}, "answers"}},
		"answered with another's result":                   {{invokeA, ""}, {invokeB, ""}, {first, ""}, {second, ""}, {Reply{a, value(2)}, "answers"}},
		"answered and never made":                          {{Reply{a, value(1)}, "origin"}},
		"sent again":                                       {{invokeA, ""}, {invokeA, ""}, {first, ""}, {invokeA, ""}},
		"another request of the same name":                 {{invokeA, ""}, {Invoke{Request: a, Op: read}, "identity"}},
		"a read of the name of a request":                  {{invokeA, ""}, {Invoke{a, inc, true}, "identity"}},
		"a replica restored to what was executed":          {{invokeA, ""}, {first, ""}, {Restored{1}, ""}, {Restored{0}, ""}},
		"a replica restored to what nobody executed":       {{invokeA, ""}, {first, ""}, {Restored{2}, "order"}},
		"a read withdrawn and answered":                    {{Invoke{r, read, true}, ""}, {Withdrawal{r}, ""}, {Reply{r, value(0)}, "origin"}},
		"a request withdrawn and executed":                 {{invokeA, ""}, {Withdrawal{a}, ""}, {first, ""}, {Reply{a, value(1)}, ""}},
		"a read of a state since it was made":              {{invokeA, ""}, {Invoke{r, read, true}, ""}, {first, ""}, {Reply{r, value(0)}, ""}},
		"a read of the newest state":                       {{invokeA, ""}, {Invoke{r, read, true}, ""}, {first, ""}, {Reply{r, value(1)}, ""}},
		"a stale read":                                     {{invokeA, ""}, {first, ""}, {Invoke{r, read, true}, ""}, {Reply{r, value(0)}, "reads"}},
		"a read of the future":                             {{Invoke{r, read, true}, ""}, {Reply{r, value(1)}, "reads"}},
		"a read executed":                                  {{Invoke{r, read, true}, ""}, {Execution{1, r, read, value(1)}, "origin"}},
		"a read answered again with a state after its end": {{invokeA, ""}, {Invoke{r, read, true}, ""}, {Reply{r, value(0)}, ""}, {first, ""}, {Reply{r, value(1)}, "reads"}},
	} {
		t.Run(name, func(t *testing.T) { follow(t, &RSM{App: &counter{}}, steps) })
	}
}

func TestRSMWithDuplicatesRules(t *testing.T) {
	a := Request{1, 1}
	inc := []byte("inc")
	made := step{Invoke{Request: a, Op: inc}, ""}
	twice := []step{made, {Execution{1, a, inc, value(1)}, ""}, {Execution{2, a, inc, value(2)}, ""}}
	for name, steps := range map[string][]step{
		"answered by the first execution":  append(twice[:3:3], step{Reply{a, value(1)}, ""}),
		"answered by the second execution": append(twice[:3:3], step{Reply{a, value(2)}, ""}),
		"answered by none":                 append(twice[:3:3], step{Reply{a, value(3)}, "answers"}),
		"executed and never made":          {{Execution{1, a, inc, value(1)}, "origin"}},
	} {
		t.Run(name, func(t *testing.T) { follow(t, &RSM{App: &counter{}, Duplicates: true}, steps) })
	}
}

func TestShardsRules(t *testing.T) {
	const ms = time.Millisecond
	all := KeyRange{}
	grant := func(holder, epoch uint64, at, until time.Duration) Grant {
		return Grant{Range: all, Holder: holder, Epoch: epoch, At: at * ms, Until: until * ms}
	}
	seq := uint64(0)
	serve := func(node, epoch uint64, at time.Duration, kind, key, value string) Serve {
		seq++
		return Serve{Request: Request{1, seq}, Node: node, Epoch: epoch, At: at * ms, Kind: kind, Key: key, Value: []byte(value)}
	}
	get := func(node, epoch uint64, at time.Duration, key, result string) Serve {
		s := serve(node, epoch, at, "get", key, "")
		s.Found, s.Result = result != "", []byte(result)
		return s
	}
	cas := func(expect []byte, value string, done bool) Serve {
		s := serve(1, 1, 5, "cas", "k", value)
		s.Expect, s.Found = expect, done
		return s
	}
	again := serve(1, 1, 5, "set", "k", "v")
	found := serve(1, 1, 6, "delete", "k", "")
	found.Found = true
	first := step{grant(1, 1, 0, 100), ""}
	inherited := again
	inherited.Node, inherited.Epoch, inherited.At, inherited.Inherited = 2, 2, 120*ms, true
	otherwise := inherited
	otherwise.Found = true
	for name, steps := range map[string][]step{
		"set, append, get, delete, get": {first, {serve(1, 1, 5, "set", "k", "v"), ""}, {serve(1, 1, 5, "append", "k", "w"), ""},
			{get(1, 1, 6, "k", "vw"), ""}, {found, ""}, {get(1, 1, 7, "k", ""), ""}},
		"compare and set":                  {first, {cas(nil, "a", true), ""}, {cas(nil, "b", false), ""}, {cas([]byte("a"), "b", true), ""}, {get(1, 1, 6, "k", "b"), ""}},
		"compare and set done wrongly":     {first, {cas([]byte("a"), "b", true), "one map"}},
		"delete of nothing that finds":     {first, {found, "one map"}},
		"a lost write":                     {first, {serve(1, 1, 5, "set", "k", "v"), ""}, {get(1, 1, 6, "k", ""), "one map"}},
		"executed twice":                   {first, {again, ""}, {again, "exactly once"}},
		"inherited, executed before":       {first, {again, ""}, {grant(2, 2, 111, 200), ""}, {inherited, ""}, {get(2, 2, 120, "k", "v"), ""}},
		"inherited, takes effect now":      {first, {grant(2, 2, 111, 200), ""}, {get(2, 2, 115, "k", ""), ""}, {inherited, ""}, {get(2, 2, 120, "k", "v"), ""}},
		"inherited with another outcome":   {first, {again, ""}, {grant(2, 2, 111, 200), ""}, {otherwise, "exactly once"}},
		"inherited by nobody's grant":      {first, {inherited, "holding"}},
		"served by nobody's grant":         {{get(1, 1, 6, "k", ""), "holding"}},
		"served under an old epoch":        {first, {grant(2, 2, 111, 200), ""}, {get(1, 1, 80, "k", ""), "holding"}},
		"served by another node":           {first, {get(2, 1, 6, "k", ""), "holding"}},
		"served to the end less the error": {first, {get(1, 1, 89, "k", ""), ""}},
		"served within the error":          {first, {get(1, 1, 90, "k", ""), "lease"}},
		"granted after the end and error":  {first, {grant(2, 2, 111, 200), ""}, {get(2, 2, 120, "k", ""), ""}},
		"granted within the error":         {first, {grant(2, 2, 110, 200), "one holder"}},
		"renewed":                          {first, {grant(1, 1, 50, 200), ""}, {get(1, 1, 150, "k", ""), ""}},
		"epoch given again":                {first, {grant(2, 1, 111, 200), "epochs grow"}},
		"given up and granted at once": {first, {serve(1, 1, 5, "set", "k", "v"), ""}, {Release{Range: all, Holder: 1, Epoch: 1}, ""}, {grant(2, 2, 6, 200), ""},
			{get(2, 2, 7, "k", "v"), ""}},
		"served after it was given up":   {first, {Release{Range: all, Holder: 1, Epoch: 1}, ""}, {get(1, 1, 6, "k", ""), "lease"}},
		"given up by another":            {first, {Release{Range: all, Holder: 2, Epoch: 1}, "holding"}},
		"half given up, other half kept": {first, {Release{Range: KeyRange{"m", ""}, Holder: 1, Epoch: 1}, ""}, {get(1, 1, 6, "k", ""), ""}, {get(1, 1, 6, "m", ""), "lease"}},
		"a range in the middle moves": {first, {Release{Range: KeyRange{"g", "m"}, Holder: 1, Epoch: 1}, ""}, {Grant{Range: KeyRange{"g", "m"}, Holder: 2, Epoch: 2, At: 5 * ms, Until: 100 * ms}, ""},
			{get(1, 1, 6, "f", ""), ""}, {get(2, 2, 6, "g", ""), ""}, {get(1, 1, 6, "m", ""), ""}, {get(1, 1, 6, "l", ""), "holding"}},
	} {
		t.Run(name, func(t *testing.T) { follow(t, &Shards{ClockError: 10 * ms}, steps) })
	}
}

func TestLockRules(t *testing.T) {
	for name, steps := range map[string][]step{
		"around the ring":      {{Locked{1, 1}, ""}, {Locked{2, 2}, ""}, {Locked{3, 3}, ""}, {Locked{1, 4}, ""}},
		"announced again":      {{Locked{1, 1}, ""}, {Locked{2, 2}, ""}, {Locked{1, 1}, ""}},
		"two in an epoch":      {{Locked{1, 1}, ""}, {Locked{2, 2}, ""}, {Locked{3, 2}, "one holder"}},
		"an epoch left out":    {{Locked{1, 1}, ""}, {Locked{3, 3}, "succession"}},
		"epoch 0":              {{Locked{1, 0}, "succession"}},
		"not the first's turn": {{Locked{2, 1}, "one holder"}},
	} {
		t.Run(name, func(t *testing.T) { follow(t, &Lock{Ring: []uint64{1, 2, 3}}, steps) })
	}
}

func TestStepsOfOtherSpecificationsAreRefused(t *testing.T) {
	for _, s := range []specification{&RSM{App: &counter{}}, &Shards{}, &Lock{Ring: []uint64{1}}} {
		if err := s.Next(42); err == nil {
			t.Errorf("%T took 42 for a step", s)
		}
	}
	if err := (&Shards{grants: []Grant{{Holder: 1, Epoch: 1, Until: 1}}}).Next(Serve{Node: 1, Epoch: 1, Kind: "flush"}); err == nil {
		t.Error("an operation that a store does not have was served")
	}
}

func TestLivenessOwesFromHealOn(t *testing.T) {
	l := Liveness{Bound: 10 * time.Second}
	a, b := Request{1, 1}, Request{2, 1}
	l.Invoke(a, time.Second)
	if late := l.Overdue(time.Hour); late != nil {
		t.Fatalf("owed while nothing is healed: %v", late)
	}
	l.Heal(20 * time.Second)
	l.Invoke(b, 25*time.Second)
	l.Invoke(b, 29*time.Second) // resent
	if late := l.Overdue(30 * time.Second); late != nil {
		t.Fatalf("owed before the bound: %v", late)
	}
	if late := l.Overdue(30*time.Second + 1); len(late) != 1 || late[0] != a {
		t.Fatalf("overdue is %v, want the request that waited for the heal", late)
	}
	if late := l.Overdue(35*time.Second + 1); len(late) != 2 || late[1] != b {
		t.Fatalf("overdue is %v, want both", late)
	}
	l.Answer(a)
	if late := l.Overdue(35*time.Second + 1); len(late) != 1 || l.Pending() != 1 {
		t.Fatalf("overdue is %v with %d pending, want the one not answered", late, l.Pending())
	}
	l.Break()
	if late := l.Overdue(time.Hour); late != nil {
		t.Fatalf("owed after the conditions broke: %v", late)
	}
}
