package nemesis

import "nemesis/history"

// The shapes of partitions, as algebra on an order of the nodes. A shape is the set
// of directed links it cuts; everything that is not cut stays whole. Those of packet
// faults are the links whose packets are changed. Each shape is
// decided by the order alone: its first node is the one that is alone, the bridge,
// or the one that falls silent, and the order around is the ring.

// cuts are the links that a shape cuts, for nodes in this order; nil for what is
// not a shape.
func cuts(shape string, order []string) []history.Link {
	n := len(order)
	if n < 2 {
		return nil
	}
	switch shape {
	case "one", "flapping":
		return apart(order[:1], order[1:])
	case "halves":
		return apart(order[:n/2], order[n/2:])
	case "minority":
		return apart(order[:(n-1)/2], order[(n-1)/2:])
	case "majorities-ring":
		return ring(order)
	case "bridge":
		rest := order[1:]
		return apart(rest[:len(rest)/2], rest[len(rest)/2:])
	case "link":
		return apart(order[:1], order[1:2])
	case "every-link":
		var links []history.Link
		for i := range order[1:] {
			links = append(links, apart(order[i:i+1], order[i+1:])...)
		}
		return links
	case "one-way-out":
		return silence(order[:1], order[1:])
	case "one-way-in":
		return silence(order[1:], order[:1])
	}
	return nil
}

// silence cuts every link from a node of speakers to a node of listeners.
func silence(speakers, listeners []string) []history.Link {
	var links []history.Link
	for _, from := range speakers {
		for _, to := range listeners {
			links = append(links, history.Link{From: from, To: to})
		}
	}
	return links
}

// apart cuts every link between the two sides, in both directions.
func apart(a, b []string) []history.Link { return append(silence(a, b), silence(b, a)...) }

// ring lets every node see itself and its nearest neighbours on a ring, as few as
// make a majority, and nobody else. Everybody has a majority, no two have the
// same, and no cut is one-way. On fewer than four nodes that leaves nothing to cut.
func ring(order []string) []history.Link {
	n := len(order)
	// A majority is n/2+1 nodes: itself and n/2 others, the same number on either
	// side, rounded up since a link that only one end sees is no link for a protocol
	// with answers.
	radius := (n/2 + 1) / 2
	var links []history.Link
	for i, from := range order {
		for away := radius + 1; away < n-radius; away++ {
			links = append(links, history.Link{From: from, To: order[(i+away)%n]})
		}
	}
	return links
}
