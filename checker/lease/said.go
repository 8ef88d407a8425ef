package lease

import (
	"encoding/json"

	"nemesis/history"
)

// said is a history.LeaseValue, with its texts kept as numbers of names.
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
	scratch history.LeaseValue
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

// read parses a value.
func (n *names) read(raw json.RawMessage) (said, error) {
	v := &n.scratch
	if err := v.Decode(raw); err != nil || v.Nothing {
		return said{nothing: v.Nothing}, err
	}
	return said{
		lease: n.number(v.Lease), owner: n.number(v.Owner), token: v.Token, ttl: v.TTL,
		held: v.Held, gone: v.Gone, rejected: v.Rejected, value: v.Value, at: v.At, sent: v.Sent,
	}, nil
}
