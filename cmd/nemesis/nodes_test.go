package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemesis/history"
	"nemesis/nodes"
	"nemesis/nodes/agent"
	"nemesis/nodes/power"
	"nemesis/nodes/ssh"
	"nemesis/run"
)

func TestWhatIsToldOfANode(t *testing.T) {
	machine := nodes.Node{Name: "n1", Address: netip.MustParseAddr("10.0.0.11")}
	facts := agent.Facts{OS: "linux", Arch: "arm64", Kernel: "6.1\x1b[31m", Hostname: "db", Dir: "/var/lib/nemesis", DiskFree: 3 << 30, DiskTotal: 4 << 30,
		HeldBy: agent.HeldByTag, NoCgroup: "nothing is mounted", Processes: []agent.ProcessState{{Name: "etcd", PID: 7, Processes: 2, HeldBy: agent.HeldByTag}},
		Platform:   agent.Platform{Fuse: "there is no /dev/fuse", ClockSource: "kvm-clock", TimeServices: []string{"chronyd", "qemu-ga"}},
		Cannot:     map[string]string{"net.drop": "it is not root", "net.netem": "it is not root", "net.switch": "it is not root", "clock.machine": "it is a container"},
		DiskOnLoop: "FUSE is missing",
		Leftovers:  []string{"f1: drop packets"}, Stuck: []string{"f2: no such device"}}
	got := describeNode(machine, facts, history.ClockSample{WallLow: 2_000_000, WallHigh: 3_000_000}, true)
	want := `n1 (10.0.0.11): linux/arm64, kernel 6.1⟨U+001B⟩[31m, host name db, not root
  agent directory /var/lib/nemesis, 3072 MiB of 4096 MiB free
  netem yes, FUSE no (there is no /dev/fuse), ptrace yes
  clock 2.5ms ahead of this machine's (± 500µs), read from kvm-clock, set by chronyd and qemu-ga
  servers are held by what they inherit, since there is no control group for them: nothing is mounted
  power-loss by a loop device with ext4, since FUSE is missing
  an earlier run left running: etcd (pid 7, processes: 2, held by tag)
  undid what an earlier run left behind: f1: drop packets
  cannot undo what an earlier run left behind: f2: no such device
`
	if diff := cmp.Diff(want, got[:min(len(want), len(got))]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, line := range []string{"  cannot have partition, packet, packet-jam, packet-reset, packet-half-open, packet-damage: it is not root\n", "  cannot clock.machine: it is a container\n"} {
		if !strings.Contains(got, line) {
			t.Errorf("%q is missing in:\n%s", line, got)
		}
	}
	_, can, _ := strings.Cut(got, "  can have ")
	can, _, _ = strings.Cut(can, "\n")
	if !strings.Contains(can, "power-off") || strings.Contains(can, "partition") {
		t.Errorf("it can have %s", can)
	}
	if got := describeNode(machine, agent.Facts{}, history.ClockSample{}, false); !strings.Contains(got, "cannot have power-off, power-cycle: nobody is named who turns its machine off and on; pass --power-off and --power-on\n") {
		t.Errorf("without a power switch:\n%s", got)
	}
}

func TestClockOffsetInWords(t *testing.T) {
	for want, c := range map[string]history.ClockSample{
		"as this machine's, to within 4ms":       {WallLow: -2_000_000, WallHigh: 2_000_000},
		"as this machine's, to within 100µs":     {WallLow: -10, WallHigh: 10},
		"1h0m0s behind this machine's (± 100µs)": {WallLow: -3_600_000_100_000, WallHigh: -3_599_999_900_000},
		"3ms ahead of this machine's (± 1ms)":    {WallLow: 2_000_000, WallHigh: 4_000_000},
	} {
		if got := describeOffset(c); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestPowerOfEachKindOfNode(t *testing.T) {
	dir := t.TempDir()
	for file, content := range map[string]string{"Vagrantfile": "", ".vagrant/machines/n1/libvirt/id": "5ee1-c0de\n", ".vagrant/machines/n2/virtualbox/id": "b0ca"} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	libvirt := power.Libvirt{Domains: map[string]string{"n1": "5ee1-c0de"}}
	own, err := power.NewCommand("off {node}", "on {node}")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		flags clusterFlags
		want  nodes.Power
	}{
		"hosts, and nobody":   {clusterFlags{spec: "n1,n2"}, nil},
		"a local cluster":     {clusterFlags{spec: "local:3"}, nil},
		"the user's commands": {clusterFlags{spec: "n1,n2", off: "off {node}", on: "on {node}"}, own},
		"Vagrant's machines":  {clusterFlags{spec: "vagrant", vagrantDir: dir}, power.Either{Of: map[string]nodes.Power{"n1": libvirt}, Else: power.Vagrant{Dir: dir}}},
		"commands come first": {clusterFlags{spec: "vagrant", vagrantDir: dir, off: "off {node}", on: "on {node}"}, own},
	} {
		got, err := c.flags.power()
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(power.Command{})); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	names, err := clusterFlags{spec: "vagrant", vagrantDir: dir}.names()
	if diff := cmp.Diff([]string{"n1", "n2"}, names); diff != "" || err != nil {
		t.Errorf("the names: %v (-want +got):\n%s", err, diff)
	}
}

func TestContradictoryPowerFlagsAreRefused(t *testing.T) {
	t.Setenv("VAGRANT_CWD", "")
	t.Chdir(t.TempDir())
	for want, c := range map[string]clusterFlags{
		"read --power-on: it is missing; --power-off and --power-on belong together":                     {spec: "n1", off: "off {node}"},
		"read --power-off: local nodes are no machines, and have no power of their own":                  {spec: "local:3", off: "off {node}", on: "on {node}"},
		`read nodes "vagrant": no Vagrantfile is in vagrant or .; name its directory with --vagrant-dir`: {spec: "vagrant"},
		`read nodes "vagrant": no Vagrantfile is in /nonexistent; name its directory with --vagrant-dir`: {spec: "vagrant", vagrantDir: "/nonexistent"},
	} {
		_, err := c.power()
		var usage *run.UsageError
		var host *ssh.UsageError
		if err == nil || err.Error() != want || !errors.As(err, &usage) && !errors.As(err, &host) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if err := os.WriteFile("Vagrantfile", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (clusterFlags{spec: "vagrant"}).names(); err == nil || !strings.HasPrefix(err.Error(), "find Vagrant's machines: none was made yet; make them with: cd /") {
		t.Errorf("a Vagrantfile without machines: %v", err)
	}
}
