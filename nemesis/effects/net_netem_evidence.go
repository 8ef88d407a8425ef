package effects

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"nemesis/history"
)

// What shows that packets are changed. The emulator counts what went through it and
// what it lost; everything else is shown by echoes (ICMP) to the peers, since no
// counter knows of it. The same echoes were sent before the change, and each measure is
// told beside what was before and what was asked for.
//
// An echo that comes back went two ways, and the peer may change its own. So an echo
// says at least what this node does: twice the delay refutes nothing, half of it does.

// Compare judges what was seen while the change was in force by what was seen before.
// Every look at it counts: what is rare need not show in each.
func (n *Netem) Compare(before history.Evidence, during ...history.Evidence) history.Evidence {
	if len(during) == 0 {
		return history.Evidence{}
	}
	last := during[len(during)-1]
	j := judgement{Evidence: history.Evidence{Confirmed: last.Confirmed, Measures: slices.Clone(last.Measures)}, told: []string{last.Summary}}
	was, now, trips := n.between(before, during)
	c := n.Change
	if c.Delay > 0 {
		asked := time.Duration(c.Delay)
		j.asked("delay", asked.Seconds(), "s")
		j.rule(trips.peers > 0 && trips.rise >= asked/2, "echoes took up to %s before and take at least %s now (asked for %s more)",
			inMilliseconds(trips.was), inMilliseconds(trips.now), inMilliseconds(asked))
	}
	if c.Loss > 0 {
		gone, passed := measured(last, emulatedAway), measured(last, emulated)
		share := gone / max(gone+passed, 1)
		j.asked("loss", c.Loss, "share")
		j.Measures = append(j.Measures, history.Measure{Name: "loss measured", Value: share, Unit: "share"})
		j.rule(gone > 0, "%s of packets lost (asked for %s)", percent(share), percent(c.Loss))
	}
	if c.Duplicate > 0 {
		j.asked("duplicates", c.Duplicate, "share")
		j.rule(now.twice > 0, "%d of %d echoes came twice, before %d of %d (asked for %s)", now.twice, now.answered, was.twice, was.answered, percent(c.Duplicate))
	}
	if c.Reorder > 0 {
		j.asked("reordering", c.Reorder, "share")
		j.rule(now.overtaken > 0, "%d of %d echoes were overtaken, before %d of %d (asked for %s out of order)", now.overtaken, now.answered, was.overtaken, was.answered, percent(c.Reorder))
	}
	if c.Corrupt > 0 {
		// Whoever gets a damaged packet throws it away: all that shows is that it is missing,
		// beyond those that are lost anyway. A quarter of what was asked for is enough, since
		// few echoes make few losses.
		lost := 1 - (1-was.missing())*(1-c.Loss)
		j.asked("damage", c.Corrupt, "share")
		j.rule(now.sent > 0 && now.missing() >= lost+(1-lost)*c.Corrupt/4, "%s of echoes unanswered, before %s (asked for %s damaged)",
			percent(now.missing()), percent(was.missing()), percent(c.Corrupt))
	}
	if c.Rate > 0 {
		asked := float64(c.Rate)
		j.asked("rate", asked, "bit/s")
		j.rule(now.rate > 0 && now.rate <= 1.5*asked && was.rate > 1.5*asked, "a burst came at %s, before at %s (asked for %s)", bits(now.rate), bits(was.rate), bits(asked))
	}
	j.Summary = strings.Join(j.told, "; ")
	return j.Evidence
}

// judgement is the evidence that Compare puts together: every rule must be shown.
type judgement struct {
	history.Evidence
	told []string
}

func (j *judgement) asked(what string, value float64, unit string) {
	j.Measures = append(j.Measures, history.Measure{Name: what + " asked for", Value: value, Unit: unit})
}

func (j *judgement) rule(shown bool, format string, args ...any) {
	j.told = append(j.told, fmt.Sprintf(format, args...))
	j.Confirmed = j.Confirmed && shown
}

// trips compares round trips: the longest before, the shortest now, and the least rise,
// over so many peers.
type trips struct {
	was, now, rise time.Duration
	peers          int
}

// between adds up the echoes before and during, over the peers that answered before.
func (n *Netem) between(before history.Evidence, during []history.Evidence) (was, now echoes, t trips) {
	for _, p := range n.Peers {
		then := echoesIn(before, p)
		if then.answered*2 < max(then.sent, 1) {
			continue // it answers no echoes, whatever we do
		}
		var since echoes
		for _, e := range during {
			since = since.and(echoesIn(e, p))
		}
		was, now = was.and(then), now.and(since)
		if since.answered == 0 {
			continue
		}
		rise := since.trip - then.trip
		if t.peers == 0 {
			t.now, t.rise = since.trip, rise
		}
		t.was, t.now, t.rise = max(t.was, then.trip), min(t.now, since.trip), min(t.rise, rise)
		t.peers++
	}
	return was, now, t
}

// echoes is what became of echoes to one peer.
type echoes struct {
	// sent and answered are counts; twice of answers beyond the first, overtaken of
	// answers that came after one to a later request.
	sent, answered, twice, overtaken int
	// trip is the median round trip, rate the bits per second at which the answers to a
	// burst came; 0 when there is none.
	trip time.Duration
	rate float64
	// changed is of answers with other bytes than were asked with; longest the longest round
	// trip. Only those who ask for them tell them as measures.
	changed int
	longest time.Duration
}

func (e echoes) missing() float64 { return 1 - float64(e.answered)/float64(max(e.sent, 1)) }

// and adds counts up; of the others the later stays.
func (e echoes) and(later echoes) echoes {
	return echoes{
		e.sent + later.sent, e.answered + later.answered, e.twice + later.twice, e.overtaken + later.overtaken,
		cmp.Or(later.trip, e.trip), cmp.Or(later.rate, e.rate),
		e.changed + later.changed, max(e.longest, later.longest),
	}
}

// measures are what echoesIn reads back.
func (e echoes) measures(peer netip.Addr) []history.Measure {
	of := " " + peer.String()
	m := []history.Measure{
		{Name: "sent" + of, Value: float64(e.sent), Unit: "echoes"},
		{Name: "answered" + of, Value: float64(e.answered), Unit: "echoes"},
		{Name: "twice" + of, Value: float64(e.twice), Unit: "echoes"},
		{Name: "overtaken" + of, Value: float64(e.overtaken), Unit: "echoes"},
		{Name: "round trip" + of, Value: e.trip.Seconds(), Unit: "s"},
	}
	if e.rate > 0 {
		m = append(m, history.Measure{Name: "burst" + of, Value: e.rate, Unit: "bit/s"})
	}
	return m
}

func echoesIn(e history.Evidence, peer netip.Addr) echoes {
	of := " " + peer.String()
	return echoes{
		sent: int(measured(e, "sent"+of)), answered: int(measured(e, "answered"+of)),
		twice: int(measured(e, "twice"+of)), overtaken: int(measured(e, "overtaken"+of)),
		trip: time.Duration(measured(e, "round trip"+of) * float64(time.Second)), rate: measured(e, "burst"+of),
	}
}

// measured is a measure by its name, 0 when there is none.
func measured(e history.Evidence, name string) float64 {
	for _, m := range e.Measures {
		if m.Name == name {
			return m.Value
		}
	}
	return 0
}
