package host

import (
	"testing"

	"nemesis/servers/core"
)

// TestMessagesOutliveTheCoreThatTheyCameTo: a client that asks while a host starts, or starts again after its disk failed, is answered.
func TestMessagesOutliveTheCoreThatTheyCameTo(t *testing.T) {
	b := newInbox(100)
	b.put(event{from: 2}, 40)
	b.put(event{from: 1}, 0) // to itself
	b.put(event{released: []core.Message{{To: 2}}}, 0)
	<-b.woken // by the first of them, and nobody took them
	b.keepMessages()
	if got := b.take(nil); len(got) != 1 || got[0].from != 2 {
		t.Errorf("got %+v", got)
	}
	b.put(event{from: 1}, 0)
	b.keepMessages()
	if len(b.events) != 0 {
		t.Errorf("what the host sent itself is left: %+v", b.events)
	}
}
