package history

import "encoding/json"

// A shard is a key of Event.Key, in a space of keys that are cut into ranges; each range has
// one owner at a time.
//
//	serve   null  → ok Grant: who (Owner) answered for the shard, under which epoch (Token)
//	holder  null  → ok Grant of whoever owns it, as the system tells it, or null for nobody
//	move    Move  → ok when the range has changed its owner
//
// Owners that lease their shards acquire, renew and release them as in lease.go.
const (
	FServe = "serve"
	FMove  = "move"
)

// Move gives a range of keys, from Low up to but not including High, to another owner.
type Move struct {
	Low  uint64 `json:"low"`
	High uint64 `json:"high"` // 0 stands for the end of all keys
	From string `json:"from,omitempty"`
	To   string `json:"to"`
}

// Encode writes the move.
func (m *Move) Encode() json.RawMessage { return encode(m) }

// DecodeMove reads a move. null is the zero Move, nothing at all is an error.
func DecodeMove(value json.RawMessage) (Move, error) {
	var m Move
	err := decode(value, "a move", &m)
	if err != nil {
		m = Move{}
	}
	return m, err
}
