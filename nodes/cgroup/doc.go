// Package cgroup makes control groups of our own, so that a server can be signalled,
// killed and counted as a whole.
//
// A process group is not enough for that: a program leaves it with setsid, as each
// session of PostgreSQL does. A control group is left by nobody without the right to
// write to the hierarchy.
//
// Version 2 is preferred: it takes a process before its first instruction
// (CLONE_INTO_CGROUP) and can be frozen while its members are killed. Where only
// version 1 is mounted, any hierarchy that does not act on its members by itself will do:
// freezer, pids or a named one. No controller is enabled and no limit set in either case.
//
// Groups are made below the root of a mounted hierarchy, or below this process's own
// group where an ordinary user was given that one. Nothing but what Make made is ever
// written to or removed.
package cgroup
