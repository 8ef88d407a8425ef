package models

import "slices"

// fifo is a queue of values that never changes: a step makes a new one, which shares what
// they have in common. So a step costs the same however long the queue is, and a history
// of a million elements is replayed in seconds. (Where every element was enqueued before
// the first is taken, one step turns the list of enqueued ones round; no search takes that
// step more often than it made the elements.)
//
// The zero fifo is empty.
type fifo struct {
	front, rear *link // the oldest first; the newest first
	n           int
	// hash is that of the sequence: the sum of each value's hash, times base for every
	// value behind it. power is base to the n-th, 0 standing for 1.
	hash, power uint64
}

type link struct {
	value int32
	next  *link
}

// base is odd, so that it can be divided by: base * inverse is 1.
const (
	base    uint64 = 0x9e3779b97f4a7c15
	inverse uint64 = 0xf1de83e19937733d
)

func (q fifo) len() int { return q.n }

func (q fifo) with(v int32) fifo {
	q.rear = &link{v, q.rear}
	q.n++
	q.hash = q.hash*base + hashNumber(uint64(v))
	q.power = max(q.power, 1) * base
	return q
}

// take is the oldest value of a queue that is not empty, and the queue without it.
func (q fifo) take() (oldest int32, rest fifo) {
	if q.front == nil {
		for l := q.rear; l != nil; l = l.next {
			q.front = &link{l.value, q.front}
		}
		q.rear = nil
	}
	oldest, q.front = q.front.value, q.front.next
	q.n--
	if q.n == 0 {
		return oldest, fifo{}
	}
	q.power *= inverse
	q.hash -= hashNumber(uint64(oldest)) * q.power
	return oldest, q
}

func (q fifo) equal(p fifo) bool {
	if q.n != p.n || q.hash != p.hash {
		return false
	}
	if q.front == p.front && q.rear == p.rear {
		return true
	}
	return slices.Equal(q.values(), p.values())
}

// values are all of them, the oldest first.
func (q fifo) values() []int32 {
	all := make([]int32, 0, q.n)
	for l := q.front; l != nil; l = l.next {
		all = append(all, l.value)
	}
	behind := len(all)
	for l := q.rear; l != nil; l = l.next {
		all = append(all, l.value)
	}
	slices.Reverse(all[behind:])
	return all
}
