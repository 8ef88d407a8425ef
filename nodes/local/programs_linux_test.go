package local_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/nodes/local"
	"nemesis/nodes/local/localtest"
)

// The tests run in a world of their own. From there they start this binary again
// as one of the programs below, mostly to make another world inside of theirs: the
// host that is watched for leftovers is itself only a namespace.
var programs = map[string]func(args []string) int{
	"outside": outside, // DIR ARGS…: Run(ARGS) with the world's directory in DIR
	"hold":    hold,    // MARK: two nodes with a daemon on each, for ever
	"count":   count,   // count interrupts until terminated
	"exit":    exit,    // CODE
	"die":     die,     // of a signal that cannot be caught
	"forbid":  forbid,  // DIR: switch user namespaces off, and try to make a world
	"sweep":   sweep,   // DIR: RemoveAbandoned(DIR), and print what it removed
	"greet":   greet,   // NETWORK ADDRESS: print what a server says first
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if program, ok := programs[os.Args[1]]; ok {
			os.Exit(program(os.Args[2:]))
		}
	}
	os.Exit(localtest.Main(m))
}

func outside(args []string) int {
	code, err := local.Run(context.Background(), local.World{
		Dir: args[0], Args: args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 5
	}
	return code
}

func sweep(args []string) int {
	removed, err := local.RemoveAbandoned(args[0])
	for _, path := range removed {
		fmt.Println(path)
	}
	if err != nil {
		fmt.Println(err)
		return 5
	}
	return 0
}

func hold(args []string) int {
	ctx := context.Background()
	cluster, err := local.New(ctx, local.Options{N: 2})
	for _, name := range []string{"n1", "n2"} {
		if err != nil {
			break
		}
		conn, e := cluster.Connect(ctx, name)
		if err = e; err == nil {
			_, err = conn.Run(ctx, nil, "sh", "-c", "setsid sh -c 'while :; do sleep 1000; done' "+args[0]+" <&- >&- 2>&- & : > /usr/changed")
		}
	}
	if err != nil {
		fmt.Println(err)
		return 5
	}
	fmt.Println("ready")
	select {}
}

func count([]string) int {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	fmt.Println("ready")
	interrupts := 0
	for s := range signals {
		if s == syscall.SIGTERM {
			break
		}
		interrupts++
		fmt.Println("interrupted")
	}
	return interrupts
}

func exit(args []string) int {
	var code int
	fmt.Sscan(args[0], &code)
	return code
}

func die([]string) int {
	// A signal that PID 1 sends to itself is dropped, unless it is a fault.
	runtime.LockOSThread()
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	signal.Reset()
	limit := unix.Rlimit{Cur: 0, Max: 0}
	unix.Setrlimit(unix.RLIMIT_CPU, &limit) // the kernel kills with SIGKILL
	for {
		runtime.Gosched()
	}
}

func forbid(args []string) int {
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
		fmt.Println(err)
		return 1
	}
	// Without this one capability root has to make a user namespace like anybody else.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_ADMIN, 0, 0, 0); err != nil {
		fmt.Println(err)
		return 1
	}
	err := unix.Exec("/proc/self/exe", []string{os.Args[0], "outside", args[0], "exit", "0"}, os.Environ())
	fmt.Println(err)
	return 1
}

func greet(args []string) int {
	conn, err := net.DialTimeout(args[0], args[1], 10*time.Second)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	line := make([]byte, 7)
	n, _ := conn.Read(line)
	fmt.Printf("%s from %s", line[:n], conn.RemoteAddr())
	return 0
}

// program prepares one of the programs above.
func program(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// user is who starts a world.
type user struct {
	name       string
	credential *syscall.Credential // nil for whoever runs the tests
}

// everyUser runs a test as the user of the tests, and as an ordinary one besides.
func everyUser(t *testing.T, test func(t *testing.T, u user)) {
	localtest.Need(t)
	for _, u := range []user{{name: "as whoever runs the tests"}, {"as an ordinary user", &syscall.Credential{Uid: 65534, Gid: 65534}}} {
		t.Run(u.name, func(t *testing.T) {
			if u.credential != nil {
				mayBecome(t, u)
			}
			test(t, u)
		})
	}
}

func mayBecome(t *testing.T, u user) {
	t.Helper()
	cmd := program("exit", "0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: u.credential}
	if err := cmd.Run(); err != nil {
		t.Skipf("these tests cannot start a program as another user: %v", err)
	}
}

// home is a directory that belongs to the user.
func (u user) home(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "local-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if u.credential != nil {
		if err := os.Chown(dir, int(u.credential.Uid), int(u.credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// program prepares a program that runs as this user.
func (u user) program(home string, args ...string) *exec.Cmd {
	cmd := program(args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: u.credential, Setpgid: true}
	return cmd
}

// processesWith are the processes with a word in their arguments or environment,
// each with its arguments.
func processesWith(word string) map[int][]string {
	found := map[int][]string{}
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		var pid int
		if _, err := fmt.Sscan(entry.Name(), &pid); err != nil || pid == os.Getpid() {
			continue
		}
		arguments, _ := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
		environment, _ := os.ReadFile("/proc/" + entry.Name() + "/environ")
		if bytes.Contains(arguments, []byte(word)) || bytes.Contains(environment, []byte(word)) {
			found[pid] = strings.Split(strings.TrimRight(string(arguments), "\x00"), "\x00")
		}
	}
	return found
}

// eventually waits for something that has to happen soon, however slow the machine.
func eventually(t *testing.T, what string, happened func() (bool, any)) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		ok, seen := happened()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still not, but: %v", what, seen)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
