package local_test

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/nodes/local"
	"nemesis/nodes/local/localtest"
)

func TestProgramRunsInItsNamespaces(t *testing.T) {
	everyUser(t, func(t *testing.T, u user) {
		for _, c := range []struct {
			name string
			args []string
			code int
		}{
			{"its exit code is passed on", []string{"exit", "3"}, 3},
			{"success as well", []string{"exit", "0"}, 0},
			{"its death by a signal shows", []string{"die"}, 128 + 9},
		} {
			t.Run(c.name, func(t *testing.T) {
				home := u.home(t)
				cmd := u.program(home, append([]string{"outside", home}, c.args...)...)
				out, _ := cmd.CombinedOutput()
				if code := cmd.ProcessState.ExitCode(); code != c.code || len(out) > 0 {
					t.Errorf("exit code %d, want %d; it said: %s", code, c.code, out)
				}
				nothingIn(t, home)
			})
		}
	})
}

func TestHiddenCommandRefusesToRunByHand(t *testing.T) {
	for _, args := range [][]string{{}, {"keeper"}, {"world"}, {"node"}, {"nonsense"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			cmd := program(append([]string{local.Command}, args...)...)
			cmd.Env = []string{} // the tests' own world does not count
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != 64 || strings.Count(string(out), "\n") != 1 {
				t.Errorf("exit code %d, and it said %q; want 64 and one line", code, out)
			}
		})
	}
}

func TestNothingRemainsAfterAnyKill(t *testing.T) {
	victims := []struct {
		name   string
		is     func(argv []string) bool
		leaves bool // a directory, until the next world
	}{
		{"the outer process", func(argv []string) bool { return argv[1] == "outside" }, false},
		{"the control process inside", func(argv []string) bool { return argv[1] == "hold" }, false},
		{"the keeper", func(argv []string) bool { return len(argv) > 2 && argv[2] == "keeper" }, false},
		{"the keeper and the outer process", func(argv []string) bool { return argv[1] == "outside" || len(argv) > 2 && argv[2] == "keeper" }, true},
	}
	everyUser(t, func(t *testing.T, u user) {
		for _, v := range victims {
			t.Run(v.name, func(t *testing.T) {
				home := u.home(t)
				outer := startAndAwait(t, u.program(home, "outside", home, "hold", home))

				killed := 0
				for pid, argv := range processesWith(home) {
					if len(argv) > 1 && v.is(argv) {
						syscall.Kill(pid, syscall.SIGKILL)
						killed++
					}
				}
				if want := 1 + strings.Count(v.name, " and "); killed != want {
					t.Fatalf("%d processes are %s, want %d: %v", killed, v.name, want, processesWith(home))
				}
				eventually(t, "all processes are gone", func() (bool, any) {
					left := processesWith(home)
					return len(left) == 0, left
				})
				outer.Wait()
				if v.leaves {
					next := u.program(home, "outside", home, "exit", "0")
					if out, err := next.CombinedOutput(); err != nil {
						t.Fatalf("start the next world: %v: %s", err, out)
					}
				}
				nothingIn(t, home)
				if mounts, _ := os.ReadFile("/proc/self/mountinfo"); bytes.Contains(mounts, []byte(home)) {
					t.Errorf("mounts remain:\n%s", mounts)
				}
			})
		}
	})
}

// Nobody is left to remove the directory of a world whose keeper and outer process are
// killed at once. Whoever comes next does, and touches no world that lives.
func TestAbandonedDirectoriesAreRemovedAndOthersKept(t *testing.T) {
	everyUser(t, func(t *testing.T, u user) {
		home := u.home(t)
		worlds := func() []string {
			all, err := filepath.Glob(filepath.Join(home, "world-*"))
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		startAndAwait(t, u.program(home, "outside", home, "hold", "dead-"+home))
		dead := worlds()
		living := startAndAwait(t, u.program(home, "outside", home, "hold", "living-"+home))
		if len(dead) != 1 || len(worlds()) != 2 {
			t.Fatalf("two worlds have the directories %v and %v", dead, worlds())
		}
		sweep := func(want string) {
			t.Helper()
			out, err := u.program(home, "sweep", home).CombinedOutput()
			if err != nil || string(out) != want {
				t.Errorf("it removed %q, want %q (%v)", out, want, err)
			}
		}
		sweep("")
		for pid, argv := range processesWith("dead-" + home) {
			if argv[1] == "outside" || len(argv) > 2 && argv[2] == "keeper" {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		eventually(t, "the world is dead", func() (bool, any) {
			left := processesWith("dead-" + home)
			return len(left) == 0, left
		})
		sweep(dead[0] + "\n")
		if len(worlds()) != 1 || len(processesWith("living-"+home)) == 0 {
			t.Errorf("of the living world there are %v and the processes %v", worlds(), processesWith("living-"+home))
		}
		for _, hierarchy := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
			if left, _ := filepath.Glob(filepath.Join(hierarchy, "nemesis-"+filepath.Base(dead[0]))); len(left) > 0 {
				t.Errorf("control groups remain: %v", left)
			}
		}
		living.Process.Signal(syscall.SIGKILL)
		eventually(t, "nothing remains", func() (bool, any) { return len(worlds()) == 0, worlds() })
		sweep("")
	})
}

func TestInterruptReachesTheProgramOnce(t *testing.T) {
	everyUser(t, func(t *testing.T, u user) {
		home := u.home(t)
		cmd := u.program(home, "outside", home, "count")
		out := startAndAwait(t, cmd)
		// As a terminal does it: to the whole foreground group.
		syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		out.await(t, "interrupted")
		cmd.Process.Signal(syscall.SIGTERM)
		out.Wait()
		if got := cmd.ProcessState.ExitCode(); got != 1 {
			t.Errorf("it saw %d interrupts, want 1", got)
		}
	})
}

func TestContextEndsTheWorld(t *testing.T) {
	localtest.Need(t)
	home := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	ready := &readyWriter{cancel: cancel}
	code, err := local.Run(ctx, local.World{Dir: home, Args: []string{"hold", home}, Stdout: ready})
	if code != 128+9 || err != nil {
		t.Errorf("code %d and error %v, want 137 and none", code, err)
	}
	if left := processesWith(home); len(left) > 0 {
		t.Errorf("processes remain: %v", left)
	}
	nothingIn(t, home)
}

// readyWriter cancels when the program says that it is ready.
type readyWriter struct{ cancel func() }

func (w *readyWriter) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "ready") {
		w.cancel()
	}
	return len(b), nil
}

func TestWhereUserNamespacesAreOffOneLineSaysWhatToChange(t *testing.T) {
	localtest.Need(t)
	u := user{name: "as an ordinary user", credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	mayBecome(t, u)
	home := u.home(t)
	cmd := u.program(home, "outside", home, "forbid", home)
	out, _ := cmd.CombinedOutput()
	want := "make namespaces for local nodes: fork/exec /proc/self/exe: no space left on device: " +
		"set sysctl user.max_user_namespaces=15000, run as root, or name other machines with --nodes\n"
	if string(out) != want {
		t.Errorf("it said %q, want %q", out, want)
	}
	if code := cmd.ProcessState.ExitCode(); code != 5 {
		t.Errorf("exit code %d, want 5", code)
	}
}

func TestADirectoryThatCannotBeMadeIsNamed(t *testing.T) {
	localtest.Need(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := local.Run(t.Context(), local.World{Dir: filepath.Join(file, "local"), Args: []string{"exit", "0"}})
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v, want one line that names %s", err, file)
	}
}

func TestADiskWithoutProgramsIsRefused(t *testing.T) {
	localtest.Need(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOEXEC, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, 0)
	_, err := local.Run(t.Context(), local.World{Dir: dir, Args: []string{"exit", "0"}})
	want := "make a directory for local nodes: no program may run in " + dir + ", which is mounted noexec: set XDG_CACHE_HOME to another disk"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestCheckTriesARealNode(t *testing.T) {
	localtest.Need(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	if err := local.Check(t.Context()); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if err := local.Check(ctx); err == nil {
		t.Error("a check without any time succeeded")
	}
}

func nothingIn(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "world-*"))
	if len(left) > 0 || err != nil {
		t.Errorf("directories remain: %v %v", left, err)
	}
}

// output is what a started program prints, line by line.
type output struct {
	*exec.Cmd
	lines *bufio.Scanner
}

// startAndAwait starts a program and returns when it is ready.
func startAndAwait(t *testing.T, cmd *exec.Cmd) output {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	o := output{cmd, bufio.NewScanner(stdout)}
	o.await(t, "ready")
	return o
}

func (o output) await(t *testing.T, want string) {
	t.Helper()
	if !o.lines.Scan() || o.lines.Text() != want {
		t.Fatalf("it said %q, want %q (%v)", o.lines.Text(), want, o.lines.Err())
	}
}

func TestNodeHasAControlGroupOfItsOwn(t *testing.T) {
	if text, err := os.ReadFile("/proc/self/mountinfo"); err != nil || !strings.Contains(string(text), " /sys/fs/cgroup ") || !strings.Contains(string(text), "/nemesis-world-") {
		t.Skipf("the world was given no control group here: %v", err)
	}
	cluster := localtest.Cluster(t, 2)
	for _, name := range []string{"n1", "n2"} {
		conn := localtest.Connect(t, cluster, name)
		out, err := conn.Run(t.Context(), nil, "sh", "-c",
			`mkdir /sys/fs/cgroup/test; sleep 1000 & echo $! >/sys/fs/cgroup/test/cgroup.procs; cat /sys/fs/cgroup/test/cgroup.procs; kill -9 $!; wait; ls -d /sys/fs/cgroup/*/; ls /sys/fs/cgroup/unified /sys/fs/cgroup/freezer 2>/dev/null; true`)
		if err != nil {
			t.Fatal(err)
		}
		if pid, rest, _ := strings.Cut(string(out), "\n"); pid == "" || rest != "/sys/fs/cgroup/test/\n" {
			t.Errorf("%s: %q", name, out)
		}
	}
}
