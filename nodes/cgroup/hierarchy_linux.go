package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// place is a directory of a hierarchy in which groups may be made.
type place struct {
	dir     string
	version int
}

// hierarchies are the places to try, best first.
func hierarchies() ([]place, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("find the hierarchies of control groups: %w", err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("find the hierarchies of control groups: %w", err)
	}
	return placesIn(string(mounts), string(own)), nil
}

// passive are the hierarchies of version 1 that do nothing to their members by
// themselves, the best first.
var passive = []string{"freezer", "pids"}

// mount is a mounted hierarchy.
type mount struct {
	place
	root        string   // what of the hierarchy is mounted
	controllers []string // of version 1
}

// rank orders hierarchies by how well they suit; a negative one does not.
func (m mount) rank() int {
	if m.version == 2 {
		return 0
	}
	for i, c := range passive {
		if slices.Contains(m.controllers, c) {
			return 1 + i
		}
	}
	if slices.ContainsFunc(m.controllers, func(c string) bool { return strings.HasPrefix(c, "name=") }) {
		return 1 + len(passive)
	}
	return -1
}

// placesIn reads a process's mountinfo and cgroup files, see proc(5).
func placesIn(mountinfo, own string) []place {
	var mounts []mount
	for line := range strings.Lines(mountinfo) {
		if m, ok := parseMount(line); ok && m.rank() >= 0 {
			mounts = append(mounts, m)
		}
	}
	slices.SortStableFunc(mounts, func(a, b mount) int { return a.rank() - b.rank() })
	var out []place
	for _, m := range mounts {
		out = append(out, m.place)
		if below, ok := m.of(own); ok && below != m.dir {
			out = append(out, place{dir: below, version: m.version})
		}
	}
	return out
}

// parseMount reads one line: "36 30 0:33 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer".
func parseMount(line string) (mount, bool) {
	before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	if !ok || len(left) < 6 || len(right) < 3 || slices.Contains(strings.Split(left[5], ","), "ro") {
		return mount{}, false
	}
	m := mount{place: place{dir: unescape(left[4])}, root: unescape(left[3])}
	switch right[0] {
	case "cgroup2":
		m.version = 2
	case "cgroup":
		m.version, m.controllers = 1, strings.Split(right[2], ",")
	default:
		return mount{}, false
	}
	return m, true
}

// of is the directory of the group that a process's cgroup file names in this hierarchy,
// when that part of it is mounted.
func (m mount) of(own string) (dir string, ok bool) {
	for line := range strings.Lines(own) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3) // 0::/a/b, 7:freezer:/a/b
		if len(fields) != 3 {
			continue
		}
		if m.version == 2 && fields[1] != "" || m.version == 1 && (fields[1] == "" || !slices.Contains(m.controllers, strings.Split(fields[1], ",")[0])) {
			continue
		}
		below, err := filepath.Rel(m.root, fields[2])
		if err != nil || below == ".." || strings.HasPrefix(below, "../") {
			return "", false
		}
		return filepath.Join(m.dir, below), true
	}
	return "", false
}

// unescape undoes the octal escapes of mountinfo.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

// homeIn is the directory of the group that a cgroup file names, in the hierarchy that
// the group in dir belongs to.
func homeIn(mountinfo, own, dir string) string {
	for line := range strings.Lines(mountinfo) {
		m, ok := parseMount(line)
		if !ok || !strings.HasPrefix(dir, m.dir+"/") {
			continue
		}
		if home, ok := m.of(own); ok {
			return home
		}
	}
	return ""
}
