package effects_test

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

var anyAddr = rapid.Custom(func(t *rapid.T) netip.Addr {
	size := rapid.SampledFrom([]int{4, 16}).Draw(t, "size")
	a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "address"))
	return a
})

var anyChange = rapid.Custom(func(t *rapid.T) history.ClockChange {
	return history.ClockChange{
		Of: rapid.String().Draw(t, "of"), Jump: history.Duration(rapid.Int64().Draw(t, "jump")),
		Rate: rapid.Float64().Draw(t, "rate"), Machine: rapid.Bool().Draw(t, "machine"),
	}
})

func TestAnEffectSurvivesTheLedgerAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id, process := rapid.String().Draw(t, "id"), rapid.String().Draw(t, "process")
		for _, e := range []agent.Effect{
			&effects.Drop{ID: id, Peers: rapid.SliceOf(anyAddr).Draw(t, "peers"), In: rapid.Bool().Draw(t, "in"), Out: rapid.Bool().Draw(t, "out")},
			&effects.Pause{ID: id, Process: process},
			&effects.Kill{ID: id, Process: process},
			&effects.Shadow{ID: id, Change: anyChange.Draw(t, "change"), Period: time.Duration(rapid.Int64().Draw(t, "period"))},
			&effects.Machine{ID: id, Change: anyChange.Draw(t, "machine's change")},
			&effects.Service{ID: id},
			&effects.Stop{ID: id, Process: process, Grace: time.Duration(rapid.Int64().Draw(t, "grace"))},
		} {
			text, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			back, err := effects.Kinds().Decode(e.Kind(), text)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(e, back, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); d != "" {
				t.Fatal(d)
			}
			again, err := json.Marshal(back) // the ledger's key
			if err != nil || string(again) != string(text) {
				t.Fatalf("%s became %s, %v", text, again, err)
			}
		}
	})
}

func TestEveryKindMakesItsOwn(t *testing.T) {
	for kind, make := range effects.Kinds() {
		if got := make().Kind(); got != kind {
			t.Errorf("%s makes %s", kind, got)
		}
	}
}
