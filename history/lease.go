package history

import (
	"bytes"
	"encoding/json"
)

// What the operations of leases, locks, elections and shard owners say. A resource
// (lock, election, shard) is Event.Key; the operations and their values are:
//
//	acquire  null                → ok Grant; fail Refusal with Held when another has it
//	renew    Grant               → ok Grant with the TTL granted anew; fail Refusal with Gone
//	release  Grant               → ok; fail Refusal with Gone
//	holder   null                → ok Grant of whoever holds it, or null for nobody
//	write    GuardedWrite        → ok when the resource took it; fail Refusal with Rejected
//	read     null                → ok GuardedWrite as the resource has it, or null
//
// A completion of type fail without any of these marks says only that nothing
// happened. Beliefs (events of type BeliefChange) are:
//
//	enter    the client may act as holder from now on
//	exit     it stopped acting as holder
//	lost     it was told, or concluded, that it holds it no more
//	renewed  a renewal in the background was acknowledged; Sent is when it was asked for
//	gone     somebody who watches saw the grant disappear
const (
	FAcquire = "acquire"
	FRenew   = "renew"
	FRelease = "release"
	FHolder  = "holder"

	BeliefEnter   = "enter"
	BeliefExit    = "exit"
	BeliefLost    = "lost"
	BeliefRenewed = "renewed"
	BeliefGone    = "gone"
)

// Grant is one hold of a resource.
type Grant struct {
	// Lease is the system's name of the lease behind the hold.
	Lease string `json:"lease,omitempty"`
	// Token is the fencing token or epoch, which grows with every grant; 0 when the
	// system gives none.
	Token int64 `json:"token,omitempty"`
	// TTL is what was granted, in milliseconds.
	TTL int64 `json:"ttl,omitempty"`
	// Owner is who holds it, in the system's words.
	Owner string `json:"owner,omitempty"`
}

// Refusal is the value of a completion of type fail that observed something.
type Refusal struct {
	// Held: another held the resource at some moment of the operation.
	Held bool `json:"held,omitempty"`
	// Gone: at some moment of the operation the system did not know the grant (any more).
	Gone bool `json:"gone,omitempty"`
	// Rejected: the resource refused the write because of its token.
	Rejected bool `json:"rejected,omitempty"`
	// Token is that of the present holder, where the system tells it.
	Token int64 `json:"token,omitempty"`
}

// GuardedWrite is a write that says under which grant it is made.
type GuardedWrite struct {
	Token int64 `json:"token,omitempty"`
	Value int64 `json:"value"`
}

// Belief is the value of a BeliefChange.
type Belief struct {
	Grant
	// At is the moment, in nanoseconds since the run began; the event itself may be
	// recorded later.
	At int64 `json:"at"`
	// Sent is when the request behind it was sent; 0 when there was none.
	Sent int64 `json:"sent,omitempty"`
}

// Encode writes the grant; a nil one, that of nobody, is null.
func (g *Grant) Encode() json.RawMessage { return encode(g) }

// Encode writes the refusal.
func (r *Refusal) Encode() json.RawMessage { return encode(r) }

// Encode writes the write; a nil one, of a resource that nobody has written to, is null.
func (w *GuardedWrite) Encode() json.RawMessage { return encode(w) }

// Encode writes the belief.
func (b *Belief) Encode() json.RawMessage { return encode(b) }

// DecodeGrant reads a grant. null is the zero Grant, nothing at all is an error, and so it
// is with the functions below.
func DecodeGrant(value json.RawMessage) (Grant, error) {
	var v LeaseValue
	if v.flat(value) {
		return v.grant(), nil
	}
	var g Grant
	err := decode(value, "a grant", &g)
	if err != nil {
		g = Grant{}
	}
	return g, err
}

// DecodeRefusal reads what a failed operation observed.
func DecodeRefusal(value json.RawMessage) (Refusal, error) {
	var v LeaseValue
	if v.flat(value) {
		return Refusal{Held: v.Held, Gone: v.Gone, Rejected: v.Rejected, Token: v.Token}, nil
	}
	var r Refusal
	err := decode(value, "a refusal", &r)
	if err != nil {
		r = Refusal{}
	}
	return r, err
}

// DecodeGuardedWrite reads a write under a grant.
func DecodeGuardedWrite(value json.RawMessage) (GuardedWrite, error) {
	var v LeaseValue
	if v.flat(value) {
		return GuardedWrite{Token: v.Token, Value: v.Value}, nil
	}
	var w GuardedWrite
	err := decode(value, "a guarded write", &w)
	if err != nil {
		w = GuardedWrite{}
	}
	return w, err
}

// DecodeBelief reads the value of a BeliefChange.
func DecodeBelief(value json.RawMessage) (Belief, error) {
	var v LeaseValue
	if v.flat(value) {
		return Belief{Grant: v.grant(), At: v.At, Sent: v.Sent}, nil
	}
	var b Belief
	err := decode(value, "a belief", &b)
	if err != nil {
		b = Belief{}
	}
	return b, err
}

// LeaseValue is what any value of this family says: the fields of Grant, Refusal,
// GuardedWrite and Belief, none of which collide. A checker that reads millions of them
// decodes into one LeaseValue and needs no memory for each.
type LeaseValue struct {
	// Nothing: null, or a bare number or text, such as a leader's name, which names no grant.
	Nothing bool
	// Lease and Owner are parts of the value that was read, or copies.
	Lease, Owner         []byte
	Token, TTL           int64
	Held, Gone, Rejected bool
	Value                int64
	At, Sent             int64
}

func (v *LeaseValue) grant() Grant {
	return Grant{Lease: string(v.Lease), Token: v.Token, TTL: v.TTL, Owner: string(v.Owner)}
}

// Decode reads a value of any of the family's types into v. Unlike the functions above it
// takes nothing at all for null, and a bare number or text for a value without fields.
func (v *LeaseValue) Decode(value json.RawMessage) error {
	if len(value) == 0 || string(value) == "null" {
		*v = LeaseValue{Nothing: true}
		return nil
	}
	if v.flat(value) {
		return nil
	}
	*v = LeaseValue{}
	if !IsObject(value) && json.Valid(value) {
		v.Nothing = IsNull(value)
		return nil
	}
	var all struct {
		Grant
		Held, Gone, Rejected bool
		Value                int64
		At, Sent             int64
	}
	if err := decode(value, "a value", &all); err != nil {
		return err
	}
	*v = LeaseValue{
		Lease: []byte(all.Lease), Owner: []byte(all.Owner), Token: all.Token, TTL: all.TTL,
		Held: all.Held, Gone: all.Gone, Rejected: all.Rejected, Value: all.Value, At: all.At, Sent: all.Sent,
	}
	return nil
}

// flat reads a flat compact object of known fields, without escapes: what Encode writes. It
// reports whether it could read all of it; encoding/json reads everything else, and
// reads the same from what flat can.
func (v *LeaseValue) flat(value []byte) bool {
	*v = LeaseValue{}
	if len(value) < 2 || value[0] != '{' || value[len(value)-1] != '}' {
		return false
	}
	rest := value[1 : len(value)-1]
	for len(rest) > 0 {
		name, end, ok := plainString(rest, 0)
		if !ok || end == len(rest) || rest[end] != ':' {
			return false
		}
		rest = rest[end+1:]
		if len(rest) > 0 && rest[0] == '"' {
			text, end, ok := plainString(rest, 0)
			if !ok || !v.setText(string(name), text) {
				return false
			}
			rest = rest[end:]
		} else {
			end := bytes.IndexByte(rest, ',')
			if end < 0 {
				end = len(rest)
			}
			if !v.set(string(name), rest[:end]) {
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

func (v *LeaseValue) setText(name string, text []byte) bool {
	switch name {
	case "lease":
		v.Lease = text
	case "owner":
		v.Owner = text
	default:
		return false
	}
	return true
}

func (v *LeaseValue) set(name string, raw []byte) bool {
	var number *int64
	var flag *bool
	switch name {
	case "token":
		number = &v.Token
	case "ttl":
		number = &v.TTL
	case "value":
		number = &v.Value
	case "at":
		number = &v.At
	case "sent":
		number = &v.Sent
	case "held":
		flag = &v.Held
	case "gone":
		flag = &v.Gone
	case "rejected":
		flag = &v.Rejected
	default:
		return false
	}
	if flag != nil {
		*flag = string(raw) == "true"
		return *flag || string(raw) == "false"
	}
	n, is := wholeNumber(raw)
	*number = n
	return is
}
