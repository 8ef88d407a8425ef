package run

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"nemesis/history"
)

// watchdogWord lets the test binary be a process that a watchdog watches.
const watchdogWord = "NEMESIS_TEST_WATCHDOG"

// A process that was stopped knows for how long it was.
func TestAStoppedProcessIsAStall(t *testing.T) {
	if os.Getenv(watchdogWord) != "" {
		start := time.Now()
		ticker := time.NewTicker(stallTick)
		fmt.Println("watching")
		watchdog{
			now: func() int64 { return int64(time.Since(start)) }, ticks: ticker.C, asleep: asleep,
			record:    func(ev history.Event) { fmt.Println("stall", string(ev.Value)) },
			suspended: func(d time.Duration) { fmt.Println("suspended", int64(d)) },
		}.watch(context.Background())
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), watchdogWord+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "watching" {
	}
	time.Sleep(10 * stallTick)
	stopped := time.Now()
	cmd.Process.Signal(syscall.SIGSTOP)
	time.Sleep(time.Second)
	least := time.Since(stopped) - 100*time.Millisecond // until it was stopped
	cmd.Process.Signal(syscall.SIGCONT)
	// A busy machine adds stalls of its own; one is of this length.
	for lines.Scan() {
		var what string
		var long int64
		if fmt.Sscan(lines.Text(), &what, &long); what == "suspended" {
			t.Fatalf("it believes that its machine was suspended: %s", lines.Text())
		} else if time.Duration(long) >= least {
			return
		}
	}
	t.Error("it did not notice")
}

func TestASuspendedMachineIsTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ticks := make(chan time.Time)
	type reading struct {
		slept time.Duration
		known bool
	}
	readings := []reading{{3 * time.Second, true}, {3*time.Second + 9*time.Millisecond, true}, {0, false}, {8 * time.Second, true}, {8 * time.Second, true}}
	var told []time.Duration
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		watchdog{
			now: func() int64 { return 0 }, ticks: ticks, record: func(history.Event) {},
			asleep: func() (time.Duration, bool) {
				r := readings[0]
				readings = readings[1:]
				return r.slept, r.known
			},
			suspended: func(d time.Duration) { told = append(told, d) },
		}.watch(ctx)
	}()
	for range 4 {
		ticks <- time.Time{}
	}
	cancel()
	<-ended
	if len(told) != 1 || told[0] != 5*time.Second-9*time.Millisecond {
		t.Errorf("told %v", told)
	}
}
