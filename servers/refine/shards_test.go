package refine

import (
	"testing"
	"time"

	"nemesis/servers/spec"
)

// TestShardsAreHeldToTheirSpecification: steps of several nodes, each with a clock of its own, under versions of the map.
func TestShardsAreHeldToTheirSpecification(t *testing.T) {
	all := spec.KeyRange{From: "\xff\x00", To: ""}
	grant := func(holder, epoch, version uint64, until time.Duration) spec.Grant {
		return spec.Grant{Range: all, Holder: holder, Epoch: epoch, At: 5, Until: until, Map: version}
	}
	serve := func(node, epoch, version, seq uint64, at time.Duration, kind, result string) spec.Serve {
		e := spec.Serve{Request: spec.Request{Client: 1, Seq: seq}, Node: node, Epoch: epoch, At: at, Kind: kind, Key: "\xff\x01", Map: version}
		if kind == "get" {
			e.Found, e.Result = result != "", []byte(result)
		} else {
			e.Value = []byte(result)
		}
		return e
	}
	begin := func(t *testing.T) *reader {
		r := newReader(t, NewShards())
		r.takes("", 1, "grant", grant(1, 1, 3, 100))
		r.takes("", 1, "serve", serve(1, 1, 3, 1, 50, "set", "\xfea"))
		return r
	}
	for name, last := range map[string]struct {
		breaks spec.Rule
		kind   string
		event  any
	}{
		"a read of what was written":              {"", "serve", serve(1, 1, 3, 2, 60, "get", "\xfea")},
		"a read of what was not":                  {spec.OneMap, "serve", serve(1, 1, 3, 2, 60, "get", "b")},
		"a read after the lease":                  {spec.InLease, "serve", serve(1, 1, 3, 2, 100, "get", "\xfea")},
		"a write once more":                       {spec.ExactlyOnce, "serve", serve(1, 1, 3, 1, 60, "set", "\xfea")},
		"an answer of a node that holds nothing":  {spec.Holding, "serve", serve(2, 1, 3, 2, 60, "get", "\xfea")},
		"a lease of the same epoch":               {spec.EpochsGrow, "grant", grant(2, 1, 4, 100)},
		"a later lease by a clock that is behind": {"", "grant", grant(2, 2, 4, 20)},
		"a step that there is none of":            {spec.Known, "serve", serve(1, 1, 3, 2, 60, "flush", "")},
	} {
		t.Run(name, func(t *testing.T) { begin(t).takes(last.breaks, 2, last.kind, last.event) })
	}
	r := begin(t)
	if _, place := r.read(2, "grant", grant(2, 2, 9, 20)); place != 9 {
		t.Errorf("the place of a step under version 9 is %d", place)
	}
	if _, _, err := r.s.Read(1, "serve", []byte(`{"map":18446744073709551615}`), 0); err == nil {
		t.Error("a step under version 2^64-1 was read")
	}
	if err := r.s.Assume(nil); err == nil {
		t.Error("what is missing is assumed")
	}
}
