package power_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nemesis/nodes"
	"nemesis/nodes/forks"
	"nemesis/nodes/power"
	"nemesis/nodes/ssh"
)

// standIn puts a shell script in the place of a program, and returns the file to
// which it writes its arguments, one a line between brackets.
func standIn(t *testing.T, name, script string) (said string) {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh on this machine")
	}
	dir := t.TempDir()
	said = dir + "/said"
	text := "#!" + sh + "\nprintf '[%s]' \"$@\" >>" + said + "\necho >>" + said + "\n" + script + "\n"
	if err := os.WriteFile(dir+"/"+name, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	forks.Settle(dir + "/" + name)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return said
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(content)), "\n")
}

func TestLibvirtPowerIsIdempotent(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	said := standIn(t, "virsh", `case $4 in
		domstate) cat `+state+`;;
		destroy) echo 'shut off' >`+state+`;;
		start) echo running >`+state+`;;
	esac`)
	if err := os.WriteFile(state, []byte("running\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	plug := power.Libvirt{Domains: map[string]string{"n1": "nemesis-n1"}}
	for _, do := range []func(context.Context, string) error{plug.On, plug.Off, plug.Off, plug.On} {
		if err := do(t.Context(), "n1"); err != nil {
			t.Fatal(err)
		}
	}
	var verbs []string
	for _, l := range lines(t, said) {
		l, ok := strings.CutPrefix(l, "[--quiet][--connect][qemu:///system][")
		verb, of, _ := strings.Cut(l, "]")
		if !ok || of != "[--domain][nemesis-n1]" {
			t.Errorf("virsh was given %s", l)
		}
		if verb != "domstate" {
			verbs = append(verbs, verb)
		}
	}
	if got := strings.Join(verbs, " "); got != "destroy start" {
		t.Errorf("virsh was told: %s", got)
	}
	if err := plug.Off(t.Context(), "n9"); err == nil || err.Error() != "power off n9: no libvirt domain is known for it" {
		t.Errorf("a node that is nobody's: %v", err)
	}
}

func TestVagrantIsRunWhereItsFileIs(t *testing.T) {
	dir := t.TempDir()
	said := standIn(t, "vagrant", `echo "[$PWD][$VAGRANT_CWD]" >>`+dir+`/where`)
	plug := power.Vagrant{Dir: dir}
	if err := errors.Join(plug.Off(t.Context(), "n1"), plug.On(t.Context(), "n1")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(lines(t, said), " "); got != "[halt][--force][n1] [up][--no-provision][n1]" {
		t.Errorf("vagrant was told: %s", got)
	}
	if got := lines(t, dir+"/where")[0]; got != "["+dir+"]["+dir+"]" {
		t.Errorf("vagrant was run in %s", got)
	}
}

func TestNodeNameIsOneArgumentOfThePowerCommand(t *testing.T) {
	said := standIn(t, "plug", "")
	plug, err := power.NewCommand(`plug "--outlet {node}" off`, `plug on {node}{node}`)
	if err != nil {
		t.Fatal(err)
	}
	const name = `n1; echo "$HOME" '`
	if err := errors.Join(plug.Off(t.Context(), name), plug.On(t.Context(), name)); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(lines(t, said), "\n"), "[--outlet "+name+"][off]\n[on]["+name+name+"]"; got != want {
		t.Errorf("the command was given:\n%s\nwant:\n%s", got, want)
	}
}

func TestInvalidPowerCommandsAreRefused(t *testing.T) {
	for lines, want := range map[[2]string]string{
		{"off {node}", ""}:             "read --power-on: it is missing; --power-off and --power-on belong together",
		{" ", "on {node}"}:             "read --power-off: it is missing; --power-off and --power-on belong together",
		{"off {node}", "on 'n"}:        "read --power-on: a quote is never closed",
		{"poweroff", "poweron {node}"}: "read --power-off: it does not say whose power; write {node} where the node's name belongs",
	} {
		if _, err := power.NewCommand(lines[0], lines[1]); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", lines, err, want)
		}
	}
}

func TestACommandThatFailsSaysWhy(t *testing.T) {
	standIn(t, "plug", `printf 'no such outlet\n\033[31m' >&2; exit 3`)
	plug, err := power.NewCommand("plug off {node}", "missing-program {node}")
	if err != nil {
		t.Fatal(err)
	}
	if err := plug.Off(t.Context(), "n1"); err == nil || err.Error() != `power off n1 with "plug off n1": exit status 3: no such outlet [31m` {
		t.Errorf("got %v", err)
	}
	if err := plug.On(t.Context(), "n1"); err == nil || !strings.HasPrefix(err.Error(), `power on n1 with "missing-program n1": `) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := plug.Off(ctx, "n1"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestEachNodeHasItsOwnPower(t *testing.T) {
	a, b := &switchboard{}, &switchboard{}
	both := power.Either{Of: map[string]nodes.Power{"n1": a}, Else: b}
	if err := errors.Join(both.Off(t.Context(), "n1"), both.On(t.Context(), "n2")); err != nil {
		t.Fatal(err)
	}
	if a.said != "off n1" || b.said != "on n2" {
		t.Errorf("one was told %q, the other %q", a.said, b.said)
	}
}

type switchboard struct{ said string }

func (s *switchboard) Off(_ context.Context, node string) error { s.said = "off " + node; return nil }
func (s *switchboard) On(_ context.Context, node string) error  { s.said = "on " + node; return nil }

// NEMESIS_TEST_VAGRANT names the directory of a Vagrantfile whose first machine may
// lose its power.
func TestPowerOffLosesUnsyncedData(t *testing.T) {
	dir := os.Getenv("NEMESIS_TEST_VAGRANT")
	if dir == "" {
		t.Skip("NEMESIS_TEST_VAGRANT names no Vagrantfile's directory")
	}
	machines, err := ssh.FindVagrant(dir)
	if err != nil {
		t.Fatal(err)
	}
	hosts, opt, err := machines.Hosts(t.Context(), ssh.Options{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := ssh.NewCluster(t.Context(), hosts[:1], opt)
	if err != nil {
		t.Fatal(err)
	}
	plug, name := power.OfVagrant(machines), hosts[0].Node.Name
	conn, err := cluster.Connect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := func(conn nodes.Conn, line string) string {
		out, err := conn.Run(t.Context(), nil, "sh", "-c", line)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	const bootID = "cat /proc/sys/kernel/random/boot_id"
	before := ask(conn, bootID)
	ask(conn, "echo kept >kept && sync && echo lost >lost")
	if err := plug.Off(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	<-conn.Lost()
	if err := plug.On(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	var again nodes.Conn
	for again == nil {
		if again, err = cluster.Connect(t.Context(), name); err != nil {
			if t.Context().Err() != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
	}
	defer again.Close()
	if after := ask(again, bootID); after == before {
		t.Errorf("the boot is the same: %s", after)
	}
	if got := ask(again, "cat kept; cat lost 2>/dev/null; rm -f kept lost"); got != "kept" {
		t.Errorf("after the power was gone, the files hold %q", got)
	}
}
