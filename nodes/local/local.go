// Package local makes nodes out of Linux namespaces, so that one machine, without
// root where the kernel allows it, runs the same test over the same SSH path as a
// rack of machines.
//
// Everything lives in a world: one process tree with namespaces of its own. The
// program starts itself again for each part, through the hidden command named
// Command:
//
//	nemesis run ──▶ keeper ──▶ world ═ nemesis run ──▶ node n1   (sshd, servers)
//	 the host's      removes    the private network,   └▶ node n2
//	 namespaces      the dir    PID 1                    …
//
// Run starts a keeper and waits. The keeper makes a directory for the world and
// starts, in new namespaces, a process that raises the private network and then
// becomes the program again, now with Inside true. There New makes a cluster: one
// process per node, each PID 1 of namespaces of its own, with a root directory, an
// address, a host name, and an SSH server (package sshd).
//
//	code, err := local.Run(ctx, local.World{Args: os.Args[1:], Stdout: os.Stdout})  // outside
//	cluster, err := local.New(ctx, local.Options{N: 5})                           // inside
//
// Nothing outlives a world, whoever dies and however. The world is PID 1 of its
// namespace, so the kernel kills all that is in it and takes its mounts and
// interfaces away. The keeper kills the world when Run's process is gone, and
// when the world is gone it removes the directory. If the keeper is killed, Run's process
// removes it; only if both are killed does a directory stay, with the world's control group,
// since no process of ours is left. The next Run or RemoveAbandoned removes them: the lock
// on the directory, which the kernel gives up when its holder dies, tells a dead world from
// one that lives.
//
// A world keeps honest servers apart; it is no prison. Root's nodes run as the
// machine's root, without the few powers that would reach beyond their namespaces
// (to set the clock, to load modules). An ordinary user's nodes have a root that is
// that user outside: they may add files to /usr, /etc and /opt, replace and remove those that
// lie directly in them, but not write below the directories that root made there.
//
// Node ni has the addresses 10.77.0.i and fd77::i, the control side 10.77.0.254
// and fd77::fe. No two worlds see each other, and neither sees the host's network.
package local

import (
	"io"
)

// Command is the hidden first argument that makes a program call Main:
//
//	if len(os.Args) > 1 && os.Args[1] == local.Command {
//		os.Exit(local.Main(os.Args[2:]))
//	}
//
// Every program that calls Run must do so before anything else.
const Command = "local-node"

// MaxNodes is how many nodes one cluster can have.
const MaxNodes = 100

// World is what to run in a private world: this program again, with other arguments.
type World struct {
	// Args are the program's arguments, without its name.
	Args []string
	// Env is added to the environment, as "name=value".
	Env []string
	// Input is what the program gets from the function Input. It lies in no file, so that
	// nobody has to remove it.
	Input []byte
	// Stdin, Stdout and Stderr are as in exec.Cmd.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Dir is where the directory of the world is made; "" is nemesis/local below
	// the user's cache directory. The nodes' files lie in it, so the disk it is on
	// is the disk the servers write to.
	Dir string
}

// Options are the shape of a cluster.
type Options struct {
	// N is how many nodes, from 1 to MaxNodes. They are called n1, n2, ….
	N int
	// CacheDir is shown to every node as /var/cache/nemesis, and survives the
	// cluster: what was uploaded there once need not be uploaded again. "" is
	// nemesis/node-cache below the user's cache directory.
	CacheDir string

	// patchwork leaves out overlays, as on a kernel that refuses them.
	patchwork bool
}
