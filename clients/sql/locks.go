package sql

import (
	"context"
	"sync"
)

// locks are held by name, for as long as a context lets one wait.
type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

// hold takes a lock and returns how to let go of it.
func (l *locks) hold(ctx context.Context, name string) (free func(), err error) {
	l.mu.Lock()
	lock := l.held[name]
	if lock == nil {
		lock = make(chan struct{}, 1)
		l.held[name] = lock
	}
	l.mu.Unlock()
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
