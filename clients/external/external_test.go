package external

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"nemesis/clients"
	"nemesis/history"
)

// TestMain lets the test binary be the client programs that the tests start.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "be" {
		programs[os.Args[2]]()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// operation is a line as a program reads it.
type operation struct {
	ID      int64           `json:"id"`
	P       int             `json:"p"`
	F       string          `json:"f"`
	Value   json.RawMessage `json:"value"`
	Close   *int            `json:"close"`
	Timeout int64           `json:"timeout_ms"`
}

// each greets, and hands every operation to answer.
func each(ready string, answer func(operation)) {
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	lines.ReadBytes('\n')
	fmt.Println(ready)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var op operation
		if json.Unmarshal(line, &op) == nil && op.Close == nil {
			answer(op)
		}
	}
}

const greeting = `{"ready":true,"ops":["read","write","cas"]}`

// answers is a program that says the same to everything.
func answers(rest string) func() {
	return func() { each(greeting, func(op operation) { fmt.Printf("{\"id\":%d,%s}\n", op.ID, rest) }) }
}

// programs are good clients and bad ones.
var programs = map[string]func(){
	"echo":         echo,
	"ok":           answers(`"type":"ok","value":7`),
	"fail 22":      answers(`"type":"fail","code":22,"text":"no"`),
	"fail 13":      answers(`"type":"fail","code":13`),
	"fail":         answers(`"type":"fail"`),
	"fail 1000":    answers(`"type":"fail","code":1000`),
	"info":         answers(`"type":"info","code":0,"text":"late"`),
	"maybe":        answers(`"type":"maybe"`),
	"ok of nobody": func() { each(greeting, func(op operation) { fmt.Printf("{\"id\":%d,\"type\":\"ok\"}\n", op.ID+5) }) },
	"twice": func() {
		each(greeting, func(op operation) {
			fmt.Printf("{\"id\":%d,\"type\":\"ok\"}\n{\"id\":%d,\"type\":\"ok\"}\n", op.ID, op.ID)
		})
	},
	"declares 1000": func() {
		each(`{"ready":true,"ops":[],"definite":[1000]}`, func(op operation) { fmt.Printf("{\"id\":%d,\"type\":\"fail\",\"code\":1000}\n", op.ID) })
	},
	"declares 13": func() { each(`{"ready":true,"definite":[13]}`, func(operation) {}) },
	"one at once": func() {
		each(`{"ready":true,"max_inflight":1}`, func(op operation) {
			time.Sleep(time.Duration(op.Timeout) * time.Millisecond * 3)
			fmt.Printf("{\"id\":%d,\"type\":\"ok\"}\n", op.ID)
		})
	},
	"late": func() {
		each(greeting, func(op operation) {
			go func() {
				time.Sleep(time.Duration(op.Timeout)*time.Millisecond + 200*time.Millisecond)
				fmt.Printf("{\"id\":%d,\"type\":\"ok\"}\n", op.ID)
			}()
		})
	},
	"mute":         func() { each(greeting, func(operation) {}) },
	"prints":       func() { each(greeting, func(operation) { fmt.Println("connecting to the server…") }) },
	"never ready":  func() { fmt.Println("hello"); time.Sleep(time.Hour) },
	"ends":         func() { fmt.Fprintln(os.Stderr, "no such module\x1b[31m") },
	"ends in work": func() { each(greeting, func(operation) { fmt.Fprintln(os.Stderr, "segmentation fault"); os.Exit(3) }) },
	"no newline": func() {
		each(greeting, func(operation) {
			chunk := strings.Repeat("x", 1<<20)
			for range 1 << 10 {
				if _, err := os.Stdout.WriteString(chunk); err != nil {
					os.Exit(1)
				}
			}
		})
	},
	"forks": func() {
		each(greeting, func(op operation) {
			cmd := exec.Command("sleep", "3600")
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr // it holds our pipes
			if err := cmd.Start(); err != nil {
				panic(err)
			}
			fmt.Printf("{\"id\":%d,\"type\":\"ok\",\"value\":%d}\n", op.ID, cmd.Process.Pid)
		})
	},
	"ignores the end": func() { answers(`"type":"ok"`)(); time.Sleep(time.Hour) },
	"reads nothing": func() {
		bufio.NewReaderSize(os.Stdin, 16).ReadBytes('\n')
		fmt.Println(greeting)
		time.Sleep(time.Hour)
	},
}

// echo answers with what it is sent, in batches.
func echo() {
	in, out := bufio.NewReaderSize(os.Stdin, 1<<20), bufio.NewWriterSize(os.Stdout, 1<<20)
	in.ReadBytes('\n')
	fmt.Println(greeting)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		if id, rest, is := strings.Cut(strings.TrimPrefix(string(line), `{"id":`), ","); is && rest != "" {
			fmt.Fprintf(out, "{\"id\":%s,\"type\":\"ok\"}\n", id)
		}
		if in.Buffered() == 0 {
			out.Flush()
		}
	}
}

func pool(t testing.TB, name string, count int) *Pool {
	t.Helper()
	p := New(Options{Command: []string{os.Args[0], "be", name}, Count: count, Hello: Hello{Workload: "register", Nodes: []Node{{ID: "n1", Addr: "127.0.0.1"}}}})
	t.Cleanup(func() { p.Close() })
	return p
}

func do(c *Client, f string, timeout time.Duration) clients.Completion {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	op := history.Event{F: f, Key: "k"}
	if f == "write" {
		op.Value = json.RawMessage("1")
	}
	return c.Invoke(ctx, op)
}

const long = 30 * time.Second

// Only what a definite code says certainly did not happen.
func TestAnswersBecomeOutcomes(t *testing.T) {
	for _, test := range []struct {
		program, f string
		want       history.Type
		value      string
	}{
		{"ok", "read", history.OK, "7"},
		{"echo", "write", history.OK, ""},
		{"fail 22", "write", history.Fail, ""},
		{"fail 13", "write", history.Info, ""},
		{"fail 13", "read", history.Fail, ""},
		{"fail", "write", history.Info, ""},
		{"fail 1000", "write", history.Info, ""},
		{"declares 1000", "write", history.Fail, ""},
		{"info", "write", history.Info, ""},
		{"info", "read", history.Fail, ""},
		{"echo", "read", history.Fail, ""}, // ok without a value
	} {
		t.Run(test.program+" to a "+test.f, func(t *testing.T) {
			t.Parallel()
			done := do(pool(t, test.program, 1).Open("n1"), test.f, long)
			if done.Type != test.want || string(done.Value) != test.value {
				t.Errorf("ended in %s with %s (%s), want %s with %s", done.Type, done.Value, done.Error, test.want, test.value)
			}
		})
	}
}

func TestAFailWithoutADefiniteCodeIsToldOnce(t *testing.T) {
	p := pool(t, "fail", 1)
	c := p.Open("n1")
	for range 3 {
		do(c, "write", long)
	}
	if n := strings.Count(string(p.Log()), "taken for info"); n != 1 || p.Downgraded() != 3 {
		t.Errorf("told %d times of %d: %s", n, p.Downgraded(), p.Log())
	}
}

// A program that does not speak the protocol ends the run, and what it was sent is unknown.
func TestAProgramThatSpeaksSomethingElseIsTrouble(t *testing.T) {
	for name, want := range map[string]string{
		"maybe":        "whose type is none of ok, fail and info",
		"ok of nobody": "which it was not asked for or has answered already",
		"twice":        "which it was not asked for or has answered already",
		"prints":       "which is no answer; only answers belong on standard output",
		"no newline":   "a line of more than 16777216 bytes",
		"ends":         "before it was ready; the last it wrote to standard error: no such module\uFFFD[31m",
		"declares 13":  "codes of its own begin at 1000",
		"never ready":  "its first line is",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pool(t, name, 1)
			c := p.Open("n1")
			for range 2 { // the first answer of "twice" is good
				do(c, "write", long)
			}
			select {
			case err := <-p.Trouble():
				if !strings.Contains(err.Error(), want) {
					t.Errorf("told %s, want %s", err, want)
				}
			case <-time.After(long):
				t.Fatal("no trouble was told")
			}
			if done := do(c, "write", long); done.Type != history.Fail || done.Cause != history.ControlSide {
				t.Errorf("after that an operation ended in %s, cause %q", done.Type, done.Cause)
			}
		})
	}
}

func TestAProgramThatEndsIsStartedAgainAFewTimes(t *testing.T) {
	p := pool(t, "ends in work", 1)
	for i := range mostDeaths + 1 {
		if done := do(p.Open("n1"), "write", long); done.Type != history.Info {
			t.Errorf("operation %d ended in %s (%s), want info", i, done.Type, done.Error)
		}
	}
	select {
	case err := <-p.Trouble():
		if want := "it ended 4 times within a minute (exit status 3); the last it wrote to standard error: segmentation fault"; !strings.Contains(err.Error(), want) {
			t.Errorf("told %s, want %s", err, want)
		}
	case <-time.After(long):
		t.Fatal("no trouble was told")
	}
}

func TestDeadlinesAreKept(t *testing.T) {
	t.Run("silence is unknown", func(t *testing.T) {
		t.Parallel()
		if done := do(pool(t, "mute", 1).Open("n1"), "write", 2*time.Second); done.Type != history.Info {
			t.Errorf("ended in %s (%s)", done.Type, done.Error)
		}
	})
	t.Run("a late answer is nobody's", func(t *testing.T) {
		t.Parallel()
		p := pool(t, "late", 1)
		if done := do(p.Open("n1"), "write", time.Second); done.Type != history.Info {
			t.Errorf("ended in %s (%s)", done.Type, done.Error)
		}
		time.Sleep(400 * time.Millisecond) // the answer comes now, or later
		if err := p.state(); err != nil {
			t.Error(err)
		}
	})
	t.Run("what was never sent did not happen", func(t *testing.T) {
		t.Parallel()
		p := pool(t, "one at once", 1)
		first := make(chan clients.Completion)
		go func() { first <- do(p.Open("n1"), "write", 3*time.Second) }()
		for {
			p.slots[0].mu.Lock()
			busy := p.slots[0].running != nil && len(p.slots[0].running.room) == 1
			p.slots[0].mu.Unlock()
			if busy {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if done := do(p.Open("n1"), "write", 50*time.Millisecond); done.Type != history.Fail || !strings.Contains(done.Error, "has 1 operations under way") {
			t.Errorf("a second ended in %s (%s)", done.Type, done.Error)
		}
		if done := <-first; done.Type != history.Info {
			t.Errorf("the first ended in %s (%s)", done.Type, done.Error)
		}
	})
	t.Run("a program that reads nothing", func(t *testing.T) {
		t.Parallel()
		p := pool(t, "reads nothing", 1)
		sent, not := 0, 0
		for range 40 { // the pipe holds a few of these
			c := p.Open("n1")
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			done := c.Invoke(ctx, history.Event{F: "write", Key: strings.Repeat("k", 64<<10), Value: json.RawMessage("1")})
			cancel()
			switch done.Type {
			case history.Info:
				sent++
			case history.Fail:
				not++
			default:
				t.Fatalf("ended in %s", done.Type)
			}
		}
		if sent == 0 || not == 0 {
			t.Errorf("%d are unknown and %d were never sent", sent, not)
		}
	})
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Run("a program that forks", func(t *testing.T) {
		t.Parallel()
		p := pool(t, "forks", 1)
		done := do(p.Open("n1"), "read", long)
		if done.Type != history.OK {
			t.Fatalf("ended in %s (%s)", done.Type, done.Error)
		}
		p.Close()
		path := "/proc/" + string(done.Value) + "/stat"
		for deadline := time.Now().Add(long); ; time.Sleep(10 * time.Millisecond) {
			stat, err := os.ReadFile(path)
			if err != nil || strings.Contains(string(stat), ") Z ") {
				break // gone, or waiting for whoever adopted it
			}
			if time.Now().After(deadline) {
				t.Fatalf("what it forked is still there: %s", stat)
			}
		}
	})
	t.Run("a program that ignores the end of its input", func(t *testing.T) {
		t.Parallel()
		p := pool(t, "ignores the end", 2)
		do(p.Open("n1"), "write", long)
		do(p.Open("n1"), "write", long)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		for _, s := range p.slots {
			select {
			case <-s.running.gone:
			default:
				t.Error("a program is still there")
			}
		}
		if err := p.state(); err == nil {
			t.Error("it could be used again")
		}
		select {
		case err := <-p.Trouble():
			t.Errorf("ending it was told as trouble: %v", err)
		default:
		}
	})
}

func TestConformanceFindsWhatIsWrong(t *testing.T) {
	for name, want := range map[string]string{
		"ok":           "WRONG   a connection that is refused is a definite fail: it answered ok, and nobody was there",
		"info":         "advice  a connection that is refused is a definite fail: it answered info with code 0",
		"mute":         "WRONG   a connection that is refused is a definite fail: no answer",
		"prints":       "which is no answer",
		"ends":         "WRONG   it answers the hello: ",
		"ends in work": "WRONG   a connection that is refused is a definite fail: the client program ended (exit status 3)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			findings, err := Conform(t.Context(), []string{os.Args[0], "be", name}, "", "register")
			var b strings.Builder
			Tell(&b, findings)
			if err != nil || !strings.Contains(b.String(), want) {
				t.Errorf("%v, told\n%swant %s", err, b.String(), want)
			}
		})
	}
}

// The reference clients are what the test says a client should be.
func TestReferenceClientsConform(t *testing.T) {
	for _, command := range [][]string{{"python3", "redis.py"}, {"node", "redis.mjs"}, {"bash", "redis.sh"}, {"go", "run", "redis.go"}} {
		t.Run(command[len(command)-1], func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile("../../examples/clients/" + command[len(command)-1])
			if lines := strings.Count(string(text), "\n"); err != nil || lines > 80 {
				t.Errorf("%d lines, %v: a client is to be read at a glance", lines, err)
			}
			if _, err := exec.LookPath(command[0]); err != nil {
				t.Skipf("needs %s", command[0])
			}
			if command[0] == "bash" {
				if _, err := exec.LookPath("jq"); err != nil {
					t.Skip("needs jq")
				}
			}
			if command[0] == "go" { // what go run starts gets no end of its input from a signal, and builds first
				built := t.TempDir() + "/client"
				if out, err := exec.Command("go", "build", "-o", built, "../../examples/clients/redis.go").CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				command = []string{built}
			}
			findings, err := Conform(t.Context(), command, "../../examples/clients", "register")
			var b strings.Builder
			if good := Tell(&b, findings); err != nil || !good {
				t.Errorf("%v, told\n%s", err, b.String())
			}
		})
	}
}

// BenchmarkEcho is how many operations a second go through a program that does nothing.
func BenchmarkEcho(b *testing.B) {
	for _, atOnce := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(atOnce), func(b *testing.B) {
			p := pool(b, "echo", 1)
			all := make([]*Client, atOnce)
			for i := range all {
				all[i] = p.Open("n1")
			}
			do(all[0], "write", long)
			b.ResetTimer()
			var wg sync.WaitGroup
			for i, c := range all {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
					defer cancel()
					for n := i; n < b.N; n += atOnce {
						if done := c.Invoke(ctx, history.Event{F: "write", Key: "k4", Value: json.RawMessage("12")}); done.Type != history.OK {
							b.Error(done.Error)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
		})
	}
}
