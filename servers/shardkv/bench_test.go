package shardkv

import (
	"encoding/binary"
	"testing"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/paxos"
)

// BenchmarkWrites measures the steps of one node with 16 shards and no other replicas: a write is two steps, its request and the
// news that it is on the disk. Renewals are left out, as they are few.
func BenchmarkWrites(b *testing.B) {
	var splits []string
	for i := 1; i < 16; i++ {
		splits = append(splits, string(rune('a'+i)))
	}
	n, err := NewNode(NodeOptions{
		ID: 1, Members: []paxos.Member{{ID: 1}}, Factor: 1, Splits: splits, Lease: Lease{Length: time.Hour, ClockError: 1, Retry: time.Minute}, SaveEvery: 1 << 40,
	}, core.Stored{})
	if err != nil {
		b.Fatal(err)
	}
	now := time.Duration(1)
	queue := n.Step(core.Event{Now: now}).AfterSync
	step := func(e core.Event) {
		for {
			out := n.Step(e)
			queue = append(queue, out.AfterSync...)
			for _, m := range out.Send {
				if !m.To.IsClient() {
					queue = append(queue, m)
				}
			}
			if len(queue) == 0 {
				return
			}
			e = core.Event{Now: now, From: 1, Body: queue[0].Body}
			queue = queue[1:]
		}
	}
	for !n.Store().Ready() {
		now += 10 * time.Millisecond
		step(core.Event{Now: now})
	}
	value := make([]byte, 128)
	b.ReportAllocs()
	for seq := uint64(1); b.Loop(); seq++ {
		binary.BigEndian.PutUint64(value, seq)
		step(core.Event{Now: now, From: core.FirstClient, Body: &Op{Client: 1, Seq: seq, Kind: Set, Key: string(rune('a' + seq%16)), Value: value}})
	}
}
