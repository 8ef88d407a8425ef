package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"nemesis/history"
)

// Leases are what a system offers to hold for a while: leases, locks, leadership.
// Whoever wants to test those of another system writes these methods, plainly, and
// LeaseClient makes a Client of them, which speaks the language of history.Grant,
// keeps to the rules of certainty and tells what the client believes.
//
// A method returns by its context's deadline. Its error is one of two kinds: a
// *Refused proves that nothing happened and nothing will; any other error leaves open
// what happened. For Holder, and whatever else only reads, the difference is nothing.
//
// One process calls one method at a time, except that Renew may be called beside the
// others where LeaseOptions.KeepAlive says so.
type Leases interface {
	// Acquire gets hold of a resource, or is Refused with Held. It may wait for the
	// resource as long as the context allows.
	Acquire(ctx context.Context, resource string, ttl time.Duration) (history.Grant, error)
	// Renew asks once that the grant last for its whole TTL from now. It returns the
	// grant as it is then, or is Refused with Gone.
	Renew(ctx context.Context, resource string, grant history.Grant) (history.Grant, error)
	// Release gives the resource back, or is Refused with Gone.
	Release(ctx context.Context, resource string, grant history.Grant) error
	// Holder is who holds the resource; nil for nobody.
	Holder(ctx context.Context, resource string) (*history.Grant, error)
	// Close leaves everything held to its fate: a process that crashed releases nothing.
	Close() error
}

// Guarded are Leases with a register per resource that is written under a grant.
type Guarded interface {
	// Write is Refused with Rejected when the resource has seen a newer token.
	Write(ctx context.Context, resource string, write history.GuardedWrite) error
	// Read is what the resource has; nil while nothing was written.
	Read(ctx context.Context, resource string) (*history.GuardedWrite, error)
}

// Sections are Leases that protect a set per resource.
type Sections interface {
	// Add is a critical section: it reads the set, and writes it back with one more
	// element, as a program does that trusts its lock. Where the system can compare
	// tokens, it is Refused with Rejected when the grant is not the newest any more.
	Add(ctx context.Context, resource string, grant history.Grant, element int64) error
	// List is the whole set, in any order.
	List(ctx context.Context, resource string) ([]json.RawMessage, error)
}

// Shards are Leases whose resources are ranges of keys, moved between owners.
type Shards interface {
	// Serve asks for a key's data at the node of this client, and tells who answered
	// for it and under which epoch. A node that is not the owner is an error.
	Serve(ctx context.Context, key string) (history.Grant, error)
	// Move gives a range to another owner.
	Move(ctx context.Context, move history.Move) error
}

// Watching are Leases that notice things of their own accord, such as a renewal made in
// the background, a session that ended or a grant that somebody saw disappear. tell may be
// called at any time from any goroutine, also after Close.
type Watching interface {
	Watch(tell func(Belief))
}

// Refused is an error that proves that an operation did not happen and never will,
// with what was observed instead, if anything.
type Refused struct {
	history.Refusal
	Reason string
	// Cause is history.Declined where the client refused it without asking the system.
	Cause history.Cause
}

func (r *Refused) Error() string { return r.Reason }

// LeaseOptions say how a system's leases are used.
type LeaseOptions struct {
	// TTL is what Acquire asks for.
	TTL time.Duration
	// KeepAlive: holds are renewed in the background by LeaseClient, at a third of the
	// TTL, as a client library would. Otherwise the workload renews, or the system's
	// own library does and says so (Watching).
	KeepAlive bool
	// Told: the system's own library says when a hold is lost, as its documentation has
	// programs rely on. Otherwise a client concludes it by itself: what was not
	// renewed for a TTL, counted from when the last good request was sent, is over.
	Told bool
}

// LeaseClient makes a Client of a system's leases. It performs
//
//	acquire, renew, release, holder   always
//	write, read                       of Guarded
//	add, list                         of Sections; add is refused to who does not hold the resource
//	serve, move                       of Shards
//
// with the values that history.Grant and its neighbours document; add takes an
// element and list returns all of them.
//
// A renewal that fails is asked again until the lease would be over by the client's own
// reckoning, each attempt within a sixth of the TTL: one lost packet must not cost the
// lease, and a keeper whose one node is slow must be able to go on.
func LeaseClient(leases Leases, how LeaseOptions) Believer {
	c := &leaseClient{leases: leases, how: how, holds: map[string]*hold{}}
	if w, is := leases.(Watching); is {
		w.Watch(c.told)
	}
	return c
}

type leaseClient struct {
	leases Leases
	how    LeaseOptions

	mu    sync.Mutex
	tell  func(Belief) // nil until Believe, and again after Close
	holds map[string]*hold
	// early are grants that were lost while the acquire was still under way.
	early []history.Grant
}

// hold is a grant that the client believes to have.
type hold struct {
	grant history.Grant
	// end is when it is over unless renewed; zero where the client is told. over fires then.
	end  time.Time
	over *time.Timer
	stop context.CancelFunc // ends the renewals in the background
}

func (c *leaseClient) Believe(tell func(Belief)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tell = tell
}

func (c *leaseClient) Close() error {
	c.mu.Lock()
	c.tell = nil
	for key := range c.holds {
		c.forget(key)
	}
	c.mu.Unlock()
	return c.leases.Close()
}

func (c *leaseClient) Invoke(ctx context.Context, op history.Event) Completion {
	done := c.perform(ctx, op)
	if done.Type == history.Info {
		c.retire()
	}
	return done
}

func (c *leaseClient) perform(ctx context.Context, op history.Event) Completion {
	switch op.F {
	case history.FAcquire:
		return c.acquire(ctx, op.Key)
	case history.FRenew, history.FRelease:
		grant, err := history.DecodeGrant(op.Value)
		if err != nil {
			return refuse(op.F+" takes a grant", op.Value)
		}
		if op.F == history.FRenew {
			return c.renew(ctx, op.Key, grant)
		}
		return c.release(ctx, op.Key, grant)
	case history.FHolder:
		grant, err := c.leases.Holder(ctx, op.Key)
		return seen(grant.Encode(), err)
	}
	if l, is := c.leases.(Guarded); is {
		switch op.F {
		case history.FWrite:
			write, err := history.DecodeGuardedWrite(op.Value)
			if err != nil {
				return refuse("write takes a token and a value", op.Value)
			}
			return changed(l.Write(ctx, op.Key, write))
		case history.FRead:
			write, err := l.Read(ctx, op.Key)
			return seen(write.Encode(), err)
		}
	}
	if l, is := c.leases.(Sections); is {
		switch op.F {
		case history.FAdd:
			return c.add(ctx, l, op)
		case history.FList:
			elements, err := l.List(ctx, op.Key)
			return seen(history.EncodeElements(elements), err)
		}
	}
	if l, is := c.leases.(Shards); is {
		switch op.F {
		case history.FServe:
			grant, err := l.Serve(ctx, op.Key)
			return seen(grant.Encode(), err)
		case history.FMove:
			move, err := history.DecodeMove(op.Value)
			if err != nil {
				return refuse("move takes a range and its owner", op.Value)
			}
			return changed(l.Move(ctx, move))
		}
	}
	return declined(fmt.Sprintf("these leases cannot perform %q", op.F))
}

func (c *leaseClient) acquire(ctx context.Context, key string) Completion {
	c.mu.Lock()
	c.early = nil
	c.mu.Unlock()
	sent := time.Now()
	grant, err := c.leases.Acquire(ctx, key, c.how.TTL)
	if err != nil {
		return changed(err)
	}
	c.hold(key, grant, sent)
	return Completion{Type: history.OK, Value: grant.Encode(), Version: grant.Token}
}

// renew asks until it gets an answer or there is nothing left to renew.
func (c *leaseClient) renew(ctx context.Context, key string, grant history.Grant) Completion {
	attempt := max(c.how.TTL/6, 10*time.Millisecond)
	until := time.Now().Add(c.how.TTL * 3 / 4)
	c.mu.Lock()
	if h := c.holds[key]; h != nil && same(h.grant, grant) && !h.end.IsZero() {
		until = h.end
	}
	c.mu.Unlock()
	var doubt error // of an attempt that may have happened
	for n := 1; ; n++ {
		sent := time.Now()
		within, cancel := context.WithTimeout(ctx, attempt)
		renewed, err := c.leases.Renew(within, key, grant)
		cancel()
		var refused *Refused
		switch {
		case err == nil:
			if n > 1 {
				// The operation began with an attempt that failed; only this says how fresh it is.
				c.say(Belief{F: history.BeliefRenewed, Key: key, Grant: renewed, Sent: sent})
			}
			c.extend(key, grant, renewed, sent)
			return Completion{Type: history.OK, Value: renewed.Encode(), Version: renewed.Token}
		case errors.As(err, &refused) && refused.Gone:
			// Attempts before it, if they happened, renewed what is no more.
			c.lose(key, grant)
			return changed(err)
		case !errors.As(err, &refused):
			doubt = err
		}
		next := sent.Add(attempt / 4) // a dead server refuses at once
		if at := time.Now(); at.After(next) {
			next = at
		}
		if next.Add(time.Millisecond).After(until) || !sleepUntil(ctx, next) {
			if doubt != nil {
				err = doubt
			}
			return changed(err)
		}
	}
}

// sleepUntil reports whether the moment came before the context ended.
func sleepUntil(ctx context.Context, moment time.Time) bool {
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

func (c *leaseClient) release(ctx context.Context, key string, grant history.Grant) Completion {
	c.mu.Lock()
	h := c.holds[key]
	if h == nil || !same(h.grant, grant) {
		c.mu.Unlock()
		return declined("this client does not believe that it holds " + key)
	}
	c.forget(key)
	c.sayLocked(Belief{F: history.BeliefExit, Key: key, Grant: h.grant, At: time.Now()})
	c.mu.Unlock()
	return changed(c.leases.Release(ctx, key, grant))
}

func (c *leaseClient) add(ctx context.Context, l Sections, op history.Event) Completion {
	element, err := history.DecodeInt(op.Value)
	if err != nil {
		return refuse("add takes an integer", op.Value)
	}
	c.mu.Lock()
	h := c.holds[op.Key]
	if h == nil || !h.end.IsZero() && !time.Now().Before(h.end) {
		c.mu.Unlock()
		return declined("this client does not believe that it holds " + op.Key)
	}
	grant := h.grant
	c.mu.Unlock()
	return changed(l.Add(ctx, op.Key, grant, element))
}

// same: a renewal may change a grant's TTL, not what it is.
func same(a, b history.Grant) bool { return a.Lease == b.Lease && a.Token == b.Token }

// hold begins to believe in a grant that was asked for at sent.
func (c *leaseClient) hold(key string, grant history.Grant, sent time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.holds[key]; old != nil { // the new grant takes the place of the old
		c.forget(key)
		c.sayLocked(Belief{F: history.BeliefExit, Key: key, Grant: old.grant, At: time.Now()})
	}
	for _, lost := range c.early {
		if same(lost, grant) {
			return
		}
	}
	h := &hold{grant: grant}
	if !c.how.Told {
		h.end = sent.Add(c.lasts(grant))
		if !time.Now().Before(h.end) {
			return // over before the client heard of it
		}
		h.over = time.AfterFunc(time.Until(h.end), func() { c.expire(key, h) })
	}
	c.holds[key] = h
	c.sayLocked(Belief{F: history.BeliefEnter, Key: key, Grant: grant, At: time.Now()})
	if c.how.KeepAlive {
		var ctx context.Context
		ctx, h.stop = context.WithCancel(context.Background())
		go c.keep(ctx, key, grant)
	}
}

// lasts is how long a grant lasts.
func (c *leaseClient) lasts(grant history.Grant) time.Duration {
	if grant.TTL > 0 {
		return time.Duration(grant.TTL) * time.Millisecond
	}
	return c.how.TTL
}

// keep renews a grant until it is lost or given up.
func (c *leaseClient) keep(ctx context.Context, key string, grant history.Grant) {
	for ctx.Err() == nil {
		sent := time.Now()
		within, cancel := context.WithTimeout(ctx, max(c.how.TTL/6, 10*time.Millisecond))
		renewed, err := c.leases.Renew(within, key, grant)
		cancel()
		next := sent.Add(c.how.TTL / 3)
		var refused *Refused
		switch {
		case err == nil:
			c.say(Belief{F: history.BeliefRenewed, Key: key, Grant: renewed, Sent: sent})
			c.extend(key, grant, renewed, sent)
		case errors.As(err, &refused) && refused.Gone:
			c.lose(key, grant)
			return
		default:
			next = sent.Add(c.how.TTL / 6)
		}
		if !sleepUntil(ctx, next) {
			return
		}
	}
}

// extend takes note that a grant was renewed by a request sent then.
func (c *leaseClient) extend(key string, grant, renewed history.Grant, sent time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.holds[key]
	if h == nil || !same(h.grant, grant) || h.end.IsZero() {
		return
	}
	if end := sent.Add(c.lasts(renewed)); end.After(h.end) {
		h.end = end
		h.over.Reset(time.Until(end))
	}
}

// expire ends the belief in a hold that was not renewed in time.
func (c *leaseClient) expire(key string, h *hold) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holds[key] != h || time.Now().Before(h.end) { // given up, or renewed just now
		return
	}
	c.forget(key)
	c.sayLocked(Belief{F: history.BeliefLost, Key: key, Grant: h.grant, At: h.end})
}

// lose ends the belief in a grant that the system does not know any more.
func (c *leaseClient) lose(key string, grant history.Grant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.holds[key]
	if h == nil || !same(h.grant, grant) {
		c.early = append(c.early, grant)
		return
	}
	c.forget(key)
	c.sayLocked(Belief{F: history.BeliefLost, Key: key, Grant: h.grant, At: time.Now()})
}

// retire ends all beliefs: nothing more is done in the name of a process whose last
// operation is in doubt, and its successor knows nothing of what it held.
func (c *leaseClient) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, h := range c.holds {
		c.forget(key)
		c.sayLocked(Belief{F: history.BeliefExit, Key: key, Grant: h.grant, At: time.Now()})
	}
}

// forget drops a hold and what was to happen to it; the caller has the lock.
func (c *leaseClient) forget(key string) {
	h := c.holds[key]
	if h == nil {
		return
	}
	delete(c.holds, key)
	if h.over != nil {
		h.over.Stop()
	}
	if h.stop != nil {
		h.stop()
	}
}

// told passes on what the system noticed by itself, and believes it.
func (c *leaseClient) told(b Belief) {
	if b.At.IsZero() {
		b.At = time.Now()
	}
	switch b.F {
	case history.BeliefLost:
		c.lose(b.Key, b.Grant) // says so, once
		return
	case history.BeliefRenewed:
		c.extend(b.Key, b.Grant, b.Grant, b.Sent)
	}
	c.say(b)
}

func (c *leaseClient) say(b Belief) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sayLocked(b)
}

// sayLocked tells under the lock, so that nothing is told after Close.
func (c *leaseClient) sayLocked(b Belief) {
	if b.At.IsZero() {
		b.At = time.Now()
	}
	if c.tell != nil {
		c.tell(b)
	}
}

// changed is how an operation ended that was to change something.
func changed(err error) Completion {
	var refused *Refused
	switch {
	case err == nil:
		return Completion{Type: history.OK}
	case errors.As(err, &refused):
		done := Completion{Type: history.Fail, Error: err.Error(), Cause: refused.Cause}
		if refused.Refusal != (history.Refusal{}) {
			done.Value = refused.Refusal.Encode()
		}
		return done
	}
	return Completion{Type: history.Info, Error: err.Error()}
}

// seen is how an operation ended that only looks.
func seen(value json.RawMessage, err error) Completion {
	if err != nil {
		return Completion{Type: history.Fail, Error: err.Error()}
	}
	if !history.IsValid(value) {
		return Completion{Type: history.Info, Error: "the answer cannot be written down: " + history.Quote(value) + " is no JSON"}
	}
	return Completion{Type: history.OK, Value: value}
}

func refuse(what string, value json.RawMessage) Completion {
	return declined(what + ", not " + history.Quote(value))
}

// declined is how an operation ended that the client did not ask the system for.
func declined(reason string) Completion {
	return Completion{Type: history.Fail, Error: reason, Cause: history.Declined}
}
