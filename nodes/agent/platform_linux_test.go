package agent

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLookingAroundAMachine(t *testing.T) {
	const release, scope = "proc/sys/kernel/osrelease", "proc/sys/kernel/yama/ptrace_scope"
	for name, c := range map[string]struct {
		files map[string]string
		want  Platform
	}{
		"a bare kernel": {nil, Platform{Netem: "this kernel has no sch_netem, loaded or to be loaded", Fuse: "there is no /dev/fuse"}},
		"a Debian": {map[string]string{
			release: "6.1.0-50\n", scope: "1\n", "dev/fuse": "",
			"lib/modules/6.1.0-50/modules.dep":                                "kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko\nkernel/net/sched/sch_netem.ko.xz:\n",
			"lib/modules/6.1.0-50/modules.builtin":                            "kernel/fs/fuse/virtio.ko\n",
			"sys/devices/system/clocksource/clocksource0/current_clocksource": "kvm-clock\n",
			"proc/12/comm": "systemd-timesyn\n", "proc/7/comm": "chronyd\n", "proc/8/comm": "chronyd\n", "proc/9/comm": "chronyc\n",
		}, Platform{ClockSource: "kvm-clock", TimeServices: []string{"chronyd", "systemd-timesyn"}}},
		"what another kernel's modules hold is not here": {map[string]string{
			release: "6.1.0-51\n", "sys/module/fuse/refcnt": "0\n", "lib/modules/6.1.0-50/modules.dep": "kernel/net/sched/sch_netem.ko:\n",
		}, Platform{Netem: "this kernel has no sch_netem, loaded or to be loaded"}},
		"nobody may trace, and modules are built in": {map[string]string{
			release: "6\n", scope: "3\n", "lib/modules/6/modules.builtin": "kernel/fs/fuse/fuse.ko\nkernel/net/sched/sch-netem.ko\n",
		}, Platform{Ptrace: "kernel.yama.ptrace_scope is 3: nobody may trace until the machine is booted anew without it"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for file, content := range c.files {
				path := filepath.Join(root, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if c.want.TimeServices == nil {
				c.want.TimeServices = []string{}
			}
			if diff := cmp.Diff(c.want, lookAround(root)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTracingMayBeRootsAlone(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "proc/sys/kernel/yama/ptrace_scope")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := lookAround(root).Ptrace
	if (os.Geteuid() == 0) != (got == "") {
		t.Errorf("as user %d: %q", os.Geteuid(), got)
	}
}
