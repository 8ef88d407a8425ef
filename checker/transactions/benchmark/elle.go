package benchmark

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	linear "nemesis/checker/linear/scenarios"
	"nemesis/history"
)

// program has Elle judge a history several times, for the first ones warm its machine up, and
// print the milliseconds and the verdict of each.
const program = `
(require '[elle.list-append :as list-append] '[jepsen.history :as history] '[clojure.edn :as edn] '[clojure.java.io :as io])
(let [[file times] *command-line-args*
      ops  (with-open [r (java.io.PushbackReader. (io/reader file))]
             (vec (take-while some? (repeatedly #(edn/read {:eof nil} r)))))
      hist (history/history ops)]
  (dotimes [_ (parse-long times)]
    (let [from (System/nanoTime)
          r    (list-append/check {:consistency-models [:strict-serializable]} hist)]
      (println "elle" (/ (- (System/nanoTime) from) 1e6) (:valid? r) (pr-str (:anomaly-types r)))))
  (shutdown-agents))
`

// warmUp is how often Elle judges a history; the last time counts.
const warmUp = 4

func (c Config) checkElle() error {
	if _, err := exec.LookPath("java"); err != nil {
		return fmt.Errorf("run Elle: there is no java: %w", err)
	}
	if _, err := os.Stat(c.RivalElle); err != nil {
		return fmt.Errorf("run Elle: %w; --rival-elle names a JAR with Clojure and Elle, such as elle-cli's, or a folder of JARs", err)
	}
	return nil
}

// elle has Elle judge a history. It returns the milliseconds of its last time, and what it
// said then.
func elle(ctx context.Context, cfg Config, ops []history.Operation) (ms float64, says string, err error) {
	dir, err := os.MkdirTemp(cfg.Dir, "bench-")
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path, script := filepath.Join(dir, "history.edn"), filepath.Join(dir, "elle.clj")
	if err := os.WriteFile(path, edn(ops), 0o600); err != nil {
		return 0, "", err
	}
	if err := os.WriteFile(script, []byte(program), 0o600); err != nil {
		return 0, "", err
	}
	classes := cfg.RivalElle
	if info, err := os.Stat(classes); err == nil && info.IsDir() {
		classes = filepath.Join(classes, "*")
	}
	cmd := exec.CommandContext(ctx, "java", "-cp", classes, "clojure.main", script, path, strconv.Itoa(warmUp))
	var trouble bytes.Buffer
	cmd.Stderr = &trouble
	output, err := cmd.Output()
	if err != nil {
		return 0, "", fmt.Errorf("run Elle: %w: %s", err, history.Quote(bytes.TrimSpace(trouble.Bytes())))
	}
	for line := range strings.Lines(string(output)) {
		if rest, is := strings.CutPrefix(line, "elle "); is {
			number, verdict, _ := strings.Cut(strings.TrimSpace(rest), " ")
			if ms, err = strconv.ParseFloat(number, 64); err != nil {
				return 0, "", fmt.Errorf("run Elle: it says %s where milliseconds belong", history.Quote([]byte(number)))
			}
			says = verdict
		}
	}
	if ms == 0 {
		return 0, "", fmt.Errorf("run Elle: it says nothing about the history, but %s", history.Quote(output))
	}
	return ms, says, nil
}

// edn is a history as Elle reads it.
func edn(ops []history.Operation) []byte {
	var b bytes.Buffer
	for i, ev := range linear.Events(ops) {
		fmt.Fprintf(&b, "{:index %d, :time %d, :type :%s, :process %d, :f :txn, :value ", i, ev.Time, ev.Type, ev.Process)
		writeEDN(&b, ev.Value)
		b.WriteString("}\n")
	}
	return b.Bytes()
}

// writeEDN writes a transaction of whole numbers and plain texts.
func writeEDN(b *bytes.Buffer, value []byte) {
	b.WriteByte('[')
	_ = history.EachMicroOp(value, func(m history.MicroOp) error { // it was written here
		list := m.Value
		if history.IsNull(list) {
			list = []byte("nil")
		}
		fmt.Fprintf(b, "[:%s %s %s]", m.F, m.Key, bytes.ReplaceAll(list, []byte(","), []byte(" ")))
		return nil
	})
	b.WriteByte(']')
}
