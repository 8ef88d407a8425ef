package engine

import "testing"

// TestEveryMistakeIsNoticed switches on one deliberate mistake after another: the rules of
// the engine, each subtly wrong. The differential test must notice each of them within
// the number of histories given, which it compares by default.
func TestEveryMistakeIsNoticed(t *testing.T) {
	const most = 12_000
	for _, m := range []struct {
		name   string
		defect defect
	}{
		{"saturation for what leaves just this state as it is", saturatesUnchanged},
		{"dominance the wrong way round", dominatesReversed},
		{"crashed operations closed at the end", closesCrashed},
		{"look-ahead that forgets crashed makers", forgetsCrashedMakers},
		{"look-ahead that forgets makers to come", forgetsFutureMakers},
		{"a window that opens late", opensLate},
		{"a window that opens early", opensEarly},
		{"the last of equal operations first", prefersLastReturn},
		{"idleness of any operation", idlesCompleted},
		{"idleness although something returned", idlesAcrossReturns},
		{"crashed operations that happen twice", reusesCrashed},
		{"a cut that goes on from one state", leavesOneExit},
		{"slots that are not cleared", keepsSlot},
		{"equal whatever was used", ignoresUse},
		{"hidden with nothing to hide in front of", hidesUncovered},
	} {
		t.Run(m.name, func(t *testing.T) {
			// Some mistakes make a search endless; no answer is a wrong one too.
			one := Options{defects: m.defect, Memory: 1 << 22}
			cut, broad := one, one
			cut.cut, broad.broad = 1, true
			for seed := range uint64(most) {
				if wrong, _ := disagreement(seed, one, cut, broad); wrong != "" {
					t.Logf("noticed at history %d", seed+1)
					return
				}
			}
			t.Errorf("not noticed within %d histories", most)
		})
	}
}
