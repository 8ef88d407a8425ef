package shardkv

import (
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
)

// term is a store's lease as the store counts it: by its own clock, from when it first sent the renewal that was granted.
type term struct {
	Lease
	defect defect.ID
	now    time.Duration
	until  time.Duration
}

// tick takes the time of an event in.
func (t *term) tick(e core.Event) {
	t.now = e.Now
	if t.defect == defect.K05 {
		t.now = e.Wall
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
}

// valid says whether the store may serve what it holds.
func (t *term) valid() bool {
	return t.now < t.until || t.defect == defect.K01
}
