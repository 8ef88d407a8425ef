package campaign

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nemesis/history"
	"nemesis/run"
)

const wholeFile = `campaign: nightly
budget: {wall: 3h, run: 4m, memory: 4GiB, per-cell: 2, parallel: 2}
seeds: {base: night, replay-days: 30}
cluster: {nodes: "local:3"}
subjects:
  - {system: etcd, versions: [v3.5.7, v3.6.5]}
matrix:
  workloads: [register, lease]
  faults: [none, "kill,partition"]
run: {time-limit: 20s}
rules:
  - {workload: lease, faults: kill, weight: 4, run: {ttl: 6s}}
  - {version: v3.5.7, workload: lease, exclude: "3.5 has issue 15247"}
canaries:
  - {name: clean, system: etcd, workload: register, expect: valid}
known:
  - {finding: etcd/lease/early-expiry, issue: "#12", until: 2027-03-01}
`

func TestErrorsInACampaignFileNameTheirLines(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ old, new, says string }{
		"unknown key":              {"budget: {wall: 3h,", "budget: {wal: 3h,", `nightly.yaml:2: there is no key "wal" here`},
		"unknown key at the top":   {"seeds:", "seed:", `nightly.yaml:3: there is no key "seed" here`},
		"unknown setting":          {"run: {time-limit: 20s}", "run: {timelimit: 20s}", `nightly.yaml:10: there is no key "timelimit" here`},
		"key twice":                {"seeds:", "budget: {wall: 1h}\nseeds:", `nightly.yaml:3: the key "budget" is there twice, first in line 2`},
		"not a duration":           {"wall: 3h", "wall: long", "nightly.yaml:2: `long` is not of the kind that belongs here"},
		"no budget":                {"wall: 3h, ", "", "nightly.yaml:2: budget.wall says how long the night may last"},
		"no name":                  {"campaign: nightly", "campaign: a/b", "nightly.yaml:1: campaign needs a name"},
		"not a share":              {"known:", "floors: {ok: 300%}\nknown:", `nightly.yaml:16: "300%" is not a share`},
		"two documents":            {"known:", "---\nknown:", "more than one document"},
		"quarantine without issue": {`issue: "#12", `, "", "nightly.yaml:17: a known finding needs an issue and a last day"},
		"quarantine without end":   {", until: 2027-03-01", "", "nightly.yaml:17: a known finding needs an issue and a last day"},
		"remote nodes in parallel": {"local:3", "root@10.0.0.1", "nightly.yaml:2: runs on the same remote nodes cannot go on at once"},
		"remote canary":            {"expect: valid}", "expect: valid, nodes: \"root@10.0.0.1\"}", "nightly.yaml:2: runs on the same remote nodes cannot go on at once"},
		"empty entry":              {"known:", "  -\nknown:", "nightly.yaml:16: an entry of a list is empty"},
		"nothing":                  {wholeFile, "# soon\n", "nightly.yaml: it says nothing"},
		"a list":                   {wholeFile, "[soon]\n", "nightly.yaml:1: this is not of the kind that belongs here"},
		"not a day":                {"2027-03-01", "soon", `nightly.yaml: "soon" is not a day such as 2027-03-01`},
		"negative floor":           {"known:", "floors: {operations: -1}\nknown:", "floors.operations and floors.evidence cannot be negative"},
		"no number of a weight":    {"weight: 4", "weight: .nan", "nightly.yaml:12: a weight is a number from 0.001 to 1000"},
		"no number of deviations":  {"known:", "trend: {mad: .nan}\nknown:", "a mad above 0"},
		"unknown fault":            {`"kill,partition"`, "meteor", `"meteor"`},
		"unknown workload":         {"[register, lease]", "[register, lease, teapot]", `etcd@v3.5.7/teapot/none: find workload "teapot"`},
		"unknown system":           {"system: etcd, versions", "system: etdc, versions", `"etdc" is not one of etcd`},
		"impossible fault":         {"run: {ttl: 6s}", "run: {ttl: 6s, fault-target: one, clock-change: \"wall:+1s\"}", "nightly.yaml:6: etcd@v3.6.5/lease/partition+kill"},
		"hold that does not fit":   {"run: {ttl: 6s}", "run: {ttl: 6s, fault-hold: 60s}", "does not fit into a run of 20s"},
		"duplicate cell":           {`[none, "kill,partition"]`, `[none, "kill,partition", "partition,kill"]`, "the cell etcd@v3.5.7/register/partition+kill is there twice, first at nightly.yaml:"},
		"version twice":            {"[v3.5.7, v3.6.5]", "[v3.6.5, v3.6.5]", "the cell etcd@v3.6.5/register/none is there twice"},
		"rule that fits nothing":   {"workload: lease, faults: kill,", "workload: lease, faults: pause,", "nightly.yaml:12: this rule fits no cell"},
		"canary that expects luck": {"expect: valid", "expect: vacuous", `nightly.yaml:15: expect is violation or valid, not "vacuous"`},
		"canary twice":             {"known:", "  - {name: clean, system: etcd, workload: register, expect: valid}\nknown:", "the canary clean is there twice"},
		"no time for the rest":     {"run: 4m", "run: 20s", "its time-limit of 20s leaves nothing of budget.run"},
		"size that is none":        {"memory: 4GiB", "memory: plenty", `nightly.yaml:2: "plenty" is not a size`},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(wholeFile, tc.old, tc.new, 1)
			if text == wholeFile {
				t.Fatal("the mistake was not made")
			}
			file, err := Parse("nightly.yaml", []byte(text))
			if err == nil {
				_, err = file.Resolve(Choice{Night: "n", Shard: Whole, Names: fakeNames})
			}
			var usage *run.UsageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("says %v, want a usage error with %q", err, tc.says)
			}
		})
	}
}

func TestFileIsResolvedIntoCells(t *testing.T) {
	t.Parallel()
	file, err := Parse("nightly.yaml", []byte(wholeFile))
	if err != nil {
		t.Fatal(err)
	}
	c, err := file.Resolve(Choice{Night: "n", Shard: Whole, Names: fakeNames})
	if err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	if err := c.Table(&told); err != nil {
		t.Fatal(err)
	}
	want := `kind      cell                               weight  expected  shard  what
canary    canary/clean                       1       35s       1      must be valid, up to 1 run
search    etcd@v3.5.7/register/none           1       35s       1      2 seeds
`
	for _, line := range strings.Split(strings.TrimSpace(want), "\n") {
		if !strings.Contains(squeeze(told.String()), squeeze(line)) {
			t.Errorf("the table lacks %q:\n%s", line, told.String())
		}
	}
	for _, says := range []string{"search etcd@v3.6.5/lease/partition+kill 4 35s 1 8 seeds", "left out etcd@v3.5.7/lease/none 3.5 has issue 15247", "the budget is 3h0m0s"} {
		if !strings.Contains(squeeze(told.String()), says) {
			t.Errorf("the table lacks %q:\n%s", says, told.String())
		}
	}
}

// The file allows two local runs at once; on remote nodes they would break each other's network.
func TestRemoteNodesGetOneRunAtATime(t *testing.T) {
	t.Parallel()
	file, err := Parse("nightly.yaml", []byte(wholeFile))
	if err != nil {
		t.Fatal(err)
	}
	if got := file.OnNodes("root@10.0.0.1").Budget.Parallel; got != 1 {
		t.Errorf("%d runs at once", got)
	}
	if got := file.OnNodes("local:7").Budget.Parallel; got != 2 {
		t.Errorf("%d runs at once on local nodes", got)
	}
}

// What is waited for takes as much longer as the nodes are slower, but what the file gives.
func TestSlowNodesAreWaitedForInCampaignsToo(t *testing.T) {
	t.Parallel()
	text := strings.Replace(wholeFile, "run: {", "run: {slow-nodes: 5, fault-interval: 7s, ", 1)
	file, err := Parse("nightly.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c, err := file.Resolve(Choice{Night: "n", Shard: Whole, Names: fakeNames})
	if err != nil {
		t.Fatal(err)
	}
	q := c.queue()
	it, _, err := q.next()
	if err != nil {
		t.Fatal(err)
	}
	plan := it.Plan
	if plan.System.Options["election"] != "5s" || plan.OpTimeout != history.Duration(25*time.Second) || plan.FaultInterval != history.Duration(7*time.Second) {
		t.Errorf("servers wait %s for a leader, clients %s for an answer, faults come each %s", plan.System.Options["election"], plan.OpTimeout, plan.FaultInterval)
	}
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestSubjectReplacesTheFilesVersions(t *testing.T) {
	t.Parallel()
	file, err := Parse("nightly.yaml", []byte(strings.Replace(wholeFile, `  - {version: v3.5.7, workload: lease, exclude: "3.5 has issue 15247"}`, "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := file.Resolve(Choice{Night: "n", Shard: Whole, Names: fakeNames, Subject: "etcd@v3.4.37"})
	if err != nil {
		t.Fatal(err)
	}
	for _, cell := range c.Cells {
		if cell.Version != "v3.4.37" {
			t.Errorf("%s is not of the subject", cell.Name)
		}
	}
	if _, err := file.Resolve(Choice{Night: "n", Shard: Whole, Names: fakeNames, Subject: "redis@7"}); err == nil || !strings.Contains(err.Error(), `no subject of the system "redis"`) {
		t.Errorf("took a subject that the file does not know: %v", err)
	}
}

// Whatever the number of shards, every cell belongs to one, and all shards together run
// the items that a single one does.
func TestShardsAreAPartition(t *testing.T) {
	file, err := Parse("nightly.yaml", []byte(wholeFile))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		of := rapid.IntRange(1, 9).Draw(t, "shards")
		night := rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "night")
		items := func(s Shard) map[string]bool {
			c, err := file.Resolve(Choice{Night: night, Shard: s, Names: fakeNames})
			if err != nil {
				t.Fatal(err)
			}
			ids := map[string]bool{}
			for q := c.queue(); ; {
				it, _, err := q.next()
				if err != nil {
					return ids
				}
				ids[it.ID()] = true
			}
		}
		joined := map[string]bool{}
		total := 0
		for i := range of {
			part := items(Shard{i + 1, of})
			total += len(part)
			for id := range part {
				joined[id] = true
			}
		}
		if diff := cmp.Diff(items(Whole), joined); diff != "" || total != len(joined) {
			t.Fatalf("%d items in parts, %d different ones: %s", total, len(joined), diff)
		}
	})
}

func TestCellWeightsAreHonouredFromTheFirstSeed(t *testing.T) {
	t.Parallel()
	file, err := Parse("nightly.yaml", []byte(strings.Replace(wholeFile, "per-cell: 2", "per-cell: 0", 1)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := file.Resolve(Choice{Night: "n", Shard: Whole, Names: fakeNames})
	if err != nil {
		t.Fatal(err)
	}
	q := c.queue()
	given := map[string]int{}
	for i := range 90 {
		it, _, err := q.next()
		if err != nil {
			t.Fatal(err)
		}
		given[it.Cell]++
		if i == len(c.Cells)-1 && len(given) != len(c.Cells) {
			t.Errorf("the first round left out cells: %v", given)
		}
	}
	if heavy, light := given["etcd@v3.6.5/lease/partition+kill"], given["etcd@v3.6.5/lease/none"]; heavy != 4*light {
		t.Errorf("weight 4 got %d seeds, weight 1 got %d", heavy, light)
	}
}
