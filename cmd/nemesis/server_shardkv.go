package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"nemesis/run"
	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/host"
	"nemesis/servers/paxos"
	"nemesis/servers/shardkv"
	"nemesis/servers/trace"
	"nemesis/servers/wal"
)

// shardkvServerCommand serves one node of a sharded key-value map.
func shardkvServerCommand() *cobra.Command {
	var (
		id      uint64
		members []string
		data    string
		fsync   string
		shards  int
		flaw    string
		record  string
		opt     shardkv.NodeOptions
	)
	cmd := &cobra.Command{
		Use:   "shardkv",
		Short: "Serve one node of a key-value map whose shards are held under leases",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opt.ID, opt.Defect, opt.Splits = core.Address(id), defect.ID(flaw), evenSplits(shards)
			for i, address := range members {
				opt.Members = append(opt.Members, paxos.Member{ID: core.Address(i + 1), Address: address})
			}
			if err := checkShardkv(id, len(members), shards, fsync, opt); err != nil {
				return &run.UsageError{Err: err}
			}
			opt.Lease.Retry = opt.Lease.Length / 20
			opt.Trace = record != ""
			return serve(cmd, members[id-1], record, trace.Start{Specification: shardkvSpecification, Nodes: len(members)}, host.Options{
				ID: opt.ID, Decode: shardkv.Decode, Defect: opt.Defect,
				Start: func(stored core.Stored) (host.Core, error) { return shardkv.NewNode(opt, stored) },
				Log:   func() (wal.FS, error) { return openLog(data, fsync) },
			})
		},
	}
	flags := cmd.Flags()
	flags.Uint64Var(&id, "id", 0, "this node's place among the members, from 1")
	flags.StringSliceVar(&members, "members", nil, "addresses of all nodes, the same on each")
	flags.StringVar(&data, "data", "", "directory of the log and the snapshots")
	flags.IntVar(&opt.Grantors, "placement", 0, "how many of the first members are the placement group; 0 for all")
	flags.IntVar(&opt.Factor, "replicas", 3, "replicas of each shard, 1 to 3, with the one that serves it")
	flags.IntVar(&shards, "shards", 4, "shards at the beginning, of as many numbers each")
	flags.DurationVar(&opt.Lease.Length, "lease", 2e9, "for how long a node holds its shards without renewal")
	flags.DurationVar(&opt.Lease.ClockError, "clock-error", 1e8, "by how much a node's clock may go wrong over a lease")
	flags.StringVar(&fsync, "fsync", fsyncAlways, "when the log is synced: always (before anything is acknowledged), everysec or off; none: there is no log")
	flags.DurationVar(&opt.Group.Heartbeat, "heartbeat", 0, "time from one heartbeat of the placement group's leader to the next")
	flags.DurationVar(&opt.Group.ViewTimeout, "view-timeout", 0, "silence of that leader after which another is elected")
	flags.Uint64Var(&opt.Group.Seed, "seed", 0, "of the jitter of timeouts")
	flags.IntVar(&opt.CopyBytes, "copy-bytes", 0, "how much of a shard one message carries")
	flags.IntVar(&opt.SaveEvery, "save-every", 0, "records of the log after which it is shortened")
	flags.StringVar(&flaw, "defect", "", "known defect to have, such as K02; see docs/servers.md")
	flags.StringVar(&record, "trace", "", "file that each step is written to, in the words of the specification")
	for _, name := range []string{"id", "members", "data"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // there is no such flag
		}
	}
	return cmd
}

// mostShards is how many shards a map may begin with: every store reads the whole map with each renewal of its lease.
const mostShards = 1024

func checkShardkv(id uint64, members, shards int, fsync string, o shardkv.NodeOptions) error {
	switch {
	case id < 1 || id > uint64(members):
		return fmt.Errorf("server shardkv: --id is %d and there are %d --members; give the place of this node among them, from 1", id, members)
	case o.Grantors < 0 || o.Grantors > members:
		return fmt.Errorf("server shardkv: --placement is %d and there are %d --members; give a number of them, or 0 for all", o.Grantors, members)
	case o.Factor < 1 || o.Factor > 3:
		return fmt.Errorf("server shardkv: --replicas is %d; it takes 1 to 3", o.Factor)
	case shards < 1 || shards > mostShards:
		return fmt.Errorf("server shardkv: --shards is %d; it takes 1 to %d", shards, mostShards)
	case !slices.Contains([]string{fsyncAlways, fsyncEverysec, fsyncOff, fsyncNone}, fsync):
		return fmt.Errorf("server shardkv: --fsync is %q; it takes always, everysec, off or none", fsync)
	case o.Lease.ClockError < 0 || o.Lease.Length <= 2*o.Lease.ClockError:
		return fmt.Errorf("server shardkv: a --clock-error of %v leaves nothing of a --lease of %v; make it less than half", o.Lease.ClockError, o.Lease.Length)
	case o.CopyBytes < 0 || o.SaveEvery < 0:
		return fmt.Errorf("server shardkv: --copy-bytes is %d and --save-every %d; neither may be below 0", o.CopyBytes, o.SaveEvery)
	}
	return knownDefect("shardkv", o.Defect, defect.Shardkv())
}

// evenSplits are the first keys of all shards but the first: numbers, as keys of 8 bytes.
func evenSplits(shards int) []string {
	var splits []string
	for i := 1; i < shards; i++ {
		splits = append(splits, string(binary.BigEndian.AppendUint64(nil, uint64(i)*(math.MaxUint64/uint64(shards)))))
	}
	return splits
}
