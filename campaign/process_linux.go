package campaign

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// ownGroup puts a child in a group of its own, which can be killed as a whole, and has
// the kernel kill it when this process dies, however that happens.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func killGroup(pid int)        { _ = syscall.Kill(-pid, syscall.SIGKILL) }
func interruptProcess(pid int) { _ = syscall.Kill(pid, syscall.SIGINT) }

// sacrifice makes the kernel, when memory runs out before we have noticed, take the child
// and what it started rather than the campaign.
func sacrifice(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("1000"), 0)
}

// lock takes a file for this process alone; it is free again when the process ends.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// treeMemory is the memory in bytes of a process and all below it, in whatever
// namespaces, without the pages of files, which cost nothing twice. What ends while it is looked at
// does not count.
func treeMemory(pid int) int64 {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	below := map[int][]int{}
	for _, entry := range entries {
		if id, err := strconv.Atoi(entry.Name()); err == nil {
			// Asked twice, a process that ends in between has two parents, and its tree may be a circle.
			parent := parentOf(id)
			below[parent] = append(below[parent], id)
		}
	}
	var sum int64
	for todo := []int{pid}; len(todo) > 0; {
		id := todo[len(todo)-1]
		todo = append(todo[:len(todo)-1], below[id]...)
		delete(below, id) // seen, whatever else was read of a table that changes meanwhile
		sum += memoryOf(id)
	}
	return sum
}

func parentOf(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name, in parentheses, may hold anything: what counts comes after the last one.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(string(fields[1]))
	return parent
}

func memoryOf(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 3 {
		return 0
	}
	resident, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	shared, _ := strconv.ParseInt(string(fields[2]), 10, 64)
	return max(0, resident-shared) * int64(os.Getpagesize())
}
