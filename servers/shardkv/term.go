package shardkv

import (
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
)

// term is a store's lease as the store counts it: by its own clock, from when it first sent the renewal that was granted.
type term struct {
	Lease
	defect  defect.ID
	now     time.Duration
	until   time.Duration
	noticed bool // K02: a timer has not found the lease to be over
}

// tick takes the time of an event in.
func (t *term) tick(e core.Event) {
	t.now = e.Now
	if t.defect == defect.K05 {
		t.now = e.Wall
	}
	if e.Body == nil {
		t.noticed = t.now < t.until
	}
}

// lost ends the lease: the store has just begun, or its clock went back.
func (t *term) lost() { t.until = t.now }

// granted extends the lease by a renewal first sent at a time.
func (t *term) granted(sent time.Duration) {
	if t.defect == defect.K06 {
		sent = t.now
	}
	margin := t.ClockError
	if t.defect == defect.K03 {
		margin = 0
	}
	t.until = max(t.until, sent+t.Length-margin)
	t.noticed = true
}

// valid says whether the store may serve what it holds.
func (t *term) valid() bool {
	switch t.defect {
	case defect.K01:
		return true
	case defect.K02:
		return t.noticed
	}
	return t.now < t.until
}

// deadline is when a timer has something to notice.
func (t *term) deadline() time.Duration {
	if t.defect == defect.K02 && t.noticed {
		return t.until
	}
	return core.Never
}
