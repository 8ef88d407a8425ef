package history

// What the operations of leases, locks, elections and shard owners say. A resource
// (lock, election, shard) is Event.Key; the operations and their values are:
//
//	acquire  null                → ok Grant; fail Refusal with Held when another has it
//	renew    Grant               → ok Grant with the TTL granted anew; fail Refusal with Gone
//	release  Grant               → ok; fail Refusal with Gone
//	holder   null                → ok Grant of whoever holds it, or null for nobody
//	write    GuardedWrite        → ok when the resource took it; fail Refusal with Rejected
//	read     null                → ok GuardedWrite as the resource has it, or null
//	serve    null                → ok Grant: who (Owner) answered for the shard, under which epoch (Token)
//	move     Move                → ok when the range has changed its owner
//
// A completion of type fail without any of these marks says only that nothing
// happened. Beliefs (events of type BeliefChange) are:
//
//	enter    the client may act as holder from now on
//	exit     it stopped acting as holder
//	lost     it was told, or concluded, that it holds it no more
//	renewed  a renewal in the background was acknowledged; Sent is when it was asked for
//	gone     somebody who watches saw the grant disappear

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

// Move gives a range of keys, from Low up to but not including High, to another owner.
type Move struct {
	Low  uint64 `json:"low"`
	High uint64 `json:"high"` // 0 stands for the end of all keys
	From string `json:"from,omitempty"`
	To   string `json:"to"`
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
