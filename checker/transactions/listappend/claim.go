package listappend

import (
	"fmt"
	"strings"

	"nemesis/checker"
	"nemesis/checker/transactions/dependency"
)

// claimOf is the one sentence about a cycle. Two transactions that contradict each
// other, which is what most violations come down to, are told by what a client
// saw; longer cycles by who takes part.
func (h *columns) claimOf(cycle []hop, name string) string {
	if len(cycle) == 2 {
		// The edge that comes first here is the one that a sentence starts from.
		a, b := cycle[0], cycle[1]
		if rank(b.kind) > rank(a.kind) {
			a, b = b, a
		}
		if claim := h.claimOfTwo(a, b); claim != "" {
			return claim
		}
	}
	var clients []string
	named := make(map[int]bool)
	for _, e := range cycle {
		if p := h.op(e.from).Process; !named[p] {
			named[p] = true
			clients = append(clients, fmt.Sprint(p))
		}
	}
	if len(clients) > 5 {
		clients = append(clients[:4], fmt.Sprintf("%d more", len(clients)-4))
	}
	who := "client " + clients[0]
	if n := len(clients); n > 1 {
		who = "clients " + strings.Join(clients[:n-1], ", ") + " and " + clients[n-1]
	}
	return fmt.Sprintf("%d transactions of %s fit into no order: each must come before the next, and the last before the first (%s).", len(cycle), who, name)
}

// rank orders the kinds of edges: what was missed, what was seen, what was written, time.
func rank(k dependency.Kind) int {
	switch k {
	case rw:
		return 3
	case wr:
		return 2
	case ww:
		return 1
	}
	return 0
}

// claimOfTwo tells of T1 → T2 by edge a and T2 → T1 by edge b; "" when it has no
// better words than the general ones.
func (h *columns) claimOfTwo(a, b hop) string {
	one, two := h.op(a.from), h.op(a.to)
	value := func(e hop) string { return fmt.Sprintf("%s to %s", h.text(e.element), h.name(e.key)) }
	switch {
	case a.kind == rw && b.kind == rt:
		return fmt.Sprintf("Client %d read %s without %s at %s, although client %d's append of it had been acknowledged %s before that read began.",
			one.Process, h.name(a.key), h.text(a.element), checker.Moment(one.Return), two.Process, checker.Span(one.Call-two.Return))
	case a.kind == rw && b.kind == po:
		return fmt.Sprintf("Client %d read %s without %s at %s, although that was appended by its own earlier transaction, invoked at %s.",
			one.Process, h.name(a.key), h.text(a.element), checker.Moment(one.Return), checker.Moment(two.Call))
	case a.kind == rw && b.kind == wr:
		return fmt.Sprintf("Client %d's transaction saw client %d's append of %s, but not that of %s, which belongs to the same transaction.",
			one.Process, two.Process, value(b), value(a))
	case a.kind == rw && b.kind == ww && a.key == b.key:
		return fmt.Sprintf("Client %d's transaction appended %s behind client %d's %s, which its own read of %s had not shown: a lost update.",
			one.Process, value(b), two.Process, h.text(a.element), h.name(a.key))
	case a.kind == rw && b.kind == rw:
		return fmt.Sprintf("Client %d's transaction did not see client %d's append of %s, nor that one the first's append of %s: one of them must come first.",
			one.Process, two.Process, value(a), value(b))
	case a.kind == wr && b.kind == wr:
		return fmt.Sprintf("Client %d's and client %d's transactions each saw what the other one appended, %s and %s.",
			one.Process, two.Process, value(a), value(b))
	case a.kind == wr && b.kind == rt:
		return fmt.Sprintf("Client %d read %s from %s at %s, although client %d's transaction that appends it was invoked only at %s.",
			two.Process, h.text(a.element), h.name(a.key), checker.Moment(two.Return), one.Process, checker.Moment(one.Call))
	case a.kind == ww && b.kind == rt:
		return fmt.Sprintf("Client %d's append of %s stands behind client %d's, although it had been acknowledged at %s, before that one was invoked at %s.",
			two.Process, value(a), one.Process, checker.Moment(two.Return), checker.Moment(one.Call))
	}
	return ""
}
