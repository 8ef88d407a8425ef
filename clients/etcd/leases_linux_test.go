package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"nemesis/clients"
	"nemesis/history"
)

// holder is a client of a workload with leases, and what it believed.
type holder struct {
	t *testing.T
	clients.Client
	mu       sync.Mutex
	believed []clients.Belief
	heard    chan struct{} // something was believed
}

func (s *server) holder(workload string, ttl time.Duration, o options) *holder {
	s.t.Helper()
	c, err := newClientFor(history.Workload{Name: workload, TTL: history.Duration(ttl)}, s.node.Address, o, new(clients.Dialer))
	must(s.t, err)
	h := &holder{t: s.t, Client: c, heard: make(chan struct{}, 1000)}
	c.(clients.Believer).Believe(func(b clients.Belief) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.believed = append(h.believed, b)
		h.heard <- struct{}{}
	})
	s.t.Cleanup(func() { c.Close() })
	return h
}

func (h *holder) do(f, key string, value any) clients.Completion {
	h.t.Helper()
	return h.within(time.Minute, f, key, value)
}

func (h *holder) within(limit time.Duration, f, key string, value any) clients.Completion {
	h.t.Helper()
	text, err := json.Marshal(value)
	must(h.t, err)
	ctx, cancel := context.WithTimeout(h.t.Context(), limit)
	defer cancel()
	return h.Invoke(ctx, history.Event{Type: history.Invoke, F: f, Key: key, Value: text})
}

// acquire tries until it has the resource.
func (h *holder) acquire(key string) history.Grant {
	h.t.Helper()
	for {
		done := h.do("acquire", key, nil)
		switch done.Type {
		case history.OK:
			return h.grant(done)
		case history.Info:
			h.t.Fatalf("acquire ended in %s: %s", done.Type, done.Error)
		}
	}
}

func (h *holder) grant(done clients.Completion) history.Grant {
	h.t.Helper()
	var grant history.Grant
	if done.Type != history.OK || json.Unmarshal(done.Value, &grant) != nil {
		h.t.Fatalf("ended in %s, value %s, error %q; want a grant", done.Type, done.Value, done.Error)
	}
	return grant
}

// believes waits until the client has believed something of a resource.
func (h *holder) believes(f, key string) clients.Belief {
	h.t.Helper()
	for seen := 0; ; {
		h.mu.Lock()
		for _, b := range h.believed[seen:] {
			if b.F == f && b.Key == key {
				h.mu.Unlock()
				return b
			}
		}
		seen = len(h.believed)
		h.mu.Unlock()
		select {
		case <-h.heard:
		case <-time.After(time.Minute):
			h.t.Fatalf("never believed %s of %s: %+v", f, key, h.believed)
		}
	}
}

func (h *holder) all(f string) []clients.Belief {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []clients.Belief
	for _, b := range h.believed {
		if b.F == f {
			all = append(all, b)
		}
	}
	return all
}

// refused checks a fail and what it observed.
func refused(t *testing.T, done clients.Completion, want history.Refusal) {
	t.Helper()
	var got history.Refusal
	if len(done.Value) > 0 {
		must(t, json.Unmarshal(done.Value, &got))
	}
	if done.Type != history.Fail || got != want {
		t.Errorf("ended in %s with %s (%s), want fail with %+v", done.Type, done.Value, done.Error, want)
	}
}

const shortTTL = 2 * time.Second

func TestLeasesOfOneMember(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1, defaults(t))[0]

	t.Run("are granted, renewed, released and granted again", func(t *testing.T) {
		a, b := s.holder("lease", shortTTL, defaults(t)), s.holder("lease", shortTTL, defaults(t))
		ended(t, a.do("holder", "x", nil), history.OK, "null")
		first := a.acquire("x")
		if first.Token == 0 || first.Lease == "" || first.TTL < shortTTL.Milliseconds() {
			t.Errorf("granted %+v", first)
		}
		refused(t, b.do("acquire", "x", nil), history.Refusal{Held: true, Token: first.Token})
		if got := b.grant(b.do("holder", "x", nil)); got.Lease != first.Lease || got.Token != first.Token || got.Owner != first.Owner {
			t.Errorf("the holder is %+v, granted was %+v", got, first)
		}
		if got := a.grant(a.do("renew", "x", first)); got != first {
			t.Errorf("renewed %+v, granted was %+v", got, first)
		}
		ended(t, a.do("release", "x", first), history.OK, "")
		if gone := a.believes("gone", "x"); gone.Grant != first {
			t.Errorf("the watch saw %+v disappear", gone.Grant)
		}
		second := b.acquire("x")
		if second.Token <= first.Token {
			t.Errorf("granted %d after %d", second.Token, first.Token)
		}
		refused(t, a.do("renew", "x", first), history.Refusal{Gone: true})
	})

	t.Run("end when they are not renewed", func(t *testing.T) {
		a, b := s.holder("lease", shortTTL, defaults(t)), s.holder("lease", shortTTL, defaults(t))
		sent := time.Now()
		first := a.acquire("y")
		lost, gone := a.believes("lost", "y"), a.believes("gone", "y")
		if at := lost.At.Sub(sent); at < shortTTL {
			t.Errorf("the client believed it lost after %s", at)
		}
		if at := gone.At.Sub(sent); at < shortTTL {
			t.Errorf("it was gone after %s", at)
		}
		refused(t, a.do("renew", "y", first), history.Refusal{Gone: true})
		b.acquire("y")
	})

	t.Run("nonsense is refused before it is sent", func(t *testing.T) {
		a := s.holder("lease", shortTTL, defaults(t))
		for _, op := range []struct {
			f     string
			value any
		}{{"renew", 7}, {"renew", history.Grant{Lease: "no lease"}}, {"release", "x"}, {"release", history.Grant{Lease: "1"}}, {"add", 3}, {"write", 3}, {"dance", nil}} {
			if done := a.do(op.f, "z", op.value); done.Type != history.Fail {
				t.Errorf("%s %v ended in %s", op.f, op.value, done.Type)
			}
		}
	})
}

func TestLocksOfOneMember(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1, defaults(t))[0]

	t.Run("are handed over, and what they protect is kept", func(t *testing.T) {
		var wg sync.WaitGroup
		const each = 3
		for client := range 3 {
			wg.Go(func() {
				h := s.holder("lock", shortTTL, defaults(t))
				for i := range each {
					grant := h.acquire("x")
					ended(t, h.do("add", "x", client*each+i), history.OK, "")
					ended(t, h.do("release", "x", grant), history.OK, "")
				}
			})
		}
		wg.Wait()
		var set []int
		must(t, json.Unmarshal(s.holder("lock", shortTTL, defaults(t)).do("list", "x", nil).Value, &set))
		if len(set) != 3*each {
			t.Errorf("%d critical sections left %v", 3*each, set)
		}
	})

	t.Run("are kept alive in the background, and it shows", func(t *testing.T) {
		h := s.holder("lock", shortTTL, defaults(t))
		grant := h.acquire("y")
		var renewed []clients.Belief
		for len(renewed) < 4 { // the lease itself, the first keep-alive, and two a third of a TTL apart
			<-h.heard
			renewed = h.all("renewed")
		}
		ended(t, h.do("add", "y", 1), history.OK, "")
		if last := renewed[len(renewed)-1]; last.Key != "y" || last.Grant != grant {
			t.Errorf("a keep-alive of what is held is told as %+v", last)
		}
		for _, b := range renewed {
			if b.Grant.Lease != grant.Lease || b.Grant.TTL != grant.TTL || b.Sent.IsZero() || b.At.Before(b.Sent) {
				t.Errorf("renewal %+v of %+v", b, grant)
			}
		}
	})

	t.Run("are for who holds them", func(t *testing.T) {
		a, b := s.holder("lock", shortTTL, defaults(t)), s.holder("lock", shortTTL, defaults(t))
		grant := a.acquire("z")
		for range 2 { // one tries, one waits
			refused(t, b.within(2*time.Second, "acquire", "z", nil), history.Refusal{Held: true})
		}
		ended(t, b.do("add", "z", 1), history.Fail, "does not believe")
		ended(t, b.do("release", "z", grant), history.Fail, "does not believe")
		if got := b.grant(b.do("holder", "z", nil)); got.Token != grant.Token || got.Owner != grant.Owner {
			t.Errorf("the holder is %+v, granted was %+v", got, grant)
		}
		// Who waits gets it as soon as it is free.
		done := make(chan clients.Completion, 1)
		b.do("acquire", "other", nil)
		go func() { done <- b.do("acquire", "z", nil) }()
		time.Sleep(50 * time.Millisecond)
		ended(t, a.do("release", "z", grant), history.OK, "")
		if next := b.grant(<-done); next.Token <= grant.Token {
			t.Errorf("granted %d after %d", next.Token, grant.Token)
		}
	})
}

// A holder whose lease is gone, and which was not told yet, is a holder to itself only.
func TestWriteOfAFormerHolderIsRejected(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1, defaults(t))[0]
	admin, err := connect(s.node.Address, new(clients.Dialer))
	must(t, err)
	defer admin.Close()

	// usurp ends a grant behind its holder's back, and lets another have it.
	usurp := func(t *testing.T, workload, key string) (old, young *holder, before, after history.Grant) {
		old, young = s.holder(workload, 30*time.Second, defaults(t)), s.holder(workload, 30*time.Second, defaults(t))
		before = old.acquire(key)
		id, err := leaseID(before.Lease)
		must(t, err)
		_, err = admin.Revoke(t.Context(), id)
		must(t, err)
		return old, young, before, young.acquire(key)
	}

	t.Run("overwrites what a lock protects", func(t *testing.T) {
		old, young, _, _ := usurp(t, "lock", "x")
		ended(t, young.do("add", "x", 1), history.OK, "")
		ended(t, old.do("add", "x", 2), history.OK, "")
	})
	t.Run("is refused where the lock's key is compared", func(t *testing.T) {
		old, young, before, after := usurp(t, "fenced-write", "y")
		ended(t, young.do("add", "y", 1), history.OK, "")
		refused(t, old.do("add", "y", 2), history.Refusal{Rejected: true})
		ended(t, young.do("list", "y", nil), history.OK, "[1]")

		// The register compares tokens: the older one is good until a newer one was seen.
		write := func(h *holder, token, value int64) clients.Completion {
			return h.do("write", "y", history.GuardedWrite{Token: token, Value: value})
		}
		ended(t, young.do("read", "y", nil), history.OK, "null")
		ended(t, write(old, before.Token, 1), history.OK, "")
		ended(t, write(young, after.Token, 2), history.OK, "")
		refused(t, write(old, before.Token, 3), history.Refusal{Rejected: true, Token: after.Token})
		ended(t, young.do("read", "y", nil), history.OK, fmt.Sprintf(`{"token":%d,"value":2}`, after.Token))
	})
	t.Run("is not heard as a leader", func(t *testing.T) {
		old, young, before, after := usurp(t, "election", "z")
		refused(t, old.do("write", "z", history.GuardedWrite{Token: before.Token, Value: 1}), history.Refusal{Rejected: true})
		ended(t, young.do("read", "z", nil), history.OK, "null")
		ended(t, young.do("write", "z", history.GuardedWrite{Token: after.Token, Value: 2}), history.OK, "")
		ended(t, old.do("read", "z", nil), history.OK, fmt.Sprintf(`{"token":%d,"value":2}`, after.Token))
		if got := old.grant(old.do("holder", "z", nil)); got.Token != after.Token || got.Owner != after.Owner {
			t.Errorf("the leader is %+v, granted was %+v", got, after)
		}
		ended(t, young.do("release", "z", after), history.OK, "")
		ended(t, young.do("holder", "z", nil), history.OK, "null")
		refused(t, young.do("write", "z", history.GuardedWrite{Token: after.Token, Value: 3}), history.Refusal{Rejected: true})
	})
}

func TestLeasesOfAPausedMember(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1, defaults(t))[0]
	lease, lock, idle := s.holder("lease", shortTTL, defaults(t)), s.holder("lock", shortTTL, defaults(t)), s.holder("lock", shortTTL, defaults(t))
	leased, locked := lease.acquire("x"), lock.acquire("y")
	s.pause()
	// A session that gets no answers ends by itself, and takes its locks with it.
	if lost := lock.believes("lost", "y"); lost.Grant != locked {
		t.Errorf("lost %+v, held %+v", lost.Grant, locked)
	}
	ended(t, lock.do("add", "y", 1), history.Fail, "does not believe")
	// What was sent may yet happen.
	if done := lease.within(time.Second, "renew", "x", leased); done.Type != history.Info {
		t.Errorf("renew ended in %s: %s", done.Type, done.Error)
	}
	if done := lease.within(time.Second, "release", "x", leased); done.Type == history.OK {
		t.Errorf("release ended in %s", done.Type)
	}
	// What only looked, or never got as far as the resource, did not.
	for _, f := range []string{"holder", "list", "acquire"} {
		if done := idle.within(300*time.Millisecond, f, "y", nil); done.Type != history.Fail {
			t.Errorf("%s ended in %s: %s", f, done.Type, done.Error)
		}
	}
	s.resume()
}
