package reports

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/checker/stats"
	"nemesis/history"
)

// The fixtures are five runs that a reader must be able to tell apart in ten
// seconds: a stale read, a lost element, a valid run, a run that proves nothing,
// and a broken harness. Their histories are simulated from a seed.

const second = int64(time.Second)

func plan(faults ...string) history.Plan {
	return history.Plan{
		Schema: history.PlanSchema, Seed: 7,
		System:    history.System{Name: "etcd", Version: "v3.6.9", Options: map[string]string{"reads": "serializable"}},
		Cluster:   history.Cluster{Spec: "local:5", Nodes: []string{"n1", "n2", "n3", "n4", "n5"}},
		Workload:  history.Workload{Name: "register", Concurrency: 10, Keys: 2, OpsPerKey: 150},
		TimeLimit: history.Duration(30 * time.Second), OpTimeout: history.Duration(5 * time.Second),
		Faults: faults, FaultInterval: history.Duration(5 * time.Second),
		CheckerTime: history.Duration(time.Minute), CheckerMemory: 1 << 30,
	}
}

func fault(id int, kind, shape, target string, from, to float64, confirmed bool, evidence string, nodes ...string) checker.Fault {
	return checker.Fault{
		Step: history.Step{ID: id, Kind: kind, Shape: shape, Target: target, Nodes: nodes,
			At: history.Duration(from * 1e9), Hold: history.Duration((to - from) * 1e9)},
		Nodes: nodes, Injected: int64(from * 1e9), Healed: int64(to * 1e9), Confirmed: confirmed, Recovered: true,
		Evidence: evidence, Spread: 3_200_000,
	}
}

func faults() []checker.Fault {
	return []checker.Fault{
		fault(1, "partition", "one", "leader", 4, 9, true, "412 packets dropped from n3; connect n1 → n3:2380 timed out after 500 ms", "n3"),
		fault(2, "kill", "", "one", 12, 16, true, "process 4711 gone; restarted as 4802", "n1"),
		fault(3, "pause", "", "minority", 19, 23, true, "state T in /proc for 4.0 s on both", "n2", "n5"),
		fault(4, "partition", "halves", "one", 25, 27.5, false, "0 packets dropped", "n4"),
	}
}

// simulate makes a run in which clients of a node that a fault holds wait in vain.
func simulate(t testing.TB, plan history.Plan, faults []checker.Fault, length int64, operations int) *history.Log {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(plan.Seed), 1))
	log := &history.Log{}
	held := func(node string, at int64) bool {
		for _, f := range faults {
			if f.Confirmed && at >= f.Injected && at < f.Healed {
				for _, n := range f.Nodes {
					if n == node {
						return true
					}
				}
			}
		}
		return false
	}
	clock := make([]int64, plan.Workload.Concurrency)
	process := make([]int, len(clock))
	for i := range clock {
		clock[i], process[i] = rng.Int64N(int64(4e6)), i
	}
	think := 2.4 * float64(length) * float64(len(clock)) / float64(operations)
	for len(log.Operations) < operations {
		client := 0
		for i := range clock {
			if clock[i] < clock[client] {
				client = i
			}
		}
		if clock[client] >= length {
			break
		}
		node := plan.Cluster.Nodes[client%len(plan.Cluster.Nodes)]
		op := history.Operation{
			Index: int64(2 * len(log.Operations)), Completion: int64(2*len(log.Operations) + 1), Process: process[client], Node: node,
			Key: fmt.Sprintf("k%d", len(log.Operations)/300), Call: clock[client], Type: history.OK,
		}
		took := int64(1.5e6 * math.Exp(rng.NormFloat64()*0.6))
		v := rng.IntN(40)
		switch rng.IntN(5) {
		case 0, 1:
			op.F, op.Input = "write", json.RawMessage(fmt.Sprint(v))
		case 2:
			op.F, op.Input = "cas", json.RawMessage(fmt.Sprintf("[%d,%d]", v, v+1))
			if rng.IntN(3) > 0 {
				op.Type, op.Error = history.Fail, "compare failed"
			}
		default:
			op.F, op.Output = "read", json.RawMessage(fmt.Sprint(v))
		}
		if held(node, op.Call) {
			if op.F == "read" {
				took, op.Type, op.Error, op.Output = int64(1e9)+rng.Int64N(1e9), history.Fail, "etcdserver: request timed out", nil
			} else {
				took, op.Type, op.Error = int64(2e9), history.Info, "context deadline exceeded"
				process[client] += len(clock)
			}
		}
		op.End = op.Call + took
		op.Return = op.End
		if op.Type == history.Info {
			op.Return = history.Never
		}
		log.Operations = append(log.Operations, op)
		log.End = max(log.End, op.End)
		clock[client] = op.End + int64(think*rng.Float64())
	}
	log.Events = append(log.Events, history.Event{Type: history.PhaseChange, Message: "workload"},
		history.Event{Type: history.LeaderChange, Time: second / 10, Node: "n3"},
		history.Event{Type: history.LeaderChange, Time: 5 * second, Node: "n1"},
		history.Event{Type: history.LeaderChange, Time: 12 * second, Node: ""},
		history.Event{Type: history.ServerExit, Time: 12 * second, Node: "n1", Exit: &history.Exit{Server: "etcd", PID: 4711, Code: -1, Signal: "killed", Expected: true}},
		history.Event{Type: history.LeaderChange, Time: 13*second + 200e6, Node: "n4"},
		history.Event{Type: history.PhaseChange, Time: 28 * second, Message: "settle"},
		history.Event{Type: history.PhaseChange, Time: 29 * second, Message: "final reads"},
	)
	for _, f := range faults {
		for stage, at := range map[history.Stage]int64{history.Inject: f.Injected, history.Active: f.Injected + 4e6, history.Heal: f.Healed, history.Healed: f.Healed + 10e6} {
			log.Events = append(log.Events, history.Event{Type: history.FaultChange, Time: at, Fault: &history.Fault{ID: f.Step.ID, Kind: f.Step.Kind, Shape: f.Step.Shape, Stage: stage, Nodes: f.Nodes, Confirmed: f.Confirmed}})
		}
	}
	for at := int64(0); at < length; at += second {
		for i, n := range plan.Cluster.Nodes {
			rtt := int64(2e5) + rng.Int64N(3e5)
			off := int64(i)*400_000 + at/int64(len(plan.Cluster.Nodes)*2000)
			log.Events = append(log.Events, history.Event{Type: history.ClockReading, Time: at, Node: n,
				Clock: &history.ClockSample{WallLow: off - rtt/2, WallHigh: off + rtt/2, MonoLow: -rtt / 2, MonoHigh: rtt / 2, RTT: rtt}})
		}
	}
	sort.SliceStable(log.Events, func(i, j int) bool { return log.Events[i].Time < log.Events[j].Time })
	return log
}

func operation(process int, node, f string, input, output any, call, end float64, kind history.Type) history.Operation {
	op := history.Operation{Process: process, Node: node, F: f, Key: "k17", Type: kind, Call: int64(call * 1e9), End: int64(end * 1e9), Return: int64(end * 1e9)}
	if input != nil {
		op.Input, _ = json.Marshal(input)
	}
	if output != nil {
		op.Output, _ = json.Marshal(output)
	}
	if kind == history.Info {
		op.Return, op.Error = history.Never, "context deadline exceeded"
	}
	return op
}

func staleRead() checker.Anomaly {
	core := []history.Operation{
		operation(3, "n1", "write", 7, nil, 3.611, 3.614, history.OK),
		operation(14, "n4", "cas", []int{7, 8}, nil, 4.100, 6.100, history.Info),
		operation(5, "n1", "write", 9, nil, 5.402, 5.409, history.OK),
		operation(8, "n5", "read", nil, 9, 5.612, 5.616, history.OK),
		operation(12, "n3", "read", nil, 7, 7.203, 7.2049, history.OK),
	}
	var around []history.Operation
	for i := 0; i < 40; i++ {
		at := 3.6 + float64(i)*0.09
		around = append(around, operation(20+i, "n1", "read", nil, 9, at, at+0.02+float64(i%5)*.03, []history.Type{history.OK, history.OK, history.Fail, history.OK, history.Info}[i%5]))
	}
	return checker.Anomaly{
		Class: "non-linearizable", Key: "k17", Count: 4, Unexplained: 4, Core: core, State: "9", Around: around,
		Sentence: "Client 12 read 7 from k17 at 7.203 s, although client 5's write of 9 had been acknowledged 1.8 s earlier and nothing wrote 7 again.",
		Rule:     "Every operation on a register takes effect at one moment between its call and its return.",
		Proof: []checker.ProofStep{
			{Text: "write(7) by client 3 returned at 3.614 s; it is the only write of 7.", Core: []int{0}},
			{Text: "write(9) by client 5 began at 5.402 s, so after step 1, and returned at 5.409 s.", Core: []int{0, 2}},
			{Text: "The read by client 8 returned 9 at 5.616 s, so 9 was the state by then.", Core: []int{3}},
			{Text: "cas(7 → 8) by client 14 may have happened or not; either way it does not write 7.", Core: []int{1}},
			{Text: "The read of 7 by client 12 began at 7.203 s, after all of these: 7 was gone.", Core: []int{4}},
		},
	}
}

func lostElement() checker.Anomaly {
	return checker.Anomaly{
		Class: "lost-element", Count: 23, Unexplained: 1, State: "{1, 2, …, 4710}",
		Sentence: "Client 4's add of 4711 was acknowledged at 18.120 s, and 14 reads that began afterwards, from every node, did not contain it.",
		Rule:     "An acknowledged element is in every read that begins after its acknowledgement.",
		Core: []history.Operation{
			{Process: 4, Node: "n2", F: "add", Type: history.OK, Input: json.RawMessage("4711"), Call: 18_118_000_000, Return: 18_120_000_000, End: 18_120_000_000},
			{Process: 61, Node: "n2", F: "list", Type: history.OK, Output: json.RawMessage("[1,2,3,4,5,6,7,8,9,10,11,12]"), Call: 29_500_000_000, Return: 29_530_000_000, End: 29_530_000_000},
		},
		Proof: []checker.ProofStep{{Text: "The add returned ok at 18.120 s.", Core: []int{0}}, {Text: "The final read began at 29.500 s and lacks 4711.", Core: []int{1}}},
	}
}

// claim is what the runs are held to: more than is documented.
func claim() history.Claim {
	return history.Claim{Model: history.Linearizable, Origin: history.AskedFor, Documented: history.LinearizableWrites, Sources: []history.Source{{
		Sentence: "Serializable reads are served by the local member and may be stale; all other operations are linearizable.",
		Address:  "https://docs.example/reads",
	}}}
}

func verdict(outcome checker.Outcome, sentence string) checker.Verdict {
	return checker.Verdict{
		Schema: checker.VerdictSchema, Outcome: outcome, Sentence: sentence, Claim: claim(),
		OK: 2710, Fail: 280, Info: 10, Start: "2026-01-02T15:04:05Z", Version: "v0.1.0", Host: "laptop",
	}
}

// fixture is one of the runs; log false leaves out the history, as goldens of text do not need it.
func fixture(t testing.TB, name string, log bool) *Run {
	t.Helper()
	switch name {
	case "lease", "lock", "exceeded":
		return leaseFixture(t, name, log)
	}
	r := &Run{Dir: "store/etcd-register/20260102T150405.000Z", Plan: plan("partition", "kill", "pause")}
	fs := faults()
	for _, f := range fs {
		r.Plan.Schedule = append(r.Plan.Schedule, f.Step)
	}
	check := checker.Result{Checker: "linearizable", Outcome: checker.Valid, Summary: "2,990 operations on 10 keys have an order that explains them", Operations: 2990, Took: 412_000_000}
	switch name {
	case "stale-read":
		f := staleRead()
		r.Verdict = verdict(checker.Violation, f.Sentence)
		check.Outcome, check.Summary, check.Anomalies = checker.Violation, "4 of 10 keys cannot be explained", []checker.Anomaly{f}
		r.Verdict.Reasons = []string{"1 of 4 faults showed no evidence"}
	case "lost-element":
		f := lostElement()
		r.Plan.Workload.Name = "set"
		r.Verdict = verdict(checker.Violation, f.Sentence)
		check = checker.Result{Checker: "set", Outcome: checker.Violation, Summary: "23 of 1,204 acknowledged elements were lost", Anomalies: []checker.Anomaly{f}, Operations: 2990, Took: 80_000_000}
	case "valid":
		f := staleRead()
		f.Breaks = []history.Model{history.Linearizable}
		check.Allowed = []checker.Anomaly{f}
		r.Verdict = verdict(checker.Valid, "No violation found in 3,000 operations under 3 confirmed faults (1 kill, 1 partition, 1 pause); 1 more unconfirmed.")
		r.Verdict.Claim.Model, r.Verdict.Claim.Origin, r.Verdict.Claim.Documented = history.LinearizableWrites, history.Documented, ""
		r.Verdict.Assumptions = []checker.Assumption{{Name: "fsync", Text: "A disk keeps what was synced to it."}, {Name: "clocks", Text: "Clocks are within 500 ms of each other."}}
	case "vacuous":
		r.Plan.RequireFaults = true
		for i := range fs {
			fs[i].Confirmed, fs[i].Evidence = false, "0 packets dropped"
		}
		fs[3].Injected, fs[3].Healed, fs[3].Recovered, fs[3].Error = -1, -1, false, "no leader was known for 2 s"
		r.Verdict = verdict(checker.Vacuous, "The run proves nothing: required fault 1 (partition) showed no evidence that it acted.")
		r.Verdict.Reasons = []string{"required fault 1 (partition) showed no evidence that it acted", "required fault 4 (partition) failed: no leader was known for 2 s"}
	case "harness":
		fs = nil
		r.Verdict = verdict(checker.Harness, "The harness failed: start etcd on n2: exit status 1 after 0.3 s: bind: address already in use.")
		r.Verdict.OK, r.Verdict.Fail, r.Verdict.Info = 0, 0, 0
		r.Verdict.Reasons = []string{"start etcd on n2: exit status 1 after 0.3 s: bind: address already in use"}
		return r
	default:
		t.Fatalf("no fixture %q", name)
	}
	r.Verdict.Faults = fs
	r.Verdict.Results = []checker.Result{check}
	if log {
		r.Log = simulate(t, r.Plan, fs, 30*second, 3000)
		v := &r.Verdict
		v.OK, v.Fail, v.Info = 0, 0, 0
		for _, op := range r.Log.Operations {
			switch op.Type {
			case history.OK:
				v.OK++
			case history.Fail:
				v.Fail++
			default:
				v.Info++
			}
		}
		for _, c := range []checker.Checker{stats.Stats(), stats.Availability()} {
			r.Verdict.Results = append(r.Verdict.Results, c.Check(context.Background(), r.Log, checker.Budget{}))
		}
	}
	return r
}

// logs gives a run files such as a server leaves.
func logs(t testing.TB, r *Run, text string) {
	t.Helper()
	dir := t.TempDir()
	for _, node := range r.Plan.Cluster.Nodes {
		path := filepath.Join(dir, node+".log")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		r.Files = append(r.Files, LogFile{Node: node, Name: "etcd.log", Path: path})
	}
}

func serverLog() string {
	var s []byte
	start := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	for i := 0; i < 300; i++ {
		s = fmt.Appendf(s, "{\"level\":\"warn\",\"ts\":%q,\"caller\":\"rafthttp/peer.go:%d\",\"msg\":\"dropped internal Raft message since sending buffer is full\"}\n", start.Add(time.Duration(i)*100*time.Millisecond).Format("2006-01-02T15:04:05.000000Z"), i)
	}
	return string(s)
}
