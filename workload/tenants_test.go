package workload

import (
	"encoding/json"
	"slices"
	"time"

	"nemesis/history"
	"nemesis/workload/generator"
)

// tenancy is the part of a simulated system that leases things out, in virtual time.
// What is held without renewals (lock, election) is kept alive by its process for as
// long as that lives.
type tenancy struct {
	// began is the virtual time at which the present generator began.
	began   int64
	crashes map[int]int // by thread, so that a new process knows nothing of the old
	tokens  int64
	places  map[string]*place
	// ttl is what leases really last.
	ttl time.Duration
	// kept: holds are kept alive in the background while their process lives.
	kept bool
	// unfenced: tokens are not compared.
	unfenced bool
}

// place is one resource.
type place struct {
	holder  *history.Grant
	process [2]int // thread and its crashes
	until   int64  // when the hold ends; renewals move it
	written *history.GuardedWrite
	set     []int64
}

func newTenancy() tenancy {
	return tenancy{crashes: map[int]int{}, places: map[string]*place{}, ttl: defaultTTL}
}

func (s *tenancy) do(op generator.Op) (answer any, ok bool) {
	now := s.began + op.Time
	process := [2]int{op.Thread, s.crashes[op.Thread]}
	p := s.places[op.Key]
	if p == nil {
		p = &place{}
		s.places[op.Key] = p
	}
	if p.holder != nil && s.kept && s.crashes[p.process[0]] == p.process[1] {
		p.until = max(p.until, now+1)
	}
	if p.holder != nil && p.until <= now {
		p.holder = nil
	}
	decode := func(into any) {
		if err := json.Unmarshal(op.Value, into); err != nil {
			panic(err)
		}
	}
	var grant history.Grant
	switch op.F {
	case "acquire":
		if p.holder != nil {
			return history.Refusal{Held: true, Token: p.holder.Token}, false
		}
		s.tokens++
		p.holder, p.process = &history.Grant{Token: s.tokens, TTL: s.ttl.Milliseconds(), Owner: string(rune('a' + op.Thread))}, process
		p.until = now + int64(s.ttl)
		return *p.holder, true
	case "renew", "release":
		decode(&grant)
		if p.holder == nil || p.holder.Token != grant.Token {
			return history.Refusal{Gone: true}, false
		}
		p.until = now + int64(s.ttl)
		if op.F == "release" {
			p.holder = nil
		}
		return grant, true
	case "holder":
		return p.holder, true
	case "write":
		var w history.GuardedWrite
		decode(&w)
		if p.written != nil && p.written.Token > w.Token && !s.unfenced {
			return history.Refusal{Rejected: true, Token: p.written.Token}, false
		}
		p.written = &w
		return nil, true
	case "read":
		return p.written, true
	case "add":
		var element int64
		decode(&element)
		p.set = append(p.set, element)
		return nil, true
	case "list":
		return append([]int64{}, slices.Clone(p.set)...), true
	}
	panic("no such operation: " + op.F)
}
