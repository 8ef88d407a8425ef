package agent

import (
	"sync"

	"nemesis/history"
	"nemesis/nodes"
)

// tail keeps the last kilobyte of what the agent writes to its standard error.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - 1024; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

// last is its last line, made printable.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return firstLine(nodes.LastLine(string(t.text)))
}

// exitQueue hands exits to a reader of any pace without ever holding up the
// connection that brings them.
type exitQueue struct {
	mu     sync.Mutex
	wake   *sync.Cond
	queue  []history.Exit
	closed bool
	done   chan struct{}
	c      chan history.Exit
}

func newExitQueue() *exitQueue {
	q := &exitQueue{c: make(chan history.Exit, 16), done: make(chan struct{})}
	q.wake = sync.NewCond(&q.mu)
	go q.pump()
	return q
}

func (q *exitQueue) push(e history.Exit) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.queue = append(q.queue, e)
		q.wake.Signal()
	}
}

func (q *exitQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.done)
		q.wake.Signal()
	}
}

// pump closes the channel at the end. What is still queued then goes as far as the
// channel's buffer takes it, since nobody may be reading.
func (q *exitQueue) pump() {
	defer close(q.c)
	for {
		q.mu.Lock()
		for len(q.queue) == 0 && !q.closed {
			q.wake.Wait()
		}
		if len(q.queue) == 0 {
			q.mu.Unlock()
			return
		}
		next := q.queue[0]
		q.queue = q.queue[1:]
		closed := q.closed
		q.mu.Unlock()
		if closed {
			select {
			case q.c <- next:
			default:
				return
			}
			continue
		}
		select {
		case q.c <- next:
		case <-q.done:
			select {
			case q.c <- next:
			default:
				return
			}
		}
	}
}
