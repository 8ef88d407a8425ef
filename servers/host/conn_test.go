package host

import (
	"testing"

	"nemesis/servers/core"
)

// A node is answered over any connection of its own that is left, whichever of them was named last.
func TestNodeIsAnsweredOverTheConnectionThatIsLeft(t *testing.T) {
	s := &connections{all: map[*conn]bool{}, clients: map[core.Address]*conn{}, nodes: map[core.Address][]*conn{}}
	first, second := &conn{}, &conn{}
	for _, c := range []*conn{first, second} {
		s.add(c, 10)
		s.name(c, 7)
	}
	if s.node(7) != second {
		t.Error("it is not answered over the newest")
	}
	s.remove(second)
	if s.node(7) != first {
		t.Error("it is not answered over the one that is left")
	}
	s.remove(first)
	if s.node(7) != nil || len(s.nodes) > 0 {
		t.Error("a connection is left that was removed")
	}
}
