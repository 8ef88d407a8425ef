package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"nemesis/checker"
	"nemesis/history"
)

// checked runs `nemesis check` as a process and returns what it said, as one line, its exit
// status, and the most memory that it had at once, in bytes.
func checked(t *testing.T, args ...string) (said string, code int, most int64) {
	t.Helper()
	text, code, most := watched(t, invocation(t, append([]string{"check"}, args...)...))
	// Lines are as wide as a terminal; what is said is looked for as one.
	return strings.Join(strings.Fields(text), " "), code, most
}

// watched runs a command to its end, which it fails the test for not coming to, and returns
// its output, its exit status, -1 if a signal ended it, and the most memory that it had at
// once, in bytes.
func watched(t *testing.T, cmd *exec.Cmd) (text string, code int, most int64) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var late atomic.Bool
	defer time.AfterFunc(5*time.Minute, func() {
		late.Store(true)
		cmd.Process.Kill()
	}).Stop()
	// What the kernel tells of a child that has ended counts the memory of its parent too,
	// which it had until its exec, so that is only an upper bound.
	ended := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			most = max(most, peak(cmd.Process.Pid))
			select {
			case <-ended:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	err := cmd.Wait()
	close(ended)
	watching.Wait()
	if most == 0 { // it was too short to be looked at
		most = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if late.Load() {
		t.Fatalf("%s does not end:\n%s", cmd, out.String())
	}
	return out.String(), cmd.ProcessState.ExitCode(), most
}

// peak is the most memory that a process has had at once since its exec, in bytes; 0 when
// it has ended.
func peak(pid int) (bytes int64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	kilobytes := int64(0)
	if _, err := fmt.Sscanf(after, "%d kB", &kilobytes); err != nil {
		return 0
	}
	return kilobytes << 10
}

// writeFrames writes a history of so many frames; each call of frame makes the lines of one.
func writeFrames(t *testing.T, path string, count int, frame func(i int) []byte) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	for i := range count {
		if _, err := f.Write(enc.EncodeAll(frame(i), nil)); err != nil {
			t.Fatal(err)
		}
	}
}

// Of the checks below: what they may use, and the most that they may take. Beside the budget
// there are one frame, packed and unpacked, and the program.
const (
	smallBudget = 64 << 20 // bytes
	mostMemory  = 2*smallBudget + 64<<20
)

func TestCheckKeepsToItsMemoryWhateverTheHistoryHolds(t *testing.T) {
	t.Parallel()
	plan := strings.Replace(rightPlan, "1073741824", fmt.Sprint(smallBudget), 1)
	large := strings.Repeat("a", 12<<20)
	for name, history := range map[string]func(path string){
		"eighty values of 12 MiB": func(path string) {
			writeFrames(t, path, 80, func(i int) []byte {
				return fmt.Appendf(nil, `{"index":%d,"time":%d,"type":"invoke","process":%d,"node":"n1","f":"write","key":"k","value":"%s"}`+"\n", i, i, i, large)
			})
		},
		"two million notes": func(path string) {
			writeFrames(t, path, 80, func(i int) []byte {
				var lines []byte
				for n := range 25_000 {
					lines = fmt.Appendf(lines, `{"index":%d,"time":1,"type":"note"}`+"\n", i*25_000+n)
				}
				return lines
			})
		},
		"processes without end": func(path string) {
			writeFrames(t, path, 40, func(i int) []byte {
				var lines []byte
				for n := range 25_000 {
					n += i * 25_000
					lines = fmt.Appendf(lines, `{"index":%d,"time":1,"type":"invoke","process":%d,"f":"read","key":"k"}`+"\n", n, n)
				}
				return lines
			})
		},
		"faults of many numbers": func(path string) {
			numbers := strings.Repeat("{},", 250_000) + "{}"
			writeFrames(t, path, 20, func(i int) []byte {
				return fmt.Appendf(nil, `{"index":%d,"time":1,"type":"fault","process":0,"fault":{"id":1,"effects":[{"evidence":{"measures":[%s]}}]}}`+"\n", i, numbers)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := writePlan(t, plan)
			history(dir.Path("history.jsonl.zst"))
			said, code, most := checked(t, string(dir))
			if code != checker.Unknown.ExitCode() || !strings.Contains(said, "takes more than the 64 MiB that may be used") {
				t.Errorf("exit status %d:\n%s", code, said)
			}
			t.Logf("%d MiB at most", most>>20)
			if most > mostMemory {
				t.Errorf("it took %d MiB, with a budget of %d MiB", most>>20, smallBudget>>20)
			}
		})
	}
}

// What another tester recorded is read within --checker-memory too, however well it packs.
func TestCheckOfOtherTestersKeepsToItsMemory(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		format, model string
		frames        int
		frame         func(i int) []byte
	}{
		"events without end": {"jepsen-edn", "set", 20, func(i int) (lines []byte) {
			for n := range 25_000 {
				lines = fmt.Appendf(lines, "{:process %d, :type :invoke, :f :add, :value 1}\n{:process %d, :type :ok, :f :add, :value 1}\n", n%5, n%5)
			}
			return lines
		}},
		"processes without end": {"jepsen-json", "set", 20, func(i int) (lines []byte) {
			for n := range 25_000 {
				lines = fmt.Appendf(lines, `{"process": %d, "type": "invoke", "f": "add", "value": 1}`+"\n", i*25_000+n)
			}
			return lines
		}},
		"lines without end": {"jepsen-log", "set", 20, func(i int) (lines []byte) {
			for n := range 25_000 {
				lines = fmt.Appendf(lines, "%d\t:invoke\t:add\t1\n%d\t:ok\t:add\t1\n", n%5, n%5)
			}
			return lines
		}},
		"drains of many elements": {"jepsen-edn", "queue", 20, func(i int) (lines []byte) {
			return fmt.Appendf(nil, "{:process 0, :type :invoke, :f :drain}\n{:process 0, :type :ok, :f :drain, :value [%s]}\n", strings.Repeat("1 ", 250_000))
		}},
		"values that pack well": {"porcupine-kv", "kv", 200, func(i int) (lines []byte) {
			return fmt.Appendf(nil, "{:process %d, :type :invoke, :f :put, :key \"k\", :value \"%s\"}\n", i, strings.Repeat("a", 1<<19))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/history"
			writeFrames(t, path, tc.frames, tc.frame)
			said, code, most := checked(t, "--format", tc.format, "--model", tc.model, "--checker-memory", fmt.Sprint(smallBudget), path)
			if code != checker.Unknown.ExitCode() || !strings.Contains(said, "it takes more than the 64 MiB that may be used") {
				t.Errorf("exit status %d:\n%s", code, said)
			}
			if most > mostMemory {
				t.Errorf("it took %d MiB, with a budget of %d MiB", most>>20, smallBudget>>20)
			}
		})
	}
	t.Run("one event beyond it", func(t *testing.T) {
		path := written(t, "history.edn", "{:process 0, :type :invoke, :f :add, :value ["+strings.Repeat("1 ", 2<<20))
		said, code, most := checked(t, "--checker-memory", fmt.Sprint(smallBudget), path)
		if code != usageCode || !strings.Contains(said, "line 1: one event is longer than 1024 KiB, for which there is not enough memory; give more with --checker-memory") || most > mostMemory {
			t.Errorf("exit status %d, %d MiB:\n%s", code, most>>20, said)
		}
	})
	t.Run("a pipe", func(t *testing.T) {
		path := t.TempDir() + "/history.edn"
		if err := pipe(path); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{path}, {"--format", "jepsen-edn", path}} {
			if said, code, _ := checked(t, args...); code != usageCode || !strings.Contains(said, "history.edn is not a regular file; name a file") {
				t.Errorf("exit status %d:\n%s", code, said)
			}
		}
	})
}

func TestNothingButRegularFilesOfASensibleSizeIsRead(t *testing.T) {
	for name, tc := range map[string]struct {
		make func(dir history.Dir) error
		code int
		says string
	}{
		"a plan of 1 GiB":       {func(d history.Dir) error { return os.Truncate(d.Path(history.PlanFile), 1<<30) }, usageCode, "plan.json is larger than 64 MiB"},
		"a plan that is a pipe": {func(d history.Dir) error { return pipe(d.Path(history.PlanFile)) }, usageCode, "plan.json is not a regular file"},
		"a history that is a pipe": {func(d history.Dir) error { return pipe(d.Path(history.HistoryFile)) }, checker.Harness.ExitCode(),
			"history.jsonl.zst is not a regular file"},
		"a history that is a device": {func(d history.Dir) error { return os.Symlink("/dev/zero", d.Path(history.HistoryFile)) }, checker.Harness.ExitCode(),
			"history.jsonl.zst is not a regular file"},
		"a verdict that is a pipe": {func(d history.Dir) error {
			writeFrames(t, d.Path(history.HistoryFile), 1, func(int) []byte { return []byte(`{"index":0,"time":1,"type":"note"}` + "\n") })
			return pipe(d.Path(history.VerdictFile))
		}, checker.Harness.ExitCode(), "the history stops before the run ended"},
		"a history of 4 TB with nothing behind its first frame": {func(d history.Dir) error {
			writeFrames(t, d.Path(history.HistoryFile), 1, func(int) []byte {
				return []byte(`{"index":0,"time":1,"type":"invoke","process":1,"f":"read","key":"k"}` + "\n" + `{"index":1,"time":2,"type":"ok","process":1,"f":"read","key":"k"}` + "\n")
			})
			return os.Truncate(d.Path(history.HistoryFile), 4<<40)
		}, checker.Harness.ExitCode(), "history ends torn"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := writePlan(t, rightPlan)
			if err := tc.make(dir); err != nil {
				t.Fatal(err)
			}
			said, code, most := checked(t, string(dir))
			if code != tc.code || !strings.Contains(said, tc.says) || strings.Contains(said, "panic") {
				t.Errorf("exit status %d, want %d and %q:\n%s", code, tc.code, tc.says, said)
			}
			if most > 512<<20 {
				t.Errorf("it took %d MiB", most>>20)
			}
		})
	}
}

// A run directory may be somebody else's: a link in the place of what a check writes, or of
// what it might write first, leads nowhere.
func TestCheckFollowsNoLinkOfARunDirectory(t *testing.T) {
	dir := writePlan(t, rightPlan)
	writeFrames(t, dir.Path(history.HistoryFile), 1, func(int) []byte { return []byte(`{"index":0,"time":1,"type":"note"}` + "\n") })
	victim := history.Dir(t.TempDir()).Path("victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	written := []string{history.VerdictFile, history.ReportFile, history.JUnitFile}
	for _, name := range written {
		for _, at := range []string{name, name + ".tmp"} {
			if err := os.Symlink(victim, dir.Path(at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if said, code, _ := checked(t, string(dir)); code != checker.Harness.ExitCode() {
		t.Fatalf("exit status %d:\n%s", code, said)
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "mine" {
		t.Errorf("a link was followed: %q, %v", text, err)
	}
	for _, name := range written {
		if info, err := os.Lstat(dir.Path(name)); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s was not written in the place of the link: %v", name, err)
		}
	}
}

// pipe puts a FIFO in the place of whatever is at path.
func pipe(path string) error {
	os.Remove(path)
	return syscall.Mkfifo(path, 0o644)
}
