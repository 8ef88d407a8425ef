package monitor

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/order"
	"nemesis/history"
)

// Place is where an operation stands by the system's own account: a revision, an
// offset, a fencing token.
type Place struct {
	// Version is, for an operation that changes the object, that change's own; for
	// another one, that of the last change it saw. It grows with each change.
	Version int64
	// Writes: it changes the object. Known: the system told the version.
	Writes, Known bool
}

// Versions decides any object whose operations were answered with versions, by
// replaying them in that order. A wrong account never makes a wrong Legal, as the order
// is replayed. What the account cannot explain is Undecided, for there may be another
// order; unless it is trusted: then it is the order that the system claims, and
// two operations that contradict it in real time or in version are Illegal: the claim is
// broken, as Reason says, though an order may exist that the system did not claim.
//
// Crashed operations mostly have no version. They are tried, in order of call, where a
// replay does not go on without one. Time O(n log n), plus a step for each such try.
//
// Proof. Legal: the model has accepted every step, and none stands behind one that was
// called after its return. Illegal, trusted: the versions of two operations say that x
// took effect before y (or, of two changes with one version, that they are the same
// change), and y returned before x was called.
func Versions(model porcupine.Model, ops []porcupine.Operation, places []Place, trusted bool, opt Options) order.Decision {
	d := within(opt.Stop, func(p *patience) order.Decision { return decideVersions(p, model, ops, places, trusted) })
	d.By, d.Culprit = "versions", -1
	return d
}

func decideVersions(p *patience, model porcupine.Model, ops []porcupine.Operation, places []Place, trusted bool) order.Decision {
	if len(places) != len(ops) {
		return undecided(fmt.Sprintf("there are %d places for %d operations", len(places), len(ops)))
	}
	var told, crashed []int
	for i := range ops {
		p.spend()
		switch place := places[i]; {
		case ops[i].Call > ops[i].Return:
			return undecided(fmt.Sprintf("operation %d returned before its call", i))
		case place.Known && (place.Writes || ops[i].Return != history.Never):
			told = append(told, i)
		case ops[i].Return != history.Never:
			return undecided(fmt.Sprintf("operation %d has no version", i))
		case place.Writes:
			crashed = append(crashed, i)
		}
	}
	byCall := func(a, b int) int { return cmp.Compare(ops[a].Call, ops[b].Call) }
	sortBy(p, crashed, byCall)
	sortBy(p, told, func(a, b int) int {
		if d := cmp.Compare(places[a].Version, places[b].Version); d != 0 {
			return d
		}
		if places[a].Writes != places[b].Writes {
			if places[a].Writes {
				return -1
			}
			return 1
		}
		return byCall(a, b)
	})
	contradiction := func(a, b int, reason string) order.Decision {
		if trusted {
			return order.Decision{Answer: order.Illegal, Conflict: []int{min(a, b), max(a, b)}, Reason: reason}
		}
		return undecided(reason)
	}
	latest := -1
	for n, i := range told {
		if n > 0 && places[i].Writes && places[told[n-1]].Writes && places[i].Version == places[told[n-1]].Version {
			return contradiction(told[n-1], i, fmt.Sprintf("operations %d and %d changed the object, both to version %d", told[n-1], i, places[i].Version))
		}
		if latest >= 0 && ops[i].Return < ops[latest].Call {
			return contradiction(i, latest, fmt.Sprintf("operation %d returned before operation %d was called, but stands behind it with version %d after %d",
				i, latest, places[i].Version, places[latest].Version))
		}
		if latest < 0 || ops[i].Call > ops[latest].Call {
			latest = i
		}
	}
	return replay(p, model, ops, told, crashed)
}

// replay steps through the told order, trying a crashed operation where it must.
func replay(p *patience, model porcupine.Model, ops []porcupine.Operation, told, crashed []int) order.Decision {
	// due[n] is the earliest return from told[n] on: a later call cannot stand before it.
	due := make([]int64, len(told)+1)
	due[len(told)] = math.MaxInt64
	for n := len(told) - 1; n >= 0; n-- {
		due[n] = min(due[n+1], ops[told[n]].Return)
	}
	out := make([]int, 0, len(told))
	state := model.Init()
next:
	for n, i := range told {
		p.spend()
		if ok, after := model.Step(state, ops[i].Input, ops[i].Output); ok {
			state = after
			out = append(out, i)
			continue
		}
		for k, c := range crashed {
			p.spend()
			if ops[c].Call > due[n] {
				break
			}
			ok, between := model.Step(state, ops[c].Input, ops[c].Output)
			if !ok {
				continue
			}
			if ok, after := model.Step(between, ops[i].Input, ops[i].Output); ok {
				state = after
				out = append(out, c, i)
				crashed = slices.Delete(crashed, k, k+1)
				continue next
			}
		}
		return undecided(fmt.Sprintf("the model refuses operation %d in the order of versions", i))
	}
	return legal(out)
}
