package paxos

import "nemesis/clients/group"

// Operations on the map.
const (
	kvGet       = 1
	kvSet       = 2
	kvCAS       = 4
	kvAppend    = 5
	kvIncrement = 6
	kvTransact  = 7
)

// First bytes of their results.
const (
	kvFound    = 1 // and the value
	kvAbsent   = 2
	kvDone     = 3
	kvMismatch = 4
)

func operation(kind byte, key string, value []byte) []byte {
	return group.AppendBytes(group.AppendBytes([]byte{kind}, []byte(key)), value)
}

// compareAndSet is the operation that replaces a value; a nil expect is that there is none.
func compareAndSet(key string, expect, value []byte) []byte {
	there := byte(0)
	if expect != nil {
		there = 1
	}
	return group.AppendBytes(append(operation(kvCAS, key, value), there), expect)
}

// transaction is the operation that does others at one moment.
func transaction(parts [][]byte) []byte {
	b := append(operation(kvTransact, "", nil), byte(len(parts)))
	for _, part := range parts {
		b = group.AppendBytes(b, part)
	}
	return b
}

// mostParts is how many parts a transaction may have: their number is one byte.
const mostParts = 127

// got reads the result of a get. There may be no value.
func got(result []byte) (value string, there bool, err error) {
	switch {
	case len(result) > 0 && result[0] == kvFound:
		return string(result[1:]), true, nil
	case len(result) == 1 && result[0] == kvAbsent:
		return "", false, nil
	}
	return "", false, errResult
}

// parts reads the results of a transaction of n parts.
func parts(result []byte, n int) ([][]byte, error) {
	d := group.NewDecoder(result)
	if d.Byte() != kvDone {
		return nil, errResult
	}
	var all [][]byte
	for range n {
		all = append(all, d.Bytes())
	}
	if !d.End() {
		return nil, errResult
	}
	return all, nil
}
