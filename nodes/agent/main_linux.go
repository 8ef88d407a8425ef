package agent

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"nemesis/nodes/agent/launch"
	"nemesis/nodes/faultfs"
)

// Main is the hidden command `nemesis agent`: it serves on the given streams until
// its client is gone, and returns the exit status. args are what follows "agent".
// kinds are the effects it can apply.
func Main(args []string, kinds Kinds, stdin io.Reader, stdout, stderr io.Writer) int {
	if status, mine := launch.Main(args); mine {
		return status
	}
	if len(args) == 1 && args[0] == probeWord {
		return probeClocks(stdin, stdout)
	}
	if len(args) > 0 && args[0] == diskWord {
		return faultfs.Serve(args[1:], stdout)
	}
	if len(args) > 0 && args[0] == workWord {
		return work(args[1:], kinds, stdin, stderr)
	}
	set := flag.NewFlagSet("nemesis agent", flag.ContinueOnError)
	set.SetOutput(stderr)
	dir := set.String("dir", defaultDir(), "the agent's directory")
	cache := set.String("cache", "", "a directory of contents shared between clusters")
	noCgroup := set.Bool("no-cgroup", false, "find servers by their tag, as on a node without control groups")
	watch := set.Bool("watch", false, "undo the ledger when standard input ends without a goodbye")
	session := set.String("session", "", "the session of the agent that is watched")
	orphanAfter := set.Duration("orphan-after", DefaultOrphanAfter, "when to end the servers that the agent leaves")
	if err := set.Parse(args); err != nil || set.NArg() > 0 {
		fmt.Fprintln(stderr, "nemesis agent: it is started by nemesis on the control node, with --dir DIR")
		return 64
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	// Writing to a client that is gone must be an error to act on, not our death. A
	// handler does not pass on to the servers we start; an ignored signal would.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	opt := ServeOptions{Dir: *dir, Cache: *cache, NoCgroup: *noCgroup, Self: []string{"/proc/self/exe", "agent"}}
	var err error
	if *watch {
		err = Watch(ctx, stdin, kinds, opt, *session, *orphanAfter)
	} else {
		opt.Watchdog = []string{"/proc/self/exe", "agent", "--watch", "--dir", *dir}
		if *noCgroup {
			opt.Watchdog = append(opt.Watchdog, "--no-cgroup")
		}
		err = Serve(ctx, stdin, stdout, kinds, opt)
	}
	if err != nil {
		fmt.Fprintln(stderr, firstLine(err.Error()))
		return 1
	}
	return 0
}
