package register

import (
	"fmt"

	"nemesis/checker"
	"nemesis/checker/transactions"
	"nemesis/checker/transactions/dependency"
)

// rules switches single rules off, for tests that must notice.
type rules struct {
	noInternal, noG1b, noWriteBehindRead, noAtomic, noInitial, noTime, noProcess, noCausal, noUpdate bool
	cycles                                                                                           dependency.Rules
	// quiet tells no anomaly in full.
	quiet bool
}

// inspect looks at every transaction by itself: values that nobody wrote, that were refused
// or overwritten by their own transaction, and reads against own steps; and at lost updates.
func (h *columns) inspect(found *checker.Anomalies) {
	type update struct{ key, version int32 }
	updaters := make(map[update]int32)
	for t := range h.kind {
		h.pace.Step()
		steps := h.stepsOf(int32(t))
		if h.kind[t]&acknowledged == 0 {
			continue
		}
		for i := range steps {
			h.pace.Step()
			s := &steps[i]
			if !s.known || h.keys[s.key].unfit {
				continue
			}
			h.inspectRead(int32(t), steps, i, found)
			if s.own || h.rules.noUpdate {
				continue
			}
			if again := lastRead(steps, i); again && h.versionOf(int32(t), s.key) >= 0 {
				if other, is := updaters[update{s.key, s.what}]; is && other != int32(t) {
					found.AddTo(lostUpdate, func() checker.Anomaly { return h.lostUpdate(other, int32(t), s) })
				}
				updaters[update{s.key, s.what}] = int32(t)
			}
		}
	}
}

var lostUpdate = transactions.ClassOf(transactions.LostUpdate)

// lastRead reports whether step i is the last read of its key before the first write of it.
func lastRead(steps []step, i int) bool {
	for _, later := range steps[i+1:] {
		if later.key == steps[i].key {
			return later.write
		}
	}
	return false
}

func (h *columns) inspectRead(t int32, steps []step, i int, found *checker.Anomalies) {
	s := &steps[i]
	// What an earlier step of the transaction left the key at.
	for j := i - 1; j >= 0; j-- {
		h.pace.Step()
		if steps[j].key != s.key || !steps[j].write && !steps[j].known {
			continue
		}
		if steps[j].what != s.what && !h.rules.noInternal {
			found.Add(transactions.Internal, func() checker.Anomaly { return h.within(t, s, "in a way that contradicts its own earlier steps") })
		}
		break
	}
	if s.what == initial {
		return
	}
	v := &h.versions[s.what]
	switch {
	case v.writer < 0:
		found.Add(transactions.Garbage, func() checker.Anomaly {
			return h.ofRead(t, nobody, s, "which no client ever wrote", "A register holds only what was written to it.")
		})
	case v.writer == t:
		if v.step > h.first[t]+int32(i) {
			found.Add(transactions.FutureRead, func() checker.Anomaly { return h.within(t, s, "with a value that it writes itself, and only later") })
		}
	case h.kind[v.writer]&refused != 0:
		found.Add(transactions.G1a, func() checker.Anomaly {
			return h.ofRead(t, v.writer, s, fmt.Sprintf("although client %d's transaction that writes it was refused", h.op(v.writer).Process), "A transaction that was refused for certain left nothing behind (G1a).")
		})
	case !v.final && !h.rules.noG1b:
		found.Add(transactions.G1b, func() checker.Anomaly {
			return h.ofRead(t, v.writer, s, fmt.Sprintf("which client %d's transaction overwrote itself", h.op(v.writer).Process), "Of a transaction's writes to a key only the last is seen (G1b).")
		})
	}
}
