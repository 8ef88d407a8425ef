package agent

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAProcessNameCannotForgeItsState(t *testing.T) {
	const rest = " 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1"
	want := Stat{State: 'T', Parent: 1, Group: 42, Session: 42, Started: 987654}
	for _, name := range []string{"etcd", "a b", "x) R 1 1 1 (", "(((", ")))", "\n", ""} {
		got, err := parseStat("42 (" + name + ") T" + rest)
		want.Name = firstLine(name)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(Stat{})); d != "" {
			t.Errorf("%q: %s", name, d)
		}
	}
	for _, bad := range []string{"", "42", "42 (x)", "42 (x) T 1 2", "42 (x) T a b c d e f g h i j k l m n o p q r s t u v"} {
		if s, err := parseStat(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, s)
		}
	}
}

// An agent on the machine sees the processes of its containers and local nodes. They are theirs, also when the agents there
// have directories of the same name.
func TestAServerOfANamespaceBelowIsNotOurs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a namespace of processes takes root")
	}
	const tag = "NEMESIS_PROCESS=/var/lib/nemesis-of-a-test/db"
	start := func(flags uintptr) *exec.Cmd {
		cmd := exec.Command("sleep", "60")
		cmd.Env = []string{tag}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: flags}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if text, _ := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/environ"); bytes.Contains(text, []byte(tag)) {
				return cmd // it is the program by now
			}
		}
		t.Fatal("it never was the program")
		return nil
	}
	below := start(syscall.CLONE_NEWPID).Process.Pid
	if pid, _, ok := findTagged(tag); ok {
		t.Errorf("took process %d for ours, and %d is another's", pid, below)
	}
	if all, err := processTable(); err != nil || all.relatedTo(below, all[below], 0, tag) {
		t.Errorf("took it for a process of our server (%v)", err)
	}
	ours := start(0).Process.Pid
	if pid, _, ok := findTagged(tag); !ok || pid != ours {
		t.Errorf("found %d, want %d", pid, ours)
	}
	if all, err := processTable(); err != nil || !all.relatedTo(ours, all[ours], 0, tag) {
		t.Errorf("did not take %d for a process of our server (%v)", ours, err)
	}
}
