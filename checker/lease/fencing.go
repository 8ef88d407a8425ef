package lease

import (
	"cmp"
	"math"
	"slices"

	"nemesis/history"
)

// version is what orders what is guarded: the system's own version of it, or the fencing
// token under which it was written.
type version struct {
	op    int
	value int64
}

// tellStale is L4: a read does not show less than what an operation that was over when it
// began had shown or written.
func (j *judge) tellStale() {
	versions := make([]version, 0, len(j.accesses))
	for _, a := range j.accesses {
		j.pace.Step()
		if v := j.log.Operations[a.op].Version; v > 0 {
			versions = append(versions, version{a.op, v})
		}
	}
	if len(versions) == 0 && j.Fenced {
		for _, a := range j.accesses {
			j.pace.Step()
			if a.token > 0 {
				versions = append(versions, version{a.op, a.token})
			}
		}
	}
	j.stale(versions, "the guarded object")
	if j.by != byToken {
		return
	}
	versions = versions[:0]
	for i := range j.grants {
		j.pace.Step()
		versions = append(versions, version{j.grants[i].op, j.grants[i].token})
	}
	for n := range j.sightings {
		j.pace.Step()
		if s := &j.sightings[n]; s.token > 0 && j.log.Operations[s.op].F == history.FHolder {
			versions = append(versions, version{s.op, s.token})
		}
	}
	j.stale(versions, "the holder")
}

// stale sweeps over versions: acquires and writes make them, reads and looks show them.
func (j *judge) stale(versions []version, what string) {
	ops := j.log.Operations
	known := slices.Clone(versions)
	slices.SortStableFunc(known, func(a, b version) int { return cmp.Compare(ops[a.op].Return, ops[b.op].Return) })
	slices.SortStableFunc(versions, func(a, b version) int { return cmp.Compare(ops[a.op].Call, ops[b.op].Call) })
	var greatest []version // of those returned so far, each greater than all before
	next := 0
	for _, v := range versions {
		j.pace.Step()
		o := &ops[v.op]
		for ; next < len(known) && ops[known[next].op].Return < o.Call; next++ {
			j.pace.Step()
			if len(greatest) == 0 || known[next].value > greatest[len(greatest)-1].value {
				greatest = append(greatest, known[next])
			}
		}
		if o.F != history.FRead && o.F != history.FHolder || len(greatest) == 0 || greatest[len(greatest)-1].value <= v.value {
			continue
		}
		// The first to know of something newer bounds the staleness best.
		at, _ := slices.BinarySearchFunc(greatest, v.value+1, func(g version, n int64) int { return cmp.Compare(g.value, n) })
		newer := greatest[at]
		staleness := o.Call - ops[newer.op].Return
		j.report.stalest = max(j.report.stalest, staleness)
		j.report.add("stale-read", timed, ops[newer.op].Call-max(j.ttl, 0), o.Return, func() telling { return j.staleRead(v, newer, what, staleness) })
	}
}

// tellFencing is F3 to F5: the guarded object takes no write under an older token than
// one it has shown to know, and all that is seen of a token agrees on its owner.
func (j *judge) tellFencing() {
	j.tellOwners()
	if !j.Fenced {
		return
	}
	ops := j.log.Operations
	known := slices.Clone(j.accesses)
	slices.SortStableFunc(known, func(a, b access) int { return cmp.Compare(ops[a.op].Return, ops[b.op].Return) })
	next := 0
	greatest := access{op: -1, said: said{token: math.MinInt64}}
	for _, a := range j.accesses { // by call
		for ; next < len(known) && ops[known[next].op].Return < ops[a.op].Call; next++ {
			if known[next].token > greatest.token {
				greatest = known[next]
			}
		}
		if a.write && a.token != 0 && greatest.op >= 0 && greatest.token > a.token {
			newer := greatest
			j.report.add("stale-write-accepted", untimed, 0, 0, func() telling { return j.staleWrite(a, newer) })
		}
	}
}

// tellOwners is F4.
func (j *judge) tellOwners() {
	type saw struct {
		owner int32
		op    int
		grant bool
	}
	first := make(map[int64]saw)
	see := func(token int64, now saw) {
		if token == 0 || now.owner == 0 {
			return
		}
		was, known := first[token]
		switch {
		case !known:
			first[token] = now
		case was.owner != now.owner && !(was.grant && now.grant): // two grants are token-reused
			j.report.add("epoch-conflict", untimed, 0, 0, func() telling {
				return j.conflict(token, was.op, was.owner, now.op, now.owner)
			})
		}
	}
	for i := range j.grants {
		j.pace.Step()
		see(j.grants[i].token, saw{j.grants[i].owner, j.grants[i].op, true})
	}
	for n := range j.sightings {
		j.pace.Step()
		see(j.sightings[n].token, saw{j.sightings[n].owner, j.sightings[n].op, false})
	}
}

// tellSpells is L2: two clients believed to hold the resource at one moment.
func (j *judge) tellSpells() {
	j.closeSpells()
	slices.SortStableFunc(j.spells, func(a, b spell) int { return cmp.Compare(a.from, b.from) })
	var longest best
	for n := range j.spells {
		j.pace.Step()
		b := &j.spells[n]
		if to, at, ok := longest.but(int64(b.process)); ok && min(to, b.to) > b.from {
			a := j.spells[at]
			j.report.overlap(a, *b, func() telling { return j.believed(a, *b) })
		}
		longest.add(int64(b.process), b.to, n)
	}
}

// closeSpells ends those whose end nobody told: a client acted on its belief as long as
// it asked for writes under it.
func (j *judge) closeSpells() {
	if len(j.open) == 0 {
		return
	}
	for _, a := range j.accesses {
		j.pace.Step()
		o := &j.log.Operations[a.op]
		if at, is := j.open[o.Process]; is && a.write && o.Call > j.spells[at].to && o.Type == history.OK {
			j.spells[at].to = o.Call
		}
	}
}
