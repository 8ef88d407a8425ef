package campaign

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const systemFile = `system: mine
processes: {server: {ports: [7000], command: serve}}
client: {http: {workloads: {register: {read: {get: /}, write: {put: /}}}}}
claims: [{model: linearizable}]
`

const campaignOfFiles = `campaign: nightly
budget: {wall: 1h}
cluster: {nodes: "local:3"}
subjects:
  - {system: systems/mine.yaml}
matrix: {workloads: [register], faults: [none, kill]}
canaries:
  - {name: found, system: ./systems/mine.yaml, workload: register, expect: violation}
`

// A system says how many nodes its runs take where the campaign names none.
func TestRunsTakeTheNodesThatASystemNeeds(t *testing.T) {
	t.Parallel()
	const text = "campaign: c\nbudget: {wall: 1h}\nsubjects: [{system: redis}, {system: paxos}]\nmatrix: {workloads: [register], faults: [none]}\n"
	for nodes, want := range map[string][2]string{"": {"local:1", "local:5"}, "cluster: {nodes: 'local:3'}\n": {"local:3", "local:3"}} {
		f, err := Parse("night.yaml", []byte(text+nodes))
		if err != nil {
			t.Fatal(err)
		}
		c, err := f.Resolve(Choice{Night: "n", Shard: Whole, Names: fakeNames})
		if err != nil {
			t.Fatal(err)
		}
		for _, cell := range c.Cells {
			at := map[string]int{"redis": 0, "paxos": 1}[cell.System]
			if cell.options.Spec != want[at] {
				t.Errorf("%q: %s runs on %s, want %s", nodes, cell.Name, cell.options.Spec, want[at])
			}
		}
	}
}

// Systems of a campaign may be files, from its own directory. Plans hold their text.
func TestSystemsOfACampaignAreFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "systems", "mine.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(systemFile)
	parse := func() (*File, error) { return Parse(filepath.Join(dir, "night.yaml"), []byte(campaignOfFiles)) }
	f, err := parse()
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Resolve(Choice{Night: "n", Shard: Whole, Names: fakeNames})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, cell := range c.Cells {
		names = append(names, cell.Name)
		item, err := cell.item(Item{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if d := item.Plan.System.Definition; d == nil || d.Text != systemFile || d.Dir != filepath.Dir(path) {
			t.Errorf("the plan of %s has the definition %+v", cell.Name, d)
		}
	}
	if got, want := strings.Join(names, " "), "mine/register/none mine/register/kill"; got != want {
		t.Errorf("its cells are %s, want %s", got, want)
	}
	write(strings.Replace(systemFile, "linearizable", "serializable", 1))
	if changed, err := parse(); err != nil || changed.sum == f.sum {
		t.Errorf("with another system it is the same campaign (%v)", err)
	}
	write(strings.Replace(systemFile, "processes", "procesess", 1))
	if _, err := parse(); err == nil || !strings.Contains(err.Error(), `night.yaml:5: `+path+`:2:1: there is no key "procesess" here; did you mean processes?`) {
		t.Errorf("a mistake in it is told as %v", err)
	}
}
