package main

import (
	"fmt"
	"net"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"nemesis/run"
	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/host"
	"nemesis/servers/paxos"
	"nemesis/servers/trace"
	"nemesis/servers/wal"
)

// serverCommand runs the servers that nemesis brings along. Systems start them on nodes; docs/servers.md describes them.
func serverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "server paxos|shardkv|lock|postgres|mariadb",
		Short:   "Run a server that nemesis brings along",
		Example: "  nemesis server paxos --id 1 --members 127.0.0.1:7400 --data /tmp/n1",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return &run.UsageError{Err: fmt.Errorf("server: say which; there are paxos, shardkv, lock, postgres and mariadb")}
		},
	}
	cmd.AddCommand(paxosServerCommand(), shardkvServerCommand(), lockServerCommand(), postgresServerCommand(), mariadbServerCommand())
	return cmd
}

// paxosServerCommand serves one node of a replicated key-value map.
func paxosServerCommand() *cobra.Command {
	var (
		id      uint64
		members []string
		data    string
		fsync   bool
		reads   string
		flaw    string
		record  string
		join    string
		opt     paxos.Options
	)
	cmd := &cobra.Command{
		Use:   "paxos",
		Short: "Serve one node of a key-value map that Multi-Paxos replicates",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := findReads(reads, &opt.Reads); err != nil {
				return &run.UsageError{Err: err}
			}
			opt.ID, opt.Defect = core.Address(id), defect.ID(flaw)
			for i, address := range members {
				opt.Members = append(opt.Members, paxos.Member{ID: core.Address(i + 1), Address: address})
			}
			address := join
			switch {
			case join != "" && id <= uint64(len(members)):
				return &run.UsageError{Err: fmt.Errorf("server paxos: --id is %d and a node of the first configuration has it; give a node that joins a number that none had", id)}
			case join != "":
				opt.Members = nil
			case id < 1 || id > uint64(len(members)):
				return &run.UsageError{Err: fmt.Errorf("server paxos: --id is %d and there are %d --members; give the place of this node among them, from 1", id, len(members))}
			default:
				address = members[id-1]
			}
			if err := knownDefect("paxos", opt.Defect, defect.Paxos()); err != nil {
				return &run.UsageError{Err: err}
			}
			policy := fsyncAlways
			if !fsync {
				policy = fsyncOff
			}
			opt.Trace = record != ""
			return serve(cmd, address, record, trace.Start{Specification: paxosSpecification, Nodes: len(members)}, host.Options{
				ID: opt.ID, Decode: paxos.Decode, Defect: opt.Defect,
				Start: func(stored core.Stored) (host.Core, error) {
					opt := opt
					opt.App = paxos.NewKV(opt.Defect)
					return paxos.New(opt, stored)
				},
				Log: func() (wal.FS, error) { return openLog(data, policy) },
			})
		},
	}
	flags := cmd.Flags()
	flags.Uint64Var(&id, "id", 0, "this node's place among the members, from 1")
	flags.StringSliceVar(&members, "members", nil, "addresses of all nodes of the first configuration, the same on each")
	flags.StringVar(&join, "join", "", "address of this node, which is of no first configuration and waits to be added to the group")
	flags.StringVar(&data, "data", "", "directory of the log and the snapshots")
	flags.BoolVar(&fsync, "fsync", true, "sync before anything is acknowledged")
	flags.StringVar(&reads, "reads", paxos.ReadIndex.String(), "how reads are made linearizable: log, index or lease")
	flags.DurationVar(&opt.Lease, "lease", 0, "length of a leader's lease")
	flags.DurationVar(&opt.ClockError, "clock-error", 0, "by how much a node's clock may go wrong over a lease")
	flags.DurationVar(&opt.Heartbeat, "heartbeat", 0, "time from one heartbeat of the leader to the next")
	flags.DurationVar(&opt.ViewTimeout, "view-timeout", 0, "silence of the leader after which another is elected")
	flags.IntVar(&opt.BatchCount, "batch-count", 0, "most requests in one slot of the log")
	flags.DurationVar(&opt.BatchDelay, "batch-delay", 0, "how long a request waits for others")
	flags.IntVar(&opt.SnapshotEvery, "snapshot-every", 0, "slots from one snapshot to the next")
	flags.Uint64Var(&opt.Seed, "seed", 0, "of the jitter of timeouts")
	flags.StringVar(&record, "trace", "", "file to which each step is added as a line of JSON; see docs/servers.md")
	flags.StringVar(&flaw, "defect", "", "known defect to have, such as R16; see docs/servers.md")
	for _, name := range []string{"id", "members", "data"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // there is no such flag
		}
	}
	return cmd
}

func findReads(name string, mode *paxos.ReadMode) error {
	for _, m := range []paxos.ReadMode{paxos.ReadLog, paxos.ReadIndex, paxos.ReadLease} {
		if m.String() == name {
			*mode = m
			return nil
		}
	}
	return fmt.Errorf("server paxos: --reads is %q; it takes log, index or lease", name)
}

// serve runs a host that listens at an address, and tells on standard error what an operator should know. With a record, its steps
// go to that file.
func serve(cmd *cobra.Command, address, record string, start trace.Start, o host.Options) error {
	server := start.Specification
	o.Say = sayTo(cmd)
	if o.Defect != "" {
		o.Say(fmt.Sprintf("node %d has the defect %s, as asked for", o.ID, o.Defect))
	}
	listener, err := new(net.ListenConfig).Listen(cmd.Context(), "tcp", address)
	if err != nil {
		return fmt.Errorf("server %s: %w; choose another address for node %d", server, err, o.ID)
	}
	o.Listener = listener
	if o.Trace, err = trace.Open(record, uint64(o.ID), start); err != nil {
		return fmt.Errorf("server %s: %w; name another file with --trace", server, err)
	}
	defer o.Trace.Close()
	ballast := make([]byte, ballastBytes)
	defer runtime.KeepAlive(ballast)
	return host.Run(cmd.Context(), o)
}

// ballastBytes are never touched, so that they take no memory. The collector counts them: it works when as much garbage as that
// and the live data has gathered, and not at every 4 MB, which a server with little data makes many times a second.
const ballastBytes = 16 << 20

// knownDefect says that a server does not have a defect.
func knownDefect(server string, id defect.ID, known []defect.Defect) error {
	if id == "" || slices.ContainsFunc(known, func(d defect.Defect) bool { return d.ID == id }) {
		return nil
	}
	return fmt.Errorf("server %s: there is no defect %q; docs/servers.md lists them", server, string(id))
}

// Policies of when a log is synced.
const (
	fsyncAlways   = "always"   // before anything is acknowledged
	fsyncEverysec = "everysec" // in the background, once a second
	fsyncOff      = "off"      // never
	fsyncNone     = "none"     // never, for there is no log: nothing is written to a disk
)

func openLog(path, policy string) (wal.FS, error) {
	if policy == fsyncNone {
		return wal.Nowhere{}, nil
	}
	dir, err := wal.OpenDir(path)
	if err != nil {
		return nil, err
	}
	switch policy {
	case fsyncEverysec:
		return wal.Deferred{Dir: dir, Every: time.Second}, nil
	case fsyncOff:
		return wal.Unsynced{Dir: dir}, nil
	}
	return dir, nil
}
