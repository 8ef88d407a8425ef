package nemesis

import (
	"sync"
	"time"
)

// lateness is how far behind its plan a schedule is. It is safe for concurrent use.
type lateness struct {
	mu   sync.Mutex
	past int64
	// healAt is when a fault that is waited for should have been healed; waits, that
	// there is one.
	healAt int64
	waits  bool
}

func (l *lateness) begin(healAt int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.healAt, l.waits = healAt, true
}

// end returns what the fault has added.
func (l *lateness) end(now int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	added := max(0, now-l.healAt)
	l.past, l.waits = l.past+added, false
	return added
}

func (l *lateness) by(now int64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	late := l.past
	if l.waits {
		late += max(0, now-l.healAt)
	}
	return time.Duration(late)
}
