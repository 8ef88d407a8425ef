package checker

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/metrics"
	"strconv"
	"strings"
)

// Memory is how much of the memory that was asked for, in bytes, may be spent on reading and
// judging here: no more than three quarters of what this machine, or the control group of
// this process, has. note says so in a sentence, "" where it is what was asked for. 0 asks
// for no bound, and gets that of the machine.
func Memory(asked int64) (memory int64, note string) {
	return within(asked, machineMemory(os.DirFS("/")))
}

func within(asked, there int64) (int64, string) {
	most := there / 4 * 3
	switch {
	case there == 0 || asked > 0 && asked <= most:
		return asked, ""
	case asked == 0:
		return most, ""
	}
	return most, fmt.Sprintf("The checkers were given %d MiB of memory and not the %d MiB that were asked for (--checker-memory): this machine has %d MiB.", most>>20, asked>>20, there>>20)
}

// Heap is the memory in bytes that this process' objects take, those included that nothing refers to any more.
func Heap() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// machineMemory is the memory in bytes that this process can have; 0 where nobody can tell,
// which is anywhere but on Linux.
func machineMemory(root fs.FS) int64 {
	least := int64(math.MaxInt64)
	read := func(name string) string {
		text, _ := fs.ReadFile(root, name)
		return string(text)
	}
	for line := range strings.Lines(read("proc/meminfo")) {
		if text, is := strings.CutPrefix(line, "MemTotal:"); is {
			if kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")), 10, 64); err == nil {
				least = kib << 10
			}
		}
	}
	// Of the control group of this process and all above it the tightest holds. In a
	// container the root of the hierarchy is its own group.
	limit := func(hierarchy, file, group string) {
		for ; ; group = path.Dir(group) {
			text := strings.TrimSpace(read(path.Join(hierarchy, group, file)))
			if bytes, err := strconv.ParseInt(text, 10, 64); err == nil && bytes > 0 { // "max" is none
				least = min(least, bytes)
			}
			if group == "/" || group == "." {
				return
			}
		}
	}
	for line := range strings.Lines(read("proc/self/cgroup")) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch controllers, group, _ := strings.Cut(rest, ":"); {
		case controllers == "":
			limit("sys/fs/cgroup", "memory.max", path.Clean("/"+group))
		case controllers == "memory":
			limit("sys/fs/cgroup/memory", "memory.limit_in_bytes", path.Clean("/"+group))
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least
}
