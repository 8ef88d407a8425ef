package sim

import "time"

// Shrink returns faults among those given that still fail, none of which can be left out, each made as short as halving
// finds. It runs fails at most about 300 times.
func Shrink(faults []Fault, fails func([]Fault) bool) []Fault {
	budget := 300
	try := func(candidate []Fault) bool {
		if budget == 0 {
			return false
		}
		budget--
		return fails(candidate)
	}
	for size := (len(faults) + 1) / 2; size >= 1; size /= 2 { // delta debugging: Zeller and Hildebrandt, 2002
		for from := 0; from < len(faults); {
			to := min(from+size, len(faults))
			rest := append(append([]Fault{}, faults[:from]...), faults[to:]...)
			if try(rest) {
				faults = rest
			} else {
				from = to
			}
		}
	}
	for i := range faults {
		for faults[i].For > 2*time.Millisecond {
			shorter := append([]Fault{}, faults...)
			shorter[i].For /= 2
			if !try(shorter) {
				break
			}
			faults = shorter
		}
	}
	return faults
}
