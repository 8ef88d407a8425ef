package lease

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// said is what the value of one operation or belief says: a history.Grant, Refusal,
// GuardedWrite or Belief, whose fields do not collide. Text is kept as a number of names.
type said struct {
	nothing      bool // null, or no value at all
	lease, owner int32
	token        int64
	ttl          int64 // milliseconds
	held, gone   bool
	rejected     bool
	value        int64
	at, sent     int64
}

// names numbers texts from 1; 0 is the empty text.
type names struct {
	numbers map[string]int32
	texts   []string
}

func (n *names) number(text []byte) int32 {
	if len(text) == 0 {
		return 0
	}
	if id, known := n.numbers[string(text)]; known {
		return id
	}
	if n.numbers == nil {
		n.numbers, n.texts = make(map[string]int32), []string{""}
	}
	id := int32(len(n.texts))
	n.texts = append(n.texts, string(text))
	n.numbers[n.texts[id]] = id
	return id
}

func (n *names) text(id int32) string {
	if id == 0 {
		return ""
	}
	return n.texts[id]
}

// read parses a value. The recorder writes flat compact objects without escapes, which
// are cut up in place; anything else goes through encoding/json.
func (n *names) read(raw json.RawMessage) (said, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return said{nothing: true}, nil
	}
	var s said
	if n.flat(raw, &s) {
		return s, nil
	}
	return n.slow(raw)
}

func (n *names) slow(raw json.RawMessage) (said, error) {
	if t := bytes.TrimSpace(raw); len(t) == 0 || t[0] != '{' {
		// A bare number or text, such as the leader's name: it names no grant.
		if json.Valid(raw) {
			return said{nothing: string(t) == "null"}, nil
		}
	}
	var v struct {
		Lease, Owner         string
		Token, TTL           int64
		Held, Gone, Rejected bool
		Value                int64
		At, Sent             int64
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return said{}, fmt.Errorf("read a value: %w", err)
	}
	return said{
		lease: n.number([]byte(v.Lease)), owner: n.number([]byte(v.Owner)), token: v.Token, ttl: v.TTL,
		held: v.Held, gone: v.Gone, rejected: v.Rejected, value: v.Value, at: v.At, sent: v.Sent,
	}, nil
}

// flat reports whether it could read all of raw.
func (n *names) flat(raw []byte, s *said) bool {
	if len(raw) < 2 || raw[0] != '{' || raw[len(raw)-1] != '}' {
		return false
	}
	rest := raw[1 : len(raw)-1]
	for len(rest) > 0 {
		name, after, ok := quoted(rest)
		if !ok || len(after) == 0 || after[0] != ':' {
			return false
		}
		rest = after[1:]
		if len(rest) > 0 && rest[0] == '"' {
			text, after, ok := quoted(rest)
			if !ok {
				return false
			}
			switch string(name) {
			case "lease":
				s.lease = n.number(text)
			case "owner":
				s.owner = n.number(text)
			default:
				return false
			}
			rest = after
		} else {
			end := bytes.IndexByte(rest, ',')
			if end < 0 {
				end = len(rest)
			}
			if !s.set(string(name), rest[:end]) {
				return false
			}
			rest = rest[end:]
		}
		if len(rest) == 0 {
			return true
		}
		if rest[0] != ',' || len(rest) == 1 {
			return false
		}
		rest = rest[1:]
	}
	return true
}

// quoted cuts a JSON string without escapes off the front.
func quoted(b []byte) (text, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != '"' {
		return nil, nil, false
	}
	end := bytes.IndexByte(b[1:], '"')
	if end < 0 || bytes.IndexByte(b[1:1+end], '\\') >= 0 {
		return nil, nil, false
	}
	return b[1 : 1+end], b[end+2:], true
}

func (s *said) set(name string, raw []byte) bool {
	var number *int64
	var flag *bool
	switch name {
	case "token":
		number = &s.token
	case "ttl":
		number = &s.ttl
	case "value":
		number = &s.value
	case "at":
		number = &s.at
	case "sent":
		number = &s.sent
	case "held":
		flag = &s.held
	case "gone":
		flag = &s.gone
	case "rejected":
		flag = &s.rejected
	default:
		return false
	}
	if flag != nil {
		*flag = string(raw) == "true"
		return *flag || string(raw) == "false"
	}
	v, err := strconv.ParseInt(string(raw), 10, 64)
	*number = v
	return err == nil
}
