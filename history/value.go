package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The values of operations are JSON. What a value means depends on the family of the
// operation's function, and each family has one codec, in a file of its own:
//
//	register.go     read, write, cas
//	set.go          add, list
//	transaction.go  txn
//	lease.go        acquire, renew, release, holder; write and read under a token; beliefs
//	shard.go        serve, move
//
// This file has what they share. Nobody outside this package takes a value apart or
// puts one together by means of encoding/json; TestOnlyHistoryReadsOperationValues sees
// to that.
//
// Values come from servers under test and are hostile: every Decode function is total,
// and its errors are one line that quotes a bounded part of the value.

// Functions of objects that have no codec of their own, since each of their values is one
// plain value: a queue (enqueue, dequeue), a store of strings (get, put, append).
const (
	FEnqueue = "enqueue"
	FDequeue = "dequeue"
	FGet     = "get"
	FPut     = "put"
	FAppend  = "append"
)

// EncodeNull is the value of an operation that says nothing: null.
func EncodeNull() json.RawMessage { return json.RawMessage("null") }

// IsNull reports whether a value is null, or no value at all.
func IsNull(value json.RawMessage) bool {
	value = bytes.TrimSpace(value)
	return len(value) == 0 || string(value) == "null"
}

// IsObject reports whether a value is a JSON object, such as a Grant, rather than a plain
// value, such as a register's.
func IsObject(value json.RawMessage) bool {
	value = bytes.TrimSpace(value)
	return len(value) > 0 && value[0] == '{'
}

// IsValid reports whether a value can be recorded: it is one JSON value.
func IsValid(value json.RawMessage) bool { return json.Valid(value) }

// EncodeInt is a whole number as a value.
func EncodeInt(n int64) json.RawMessage {
	return strconv.AppendInt(make([]byte, 0, 8), n, 10)
}

// DecodeInt reads a whole number of 64 bits. 1e3 and 7.0 are none: no client of ours
// writes a number that way.
func DecodeInt(value json.RawMessage) (int64, error) {
	if n, is := wholeNumber(bytes.TrimSpace(value)); is {
		return n, nil
	}
	return 0, fmt.Errorf("%s is no whole number of 64 bits", Quote(value))
}

// wholeNumber reads an integer as JSON spells it: no plus sign, no leading zero.
func wholeNumber(raw []byte) (int64, bool) {
	digits := raw
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || digits[0] == '+' || digits[0] == '-' || digits[0] == '0' && len(digits) > 1 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	return n, err == nil
}

// EncodeText is a text as a value. Bytes that are no UTF-8 become U+FFFD.
func EncodeText(s string) json.RawMessage { return appendString(nil, s) }

// DecodeText reads a text, tagged or not; null and nothing are "". A number stands for its
// digits, in its canonical spelling.
func DecodeText(value json.RawMessage) (string, error) {
	if IsNull(value) {
		return "", nil
	}
	if text, end, ok := plainString(value, 0); ok && end == len(value) {
		return string(text), nil
	}
	if tag, inner, ok := Tagged(value); ok && tag == TextTag {
		return DecodeText(inner)
	}
	var s string
	if err := json.Unmarshal(value, &s); err == nil {
		return s, nil
	}
	var n json.Number
	if err := json.Unmarshal(value, &n); err != nil {
		return "", fmt.Errorf("%s is neither a string nor a number", Quote(value))
	}
	return canonicalNumber(n.String()), nil
}

// DecodeAny reads a value of any kind as encoding/json does, with numbers kept in their
// spelling (json.Number): 9007199254740993 is not 9007199254740992. What is no JSON is nil,
// as null is. It is for showing and naming values whose family nobody knows.
func DecodeAny(value json.RawMessage) (v any) {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	if decoder.Decode(&v) != nil {
		return nil
	}
	return v
}

// Compact is a value without space between its parts: itself where there is none.
func Compact(value json.RawMessage) (json.RawMessage, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, value); err != nil {
		return nil, fmt.Errorf("read a value: %s is no JSON", Quote(value))
	}
	if b.Len() == len(value) {
		return value, nil
	}
	return b.Bytes(), nil
}

// EachElement calls visit with every element of a JSON array, or of a set or another tagged
// array, in order; nothing at all and null are empty arrays. Elements are parts of value. An error of visit ends it and is
// returned. There is a path without allocation or second look for whole numbers, which
// is what workloads write: a read of a set of 100 000 elements is taken apart a
// thousand times in one check.
func EachElement(value json.RawMessage, visit func([]byte) error) error {
	value = bytes.TrimSpace(value)
	if len(value) == 0 || string(value) == "null" {
		return nil
	}
	if plainArray(value) {
		for from, i := 1, 1; i < len(value); i++ {
			if c := value[i]; c != ',' && c != ']' {
				continue
			}
			if err := visit(value[from:i]); err != nil {
				return err
			}
			from = i + 1
		}
		return nil
	}
	if tag, inner, ok := Tagged(value); ok && tag != TextTag {
		return EachElement(inner, visit)
	}
	if value[0] != '[' || !json.Valid(value) {
		return notArray(value)
	}
	return cutArray(value, visit)
}

func notArray(value []byte) error { return fmt.Errorf("read an array: %s is none", Quote(value)) }

// cutArray is EachElement for what certainly is an array.
func cutArray(value []byte, visit func([]byte) error) error {
	for i := 1; i < len(value); i++ {
		end := skipValue(value, i)
		if end < 0 {
			return notArray(value)
		}
		one := bytes.TrimSpace(value[i:end])
		if len(one) == 0 { // [ ]
			return nil
		}
		if err := visit(one); err != nil {
			return err
		}
		i = end
	}
	return nil
}

// plainArray tells an array like [1,20,3]: digits and single commas and nothing else.
func plainArray(raw []byte) bool {
	if len(raw) < 3 || raw[0] != '[' || raw[len(raw)-1] != ']' {
		return false
	}
	digits, zero := 0, false
	for _, c := range raw[1 : len(raw)-1] {
		switch {
		case zero && digits == 1 && c != ',': // 07 is no number
			return false
		case c >= '0' && c <= '9':
			digits++
			zero = c == '0'
		case c == ',' && digits > 0:
			digits = 0
		default:
			return false
		}
	}
	return digits > 0
}

// quoted is how many bytes of a value an error quotes at most.
const quoted = 100

// Quote is the beginning of a value for an error or a message: one line of visible
// characters, at most 100 bytes of it.
func Quote(value []byte) string {
	cut := ""
	if len(value) > quoted {
		value, cut = value[:quoted], "…"
	}
	if len(value) == 0 {
		return "nothing"
	}
	if utf8.Valid(value) && bytes.IndexFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return string(value) + cut
	}
	var b strings.Builder
	for rest := value; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, rest[0])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		rest = rest[size:]
	}
	return b.String() + cut
}

var errNoValue = errors.New("there is no value")

// decode reads a value into a struct of this package.
func decode(value json.RawMessage, what string, into any) error {
	if len(value) == 0 {
		return fmt.Errorf("read %s: %w", what, errNoValue)
	}
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("read %s: %s is none", what, Quote(value))
	}
	return nil
}

// encode writes a struct of this package, whose fields are texts, numbers and flags: that
// cannot fail.
func encode(v any) json.RawMessage {
	value, _ := json.Marshal(v)
	return value
}
