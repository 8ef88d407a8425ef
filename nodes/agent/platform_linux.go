package agent

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// lookAround finds out what the machine whose files are below root offers. It opens
// no device and loads no module: a look must not be a change.
func lookAround(root string) Platform {
	read := func(name string) string {
		content, _ := os.ReadFile(filepath.Join(root, name)) // what cannot be read is not there for us
		return firstLine(strings.TrimSpace(string(content)))
	}
	m := Platform{ClockSource: read("sys/devices/system/clocksource/clocksource0/current_clocksource")}
	release := read("proc/sys/kernel/osrelease")
	if !hasModule(root, release, "sch_netem") {
		m.Netem = "this kernel has no sch_netem, loaded or to be loaded"
	}
	if _, err := os.Stat(filepath.Join(root, "dev/fuse")); err != nil && !hasModule(root, release, "fuse") {
		m.Fuse = "there is no /dev/fuse"
	}
	// 0 and 1 allow to trace children, which is all we do; 2 wants CAP_SYS_PTRACE.
	switch scope := read("proc/sys/kernel/yama/ptrace_scope"); {
	case scope == "3":
		m.Ptrace = "kernel.yama.ptrace_scope is 3: nobody may trace until the machine is booted anew without it"
	case scope == "2" && os.Geteuid() != 0:
		m.Ptrace = "kernel.yama.ptrace_scope is 2: only root may trace"
	}
	m.TimeServices = timeServices(root)
	return m
}

// hasModule reports whether the kernel has a module in it, loaded, or at hand.
func hasModule(root, release, name string) bool {
	if _, err := os.Stat(filepath.Join(root, "sys/module", name)); err == nil {
		return true
	}
	for _, list := range []string{"modules.dep", "modules.builtin"} {
		content, err := os.ReadFile(filepath.Join(root, "lib/modules", path.Base(release), list))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(content)) {
			file, _, _ := strings.Cut(strings.TrimSpace(line), ":")
			base, _, _ := strings.Cut(path.Base(file), ".ko") // .ko, .ko.xz, .ko.zst
			if strings.ReplaceAll(base, "-", "_") == name {
				return true
			}
		}
	}
	return false
}

// clockSetters are programs that set a machine's clock, by the name that the kernel
// gives a process: its first fifteen bytes.
var clockSetters = []string{
	"chronyd", "ntpd", "ntpsec-ntpd", "openntpd", "ptp4l", "phc2sys", "systemd-timesyn", "timemaster",
	"qemu-ga", "VBoxService", "vmtoolsd",
}

func timeServices(root string) []string {
	found := []string{}
	names, _ := filepath.Glob(filepath.Join(root, "proc/[0-9]*/comm")) // the pattern is good
	for _, name := range names {
		comm, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended meanwhile
		}
		if who := strings.TrimSpace(string(comm)); slices.Contains(clockSetters, who) && !slices.Contains(found, who) {
			found = append(found, who)
		}
	}
	slices.Sort(found)
	return found
}
