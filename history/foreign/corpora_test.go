package foreign

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nemesis/history"
)

// corpus is a folder of histories that others recorded. It is no part of this
// repository: NEMESIS_CORPORA names it, by default shared/corpora beside it.
func corpus(t *testing.T, name string) []string {
	t.Helper()
	root := os.Getenv("NEMESIS_CORPORA")
	if root == "" {
		root = "../../../shared/corpora"
	}
	paths, err := filepath.Glob(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Skipf("the corpora are not here (no %s below %s); set NEMESIS_CORPORA to their folder", name, root)
	}
	return paths
}

// count tallies what was read.
type count struct{ files, operations, ok, fail, info, keyed int }

func tally(t *testing.T, paths []string, format Format) count {
	var n count
	for _, path := range paths {
		h, err := Load(t.Context(), path, Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		if h.Format != format {
			t.Errorf("%s was recognised as %s, not as %s", path, h.Format, format)
		}
		log := h.Log
		n.files++
		for _, o := range log.Operations {
			n.operations++
			switch o.Type {
			case history.OK:
				n.ok++
			case history.Fail:
				n.fail++
			case history.Info:
				n.info++
			}
			if o.Key != "" {
				n.keyed++
			}
		}
	}
	return n
}

// The counts are those of the lines of each file, counted with another tool.
func TestForeignHistoriesAreReadWhole(t *testing.T) {
	for _, c := range []struct {
		name   string
		files  string
		format Format
		want   count
	}{
		{"Porcupine's etcd logs", "porcupine-etcd/etcd_*.log", JepsenLog, count{files: 102, operations: 8523, ok: 5475, fail: 1765, info: 1283}},
		{"Porcupine's key-value stores", "porcupine-kv/*.txt", PorcupineKV, count{files: 6, operations: 4574, ok: 4574, keyed: 4574}},
		{"Knossos' registers", "knossos-cas/*.edn", JepsenEDN, count{files: 60, operations: 11532, ok: 5914, fail: 5248, info: 370}},
		{"a counter", "jepsen/counter.edn", JepsenEDN, count{files: 1, operations: 287, ok: 287}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := tally(t, corpus(t, c.files), c.format); got != c.want {
				t.Errorf("read %+v, want %+v", got, c.want)
			}
		})
	}

	// Invocations have a key here, the answer of the read has none.
	_, err := Load(t.Context(), corpus(t, "jepsen/set_full.edn")[0], Options{})
	if err == nil || !strings.Contains(err.Error(), "line 587: ") || !strings.HasSuffix(err.Error(), "say so with --keys no") {
		t.Errorf("a history that is half keyed: %v", err)
	}
}
