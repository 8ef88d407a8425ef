package clocks

import (
	"slices"

	"nemesis/checker"
	"nemesis/history"
)

// Excuse notes which anomalies that break a consistency model may be the work of clocks beyond the claim's bounds, where the claim
// says that its model rests on clocks: those with such a clock less than two leases before their operations, or during them.
// A node whose clock was wrong serves for a lease at most by what it believed then, and others may have waited that long for it.
func Excuse(claim history.Claim, lease history.Duration, log *history.Log, results []checker.Result) {
	if !claim.Clocked || !claim.Assumes(history.ClockError) {
		return
	}
	windows := Windows(log.Events, claim.Bounds)
	consistency := func(m history.Model) bool { return slices.Contains(history.Consistency(), m) }
	for _, r := range results {
		for i := range r.Anomalies {
			f := &r.Anomalies[i]
			if f.Beyond != nil || len(f.Core) == 0 || !slices.ContainsFunc(f.Breaks, consistency) {
				continue
			}
			from, to := history.Never, int64(0)
			for _, o := range f.Core {
				from, to = min(from, o.Call), max(to, o.Call)
				if o.Type == history.OK {
					to = max(to, o.Return)
				}
			}
			if window, beyond := windows.During(from-2*int64(lease), to); beyond {
				f.Beyond = &checker.Beyond{Assumption: history.ClockError, Why: window.Why}
				f.Proof = append(f.Proof, checker.ProofStep{Text: "But the clocks were beyond the bounds of the claim: " + checker.Show(window.Why) + "."})
			}
		}
	}
}
