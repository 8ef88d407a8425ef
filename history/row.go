package history

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Rows of a table are in groups. Transactions insert and delete them, and read them by their key
// or by a predicate; each row is inserted once and deleted at most once, and has one value all the
// time between:
//
//	["insert","g3.5",7]                              the row g3.5, of group g3, with the value 7; where it is there, the transaction fails
//	["delete","g3.5",null]                           where it is not there, the transaction fails
//	["r","g3.5",null]                                → 7, or null where it is not there
//	["rp",{"group":"g3","mod":2,"rest":1},null]      → [["g3.1",1],["g3.5",7]]: the rows of the group whose value leaves 1 when divided
//	                                                   by 2, in any order; with 1 and 0, all of the group
const (
	MicroInsert = "insert"
	MicroDelete = "delete"
	// MicroPredicate reads the rows that match a Predicate, which stands in the key's place.
	MicroPredicate = "rp"
)

// Predicate says which rows a transaction reads: those of a group whose value leaves Rest when
// it is divided by Mod.
type Predicate struct {
	Group string `json:"group"`
	Mod   int64  `json:"mod"`
	Rest  int64  `json:"rest"`
}

// Encode writes a predicate.
func (p *Predicate) Encode() json.RawMessage { return encode(p) }

// DecodePredicate reads a predicate. Mod is at least 1, Rest less than it and not negative.
func DecodePredicate(value json.RawMessage) (Predicate, error) {
	var p Predicate
	if err := decode(value, "a predicate", &p); err != nil {
		return p, err
	}
	if p.Mod < 1 || p.Rest < 0 || p.Rest >= p.Mod {
		return p, fmt.Errorf("read a predicate: %s divides by no positive number, or leaves what cannot be left", Quote(value))
	}
	return p, nil
}

// Matches reports whether a value does.
func (p *Predicate) Matches(value int64) bool {
	return ((value%p.Mod)+p.Mod)%p.Mod == p.Rest
}

// RowKey is the key of a row of a group.
func RowKey(group string, n int) string { return fmt.Sprint(group, ".", n) }

// RowGroup is the group of a row: what stands before the last point of its key.
func RowGroup(key string) string {
	if i := strings.LastIndexByte(key, '.'); i >= 0 {
		return key[:i]
	}
	return ""
}

// Row is a key with its value, as JSON: a whole number (EncodeInt), or whatever else the server
// said.
type Row struct {
	Key   string
	Value json.RawMessage
}

// EncodeRows writes what a read by predicate found.
func EncodeRows(rows []Row) json.RawMessage {
	value := append(make([]byte, 0, 2+16*len(rows)), '[')
	for i, row := range rows {
		if i > 0 {
			value = append(value, ',')
		}
		value = appendString(append(value, '['), row.Key)
		value = appendElement(append(value, ','), row.Value)
		value = append(value, ']')
	}
	return append(value, ']')
}

// EachRow calls visit with every row that a read by predicate found. An error of visit ends it and
// is returned.
func EachRow(value json.RawMessage, visit func(Row) error) error {
	return EachElement(value, func(one []byte) error {
		var parts []json.RawMessage
		err := EachElement(one, func(part []byte) error {
			parts = append(parts, part)
			return nil
		})
		if err != nil || len(parts) != 2 {
			return fmt.Errorf("read a row: %s is no [key, value]", Quote(one))
		}
		key, err := DecodeText(parts[0])
		if err != nil {
			return fmt.Errorf("read a row: %w", err)
		}
		return visit(Row{Key: key, Value: parts[1]})
	})
}
