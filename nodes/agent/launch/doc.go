// Package launch starts programs under a shadow clock, and keeps everything that
// they execute afterwards under it.
//
// A program finds the kernel's vDSO, and with it the clock, through one word of its
// initial stack, the auxv entry AT_SYSINFO_EHDR, which it reads once. So there is one
// moment to act in: after execve has built the new program, before its first
// instruction. In that moment this package maps a copy of the vDSO (package shadow)
// and the node's parameter page into the program, and has the word point at the copy.
// Forked children inherit both. What is executed anew starts with a new stack and is
// done again, wherever it happens: `sh -c 'exec server'`, a thread, a helper program.
//
// Three processes take part, all of them this executable:
//
//	agent ──Start──▶ launcher: installs a seccomp filter that reports execve, gives the
//	  ▲              listening end away, executes the server; from then on it is the server
//	  │ "ok"                │ execve, now and later
//	  └──────────── shepherd: answers each report, by ptrace of the one thread that asked
//
// The filter is the reason why nobody stays attached. It would not be dear: an etcd at
// 5000 puts a second receives some 30 signals a second, each a stop until the tracer was
// scheduled. But it would show. A traced process that is paused is in another state in
// /proc, its end is told to its tracer first, no debugger can look at it, and a tracer
// that is slow or dead slows the server down or leaves its children with the true clock.
// Here a server is traced for a fraction of a millisecond for each execve and never
// else; for the rest the filter costs some ten nanoseconds of each system call.
//
// The shepherd is a process of its own, in a session of its own, since the server must
// not depend on the agent's life: when the agent is killed, what the server executes is
// still shadowed. The shepherd ends with the last process under its filter. Should it
// be killed itself, the processes go on as they are, and an execve of theirs fails
// with ENOSYS: loudly, rather than with the wrong clock.
//
// Nothing of the program is written but that one word. When any step fails, the
// program is killed before its first instruction, and Start says why. An example:
//
//	l := &launch.Launcher{Self: []string{"/proc/self/exe", "agent"}, Clock: page, Log: log}
//	cmd := &exec.Cmd{Path: "/usr/bin/redis-server", Args: []string{"redis-server"}}
//	err := l.Start(cmd) // instead of cmd.Start()
package launch
