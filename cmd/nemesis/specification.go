package main

import (
	"nemesis/checker/refinement"
	"nemesis/servers/paxos"
	"nemesis/servers/refine"
)

// Names of what our own servers trace by.
const (
	paxosSpecification = "paxos"
	lockSpecification  = "lock"

	shardkvSpecification = "shardkv"
)

// specification is that of a kind of our own servers, at its beginning; nil for any other.
func specification(name string, nodes int) refinement.Specification {
	switch name {
	case paxosSpecification:
		return refine.NewRSM(paxos.NewKV(""))
	case lockSpecification:
		return refine.NewLock(nodes)
	case shardkvSpecification:
		return refine.NewShards()
	}
	return nil
}
