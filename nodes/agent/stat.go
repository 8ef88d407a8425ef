package agent

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Stat is what we need of /proc/PID/stat, proc_pid_stat(5).
type Stat struct {
	Name    string // at most 15 bytes, of the process's own choice
	State   byte   // R, S, D, T (stopped), t (traced), Z (zombie), X (dead)
	Group   int
	Session int
	Parent  int
	Started uint64 // in units of ClockTick since the machine started
}

// ClockTick is the unit of times in stat files, the same on every Linux we run on.
const ClockTick = 10 * time.Millisecond

// Ended says that a process has ended, and only waits for its parent to be told.
func (s Stat) Ended() bool { return s.State == 'Z' || s.State == 'X' }

// Age is how long the process has lived, by its start and the machine's uptime.
func (s Stat) Age() (time.Duration, error) {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0, err
	}
	up, _, _ := strings.Cut(string(text), " ")
	seconds, err := strconv.ParseFloat(up, 64)
	if err != nil {
		return 0, fmt.Errorf("read /proc/uptime: %w", err)
	}
	return time.Duration(seconds*float64(time.Second)) - time.Duration(s.Started)*ClockTick, nil
}

// ReadStat reads the stat file of a process, /proc/PID/stat, or of a thread,
// /proc/PID/task/TID/stat.
func ReadStat(path string) (Stat, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Stat{}, err
	}
	return parseStat(string(text))
}

// parseStat starts after the last parenthesis: the name before it is the process's
// own choice, and may hold blanks and parentheses.
func parseStat(text string) (Stat, error) {
	close := strings.LastIndexByte(text, ')')
	fields := strings.Fields(text[close+1:])
	if close < 0 || len(fields) < 20 || len(fields[0]) != 1 {
		return Stat{}, fmt.Errorf("read a process's state: %q is not the line of a stat file", firstLine(text))
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
	s := Stat{Name: firstLine(name), State: fields[0][0], Parent: int(number(1)), Group: int(number(2)), Session: int(number(3)), Started: number(19)}
	return s, err
}
