package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/workload/generator"
)

var plan = history.Workload{Concurrency: 10, Keys: 2, OpsPerKey: 60, Owners: []string{"n1", "n2", "n3", "n4", "n5"}}

func TestFindNamesWhatThereIs(t *testing.T) {
	for _, w := range All() {
		found, err := Find(w.Name)
		if err != nil || found.Name != w.Name || found.Doc == "" {
			t.Errorf("find %s: got %q, error %v", w.Name, found.Name, err)
		}
	}
	_, err := Find("queues")
	if want := `find workload "queues": there is none of that name, choose one of register, append, rw-register, bank, long-fork, predicate, set, counter, queue, log, monotonic, unique-ids, lease, lock, fenced-write, election, shard-ownership, ring, increment`; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

// system is a simulated server that does each operation at once and whole, so
// that every promise holds, unless wrong spoils the answer.
type system struct {
	tenancy
	registers map[string]int
	lists     map[string][]int
	set       []int
	values    map[string]int // of transactions over registers
	balances  map[string]int
	rows      map[string]int
	queue     []int
	logs      map[string][][2]int // of each log the entries, by offset and value
	chains    map[string][][2]int // of each chain the rows, by value and stamp
	counting  bool                // what is added to is a counter
	wrong     func(op generator.Op, n int, answer any) any
	n         int  // operations so far
	turn      int  // questions about a lock so far, or increments
	overdrawn bool // accounts may be below zero
	// One addition in so many is carried out twice, or not at all; 0 for none.
	repeats, loses int
}

func newSystem() *system {
	return &system{tenancy: tenancy{crashes: map[int]int{}, places: map[string]*place{}}, registers: map[string]int{}, lists: map[string][]int{}, values: map[string]int{}, rows: map[string]int{}, logs: map[string][][2]int{}, chains: map[string][][2]int{}}
}

// client takes a random time, in which the operation's effect lies, and loses one
// answer in a hundred.
func (s *system) client(r *rand.Rand, op generator.Op) (time.Duration, generator.End, json.RawMessage) {
	latency := time.Duration(1 + r.IntN(1000))
	answer, ok := s.do(op)
	crashed := r.IntN(100) == 0
	if crashed {
		s.crashes[op.Thread]++
	}
	s.n++
	if s.wrong != nil {
		answer = s.wrong(op, s.n, answer)
	}
	switch {
	case crashed:
		return latency, generator.EndInfo, nil
	}
	value, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	if !ok {
		return latency, generator.EndFail, value
	}
	return latency, generator.EndOK, value
}

func (s *system) do(op generator.Op) (answer any, ok bool) {
	decode := func(into any) {
		if err := json.Unmarshal(op.Value, into); err != nil {
			panic(fmt.Sprintf("%s has value %q: %v", op.F, op.Value, err))
		}
	}
	if s.leased != "" {
		return s.tenancy.do(op)
	}
	switch op.F {
	case "read":
		if v, written := s.registers[op.Key]; written {
			return v, true
		}
		if s.counting {
			return 0, true
		}
		return nil, true
	case "write":
		var v int
		decode(&v)
		s.registers[op.Key] = v
		return v, true
	case "cas":
		var v [2]int
		decode(&v)
		if s.registers[op.Key] != v[0] {
			return nil, false
		}
		s.registers[op.Key] = v[1]
		return v, true
	case "add":
		var v int
		decode(&v)
		if s.counting {
			times := 1
			if s.repeats > 0 && s.n%s.repeats == 0 {
				times = 2
			}
			if s.loses > 0 && s.n%s.loses == 0 {
				times = 0
			}
			s.registers[op.Key] += times * v
			return v, true
		}
		s.set = append(s.set, v)
		return v, true
	case "list":
		return slices.Clone(s.set), true
	case "increment":
		s.turn++
		if s.repeats > 0 && s.n%s.repeats == 0 {
			s.turn++
		}
		return s.turn, true
	case "serve": // of a ring: the lock goes from node to node
		s.turn++
		epoch := s.turn/20 + 1
		if op.Thread%5 != epoch%5 {
			return nil, false
		}
		return map[string]any{"owner": fmt.Sprint("n", op.Thread%5+1), "token": epoch}, true
	case "txn":
		var parts [][]any
		decode(&parts)
		for _, part := range parts {
			key, named := part[1].(string)
			_, there := s.rows[key]
			switch {
			case part[0] == "send":
				part[2] = []int{s.send(key, int(part[2].(float64))), int(part[2].(float64))}
				continue
			case part[0] == "poll":
				part[2] = s.poll(key, part[2])
				continue
			case part[0] == "rp":
				part[2] = s.match(part[1].(map[string]any))
				continue
			case part[0] == "insert":
				s.rows[key] = int(part[2].(float64))
				continue
			case part[0] == "delete" && !there:
				return nil, false // nothing else was written
			case part[0] == "delete":
				delete(s.rows, key)
				continue
			case there:
				part[2] = s.rows[key]
				continue
			case !named:
				panic(part)
			}
			switch value, written := s.values[key]; {
			case part[0] == "append":
				s.lists[key] = append(s.lists[key], int(part[2].(float64)))
			case part[0] == "w":
				s.values[key] = int(part[2].(float64))
			case s.lists[key] != nil:
				part[2] = slices.Clone(s.lists[key])
			case written:
				part[2] = value
			}
		}
		return parts, true
	case "enqueue":
		var v int
		decode(&v)
		s.queue = append(s.queue, v)
		return v, true
	case "dequeue":
		if len(s.queue) == 0 {
			return nil, true
		}
		v := s.queue[0]
		s.queue = s.queue[1:]
		if s.repeats > 0 && s.n%s.repeats == 0 {
			s.queue = append(s.queue, v)
		}
		if s.loses > 0 && s.n%s.loses == 0 {
			return s.do(op)
		}
		return v, true
	case "extend":
		s.turn++
		row := [2]int{len(s.chains[op.Key]) + 1, s.turn}
		s.chains[op.Key] = append(s.chains[op.Key], row)
		return row, true
	case "chain":
		return append([][2]int{}, s.chains[op.Key]...), true
	case "send":
		var v int
		decode(&v)
		return s.send(op.Key, v), true
	case "poll":
		var after any
		decode(&after)
		return s.poll(op.Key, after), true
	case "generate":
		s.turn++
		return s.turn, true
	case "open":
		if s.balances == nil {
			decode(&s.balances)
		}
		return nil, true
	case "transfer":
		var v struct {
			From, To string
			Amount   int
		}
		decode(&v)
		if s.balances[v.From] < v.Amount && !s.overdrawn {
			return nil, false
		}
		s.balances[v.From] -= v.Amount
		s.balances[v.To] += v.Amount
		return nil, true
	case "balances":
		return maps.Clone(s.balances), true
	case "move":
		return nil, true
	}
	panic("no such operation: " + op.F)
}

// send appends to a log, whose offsets have gaps. One in so many is lost.
func (s *system) send(key string, value int) (offset int) {
	log := s.logs[key]
	offset = 3
	if len(log) > 0 {
		offset = log[len(log)-1][0] + 1 + value%2
	}
	if s.loses > 0 && s.n%s.loses == 0 {
		return offset
	}
	s.logs[key] = append(log, [2]int{offset, value})
	if s.repeats > 0 && s.n%s.repeats == 0 {
		s.logs[key] = append(s.logs[key], [2]int{offset + 1, value})
	}
	return offset
}

// poll are the entries of a log behind an offset.
func (s *system) poll(key string, after any) [][2]int {
	from, _ := after.(float64)
	found := [][2]int{}
	for _, e := range s.logs[key] {
		if e[0] > int(from) {
			found = append(found, e)
		}
	}
	return found
}

// match are the rows that match a predicate.
func (s *system) match(p map[string]any) any {
	found := [][]any{}
	for _, key := range slices.Sorted(maps.Keys(s.rows)) {
		group, _, _ := strings.Cut(key, ".")
		if value := s.rows[key]; group == p["group"] && value%int(p["mod"].(float64)) == int(p["rest"].(float64)) {
			found = append(found, []any{key, value})
		}
	}
	return found
}

// simulate runs a workload against a system, final reads included, and pairs what happened.
func simulate(t *testing.T, w Workload, p history.Workload, s *system, seed uint64, operations int) *history.Log {
	t.Helper()
	run := func(g generator.Generator) []generator.Step {
		steps, err := generator.Simulation{Threads: p.Concurrency, Seed: seed, Client: s.client, Operations: operations}.Run(g)
		if err != nil {
			t.Fatal(err)
		}
		return steps
	}
	events := toEvents(run(w.Main(p)))
	var used []string
	for _, ev := range events {
		for _, key := range KeysOf(&ev) {
			if !slices.Contains(used, key) {
				used = append(used, key)
			}
		}
	}
	end := events[len(events)-1].Time
	s.began += end + 1
	highest := 0
	for _, ev := range events {
		highest = max(highest, ev.Process+1)
	}
	for _, ev := range toEvents(run(w.Final(p, used))) {
		ev.Time += end + 1
		ev.Process += highest // the interpreter goes on counting; here a gap does as well
		ev.Index += int64(len(events))
		events = append(events, ev)
	}
	slices.SortStableFunc(events, func(a, b history.Event) int { return int(a.Time - b.Time) })
	log, err := history.Pair(events)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func toEvents(steps []generator.Step) []history.Event {
	var events []history.Event
	for i, s := range steps {
		kind := history.Type(s.End)
		if s.End == "" {
			kind = history.Invoke
		}
		events = append(events, history.Event{Index: int64(i), Time: s.Time, Type: kind, Process: s.Process,
			Node: fmt.Sprint("n", s.Thread%5+1), F: s.F, Key: s.Key, Value: s.Value})
	}
	return events
}

func judge(t *testing.T, w Workload, log *history.Log) map[string]checker.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	results := map[string]checker.Result{}
	for _, c := range w.Checkers(history.Plan{Workload: plan}) {
		results[c.Name()] = c.Check(ctx, log, checker.Budget{})
	}
	return results
}

func TestCorrectSystemIsFoundValid(t *testing.T) {
	for _, w := range All() {
		t.Run(w.Name, func(t *testing.T) {
			seeds := uint64(3)
			if testing.Short() {
				seeds = 1
			}
			for seed := range seeds {
				log := simulate(t, w, plan, systemFor(w), seed, 3000)
				for name, r := range judge(t, w, log) {
					if r.Outcome != checker.Valid {
						t.Errorf("seed %d: checker %s says %s: %s", seed, name, r.Outcome, r.Summary)
					}
				}
			}
		})
	}
}

// Every workload must be able to show the fault that its checker is for; one that
// never asks the right question finds every system valid.
func TestBrokenSystemIsFoundOut(t *testing.T) {
	tests := []struct {
		workload, checker string
		name              string
		wrong             func(op generator.Op, n int, answer any) any
		broken            func(*system)
	}{
		{"register", "linearizable", "a stale read", func(op generator.Op, n int, answer any) any {
			if v, isInt := answer.(int); op.F == "read" && isInt && v > 5 && n > 100 && n < 130 {
				return v - 5
			}
			return answer
		}, nil},
		{"append", "append", "a read that misses the end of a list", func(op generator.Op, n int, answer any) any {
			if parts, isTxn := answer.([][]any); isTxn && n > 500 && n < 530 {
				for _, part := range parts {
					if list, isList := part[2].([]int); isList && part[0] == "r" && len(list) > 10 {
						part[2] = list[:len(list)-8]
					}
				}
			}
			return answer
		}, nil},
		{"rw-register", "rw-register", "an update that was lost", func(op generator.Op, n int, answer any) any {
			if parts, isTxn := answer.([][]any); isTxn && n > 500 && n < 530 {
				for _, part := range parts {
					if value, is := part[2].(int); is && value > 5 {
						part[2] = value - 5
					}
				}
			}
			return answer
		}, nil},
		{"long-fork", "rw-register", "readers that see writes in different orders", func(op generator.Op, n int, answer any) any {
			if parts, isTxn := answer.([][]any); isTxn && len(parts) == forkSize {
				parts[n%forkSize][2] = nil
			}
			return answer
		}, nil},
		{"predicate", "predicate", "a read by predicate that misses a row", func(op generator.Op, n int, answer any) any {
			if parts, isTxn := answer.([][]any); isTxn && n > 500 && n < 530 {
				for _, part := range parts {
					if found, is := part[2].([][]any); is && len(found) > 2 {
						part[2] = found[:len(found)-1]
					}
				}
			}
			return answer
		}, nil},
		{"queue", "total-queue", "elements that come out twice", nil, func(s *system) { s.repeats = 50 }},
		{"queue", "total-queue", "elements that are lost", nil, func(s *system) { s.loses = 5 }},
		{"log", "log", "entries that are lost", nil, func(s *system) { s.loses = 100 }},
		{"log", "log", "entries that are there twice", nil, func(s *system) { s.repeats = 100 }},
		{"log", "log", "a poll that leaves something out", func(op generator.Op, n int, answer any) any {
			if found, is := answer.([][2]int); is && len(found) > 2 && n > 500 && n < 530 {
				return slices.Delete(slices.Clone(found), 1, 2)
			}
			return answer
		}, nil},
		{"monotonic", "monotonic", "a stamp that goes back", func(op generator.Op, n int, answer any) any {
			if row, is := answer.([2]int); is && n == 1000 {
				row[1] -= 50
				return row
			}
			return answer
		}, nil},
		{"unique-ids", "unique-ids", "an identifier for two", func(op generator.Op, n int, answer any) any {
			if id, is := answer.(int); is && n == 1000 {
				return id - 1
			}
			return answer
		}, nil},
		{"bank", "bank", "a transfer that is seen half", func(op generator.Op, n int, answer any) any {
			if balances, is := answer.(map[string]int); is && n > 500 && n < 530 {
				balances["a1"] += 3
			}
			return answer
		}, nil},
		{"bank", "bank", "accounts below zero", nil, func(s *system) { s.overdrawn = true }},
		{"set", "set", "a lost element", func(op generator.Op, n int, answer any) any {
			if list, isList := answer.([]int); isList && len(list) > 50 {
				return slices.Delete(list, 30, 31)
			}
			return answer
		}, nil},
		{"counter", "linearizable", "an addition that is carried out twice", nil, func(s *system) { s.repeats = 100 }},
		{"counter", "linearizable", "an acknowledged addition that is lost", nil, func(s *system) { s.loses = 100 }},
		{"lease", "lease", "leases that end after three quarters of their TTL", nil, func(s *system) { s.ends = 0.75 }},
		{"lease", "lease", "a lease granted to two", nil, func(s *system) { s.doubles = 20 }},
		{"lock", "set", "a lock granted to two, whose sets overwrite each other", nil, func(s *system) { s.doubles = 20 }},
		{"fenced-write", "lease", "a resource that compares no tokens", nil, func(s *system) { s.unfenced = true }},
		{"election", "lease", "an old leader that is heard", nil, func(s *system) { s.unfenced = true }},
		{"election", "lease", "an epoch with two leaders", nil, func(s *system) { s.doubles, s.sameToken = 5, true }},
		{"shard-ownership", "ownership", "an old owner that goes on answering", nil, func(s *system) { s.lingers = 100 }},
		{"increment", "at-least-once", "an increment that is carried out twice", nil, func(s *system) { s.repeats = 100 }},
		{"increment", "at-least-once", "a value for two", func(op generator.Op, n int, answer any) any {
			if value, is := answer.(int); is && n == 1000 {
				return value - 1
			}
			return answer
		}, nil},
		{"ring", "ownership", "two holders in an epoch", func(op generator.Op, n int, answer any) any {
			if grant, is := answer.(map[string]any); is && n > 500 && n < 530 {
				grant["owner"] = fmt.Sprint("n", n%2)
			}
			return answer
		}, nil},
		{"ring", "ownership", "a former holder that goes on to hold", func(op generator.Op, n int, answer any) any {
			if grant, is := answer.(map[string]any); is && n > 500 && n < 530 {
				grant["token"] = grant["token"].(int) - 5
			}
			return answer
		}, nil},
	}
	for _, test := range tests {
		t.Run(test.workload+": "+test.name, func(t *testing.T) {
			w, err := Find(test.workload)
			if err != nil {
				t.Fatal(err)
			}
			broken := systemFor(w)
			broken.wrong = test.wrong
			if test.broken != nil {
				test.broken(broken)
			}
			results := judge(t, w, simulate(t, w, plan, broken, 1, 3000))
			if r := results[test.checker]; r.Outcome != checker.Violation {
				t.Errorf("checker %s says %s: %s", test.checker, r.Outcome, r.Summary)
			}
		})
	}
}

func TestRegisterWritesEachValueOnceAndExpectsWhatMayBe(t *testing.T) {
	w, _ := Find("register")
	log := simulate(t, w, plan, newSystem(), 5, 4000)
	written := map[string]bool{}
	tried, swapped := 0, 0
	perKey := map[string]int{}
	for _, op := range log.Operations {
		if isMove(op) {
			continue
		}
		perKey[op.Key]++
		var value int
		switch op.F {
		case "read":
			continue
		case "cas":
			var pair [2]int
			if err := json.Unmarshal(op.Input, &pair); err != nil {
				t.Fatalf("cas of %s: %v", op.Input, err)
			}
			value = pair[1]
			tried++
			if op.Type == history.OK {
				swapped++
			}
		default:
			if err := json.Unmarshal(op.Input, &value); err != nil {
				t.Fatalf("write of %s: %v", op.Input, err)
			}
		}
		if id := fmt.Sprint(op.Key, "=", value); written[id] {
			t.Fatalf("%s was written twice", id)
		} else {
			written[id] = true
		}
	}
	if swapped < tried/10 {
		t.Errorf("%d of %d compare-and-sets succeeded, too few to test anything", swapped, tried)
	}
	for key, n := range perKey {
		if limit := plan.OpsPerKey + finalTries*plan.Concurrency; n > limit {
			t.Errorf("key %s got %d operations, want at most %d", key, n, limit)
		}
	}
}

func TestCasIgnoresImpossibleReads(t *testing.T) {
	liar := newSystem()
	liar.wrong = func(op generator.Op, n int, answer any) any {
		if op.F == "read" {
			return []any{-7, "x", 1 << 60, 1.5, nil, []int{1}}[n%6]
		}
		return answer
	}
	w, _ := Find("register")
	log := simulate(t, w, plan, liar, 5, 2000) // the system panics on what is not two integers
	for _, op := range log.Operations {
		var pair [2]int
		if op.F == "cas" && (json.Unmarshal(op.Input, &pair) != nil || pair[0] < 1 || pair[0] >= pair[1]) {
			t.Fatalf("cas of %s expects what nobody can have written", op.Input)
		}
	}
}

func TestSetReadsGrowWithTheAdds(t *testing.T) {
	w, _ := Find("set")
	s := newSystem()
	elements := 0
	s.wrong = func(op generator.Op, _ int, answer any) any {
		if list, isList := answer.([]int); isList {
			elements += len(list)
		}
		return answer
	}
	const operations = 10_000
	if _, err := (generator.Simulation{Threads: 10, Client: s.client, Operations: operations}).Run(w.Main(plan)); err != nil {
		t.Fatal(err)
	}
	if most := operations * (listFraction + 1); elements > most {
		t.Errorf("all reads together returned %d elements, want at most %d", elements, most)
	}
	if elements == 0 {
		t.Error("nothing was ever read")
	}
}

func TestSetReadsAreRareEnough(t *testing.T) {
	w, _ := Find("set")
	for _, test := range []struct {
		name string
		rate float64
		slow bool
	}{{"no rate given", 0, true}, {"a rate given", 9000, false}} {
		p := plan
		p.Rate = test.rate
		steps, err := generator.Simulation{Threads: 10, Operations: 800}.Run(w.Main(p))
		if err != nil {
			t.Fatal(err)
		}
		took := time.Duration(steps[len(steps)-1].Time)
		if slow := took > time.Second; slow != test.slow {
			t.Errorf("%s: 800 operations took %s", test.name, took)
		}
	}
}

func TestFinalReadsReachEveryNode(t *testing.T) {
	used := make([]string, 200)
	for i := range used {
		used[i] = keyName(i)
	}
	reads := map[string]int{"register": finalKeys, "append": finalKeys, "rw-register": finalKeys, "predicate": finalKeys, "bank": 1, "set": 1, "counter": finalKeys, "log": finalKeys, "monotonic": finalKeys}
	for _, w := range []Workload{register, appends, rwRegister, predicate, bank, set, counter, logs, monotonic} {
		t.Run(w.Name, func(t *testing.T) {
			steps, err := generator.Simulation{Threads: 10}.Run(w.Final(plan, used))
			if err != nil {
				t.Fatal(err)
			}
			byThread := map[int]int{}
			keys := map[string]bool{}
			for _, s := range toEvents(steps) {
				if s.Type == history.Invoke {
					byThread[s.Process]++
					for _, key := range KeysOf(&s) {
						keys[key] = true
					}
				}
			}
			want := map[int]int{}
			for thread := range 10 {
				want[thread] = reads[w.Name]
			}
			if diff := cmp.Diff(want, byThread); diff != "" {
				t.Errorf("final reads by worker: %s", diff)
			}
			if reads[w.Name] > 1 && !keys[used[len(used)-1]] {
				t.Errorf("the key used last was not read: %v", keys)
			}
		})
	}
}

func TestFinalReadsEndThoughNothingSucceeds(t *testing.T) {
	used := []string{"k0", "k1"}
	fail := func(*rand.Rand, generator.Op) (time.Duration, generator.End, json.RawMessage) {
		return time.Second, generator.EndFail, nil
	}
	for _, w := range []Workload{register, appends, rwRegister, bank, longFork, predicate, set, counter, logs, monotonic} {
		steps, err := generator.Simulation{Threads: 10, Client: fail}.Run(w.Final(plan, used))
		if err != nil {
			t.Fatal(err)
		}
		if end := time.Duration(steps[len(steps)-1].Time); end > finalLimit+time.Second {
			t.Errorf("%s: final reads went on for %s", w.Name, end)
		}
		if n := len(steps) / 2; n > 10*2*finalTries {
			t.Errorf("%s: %d final reads", w.Name, n)
		}
	}
}

func TestFinalReadsOfNothing(t *testing.T) {
	for _, w := range All() {
		steps, err := generator.Simulation{Threads: 3}.Run(w.Final(plan, nil))
		if err != nil || (len(steps) > 0) != slices.Contains([]string{"set", "bank", "queue", "unique-ids"}, w.Name) {
			t.Errorf("%s: %d steps, error %v", w.Name, len(steps), err)
		}
	}
}

func TestKeysOfAnOperation(t *testing.T) {
	tests := []struct {
		name string
		ev   history.Event
		want []string
	}{
		{"its key", history.Event{F: "read", Key: "k3"}, []string{"k3"}},
		{"none", history.Event{F: "add", Value: json.RawMessage("3")}, nil},
		{"those of a transaction, once each", history.Event{F: "txn", Value: json.RawMessage(`[["append","k3",7],["r","k1",null],["r","k3",null]]`)}, []string{"k3", "k1"}},
		{"not those of nonsense", history.Event{F: "txn", Value: json.RawMessage(`[[],["r"],["r",7],3]`)}, nil},
		{"not those of broken JSON", history.Event{F: "txn", Value: json.RawMessage(`[["r","k`)}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, KeysOf(&test.ev)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAppendKeepsItsKeysShort(t *testing.T) {
	w, _ := Find("append")
	p := plan
	p.OpsPerKey = 12
	log := simulate(t, w, p, newSystem(), 2, 1500)
	appended := map[string]int{}
	for _, op := range log.Operations {
		var parts [][]any
		if err := json.Unmarshal(op.Input, &parts); err != nil {
			t.Fatal(err)
		}
		if len(parts) < 1 || len(parts) > maxTxn {
			t.Fatalf("a transaction of %d parts: %s", len(parts), op.Input)
		}
		for _, part := range parts {
			if part[0] == "append" {
				appended[part[1].(string)]++
			}
		}
	}
	if len(appended) < 20 {
		t.Errorf("%d keys were used, want many", len(appended))
	}
	for key, n := range appended {
		if n > p.OpsPerKey {
			t.Errorf("%s was appended to %d times, want at most %d", key, n, p.OpsPerKey)
		}
	}
}

func TestSizesLeftOpenTakeDefaults(t *testing.T) {
	for _, w := range All() {
		steps, err := generator.Simulation{Threads: 4, Operations: 400}.Run(w.Main(history.Workload{Concurrency: 4}))
		if err != nil || len(steps) != 800 {
			t.Errorf("%s with an empty plan: %d steps, error %v", w.Name, len(steps), err)
		}
	}
}

func TestOperationsAreSpelledAsDocumented(t *testing.T) {
	want := map[string][]string{
		"register":        {`cas [`, `read `, `write `},
		"append":          {`txn [["`},
		"rw-register":     {`txn [["r","k`, `txn [["r","k0",null],["w","k0",`},
		"predicate":       {`txn [["insert","g1.0",0],["insert","g1.1",1],`, `txn [["rp",{"group":"g0","mod":2,"rest":`, `txn [["rp",{"group":"g0","mod":1,"rest":0},null]`},
		"queue":           {`enqueue 1`, `dequeue `},
		"unique-ids":      {`generate `},
		"monotonic":       {`extend `, `chain `},
		"log":             {`send 1`, `poll `, `txn [["send","k`, `txn [["poll","k`},
		"bank":            {`open {"a0":10,"a1":10}`, `transfer {"from":"a`, `balances `},
		"long-fork":       {`txn [["w","g1.2",1]]`, `txn [["r","g`},
		"set":             {`add `, `list `},
		"counter":         {`add 1`, `read `},
		"lease":           {`acquire `, `renew {"`, `release {"`, `holder `},
		"lock":            {`acquire `, `add `, `release {"`, `holder `, `list `},
		"fenced-write":    {`acquire `, `add `, `write {"token":`, `release {"`, `holder `, `list `, `read `},
		"shard-ownership": {`serve `, `holder `, `move {"low":`},
		"election":        {`acquire `, `write {"token":`, `release {"`, `holder `, `read `},
	}
	for _, w := range All() {
		seen := map[string]bool{}
		steps, err := generator.Simulation{Threads: 4, Operations: 5000, Client: systemFor(w).client}.Run(w.Main(plan))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			for _, prefix := range want[w.Name] {
				if s.End == "" && strings.HasPrefix(fmt.Sprintf("%s %s", s.F, s.Value), prefix) {
					seen[prefix] = true
				}
			}
		}
		if len(seen) != len(want[w.Name]) {
			t.Errorf("%s: of %q only %v were seen", w.Name, want[w.Name], seen)
		}
	}
}
