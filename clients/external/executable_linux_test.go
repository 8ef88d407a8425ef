package external

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nemesis/history"
)

// executableIn writes a shell script and runs it as an operation.
func executableIn(t *testing.T, script string, timeout time.Duration) (done struct {
	history.Type
	Value, Error string
	Cause        history.Cause
}, e *Executables) {
	t.Helper()
	e = &Executables{Dir: t.TempDir(), Env: []string{"NEMESIS_NODES=n1=127.0.0.1"}}
	if err := os.WriteFile(filepath.Join(e.Dir, "parallel_driver_x"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c := e.Open("n1").Invoke(ctx, history.Event{F: history.FRun, Key: "parallel_driver_x"})
	done.Type, done.Value, done.Error, done.Cause = c.Type, string(c.Value), c.Error, c.Cause
	return done, e
}

func TestHowAnExecutableEndsDecidesWhatIsRecorded(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		kind   history.Type
		want   string
	}{
		"well":             {"echo $NEMESIS_NODE $NEMESIS_NODES; exit 0", history.OK, `{"exit":0,"said":"n1 n1=127.0.0.1"}`},
		"with a finding":   {"echo one; echo 3 lost >&2; exit 7", history.OK, `{"exit":7,"said":"one / 3 lost"}`},
		"without knowing":  {"echo no server; exit 75", history.Info, "exit status 75: no server"},
		"by a signal":      {"kill -9 $$", history.Info, "signal: killed"},
		"with much output": {"head -c 100000000 /dev/zero; echo; echo end; exit 0", history.OK, `end"}`},
	} {
		done, _ := executableIn(t, test.script, time.Minute)
		if done.Type != test.kind || !strings.Contains(done.Value+done.Error, test.want) || len(done.Value)+len(done.Error) > 20_000 {
			t.Errorf("%s: %+.300v", name, done)
		}
	}
}

// One that does not end is ended with all that it started, and does not keep its client.
func TestAnExecutableThatDoesNotEndIsEnded(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	for name, script := range map[string]string{
		"itself":         "echo $$ > " + pids + "; exec sleep 1000",
		"its children":   "sleep 1000 & echo $! > " + pids + "; wait",
		"what it left":   "sleep 1000 & echo $! > " + pids + "; exit 0",
		"deaf to TERM":   "trap '' TERM INT HUP; echo $$ > " + pids + "; while :; do sleep 1; done",
		"left unpiped":   "sleep 1000 >/dev/null 2>&1 & echo $! > " + pids + "; exit 0",
		"forks for ever": "(while :; do sleep 0.05 & wait; done) & echo $! > " + pids + "; wait",
	} {
		began := time.Now()
		done, e := executableIn(t, script, 500*time.Millisecond)
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
		if want := history.Info; !strings.Contains(script, "exit 0") && (done.Type != want || !strings.Contains(done.Error, "it had not ended in its time, and was ended")) {
			t.Errorf("%s: %+v", name, done)
		}
		text, err := os.ReadFile(pids)
		if err != nil {
			continue // it had no time to say it
		}
		pid := strings.TrimSpace(string(text))
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			state, err := os.ReadFile("/proc/" + pid + "/stat")
			if err != nil || strings.Contains(string(state), ") Z ") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s still runs: %s", name, pid, state)
			}
		}
		if len(e.Log()) == 0 {
			t.Errorf("%s: nothing was logged", name)
		}
		os.Remove(pids)
	}
}

func TestAnExecutableThatCannotBeStartedIsOurOwnTrouble(t *testing.T) {
	e := &Executables{Dir: t.TempDir()}
	c := e.Open("n1").Invoke(context.Background(), history.Event{F: history.FRun, Key: "parallel_driver_x"})
	if c.Type != history.Fail || c.Cause != history.ControlSide {
		t.Errorf("%+v", c)
	}
	if c = e.Open("n1").Invoke(context.Background(), history.Event{F: history.FRun, Key: "../x"}); c.Type != history.Fail {
		t.Errorf("%+v", c)
	}
}
