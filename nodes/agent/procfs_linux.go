package agent

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// stat is what we need of /proc/<pid>/stat.
type stat struct {
	name    string // at most 15 bytes, of the process's own choice
	state   byte   // R, S, D, T (stopped), t (traced), Z (zombie), X (dead)
	pgrp    int
	session int
	parent  int
	started uint64 // clock ticks since boot
}

// readStat reads a process's or thread's stat file.
func readStat(path string) (stat, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return stat{}, err
	}
	return parseStat(string(text))
}

// parseStat starts after the last parenthesis: the name before it is the process's
// own choice, and may hold blanks and parentheses.
func parseStat(text string) (stat, error) {
	close := strings.LastIndexByte(text, ')')
	fields := strings.Fields(text[close+1:])
	if close < 0 || len(fields) < 20 || len(fields[0]) != 1 {
		return stat{}, fmt.Errorf("read a process's state: %q is not the line of a stat file", firstLine(text))
	}
	var err error
	number := func(i int) uint64 {
		n, e := strconv.ParseUint(strings.TrimPrefix(fields[i], "-"), 10, 64)
		if e != nil && err == nil {
			err = e
		}
		return n
	}
	// Field 3 of proc_pid_stat(5) is fields[0] here.
	_, name, _ := strings.Cut(text[:close], "(")
	s := stat{name: firstLine(name), state: fields[0][0], parent: int(number(1)), pgrp: int(number(2)), session: int(number(3)), started: number(19)}
	return s, err
}

// alive reports whether the process with this start time still runs. A zombie has
// ended: it only waits to be told of.
func alive(pid int, started uint64) bool {
	s, err := readStat(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && s.started == started && s.state != 'Z' && s.state != 'X'
}

// threads counts a process's threads and those of them that a signal stopped.
func threads(pid int) (all, stopped int) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return 0, 0
	}
	for _, t := range tasks {
		s, err := readStat(fmt.Sprintf("/proc/%d/task/%s/stat", pid, t.Name()))
		if err != nil || s.state == 'Z' || s.state == 'X' {
			continue // a thread that is ending, or a leader whose threads live on
		}
		all++
		if s.state == 'T' {
			stopped++
		}
	}
	return all, stopped
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
		env, err := os.ReadFile("/proc/" + d.Name() + "/environ")
		if err != nil {
			continue
		}
		for _, v := range bytes.Split(env, []byte{0}) {
			if string(v) != variable {
				continue
			}
			if s, err := readStat("/proc/" + d.Name() + "/stat"); err == nil && s.session == pid && s.state != 'Z' {
				return pid, s.started, true
			}
		}
	}
	return 0, 0, false
}

// bootID tells one boot of the machine from another.
func bootID() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
}
