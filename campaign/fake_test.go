package campaign

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"nemesis/nodes/local/localtest"
)

// The tests of this package start a nemesis that is none, testdata/nemesis.

const (
	fakeVariable     = "NEMESIS_FAKE"
	worldVariable    = "NEMESIS_FAKE_WORLD"
	campaignVariable = "NEMESIS_FAKE_CAMPAIGN"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(campaignVariable); file != "" {
		os.Unsetenv(campaignVariable)
		os.Exit(campaignMain(file))
	}
	localtest.WaitTogether()
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// built is the fake nemesis, made once.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// fakeNemesis is its path.
func fakeNemesis(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "nemesis-campaign-"); built.err != nil {
			return
		}
		if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(built.dir, "nemesis"), "./testdata/nemesis").CombinedOutput(); err != nil {
			built.err = errors.New(string(out))
		}
	})
	if built.err != nil {
		t.Fatalf("build the fake nemesis: %v", built.err)
	}
	return filepath.Join(built.dir, "nemesis")
}

// fakeNames stands for --nodes.
func fakeNames(spec string) ([]string, error) {
	if spec == "" {
		return nil, fmt.Errorf("there are no nodes")
	}
	return []string{"n1", "n2", "n3"}, nil
}

// night is a campaign on fake runs.
type night struct {
	t       *testing.T
	yaml    string
	out     string
	archive string
	fake    string
	world   string
	choice  Choice
	config  Config
}

// smallNight is a night of one system, three workloads and two kinds of faults, with a
// canary in each direction.
const smallNight = `
campaign: small
budget: {wall: 1h, run: 30s, per-cell: 2}
subjects: [{system: etcd, versions: [v3.6.5]}]
matrix:
  workloads: [register, set, append]
  faults: [none, "partition,kill"]
run: {time-limit: 20s}
repeat: 2
canaries:
  - {name: stale, system: etcd, set: {reads: serializable}, workload: register, faults: partition, expect: violation, finds: etcd/linear/stale-read}
  - {name: clean, system: etcd, workload: register, expect: valid}
`

func newNight(t *testing.T, yaml string) *night {
	return &night{t: t, yaml: yaml, out: filepath.Join(t.TempDir(), "out"),
		choice: Choice{Night: "n1", Shard: Whole, Names: fakeNames, Now: time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)}}
}

func (n *night) resolve() *Campaign {
	n.t.Helper()
	file, err := Parse("nightly.yaml", []byte(n.yaml))
	if err != nil {
		n.t.Fatal(err)
	}
	if n.choice.Archive, err = OpenArchive(n.archive); err != nil {
		n.t.Fatal(err)
	}
	c, err := file.Resolve(n.choice)
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

func (n *night) run() Night {
	n.t.Helper()
	cfg := n.config
	cfg.Out, cfg.Archive, cfg.Executable = n.out, n.archive, fakeNemesis(n.t)
	cfg.Env = append(cfg.Env, fakeVariable+"="+n.fake, worldVariable+"="+n.world)
	if cfg.Grace == 0 {
		cfg.Grace = time.Second
	}
	said, err := Run(n.t.Context(), n.resolve(), cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	return said
}

// results are those on disk.
func (n *night) results() []Result {
	n.t.Helper()
	_, results, err := ReadResults(n.out)
	if err != nil {
		n.t.Fatal(err)
	}
	return inOrder(results)
}
