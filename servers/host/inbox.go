package host

import (
	"slices"
	"sync"
	"time"

	"nemesis/servers/core"
)

// event is what waits for the core: a message, or messages that a sync has released.
type event struct {
	from     core.Address
	body     core.Body
	released []core.Message
	size     int
}

// inbox is the queue of what waits for the core. Readers of connections wait while it holds too much.
type inbox struct {
	mu     sync.Mutex
	room   *sync.Cond
	events []event
	size   int
	limit  int
	woken  chan struct{}
	spare  []event
}

func newInbox(limit int) *inbox {
	b := &inbox{limit: limit, woken: make(chan struct{}, 1)}
	b.room = sync.NewCond(&b.mu)
	return b
}

// put appends an event of a size in bytes. One with a size waits for room.
func (b *inbox) put(e event, size int) {
	b.mu.Lock()
	for size > 0 && b.size > 0 && b.size+size > b.limit {
		b.room.Wait()
	}
	e.size = size
	b.size += size
	b.events = append(b.events, e)
	first := len(b.events) == 1
	b.mu.Unlock()
	if first {
		b.wake()
	}
}

func (b *inbox) wake() {
	select {
	case b.woken <- struct{}{}:
	default:
	}
}

// take returns everything that waits, once there is something or the timer fires. The result is valid until the next take.
func (b *inbox) take(timer <-chan time.Time) []event {
	select {
	case <-b.woken:
	case <-timer:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.events
	clear(b.spare[:cap(b.spare)])
	b.events, b.spare = b.spare[:0], taken
	b.size = 0
	b.room.Broadcast()
	return taken
}

// keepMessages drops what the host itself had put in, for a core that is gone: news of its disk, and what it sent itself. What came
// over connections stays: its senders wait, and to them the node was only slow.
func (b *inbox) keepMessages() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = slices.DeleteFunc(b.events, func(e event) bool { return e.size == 0 })
	if len(b.events) > 0 {
		b.wake()
	}
}
