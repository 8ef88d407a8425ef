package reports

import (
	"strings"
	"testing"

	"nemesis/history"
)

func TestNodesThatClaimTheSameAreTold(t *testing.T) {
	leads := func(at int64, leads ...history.Lead) history.Event {
		ev := history.LeadersAre(leads)
		ev.Time = at * second
		return ev
	}
	events := []history.Event{
		leads(1, history.Lead{Node: "n1", Of: "shard 1", Term: 4}),
		leads(2, history.Lead{Node: "n1", Of: "shard 1", Term: 4}, history.Lead{Node: "n2", Of: "shard 2", Term: 4}),
		leads(3, history.Lead{Node: "n1", Of: "shard 1", Term: 5}, history.Lead{Node: "n2<b>", Of: "shard 1", Term: 5}),
	}
	got := strings.Join(rivals(events), "|")
	if want := "n1 and n2<b> claimed at once to lead shard 1 in term 5, noticed at " + formatTime(3*second); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for node, want := range map[string]int{"n1": 2, "n2": 1, "n3": 0} {
		if got := becameLeader(events, node); got != want {
			t.Errorf("%s became leader %d times, want %d", node, got, want)
		}
	}
	// Lines of several nodes are not linked, those of a leadership that moves are.
	for want, events := range map[string][]history.Event{
		"M20 100H100M20 130H100":         events[1:2],
		"M10 100H40L40 130H100":          {leads(1, history.Lead{Node: "n1"}), leads(4, history.Lead{Node: "n2"})},
		"M10 100H20M20 100H40M20 130H40": {leads(1, history.Lead{Node: "n1"}), leads(2, history.Lead{Node: "n1", Of: "a"}, history.Lead{Node: "n2", Of: "b"}), leads(4)},
	} {
		var d drawing
		(&timeline{events: events}).drawLeaders(&d, scale(0, 10*second, 0, 100), map[string]float64{"n1": 70, "n2": 100})
		if text := d.b.String(); !strings.Contains(text, want) {
			t.Errorf("got %s, want %s", text, want)
		}
	}
}
