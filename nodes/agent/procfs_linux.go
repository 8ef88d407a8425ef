package agent

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// alive reports whether the process with this start time still runs. A zombie has
// ended: it only waits to be told of.
func alive(pid int, started uint64) bool {
	s, err := ReadStat(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && s.Started == started && !s.Ended()
}

// threads counts a process's threads and those of them that a signal stopped.
func threads(pid int) (all, stopped int) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return 0, 0
	}
	for _, t := range tasks {
		s, err := ReadStat(fmt.Sprintf("/proc/%d/task/%s/stat", pid, t.Name()))
		if err != nil || s.Ended() {
			continue // a thread that is ending, or a leader whose threads live on
		}
		all++
		if s.State == 'T' {
			stopped++
		}
	}
	return all, stopped
}

// tagged reports whether a process carries a variable in its environment and is in our namespace of processes. One in a
// namespace below it, as those of a container or of a local node, belongs to the agent there, whose directory may have the
// same name.
func tagged(pid int, variable string) bool {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false
	}
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if string(v) == variable {
			its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
			ours, failed := os.Readlink("/proc/self/ns/pid")
			return err == nil && failed == nil && its == ours
		}
	}
	return false
}

// findTagged looks for the session leader that carries this variable in its
// environment: a process that an agent started, but did not live to write down.
func findTagged(variable string) (pid int, started uint64, ok bool) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return 0, 0, false
	}
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		if !tagged(pid, variable) {
			continue
		}
		if s, err := ReadStat("/proc/" + d.Name() + "/stat"); err == nil && s.Session == pid && s.State != 'Z' {
			return pid, s.Started, true
		}
	}
	return 0, 0, false
}

// bootID tells one boot of the machine from another.
func bootID() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
}
