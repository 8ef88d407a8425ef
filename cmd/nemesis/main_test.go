package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"nemesis/run"
)

// try runs a command line in this process and returns what it printed.
func try(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	root, accepted := newRoot()
	var b bytes.Buffer
	root.SetOut(&b)
	root.SetErr(&b)
	root.SetArgs(withoutNegatives(root, args))
	err := root.ExecuteContext(t.Context())
	code = status(err, *accepted)
	if message := complaint(err); message != "" {
		b.WriteString(message + "\n")
	}
	return b.String(), code
}

func TestMistakesOnTheCommandLineGetOneLine(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"unknown command":       {[]string{"rum"}, `unknown command "rum"`},
		"unknown flag":          {[]string{"run", "etcd", "--colour"}, "unknown flag: --colour"},
		"no system":             {[]string{"run"}, "accepts 1 arg(s), received 0"},
		"unknown system":        {[]string{"run", "etdc"}, `"etdc" is not one of etcd`},
		"unknown workload":      {[]string{"run", "etcd", "--workload", "teapot"}, `"teapot"`},
		"unknown fault":         {[]string{"run", "etcd", "--faults", "partition,meteor"}, `"meteor"`},
		"unknown option":        {[]string{"run", "etcd", "--set", "speed=9"}, "etcd has no such option"},
		"bad value of option":   {[]string{"run", "etcd", "--set", "reads=fast"}, "reads takes linearizable or serializable"},
		"no duration":           {[]string{"run", "etcd", "--set", "heartbeat=soon"}, `set etcd option heartbeat: "soon" is not allowed`},
		"bad paxos option":      {[]string{"run", "paxos", "--set", "lease=5s"}, "make lease shorter or view-timeout longer"},
		"bad lock option":       {[]string{"run", "lock", "--set", "hold=long"}, `set lock option hold: "long" is not allowed`},
		"too few nodes":         {[]string{"run", "shardkv", "--nodes", "local:2"}, "set shardkv option replicas: 3 is more than the 2 nodes; give fewer"},
		"no command":            {[]string{"run", "ironrsl"}, "start ironrsl: nobody says how; give --set command='…'"},
		"no command of ironkv":  {[]string{"run", "ironkv"}, "start ironkv: nobody says how; give --set command='…'"},
		"no command of a lock":  {[]string{"run", "ironlock", "--set", "command= "}, "start ironlock: nobody says how; give --set command='…'"},
		"command lacks binary":  {[]string{"run", "ironkv", "--set", "command={binary}"}, "the command names {binary}; give the file with --binary"},
		"no map over UDP":       {[]string{"run", "ironrsl", "--set", "command=true", "--workload", "register"}, "or --set wire=tcp"},
		"no local nodes":        {[]string{"run", "etcd", "--nodes", "local:0"}, "local:N takes a number of nodes from 1"},
		"bad address":           {[]string{"run", "etcd", "--nodes", "10.0.0.300/99"}, "10.0.0.300/99"},
		"bad port":              {[]string{"run", "etcd", "--nodes", "root@n1:99999"}, "99999"},
		"missing inventory":     {[]string{"run", "etcd", "--nodes", "@/no/such/file"}, "/no/such/file"},
		"no time":               {[]string{"run", "etcd", "--time-limit", "0s"}, "--time-limit: 0s is too short"},
		"not a duration":        {[]string{"run", "etcd", "--time-limit", "soon"}, `"soon"`},
		"not a number":          {[]string{"run", "etcd", "--seed", "lucky"}, `"lucky"`},
		"a version too old":     {[]string{"run", "etcd", "--version", "v3.3.1"}, "v3.4 and newer"},
		"no version":            {[]string{"run", "etcd", "--version", "newest"}, "it is not a version"},
		"no such binary":        {[]string{"run", "etcd", "--binary", "/no/such/etcd"}, "/no/such/etcd"},
		"binary is a directory": {[]string{"run", "etcd", "--binary", "/"}, "is not a file"},
		"bad concurrency":       {[]string{"run", "etcd", "--concurrency", "many"}, `"many" is not a number of clients`},
		"bad memory":            {[]string{"run", "etcd", "--checker-memory", "plenty"}, `"plenty" is not a size`},
		"negative rate":         {[]string{"run", "etcd", "--rate", "-1"}, "--rate"},
		"no such run":           {[]string{"check", "/no/such/run"}, "open run"},
		"not a run":             {[]string{"report", t.TempDir()}, "has no plan.json"},
		"replay of nothing":     {[]string{"replay", "/no/such/run"}, "open run"},
		"list of something":     {[]string{"list", "planets"}, `"planets"`},
		"nodes without a word":  {[]string{"nodes"}, "say check or heal"},
		"nodes with a bad word": {[]string{"nodes", "explode"}, "explode"},
	} {
		t.Run(name, func(t *testing.T) {
			out, code := try(t, tc.args...)
			if code != usageCode {
				t.Errorf("exit status %d, want %d", code, usageCode)
			}
			if !strings.Contains(out, tc.says) || strings.Count(strings.TrimSpace(out), "\n") != 0 {
				t.Errorf("says %q, want one line with %q", out, tc.says)
			}
		})
	}
}

func TestListsNameWhatThereIs(t *testing.T) {
	for what, says := range map[string][]string{
		"systems":   {"etcd", "reads=linearizable", "register"},
		"workloads": {"register", "append", "set"},
		"faults":    {"partition", "kill", "stop", "pause"},
		"checkers":  {"linearizable", "set", "append", "stats", "availability"},
	} {
		out, code := try(t, "list", what)
		if code != 0 {
			t.Errorf("list %s: exit status %d: %s", what, code, out)
		}
		for _, word := range says {
			if !strings.Contains(out, word) {
				t.Errorf("list %s lacks %q:\n%s", what, word, out)
			}
		}
	}
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	root, _ := newRoot()
	for _, cmd := range visibleCommands(root) {
		if cmd.Short == "" || cmd.Example == "" {
			t.Errorf("%s: no example or no short help", cmd.CommandPath())
		}
	}
	if out, code := try(t, "completion", "bash"); code != 0 || !strings.Contains(out, "nemesis") {
		t.Errorf("completion bash: exit status %d", code)
	}
}

// A file that cannot be opened for want of descriptors is no mistake of the user's.
func TestWhatThisMachineLacksIsNoMistake(t *testing.T) {
	for errno, want := range map[syscall.Errno]int{
		syscall.EMFILE: 5, syscall.ENFILE: 5, syscall.ENOMEM: 5, syscall.EIO: 5,
		syscall.ENOENT: usageCode, syscall.EACCES: usageCode, syscall.EISDIR: usageCode,
	} {
		err := &run.UsageError{Err: fmt.Errorf("read run: %w", &fs.PathError{Op: "open", Path: "plan.json", Err: errno})}
		if got := status(err, true); got != want {
			t.Errorf("%s: exit status %d, want %d", errno, got, want)
		}
	}
}
