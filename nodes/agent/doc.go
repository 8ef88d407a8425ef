// Package agent is the program that nemesis runs on a node, and the control
// node's handle on it.
//
// It exists because breaking a machine safely needs somebody on the machine who
// outlives the connection: somebody who wrote down what was broken before breaking
// it, notices that nobody is listening any more, and puts everything back.
//
// Both halves are here. Connect, on the control node, uploads the nemesis binary
// unless the node already has that content, starts it as `nemesis agent` over the
// node's connection, and hands back a Client. Main, on the node, speaks the frames
// of wire.go on its standard input and output; it opens no port and runs no shell.
// Requests carry a number, run side by side, and are answered in any order:
//
//	control node                                 node
//	Client.Apply(effect) ──▶ {id, "apply"} ──▶ ledger (on disk) ──▶ Effect.Apply(Host)
//	Client.Exits()       ◀── {"exit"}      ◀── supervisor: a server process ended
//
// Five parts of the node side carry the promises:
//
//   - the supervisor starts server processes in sessions of their own with their
//     output in files, so they survive the agent, and finds them again afterwards;
//   - the ledger holds every effect in force, on disk before it acts;
//   - the shadow clock is what servers read when they ask for the time (package shadow),
//     and they are started under it (package launch); its page is a file beside the
//     ledger, and whoever undoes the ledger puts it right;
//   - the lock lets one agent at a time use a directory;
//   - the dead-man's switch undoes the ledger when the channel closes, when the
//     client falls silent, or on a signal. A sibling process, the watchdog, does
//     the same when the agent itself is killed, and the next agent does it after a
//     reboot, before it greets.
//
// All files of the node side lie in one directory, Dir; its subdirectory "agent"
// is the agent's own and the rest is for servers. An example:
//
//	c, err := agent.Connect(ctx, conn, agent.Options{})
//	err = c.Upload(ctx, "/home/me/etcd", "etcd/etcd", 0o755)
//	_, err = c.StartProcess(ctx, agent.ProcessSpec{Name: "etcd", Argv: []string{"etcd/etcd"}, Log: "etcd/log"})
//	err = c.Apply(ctx, &effects.Pause{ID: "f1", Process: "etcd"})
//	evidence, err := c.Probe(ctx, &effects.Pause{ID: "f1", Process: "etcd"})
//	err = c.Close(ctx, false) // undoes the pause, stops etcd
package agent
