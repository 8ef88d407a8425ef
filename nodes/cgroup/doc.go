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
// freezer, pids or a named one. No controller is enabled and no limit set in either case,
// until one is asked for: then a group of version 2 is limited itself (Delegate, Limit), and
// with version 1 its processes move to a group of ours in the hierarchy of the controller
// (MakeLimiting), and out of it when the limit is lifted (Release).
//
// Groups are made below the root of a mounted hierarchy, or below this process's own
// group where an ordinary user was given that one. Nothing but what Make and
// MakeLimiting made is ever written to or removed.
package cgroup
