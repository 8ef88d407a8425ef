package history

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// A log is a sequence of entries, each of which has an offset that the system assigns; later entries have greater
// ones. Offsets need not follow one another without gaps. Values are of any kind, and each is sent to a log once:
//
//	send  key, value 7                 → ok its offset: 12
//	poll  key, an offset or null       → ok [[12,7],[15,9]]: all entries behind that offset (null: from the beginning), in order
//	txn   [["send","k3",7],["poll","k4",12]]
//	      → ok [["send","k3",[13,7]],["poll","k4",[[15,9]]]]
//
// An offset is a whole number from 0, or a text of two such as Redis' "1526919030474-55".
const (
	FSend = "send"
	FPoll = "poll"
	// MicroSend and MicroPoll are the same as parts of a transaction.
	MicroSend = "send"
	MicroPoll = "poll"
)

// Offset is the place of an entry in a log. The zero Offset is the least one.
type Offset struct {
	Major, Minor uint64
	// Pair: it is spelled as a text of two numbers.
	Pair bool
}

// String spells it as the system did.
func (o Offset) String() string {
	if o.Pair {
		return fmt.Sprintf("%d-%d", o.Major, o.Minor)
	}
	return strconv.FormatUint(o.Major, 10)
}

// Compare is negative where o is less than p, positive where it is greater.
func (o Offset) Compare(p Offset) int {
	if c := cmp.Compare(o.Major, p.Major); c != 0 {
		return c
	}
	return cmp.Compare(o.Minor, p.Minor)
}

// DecodeOffset reads an offset.
func DecodeOffset(value json.RawMessage) (Offset, error) {
	text := string(value)
	if inner, end, ok := plainString(value, 0); ok && end == len(value) {
		text = string(inner)
	}
	major, minor, isPair := strings.Cut(text, "-")
	o := Offset{Pair: isPair}
	var err error
	if o.Major, err = strconv.ParseUint(major, 10, 64); err == nil && isPair {
		o.Minor, err = strconv.ParseUint(minor, 10, 64)
	}
	if err != nil || isPair == (len(text) == len(value)) {
		return Offset{}, fmt.Errorf("%s is no offset: a whole number from 0, or a text of two such as \"15-2\"", Quote(value))
	}
	return o, nil
}

// Entry is an entry of a log with its offset, as JSON.
type Entry struct{ Offset, Value json.RawMessage }

// EncodeEntry writes an entry: [offset,value].
func EncodeEntry(e Entry) json.RawMessage {
	return EncodeElements([]json.RawMessage{e.Offset, e.Value})
}

// DecodeEntry reads an entry. The offset is null where the system did not tell it.
func DecodeEntry(value json.RawMessage) (Entry, error) {
	var parts [2]json.RawMessage
	n := 0
	err := EachElement(value, func(part []byte) error {
		if n < len(parts) {
			parts[n] = part
		}
		n++
		return nil
	})
	if err != nil || n != len(parts) {
		return Entry{}, fmt.Errorf("%s is no entry of a log, [offset, value]", Quote(value))
	}
	return Entry{parts[0], parts[1]}, nil
}

// EncodeEntries writes what a poll found.
func EncodeEntries(entries []Entry) json.RawMessage {
	all := make([]json.RawMessage, len(entries))
	for i, e := range entries {
		all[i] = EncodeEntry(e)
	}
	return EncodeElements(all)
}

// EachEntry calls visit with every entry that a poll found. An error of visit ends it and is returned.
func EachEntry(value json.RawMessage, visit func(Entry) error) error {
	return EachElement(value, func(one []byte) error {
		e, err := DecodeEntry(one)
		if err != nil {
			return err
		}
		return visit(e)
	})
}
