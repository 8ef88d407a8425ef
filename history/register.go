package history

import (
	"encoding/json"
	"fmt"
)

// A register holds one value. Workloads of ours write whole numbers (EncodeInt), foreign
// ones anything; null is a register that nobody has written to.
//
//	read   null             → ok the value
//	write  the value        → ok
//	cas    [expected, new]  → ok; fail when the register held something else than expected
const (
	FRead  = "read"
	FWrite = "write"
	FCAS   = "cas"
)

// CompareAndSet is the argument of a cas.
type CompareAndSet struct {
	// Expected and New are values; an Expected of null is a register without one.
	Expected, New json.RawMessage
}

// Encode writes the argument as [expected, new].
func (c CompareAndSet) Encode() json.RawMessage {
	value := make([]byte, 0, len(c.Expected)+len(c.New)+11)
	value = append(value, '[')
	value = appendElement(value, c.Expected)
	value = append(value, ',')
	value = appendElement(value, c.New)
	return append(value, ']')
}

// appendElement appends a value within another; nothing at all is null.
func appendElement(b []byte, value json.RawMessage) []byte {
	if len(value) == 0 {
		return append(b, "null"...)
	}
	return append(b, value...)
}

// DecodeCompareAndSet reads the argument of a cas. Its parts are parts of value.
func DecodeCompareAndSet(value json.RawMessage) (CompareAndSet, error) {
	var parts [2]json.RawMessage
	n := 0
	err := EachElement(value, func(one []byte) error {
		if n < len(parts) {
			parts[n] = one
		}
		n++
		return nil
	})
	if err == nil && n != len(parts) {
		err = fmt.Errorf("%d values where [expected, new] belong", n)
	}
	if err != nil {
		return CompareAndSet{}, err
	}
	return CompareAndSet{parts[0], parts[1]}, nil
}
