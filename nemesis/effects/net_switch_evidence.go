package effects

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nodes/netswitch"
)

// What shows that a switch acts. That packets are changed is shown by echoes, as for an
// emulator, and that connections end by the kernel's own tables: neither knows of the switch. How
// often something was decided is what the switch counted itself, and it must be what was asked
// for, as closely as chance lets it.

// ConnectionsBefore is the measure of how many connections with the peers were established before
// they were reset.
const ConnectionsBefore = "connections before"

// damagePayload is how many bytes echoes carry where contents are damaged.
const damagePayload = 200

func changedOf(peer netip.Addr) string { return "changed " + peer.String() }

// decisions are those as they are told, with what makes their counts.
var decisions = []struct {
	name string
	of   func(netswitch.Counts) int64
}{
	{"lost", func(c netswitch.Counts) int64 { return c.Lost }},
	{"delayed", func(c netswitch.Counts) int64 { return c.Delayed }},
	{"duplicated", func(c netswitch.Counts) int64 { return c.Duplicated }},
	{"reordered", func(c netswitch.Counts) int64 { return c.Reordered }},
	{"corrupted", func(c netswitch.Counts) int64 { return c.Corrupted }},
	{"damaged", func(c netswitch.Counts) int64 { return c.Damaged }},
	{"jammed", func(c netswitch.Counts) int64 { return c.Jammed }},
	{"connections reset", func(c netswitch.Counts) int64 { return c.Reset }},
	{"connections half-open", func(c netswitch.Counts) int64 { return c.HalfOpened }},
	{"connections spared", func(c netswitch.Counts) int64 { return c.Spared }},
	{"swallowed", func(c netswitch.Counts) int64 { return c.Swallowed }},
	{"lost for want of room", func(c netswitch.Counts) int64 { return c.Overflowed }},
}

const (
	endedShare  = "ended"
	payloads    = "with contents"
	jamLongest  = "longest held echo"
	jamAnswered = "held echoes answered"
)

// jammedEcho is what a monitor tells of one peer.
type jammedEcho struct {
	Sent     int              `json:"sent"`
	Answered int              `json:"answered"`
	Longest  history.Duration `json:"longest"`
}

// counted is the evidence that the switch's own counts are: all together, and by peer where
// there was something to decide.
func (s *Switch) counted(status netswitch.Status) history.Evidence {
	var e history.Evidence
	var sum netswitch.Counts
	totals := make([]int64, len(decisions))
	var by []history.Measure
	for _, p := range s.Peers {
		c := status.Counts[p.Unmap()]
		sum.Packets, sum.Bytes, sum.Lost = sum.Packets+c.Packets, sum.Bytes+c.Bytes, sum.Lost+c.Lost
		sum.Payloads, sum.Waiting = sum.Payloads+c.Payloads, sum.Waiting+c.Waiting
		by = append(by, history.Measure{Name: "packets to " + p.String(), Value: float64(c.Packets), Unit: "packets"})
		for i, d := range decisions {
			if n := d.of(c); n > 0 {
				totals[i] += n
				by = append(by, history.Measure{Name: d.name + " to " + p.String(), Value: float64(n)})
			}
		}
	}
	e.Confirmed = sum.Packets > 0
	e.Summary = fmt.Sprintf("%d packets went through the switch", sum.Packets-sum.Lost)
	e.Measures = []history.Measure{
		{Name: emulated, Value: float64(sum.Packets - sum.Lost), Unit: "packets"},
		{Name: emulatedAway, Value: float64(sum.Lost), Unit: "packets"},
		{Name: "emulated bytes", Value: float64(sum.Bytes), Unit: "B"},
		{Name: "waiting", Value: float64(sum.Waiting), Unit: "packets"},
		{Name: payloads, Value: float64(sum.Payloads), Unit: "packets"},
	}
	for i, d := range decisions {
		e.Measures = append(e.Measures, history.Measure{Name: d.name, Value: float64(totals[i])})
		if totals[i] > 0 {
			e.Summary += fmt.Sprintf(", %d %s", totals[i], d.name)
		}
	}
	e.Measures = append(e.Measures, by...)
	var held map[netip.Addr]jammedEcho
	if json.Unmarshal(status.Observed, &held) == nil {
		var longest time.Duration
		answered := 0
		for _, p := range s.Peers {
			longest, answered = max(longest, time.Duration(held[p].Longest)), answered+held[p].Answered
		}
		e.Measures = append(e.Measures,
			history.Measure{Name: jamLongest, Value: longest.Seconds(), Unit: "s"},
			history.Measure{Name: jamAnswered, Value: float64(answered), Unit: "echoes"})
	}
	return e
}

// Compare judges what was seen while the rule was in force by what was seen before.
func (s *Switch) Compare(before history.Evidence, during ...history.Evidence) history.Evidence {
	if len(during) == 0 {
		return history.Evidence{}
	}
	last := during[len(during)-1]
	as := Netem{ID: s.ID, Peers: s.Peers, Change: s.Rule.PacketChange}
	j := judgement{Evidence: as.Compare(before, during...)}
	j.told = []string{j.Summary}
	s.compareShares(&j, last)
	s.compareTimes(&j, before, during)
	s.compareLoss(&j, before, during)
	if s.Rule.Jam > 0 {
		s.compareJam(&j, before, last)
	}
	if s.Rule.Damage > 0 {
		s.compareDamage(&j, before, during)
	}
	if s.Rule.Reset > 0 || s.Rule.HalfOpen > 0 {
		s.compareConnections(&j, before, last)
	}
	j.Measures = slices.DeleteFunc(j.Measures, func(m history.Measure) bool {
		return strings.HasPrefix(m.Name, connectionPrefix) || m.Name == resetsMeasure
	})
	j.Summary = strings.Join(j.told, "; ")
	return j.Evidence
}

// compareShares demands of what the switch decided that it did so as often as was asked for,
// within six standard deviations: a switch that decides otherwise confirms nothing.
func (s *Switch) compareShares(j *judgement, seen history.Evidence) {
	c := s.Rule.PacketChange
	all := measured(seen, emulated) + measured(seen, emulatedAway)
	kept := all - measured(seen, emulatedAway)
	struck := measured(seen, "connections reset") + measured(seen, "connections half-open")
	for _, d := range []struct {
		name         string
		count, of    float64
		asked, burst float64
		// told: nothing else says so in words.
		told bool
	}{
		{"lost", measured(seen, "lost"), all, c.Loss, cmp.Or(c.Burst, 1), false},
		{"duplicated", measured(seen, "duplicated"), kept, c.Duplicate, 1, false},
		{"corrupted", measured(seen, "corrupted"), kept, c.Corrupt, 1, false},
		{"damaged", measured(seen, "damaged"), measured(seen, payloads), s.Rule.Damage, 1, true},
		{endedShare, struck, struck + measured(seen, "connections spared"), max(s.Rule.Reset, s.Rule.HalfOpen), 1, true},
	} {
		if d.asked == 0 {
			continue
		}
		share := d.count / max(d.of, 1)
		// Losses in bursts are spread wider, by about the square root of twice their length.
		wide := 6*math.Sqrt(d.asked*(1-d.asked)*max(2*d.burst, 1)/max(d.of, 1)) + 1/max(d.of, 1)
		if d.name == endedShare { // with each peer, the first is, and they may be few
			wide += float64(len(s.Peers)) / max(d.of, 1)
		}
		j.Measures = append(j.Measures, history.Between(d.name+" share", share, d.asked, d.asked-wide, d.asked+wide, "share"))
		if d.told {
			j.told = append(j.told, fmt.Sprintf("the switch %s %s of %.0f (asked for %s)", d.name, percent(share), d.of, percent(d.asked)))
		}
	}
}

// compareTimes bounds from above how much later packets come: an echo meets the delay at most
// twice, and a machine that has no time for anybody is late as well.
func (s *Switch) compareTimes(j *judgement, before history.Evidence, during []history.Evidence) {
	c := s.Rule.PacketChange
	if c.Delay == 0 || c.Rate > 0 { // where the rate is limited, packets wait for it
		return
	}
	as := Netem{ID: s.ID, Peers: s.Peers, Change: c}
	_, _, trips := as.between(before, during)
	asked := time.Duration(c.Delay)
	most := 3*asked + 8*time.Duration(c.Jitter) + 2*time.Second
	j.Measures = append(j.Measures, history.Between("delay of echoes", trips.rise.Seconds(), asked.Seconds(), asked.Seconds()/2, most.Seconds(), "s"))
}

// leastLosses is how many echoes must be expected to be lost for their loss to be demanded.
const leastLosses = 8

// compareLoss demands that echoes are missing, too: a quarter of what was asked for is enough.
func (s *Switch) compareLoss(j *judgement, before history.Evidence, during []history.Evidence) {
	as := Netem{ID: s.ID, Peers: s.Peers, Change: s.Rule.PacketChange}
	was, now, _ := as.between(before, during)
	if loss := s.Rule.Loss; loss*float64(now.sent) >= leastLosses {
		j.rule(now.missing() >= was.missing()+(1-was.missing())*loss/4, "%s of echoes unanswered, before %s", percent(now.missing()), percent(was.missing()))
	}
}

// compareJam: an echo is held for up to the whole of a jam, and comes then. Six tenths of one is
// the least that the longest of a stream waits, wherever in a jam it begins.
func (s *Switch) compareJam(j *judgement, before, seen history.Evidence) {
	hold := time.Duration(s.Rule.Jam)
	longest := time.Duration(measured(seen, jamLongest) * float64(time.Second))
	answered := measured(seen, jamAnswered)
	var was time.Duration
	for _, p := range s.Peers {
		was = max(was, echoesIn(before, p).trip)
	}
	j.Measures = append(j.Measures, history.Between("hold of echoes", (longest-was).Seconds(), hold.Seconds(), hold.Seconds()/2, (2*hold+5*time.Second).Seconds(), "s"))
	j.rule(answered > 0 && longest > was, "echoes took up to %s before, and %.0f were answered after up to %s (asked for up to %s)",
		inMilliseconds(was), answered, inMilliseconds(longest), inMilliseconds(hold))
}

func (s *Switch) compareDamage(j *judgement, before history.Evidence, during []history.Evidence) {
	var then, now, of float64
	for _, p := range s.Peers {
		then += measured(before, changedOf(p))
		for _, e := range during {
			now += measured(e, changedOf(p))
			of += measured(e, "answered "+p.String())
		}
	}
	j.asked("damage", s.Rule.Damage, "share")
	j.rule(now > 0 && then == 0, "%.0f of %.0f echoes came back with other contents, before %.0f (asked for %s)", now, of, then, percent(s.Rule.Damage))
}

// compareConnections: connections that were there before are gone, and the kernel says that
// resets ended them.
func (s *Switch) compareConnections(j *judgement, before, seen history.Evidence) {
	var were, left int
	for _, m := range before.Measures {
		if strings.HasPrefix(m.Name, connectionPrefix) {
			were++
			if measured(seen, m.Name) > 0 {
				left++
			}
		}
	}
	resets := measured(seen, resetsMeasure) - measured(before, resetsMeasure)
	share := max(s.Rule.Reset, s.Rule.HalfOpen)
	j.asked("connections ended", share, "share")
	j.Measures = append(j.Measures,
		history.Measure{Name: ConnectionsBefore, Value: float64(were)},
		history.Measure{Name: "connections gone", Value: float64(were - left)},
		history.Measure{Name: "connections reset by the kernel", Value: resets})
	j.rule(left < were && resets > 0, "of %d connections that were established before %d are gone, and the kernel counts %.0f resets (asked for %s)",
		were, were-left, resets, percent(share))
}
