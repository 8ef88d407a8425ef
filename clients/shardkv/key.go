package shardkv

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
)

// A key of the store begins with a number of 8 bytes, big-endian, by which shards are ranges of numbers. Names of workloads get
// a number that follows from the name and is anywhere among all; that the name stands behind it keeps them apart.

func numberKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func nameKey(kind, name string) []byte {
	sum := sha256.Sum256([]byte(name))
	return append(append(append(make([]byte, 0, 40), sum[:8]...), kind...), name...)
}

func registerKey(key string) []byte { return nameKey("register/", key) }
func setKey(key string) []byte      { return nameKey("set/", key) }
func counterKey(key string) []byte  { return nameKey("counter/", key) }

// rangeKey is the key that the workload of ownership calls by a number.
func rangeKey(key string) ([]byte, error) {
	n, err := strconv.ParseUint(key, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("keys of shardkv are numbers from 0 to 2^64-1 here, not %.40q", key)
	}
	return numberKey(n), nil
}
