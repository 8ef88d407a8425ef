package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

// What a server pays for its shadow clock: for each reading of a clock, for each other
// system call (the filter that reports execve), for each execve, and once at its start.
//
//	go test ./nodes/agent -run '^$' -bench Shadow

// price is what one run of the meter found, in nanoseconds.
type price struct{ Read, Syscall, Exec float64 }

// meter is a server that measures how long things take it, by the true clock, and takes
// the quickest of many rounds: other programs only ever make them slower.
func meter() {
	rounds := func(times int, do func()) float64 {
		best := 0.0
		for i := range 40 {
			began := tellNow().Before
			for range times {
				do()
			}
			took := float64(tellNow().Before-began) / float64(times)
			if i == 0 || took < best {
				best = took
			}
		}
		return best
	}
	_ = json.NewEncoder(os.Stdout).Encode(price{
		Read:    rounds(50_000, func() { _ = time.Now() }),
		Syscall: rounds(20_000, func() { _, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0) }),
		Exec:    rounds(1, func() { _ = exec.Command("/bin/true").Run() }),
	})
}

func BenchmarkShadowClock(b *testing.B) {
	c := agenttest.Connect(b, agenttest.Dir(b))
	exe := self(b)
	prices := map[bool]price{}
	for _, shadow := range []bool{false, true} {
		name := fmt.Sprintf("meter-%v", shadow)
		b.Run(map[bool]string{false: "plain", true: "shadow"}[shadow], func(b *testing.B) {
			for b.Loop() {
				spec := agent.ProcessSpec{Name: name, Argv: []string{exe, "meter"}, Shadow: shadow}
				if _, err := c.StartProcess(context.Background(), spec); err != nil {
					b.Fatal(err)
				}
				if exit := <-c.Exits(); exit.Code != 0 {
					b.Fatalf("%+v", exit)
				}
			}
			text, err := os.ReadFile(filepath.Join(c.Dir(), name+".log"))
			if err != nil {
				b.Fatal(err)
			}
			var got price
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
				b.Fatal(err)
			}
			prices[shadow] = got
			b.ReportMetric(got.Read, "ns/read")
			b.ReportMetric(got.Syscall, "ns/syscall")
			b.ReportMetric(got.Exec/1e3, "µs/fork+exec")
			if plain, ok := prices[false]; ok && shadow {
				b.ReportMetric(got.Read/plain.Read, "×plain/read")
			}
		})
	}
}

// How long it takes until a server runs, without and with.
func BenchmarkStartShadow(b *testing.B) {
	for _, shadow := range []bool{false, true} {
		b.Run(map[bool]string{false: "plain", true: "shadow"}[shadow], func(b *testing.B) {
			c := agenttest.Connect(b, agenttest.Dir(b))
			for b.Loop() {
				if _, err := c.StartProcess(context.Background(), agent.ProcessSpec{Name: "server", Argv: []string{"true"}, Shadow: shadow}); err != nil {
					b.Fatal(err)
				}
				<-c.Exits()
			}
		})
	}
}

// What etcd, a Go server with many threads, pays for it: puts of eight clients at once,
// and the processor time of the server for each.
func BenchmarkEtcdShadow(b *testing.B) {
	for _, shadow := range []bool{false, true} {
		b.Run(map[bool]string{false: "plain", true: "shadow"}[shadow], func(b *testing.B) {
			dir := agenttest.Dir(b)
			c, err := agent.Connect(context.Background(), agenttest.NewConn(), agent.Options{Dir: dir, Shadow: shadow})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close(context.Background(), false)
			e := startEtcd(b, c)
			st, err := c.ProcessState(context.Background(), "etcd")
			if err != nil {
				b.Fatal(err)
			}
			put := map[string]any{"key": encode("k"), "value": encode(strings.Repeat("v", 256))}
			before := ticks(b, st.PID)
			b.SetParallelism(4)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := e.ask("kv/put", put, nil); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
			b.ReportMetric((ticks(b, st.PID)-before)*1e4/float64(b.N), "µs-of-cpu/put") // a tick is 10 ms
		})
	}
}

// ticks is the processor time that a process has used.
func ticks(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	return float64(number(b, fields[11]) + number(b, fields[12]))
}
