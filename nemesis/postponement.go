package nemesis

import (
	"sync"
	"time"
)

// postponement is how much later than its plan a schedule is, since machines boot. It is
// safe for concurrent use.
type postponement struct {
	mu   sync.Mutex
	past int64
	// healAt is when a fault that is waited for should have been healed; waits, that
	// there is one.
	healAt int64
	waits  bool
}

func (p *postponement) begin(healAt int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.healAt, p.waits = healAt, true
}

// end returns what the fault has added.
func (p *postponement) end(now int64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	added := max(0, now-p.healAt)
	p.past, p.waits = p.past+added, false
	return added
}

func (p *postponement) by(now int64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	late := p.past
	if p.waits {
		late += max(0, now-p.healAt)
	}
	return time.Duration(late)
}
