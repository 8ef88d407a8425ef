package workload

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nemesis/history"
	"nemesis/workload/generator"
)

// tenancy is the part of a simulated system that leases things out, in virtual time.
// It knows a client by its worker and how often that has crashed.
type tenancy struct {
	leased  string      // the workload
	began   int64       // the virtual time at which the present generator began
	crashes map[int]int // by worker
	places  map[string]*place
	tokens  int64
	moves   []moved

	// What is wrong with it; the zero value is nothing.
	ends      float64 // the share of its TTL that a lease really lasts, when not 0
	doubles   int     // every so many refusals, an acquire is granted all the same
	sameToken bool    // under the token of the other
	unfenced  bool    // tokens are not compared
	lingers   int     // every so many questions, the owner before the last move answers

	refusals, asked int
}

// place is one resource.
type place struct {
	holder  *history.Grant
	process [2]int
	until   int64 // when the hold ends; renewals move it
	written *history.GuardedWrite
	set     []int64
}

type moved struct {
	history.Move
	epoch int64
}

// systemFor is a system without faults that serves a workload.
func systemFor(w Workload) *system {
	s := newSystem()
	s.counting = w.Name == "counter"
	if w.TTL > 0 || w.Owners {
		s.leased = w.Name
	}
	return s
}

func (s *tenancy) do(op generator.Op) (answer any, ok bool) {
	now := s.began + op.Time
	process := [2]int{op.Thread, s.crashes[op.Thread]}
	if s.leased == "shard-ownership" {
		return s.own(op)
	}
	p := s.places[op.Key]
	if p == nil {
		p = &place{}
		s.places[op.Key] = p
	}
	kept := s.leased != "lease" // in the background, as long as its process lives
	if p.holder != nil && kept && s.crashes[p.process[0]] == p.process[1] {
		p.until = max(p.until, now+1)
	}
	if p.holder != nil && p.until <= now {
		p.holder = nil
	}
	lasts := int64(defaultTTL)
	if s.ends > 0 {
		lasts = int64(s.ends * float64(lasts))
	}
	decode := func(into any) {
		if err := json.Unmarshal(op.Value, into); err != nil {
			panic(err)
		}
	}
	var grant history.Grant
	switch op.F {
	case "acquire":
		if p.holder != nil {
			s.refusals++
			if s.doubles == 0 || s.refusals%s.doubles != 0 {
				return history.Refusal{Held: true, Token: p.holder.Token}, false
			}
		}
		if p.holder == nil || !s.sameToken {
			s.tokens++
		}
		name := fmt.Sprintf("client %d.%d", process[0], process[1])
		p.holder = &history.Grant{Token: s.tokens, TTL: defaultTTL.Milliseconds(), Owner: name}
		p.process, p.until = process, now+lasts
		return *p.holder, true
	case "renew", "release":
		decode(&grant)
		if p.holder == nil || p.holder.Token != grant.Token {
			return history.Refusal{Gone: true}, false
		}
		p.until = now + lasts
		if op.F == "release" {
			p.holder = nil
		}
		return grant, true
	case "holder":
		return p.holder, true
	case "write":
		var w history.GuardedWrite
		decode(&w)
		if p.written != nil && p.written.Token > w.Token && !s.unfenced {
			return history.Refusal{Rejected: true, Token: p.written.Token}, false
		}
		p.written = &w
		return nil, true
	case "read":
		return p.written, true
	case "add":
		var element int64
		decode(&element)
		if p.holder == nil || p.process != process {
			if s.doubles == 0 || len(p.set) == 0 {
				return history.Refusal{Rejected: true}, false
			}
			p.set = p.set[:len(p.set)-1] // it had read the set before the last write
		}
		p.set = append(p.set, element)
		return nil, true
	case "list":
		return append([]int64{}, slices.Clone(p.set)...), true
	}
	panic("no such operation: " + op.F)
}

// own answers for keys: n1 has them all until they are moved.
func (s *tenancy) own(op generator.Op) (answer any, ok bool) {
	if op.F == "move" {
		var m history.Move
		if err := json.Unmarshal(op.Value, &m); err != nil {
			panic(err)
		}
		s.moves = append(s.moves, moved{m, int64(len(s.moves) + 2)})
		return nil, true
	}
	key, err := strconv.ParseUint(op.Key, 10, 64)
	if err != nil {
		panic(err)
	}
	owners := []history.Grant{{Owner: "n1", Token: 1}}
	for _, m := range s.moves {
		if m.Low <= key && (key < m.High || m.High == 0) {
			owners = append(owners, history.Grant{Owner: m.To, Token: m.epoch})
		}
	}
	s.asked++
	owner := owners[len(owners)-1]
	if s.lingers > 0 && s.asked%s.lingers == 0 && len(owners) > 1 {
		owner = owners[len(owners)-2]
	}
	return owner, true
}

func TestContestsContendForLeases(t *testing.T) {
	for _, name := range []string{"lease", "lock", "fenced-write", "election"} {
		t.Run(name, func(t *testing.T) {
			w, err := Find(name)
			if err != nil {
				t.Fatal(err)
			}
			p := history.Workload{Concurrency: 6, Keys: 3}
			log := simulate(t, w, p, systemFor(w), 3, 4000)
			acquired, refused, ok, fail := map[string]int{}, 0, map[string]int{}, map[string]int{}
			for _, o := range log.Operations {
				switch {
				case o.Type == history.OK:
					ok[o.F]++
					if o.F == "acquire" {
						acquired[o.Key]++
					}
				case o.Type == history.Fail:
					fail[o.F]++
					if o.F == "acquire" {
						refused++
					}
				}
			}
			if len(acquired) != 3 {
				t.Errorf("acquired were %v, want three resources", acquired)
			}
			for key, n := range acquired {
				if n < 5 {
					t.Errorf("%s was acquired only %d times", key, n)
				}
			}
			if refused < 50 {
				t.Errorf("only %d acquires were refused: nobody contends", refused)
			}
			if ok["release"] == 0 || name == "lease" && ok["renew"] < 100 {
				t.Errorf("succeeded: %v", ok)
			}
			if (name == "fenced-write" || name == "election") && fail["write"] == 0 {
				t.Error("no old token was ever tried")
			}
		})
	}
}

// A keeper renews so early that a slow renewal does not cost the lease.
func TestRenewalsComeInTime(t *testing.T) {
	w, _ := Find("lease")
	log := simulate(t, w, history.Workload{Concurrency: 9, Keys: 3}, systemFor(w), 8, 6000)
	type holding struct {
		process int
		token   int64
	}
	last := map[holding]int64{}
	gaps := 0
	for _, o := range log.Operations {
		var grant history.Grant
		if o.Type == history.OK && (o.F == "acquire" || o.F == "renew") {
			if err := json.Unmarshal(o.Output, &grant); err != nil {
				t.Fatal(err)
			}
			id := holding{o.Process, grant.Token}
			if before, known := last[id]; known {
				gaps++
				if gap := time.Duration(o.Call - before); gap > defaultTTL/4+time.Millisecond {
					t.Errorf("process %d renewed %d after %s", o.Process, grant.Token, gap)
				}
			}
			last[id] = o.Call
		}
	}
	if gaps < 100 {
		t.Errorf("only %d renewals", gaps)
	}
}

func TestTheSameSeedMakesTheSameContest(t *testing.T) {
	for _, w := range All() {
		if w.TTL == 0 && !w.Owners {
			continue
		}
		run := func(seed uint64) []history.Operation { return simulate(t, w, plan, systemFor(w), seed, 500).Operations }
		first := run(4)
		if !reflect.DeepEqual(first, run(4)) {
			t.Errorf("%s differs from run to run", w.Name)
		}
		if reflect.DeepEqual(first, run(5)) {
			t.Errorf("%s does not depend on the seed", w.Name)
		}
	}
}

func TestFinalReleasesFreeEveryResource(t *testing.T) {
	for _, name := range []string{"lease", "lock", "fenced-write", "election"} {
		t.Run(name, func(t *testing.T) {
			w, _ := Find(name)
			p := history.Workload{Concurrency: 6, Keys: 3}
			s := systemFor(w)
			log := simulate(t, w, p, s, 11, 1000)
			for _, key := range []string{"r0", "r1", "r2"} {
				acquired := false
				for _, o := range log.Operations[len(log.Operations)-60:] {
					acquired = acquired || o.Key == key && o.F == "acquire" && o.Type == history.OK
				}
				if !acquired {
					t.Errorf("%s was not acquired at the end", key)
				}
			}
		})
	}
}

func TestFinalReleasesEndThoughNothingSucceeds(t *testing.T) {
	fail := func(*rand.Rand, generator.Op) (time.Duration, generator.End, json.RawMessage) {
		return time.Second, generator.EndFail, nil
	}
	for _, name := range []string{"lease", "lock", "fenced-write", "election", "shard-ownership"} {
		w, _ := Find(name)
		steps, err := generator.Simulation{Threads: 6, Client: fail, Operations: 100_000}.Run(w.Final(plan, []string{"r0", "r1"}))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if end := time.Duration(steps[len(steps)-1].Time); end > 2*finalLimit+3*defaultTTL+2*time.Second {
			t.Errorf("%s: the end went on for %s", name, end)
		}
	}
}

// What a server says goes into operations only as a grant, whatever it says.
func TestMalformedGrantIsNoHold(t *testing.T) {
	liar := newSystem()
	liar.leased = "lease"
	liar.wrong = func(op generator.Op, n int, answer any) any {
		return []any{"<script>", []int{1}, 7, nil, map[string]any{"token": "x"}, map[string]any{"gone": 3}}[n%6]
	}
	w, _ := Find("lease")
	steps, err := generator.Simulation{Threads: 6, Client: liar.client, Operations: 3000}.Run(w.Main(plan))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if s.End == "" && strings.Contains(string(s.Value), "script") {
			t.Fatalf("%s %s", s.F, s.Value)
		}
	}
}
