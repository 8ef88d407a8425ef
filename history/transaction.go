package history

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// A transaction is a list of micro-operations that take effect at one moment, each of them
// [function, key, value] as in Jepsen's Elle:
//
//	txn  [["append","k3",7],["r","k3",null],["w","k4",1]]
//	     → ok the same with the null of each "r" filled in: a list, or a register's value
const FTransaction = "txn"

// The functions of micro-operations.
const (
	// MicroRead reads what the key holds.
	MicroRead = "r"
	// MicroAppend appends a value to a key's list.
	MicroAppend = "append"
	// MicroWrite writes a value to a key's register.
	MicroWrite = "w"
)

// MicroOp is one part of a transaction.
type MicroOp struct {
	F string
	// Key is JSON: a text in our own workloads.
	Key json.RawMessage
	// Value is what a write or an append brings, or what a read found; null for a read
	// that has not been answered, and nothing is null.
	Value json.RawMessage
}

// KeyName is the key as Event.Key would have it: a text as it is, anything else as
// its JSON.
func (m MicroOp) KeyName() string {
	if text, end, ok := plainString(m.Key, 0); ok && end == len(m.Key) {
		return string(text)
	}
	var text string
	if json.Unmarshal(m.Key, &text) == nil && !IsNull(m.Key) {
		return text
	}
	return string(m.Key)
}

// EncodeTransaction writes a transaction. Keys and values must be JSON.
func EncodeTransaction(ops []MicroOp) json.RawMessage {
	size := 2
	for _, m := range ops {
		size += len(m.F) + len(m.Key) + len(m.Value) + 11
	}
	value := append(make([]byte, 0, size), '[')
	for i, m := range ops {
		if i > 0 {
			value = append(value, ',')
		}
		value = appendString(append(value, '['), m.F)
		value = appendElement(append(value, ','), m.Key)
		value = appendElement(append(value, ','), m.Value)
		value = append(value, ']')
	}
	return append(value, ']')
}

// EachMicroOp calls visit with every part of a transaction, in order; nothing at all and
// null are transactions without one. Keys and values are parts of value. An error of visit ends
// it and is returned.
func EachMicroOp(value json.RawMessage, visit func(MicroOp) error) error {
	if IsNull(value) {
		return nil
	}
	// One look at the whole makes it safe to cut all of its parts.
	value = bytes.TrimSpace(value)
	if value[0] != '[' || !json.Valid(value) {
		return notArray(value)
	}
	return cutArray(value, func(raw []byte) error {
		var parts [3]json.RawMessage
		n := 0
		if raw[0] != '[' {
			return fmt.Errorf("a micro-operation %s where [function, key, value] belongs", Quote(raw))
		}
		err := cutArray(raw, func(part []byte) error {
			if n < len(parts) {
				parts[n] = part
			}
			n++
			return nil
		})
		if err != nil {
			return err
		}
		if n != len(parts) {
			return fmt.Errorf("a micro-operation of %d parts where [function, key, value] belongs", n)
		}
		op := MicroOp{Key: parts[1], Value: parts[2]}
		switch string(parts[0]) {
		case `"r"`:
			op.F = MicroRead
		case `"append"`:
			op.F = MicroAppend
		case `"w"`:
			op.F = MicroWrite
		default:
			if err := json.Unmarshal(parts[0], &op.F); err != nil {
				return fmt.Errorf("a micro-operation with %s where a function belongs", Quote(parts[0]))
			}
		}
		return visit(op)
	})
}

// DecodeTransaction reads a transaction whole.
func DecodeTransaction(value json.RawMessage) ([]MicroOp, error) {
	var ops []MicroOp
	err := EachMicroOp(value, func(m MicroOp) error {
		ops = append(ops, m)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ops, nil
}
