package postgres

import (
	"cmp"
	"slices"
	"time"
)

// Who is the primary is settled by elections as in Raft, without a log of our own: the log
// is PostgreSQL's. Each election has a term, in which a node votes once; a majority makes the
// candidate the primary of the term.
//
// A commit that waits for synchronous standbys is on the disks of a majority, the primary's own among
// them. So that no election loses it, a voter first cuts its standby off from the
// primary that it followed, so that nothing more is acknowledged there, and
// votes for no candidate whose log is shorter than its own. How long a log is, is said by the
// term of the primary that it was copied from, and then by its end.
//
// A primary keeps its office for as long as a majority answers its heartbeats, counted from
// when they were sent, and stops before anybody else can be elected: who answered votes for
// nobody else for the whole timeout, counted from when it heard it, and the primary gives up
// after a part of that.

// state is what a node must not forget.
type state struct {
	// Term is the latest known, Voted whom the node voted for in it.
	Term  uint64 `json:"term"`
	Voted string `json:"voted,omitempty"`
}

// position is how far a log goes: Held is the term of the primary that the data is from, 0 for a
// node without any; LSN is PostgreSQL's own count.
type position struct {
	Held uint64 `json:"held"`
	LSN  uint64 `json:"lsn"`
}

func (p position) compare(o position) int {
	return cmp.Or(cmp.Compare(p.Held, o.Held), cmp.Compare(p.LSN, o.LSN))
}

// continuedBy reports whether what follows a log of that position follows p, too.
func (p position) continuedBy(o position) bool {
	return p.Held == o.Held && p.Held > 0 && p.LSN <= o.LSN
}

// ballot asks for a vote.
type ballot struct {
	Term      uint64   `json:"term"`
	Candidate string   `json:"candidate"`
	Position  position `json:"position"`
	// Trial only asks whether there is a primary. A member that was cut off would otherwise come
	// back with a later term, and end a primary that all others follow.
	Trial bool `json:"trial,omitempty"`
}

// refusal says why a node does not vote for a candidate; "" when it may. heard: it has heard
// of a primary within the timeout, or is one.
func (s state) refusal(b ballot, heard bool) string {
	switch {
	case heard:
		return "there is a primary"
	case b.Term < s.Term || b.Term == s.Term && s.Voted != "" && s.Voted != b.Candidate:
		return "the term is over, or its vote is given"
	}
	return ""
}

// vote is the state after a vote.
func (s state) vote(b ballot) state {
	s.Term, s.Voted = b.Term, b.Candidate
	return s
}

// learn is the state after a node heard of a term.
func (s state) learn(term uint64) state {
	if term > s.Term {
		s.Term, s.Voted = term, ""
	}
	return s
}

// leaseEnd is until when a primary may serve: a lease after the moment since which a majority,
// itself included, is known to have answered. answered are the moments at which those
// heartbeats were sent that the other nodes answered last; the zero time for nodes that did not.
func leaseEnd(answered []time.Time, lease time.Duration) time.Time {
	sorted := slices.SortedFunc(slices.Values(answered), func(a, b time.Time) int { return b.Compare(a) })
	others := (len(answered) + 1) / 2 // besides itself
	if others == 0 {
		return time.Unix(1<<40, 0) // alone it is the majority for ever
	}
	if sorted[others-1].IsZero() {
		return time.Time{}
	}
	return sorted[others-1].Add(lease)
}

// majority of nodes, of which others are not this one.
func majority(others int) int { return (others+1)/2 + 1 }
