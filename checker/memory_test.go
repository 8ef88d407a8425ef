package checker

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestMemoryOfAMachine(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	meminfo := file("MemTotal:        4096 kB\nMemFree:          100 kB\n")
	for name, c := range map[string]struct {
		files fstest.MapFS
		want  int64
	}{
		"no limit":    {fstest.MapFS{"proc/meminfo": meminfo}, 4 << 20},
		"nobody says": {fstest.MapFS{}, 0},
		"a group": {fstest.MapFS{"proc/meminfo": meminfo, "proc/self/cgroup": file("0::/user/job\n"),
			"sys/fs/cgroup/user/job/memory.max": file("max\n"), "sys/fs/cgroup/user/memory.max": file("2097152\n")}, 2 << 20},
		"a container": {fstest.MapFS{"proc/meminfo": meminfo, "proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("1048576\n")}, 1 << 20},
		"version 1": {fstest.MapFS{"proc/meminfo": meminfo, "proc/self/cgroup": file("5:cpu,cpuacct:/\n4:memory:/docker/x\n"),
			"sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": file("3145728\n"), "sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n")}, 3 << 20},
		"a group of more than there is": {fstest.MapFS{"proc/meminfo": meminfo, "proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("99999999999\n")}, 4 << 20},
	} {
		if got := machineMemory(c.files); got != c.want {
			t.Errorf("%s: %d bytes, want %d", name, got, c.want)
		}
	}
}

func TestCheckersGetNoMoreMemoryThanThereIs(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		asked, there, want int64
		note               bool
	}{
		{gib, 8 * gib, gib, false}, {6 * gib, 8 * gib, 6 * gib, false}, {7 * gib, 8 * gib, 6 * gib, true}, {1 << 50, 8 * gib, 6 * gib, true},
		{gib, 0, gib, false}, {0, 8 * gib, 6 * gib, false}, {0, 0, 0, false},
	} {
		got, note := within(c.asked, c.there)
		if got != c.want || (note != "") != c.note || strings.Contains(note, "\n") {
			t.Errorf("of %d MiB asked for, with %d there: %d, %q", c.asked>>20, c.there>>20, got>>20, note)
		}
	}
	if memory, note := Memory(1 << 50); memory >= 1<<50 || !strings.HasPrefix(note, "The checkers were given ") {
		t.Errorf("of this machine: %d, %q", memory, note)
	}
}
