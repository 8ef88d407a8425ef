package history

import (
	"encoding/json"
	"fmt"
)

// A chain is a set of rows, each a value with a stamp. Who extends it reads the greatest value, and inserts the next one with a stamp
// that the system assigns: a number of a sequence, or a time.
//
//	extend  null  → ok [value, stamp]
//	chain   null  → ok [[value, stamp], …], all rows in any order
//
// Values are 1, 2, 3, …; values and stamps are whole numbers of 64 bits.
const (
	FExtend = "extend"
	FChain  = "chain"
)

// Stamped is a row of a chain.
type Stamped struct{ Value, Stamp int64 }

// Encode writes a row: [value,stamp].
func (s Stamped) Encode() json.RawMessage { return EncodeInts([]int64{s.Value, s.Stamp}) }

// DecodeStamped reads a row.
func DecodeStamped(value json.RawMessage) (Stamped, error) {
	parts, err := DecodeInts(value)
	if err != nil || len(parts) != 2 {
		return Stamped{}, fmt.Errorf("%s is no row of a chain, [value, stamp]", Quote(value))
	}
	return Stamped{parts[0], parts[1]}, nil
}

// EncodeChain writes rows.
func EncodeChain(rows []Stamped) json.RawMessage {
	all := make([]json.RawMessage, len(rows))
	for i, row := range rows {
		all[i] = row.Encode()
	}
	return EncodeElements(all)
}

// EachStamped calls visit with every row of a chain. An error of visit ends it and is returned.
func EachStamped(value json.RawMessage, visit func(Stamped) error) error {
	return EachElement(value, func(one []byte) error {
		row, err := DecodeStamped(one)
		if err != nil {
			return err
		}
		return visit(row)
	})
}
