package nemesis

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nemesis/history"
)

// sees tells whom each node still exchanges packets with in both directions, itself
// included, in name order.
func sees(order []string, links []history.Link) map[string][]string {
	view := map[string][]string{}
	for _, a := range order {
		for _, b := range order {
			if !slices.Contains(links, history.Link{From: a, To: b}) && !slices.Contains(links, history.Link{From: b, To: a}) {
				view[a] = append(view[a], b)
			}
		}
		slices.Sort(view[a])
	}
	return view
}

// anOrder is the names of a cluster of at least this many nodes, shuffled.
func anOrder(t *rapid.T, least int) []string {
	return shuffled(dice(rapid.Uint64().Draw(t, "seed")), named(rapid.IntRange(least, 12).Draw(t, "nodes")))
}

func TestNoShapeCutsALinkTwiceOrANodeFromItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := anOrder(t, 1)
		for _, form := range (partition{}).Info().Forms {
			links := cuts(form.Shape, order)
			for i, link := range links {
				if link.From == link.To || slices.Contains(links[:i], link) {
					t.Fatalf("%s cuts %v in %v", form.Shape, link, links)
				}
			}
			if len(order) >= form.Least && len(links) == 0 {
				t.Fatalf("%s cuts nothing on %d nodes", form.Shape, len(order))
			}
		}
	})
}

func TestInAMajoritiesRingEveryNodeSeesAnotherMajority(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := anOrder(t, 4)
		view := sees(order, cuts("majorities-ring", order))
		for i, a := range order {
			if len(view[a]) <= len(order)/2 {
				t.Fatalf("%s sees only %v of %v", a, view[a], order)
			}
			for _, b := range order[:i] {
				if slices.Equal(view[a], view[b]) {
					t.Fatalf("%s and %s see the same: %v", a, b, view[a])
				}
			}
		}
	})
}

func TestABridgeSeesAllAndTheSidesOnlyTheBridge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := anOrder(t, 3)
		view := sees(order, cuts("bridge", order))
		if len(view[order[0]]) != len(order) {
			t.Fatalf("the bridge %s sees only %v", order[0], view[order[0]])
		}
		for _, a := range order[1:] {
			for _, b := range order[1:] {
				both := []string{}
				for _, c := range view[a] {
					if slices.Contains(view[b], c) {
						both = append(both, c)
					}
				}
				if !slices.Contains(view[a], b) && !slices.Equal(both, order[:1]) {
					t.Fatalf("%s and %s are apart but both see %v", a, b, both)
				}
			}
		}
	})
}

func TestSplitsAreTwoSidesThatDoNotMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := anOrder(t, 3)
		for shape, size := range map[string]int{"one": 1, "flapping": 1, "halves": len(order) / 2, "minority": (len(order) - 1) / 2} {
			view := sees(order, cuts(shape, order))
			for i, a := range order {
				side := slices.Sorted(slices.Values(order[:size]))
				if i >= size {
					side = slices.Sorted(slices.Values(order[size:]))
				}
				if diff := cmp.Diff(side, view[a]); diff != "" {
					t.Fatalf("%s: %s sees (-want +got) %s", shape, a, diff)
				}
			}
		}
	})
}

func TestOneWayCutsAreOppositesAndLeaveTheOtherWayOpen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := anOrder(t, 2)
		in, out := cuts("one-way-in", order), cuts("one-way-out", order)
		if len(in) != len(order)-1 || len(out) != len(order)-1 {
			t.Fatalf("in cuts %v, out cuts %v", in, out)
		}
		for _, link := range out {
			if link.From != order[0] || slices.Contains(out, history.Link{From: link.To, To: link.From}) {
				t.Fatalf("out cuts %v", out)
			}
			if !slices.Contains(in, history.Link{From: link.To, To: link.From}) {
				t.Fatalf("in cuts %v, out cuts %v", in, out)
			}
		}
	})
}

func TestShapesOnFiveNodes(t *testing.T) {
	order := []string{"c", "a", "e", "b", "d"}
	for shape, want := range map[string]map[string][]string{
		"majorities-ring": {"c": {"a", "c", "d"}, "a": {"a", "c", "e"}, "e": {"a", "b", "e"}, "b": {"b", "d", "e"}, "d": {"b", "c", "d"}},
		"bridge":          {"c": {"a", "b", "c", "d", "e"}, "a": {"a", "c", "e"}, "e": {"a", "c", "e"}, "b": {"b", "c", "d"}, "d": {"b", "c", "d"}},
		"halves":          {"c": {"a", "c"}, "a": {"a", "c"}, "e": {"b", "d", "e"}, "b": {"b", "d", "e"}, "d": {"b", "d", "e"}},
	} {
		if diff := cmp.Diff(want, sees(order, cuts(shape, order))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", shape, diff)
		}
	}
}
