package effects

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"nemesis/history"
	"nemesis/nodes/agent"
)

var update = flag.Bool("update", false, "write golden files anew")

// wiring is a node's kernel that exists only in these tests: interfaces with queues,
// and routes.
type wiring struct {
	links  []device
	routes map[string]string // addresses to interfaces
	on     map[string][]queue
	pieces map[string][]piece
	usual  string // the kernel's own queue
	// breaks fails the n-th piece that is added.
	breaks int
	seen   map[netip.Addr]echoes
}

func newWiring() *wiring {
	w := &wiring{
		links:  []device{{1, "lo", true}, {2, "eth0", false}, {3, "eth1", false}},
		routes: map[string]string{"10.0.0.2": "eth0", "10.0.0.3": "eth0", "fd00::2": "eth1", "127.0.0.1": "lo"},
		on: map[string][]queue{
			"lo":   {{kind: "noqueue", parent: atRoot}},
			"eth0": {{kind: "mq", parent: atRoot}, {kind: "fq_codel", parent: 1}, {kind: "fq_codel", parent: 2}},
			"eth1": {{kind: "noqueue", parent: atRoot}},
		},
		pieces: map[string][]piece{}, usual: "fq_codel", seen: map[netip.Addr]echoes{},
	}
	return w
}

func (w *wiring) route(to netip.Addr) (device, error) {
	for _, d := range w.links {
		if d.name == w.routes[to.String()] {
			return d, nil
		}
	}
	return device{}, errors.New("network is unreachable")
}

func (w *wiring) devices() ([]device, error)           { return w.links, nil }
func (w *wiring) queues(d device) ([]queue, error)     { return w.on[d.name], nil }
func (w *wiring) plain() string                        { return w.usual }
func (w *wiring) plainly(name string) (queues []queue) { return newWiring().on[name] }
func (w *wiring) add(d device, p piece) error {
	if w.breaks--; w.breaks == 0 {
		return errors.New("no buffer space available")
	}
	switch p.kind {
	case "prio":
		if _, number := root(w.on[d.name]); number != 0 {
			return errors.New("file exists")
		}
		w.on[d.name] = []queue{{kind: "prio", handle: p.handle, parent: atRoot}}
	case "netem":
		w.on[d.name] = append(w.on[d.name], queue{kind: "netem", handle: p.handle, parent: p.parent})
	}
	w.pieces[d.name] = append(w.pieces[d.name], p)
	return nil
}

func (w *wiring) remove(d device, tree uint16) error {
	if _, number := root(w.on[d.name]); number != tree {
		return errors.New("invalid argument")
	}
	w.on[d.name] = w.plainly(d.name)
	for i, q := range w.on[d.name] {
		if q.kind == "fq_codel" {
			w.on[d.name][i].kind = w.usual
		}
	}
	delete(w.pieces, d.name)
	return nil
}

func (w *wiring) echo(to []netip.Addr, _ history.PacketChange) (map[netip.Addr]echoes, error) {
	return w.seen, nil
}

// text is everything on the interfaces that is not the kernel's own.
func (w *wiring) text() string {
	var out strings.Builder
	for _, d := range w.links {
		for _, p := range w.pieces[d.name] {
			fmt.Fprintf(&out, "%s: %s\n", d.name, p)
		}
	}
	return out.String()
}

var twoPeers = []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("fd00::2")}

const ms = history.Duration(time.Millisecond)

func shaping(t testing.TB, w *wiring, n *Netem, inForce *bool) shaper {
	t.Helper()
	s := n.shaper(&agent.Host{Dir: "/agent", InForce: func(agent.Effect) bool { return *inForce }}, w)
	s.note = note{filepath.Join(t.TempDir(), "note.json")}
	return s
}

// What is put on the interfaces, for requests of every kind.
func TestTheTreeOfEachRequest(t *testing.T) {
	for name, n := range map[string]*Netem{
		"delay":                      {ID: "f1", Peers: twoPeers[:1], Change: history.PacketChange{Delay: 100 * ms}},
		"stacked-on-two-interfaces":  {ID: "f2", Peers: twoPeers, Change: history.PacketChange{Delay: 100 * ms, Jitter: 20 * ms, Spread: "normal", Loss: 0.1, Burst: 4, Duplicate: 0.05, Reorder: 0.25, Corrupt: 0.01, Rate: 1_000_000}},
		"rate-of-ipv6":               {ID: "f3", Peers: twoPeers[2:], Change: history.PacketChange{Rate: 64_000}},
		"loss-of-an-address-in-ipv6": {ID: "f4", Peers: []netip.Addr{netip.MustParseAddr("::ffff:10.0.0.2")}, Change: history.PacketChange{Loss: 0.3}},
	} {
		t.Run(name, func(t *testing.T) {
			w, inForce := newWiring(), true
			w.routes["::ffff:10.0.0.2"] = "eth0"
			if err := shaping(t, w, n, &inForce).apply(); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "netem", name+".txt")
			if *update {
				if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, []byte(w.text()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), w.text()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever is applied and undone, how often and in which order, and wherever an attempt
// to apply breaks off: after the last undo the interfaces have what they had.
func TestUndoingRestoresWhatWasThere(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, inForce := newWiring(), true
		before := fmt.Sprint(w.on)
		n := &Netem{ID: "f1", Peers: twoPeers, Change: history.PacketChange{Loss: 0.1}}
		s := shaping(t, w, n, &inForce)
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "apply") {
				w.breaks = rapid.IntRange(0, 9).Draw(rt, "breaks off at")
				err := s.apply()
				w.breaks = 0
				if err == nil && len(w.pieces["eth0"]) != 4 {
					rt.Fatalf("applied, and there is %s", w.text())
				}
				if again := s.apply(); again != nil {
					rt.Fatalf("another attempt: %v", again)
				}
				continue
			}
			if err := s.undo(); err != nil {
				rt.Fatal(err)
			}
		}
		if err := s.undo(); err != nil {
			rt.Fatal(err)
		}
		inForce = false
		if e, err := s.probe(); err != nil || !e.Confirmed || fmt.Sprint(w.on) != before {
			rt.Fatalf("%+v, %v, %v", e, err, w.on)
		}
	})
}

func TestWhatIsNotOursStays(t *testing.T) {
	for name, story := range map[string]struct {
		set  func(*wiring)
		want string
	}{
		"a user's queue": {
			set:  func(w *wiring) { w.on["eth0"] = []queue{{kind: "htb", handle: 1 << 16, parent: atRoot}} },
			want: "eth0 has a queueing discipline already, htb 1:, which is not ours to replace: delete it (tc qdisc del dev eth0 root) or leave the fault packet out",
		},
		"a queue that would not come back": {
			set:  func(w *wiring) { w.usual = "fq" },
			want: "eth0 has the queueing discipline fq_codel and the kernel would put fq in its place when ours goes: set net.core.default_qdisc to fq_codel, or leave the fault packet out",
		},
		"another effect of ours": {
			set: func(w *wiring) {
				other := &Netem{ID: "f9"}
				number, _ := other.numbers(&agent.Host{Dir: "/agent"})
				w.on["eth0"] = []queue{{kind: "prio", handle: uint32(number) << 16, parent: atRoot}}
			},
			want: "eth0 has a queueing discipline already, prio",
		},
		"a peer that is this node": {
			set:  func(w *wiring) { w.routes["10.0.0.2"] = "lo" },
			want: "the way to 10.0.0.2 does not leave this node: a peer must be another node",
		},
		"a peer that is nowhere": {
			set:  func(w *wiring) { delete(w.routes, "10.0.0.3") },
			want: "find the way to 10.0.0.3: network is unreachable",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, inForce := newWiring(), true
			story.set(w)
			before := fmt.Sprint(w.on)
			s := shaping(t, w, &Netem{ID: "f1", Peers: twoPeers, Change: history.PacketChange{Loss: 0.1}}, &inForce)
			for what, err := range map[string]error{"check": s.check(), "apply": s.apply()} {
				if err == nil || !strings.HasPrefix(err.Error(), story.want) {
					t.Errorf("%s: got %v, want %s", what, err, story.want)
				}
			}
			if err := s.undo(); err != nil || fmt.Sprint(w.on) != before {
				t.Errorf("afterwards %v, %v", w.on, err)
			}
		})
	}
}

// A node is refused at once only when every interface is taken: an empty effect does not
// say which ones matter.
func TestAnEmptyEffectNeedsOneFreeInterface(t *testing.T) {
	w, inForce := newWiring(), false
	theirs := []queue{{kind: "htb", handle: 1 << 16, parent: atRoot}}
	w.on["eth0"] = theirs
	s := shaping(t, w, &Netem{}, &inForce)
	if err := s.check(); err != nil {
		t.Error(err)
	}
	w.on["eth1"] = theirs
	if err := s.check(); err == nil || !strings.HasPrefix(err.Error(), "eth1 has a queueing discipline already, htb 1:") {
		t.Errorf("got %v", err)
	}
	w.links = w.links[:1]
	if err := s.check(); err == nil || err.Error() != "this node has no network interface but its loopback" {
		t.Errorf("got %v", err)
	}
}

// A queue that came back as another is told, not hidden.
func TestQueueingDisciplineThatChangedMeanwhileIsTold(t *testing.T) {
	w, inForce := newWiring(), true
	s := shaping(t, w, &Netem{ID: "f1", Peers: twoPeers, Change: history.PacketChange{Loss: 0.1}}, &inForce)
	if err := s.apply(); err != nil {
		t.Fatal(err)
	}
	w.usual = "fq" // somebody has changed the setting meanwhile
	if err := s.undo(); err != nil {
		t.Fatal(err)
	}
	inForce = false
	e, err := s.probe()
	if want := `eth0 has the queueing disciplines "fq fq mq" now and had "fq_codel fq_codel mq" before`; err != nil || e.Confirmed || e.Summary != want {
		t.Errorf("%+v, %v", e, err)
	}
}

// blind is wiring whose echoes take for ever.
type blind struct{ *wiring }

func (blind) echo([]netip.Addr, history.PacketChange) (map[netip.Addr]echoes, error) {
	panic("a glance sends no echoes")
}

func TestATreeThatIsGoneActsNoMore(t *testing.T) {
	w, inForce := newWiring(), true
	s := shaping(t, w, &Netem{ID: "f1", Peers: twoPeers, Change: history.PacketChange{Loss: 0.1}}, &inForce)
	if e, err := s.probe(); err != nil || e.Confirmed || e.Summary != "the queueing discipline is gone: something else on the node deleted it" {
		t.Errorf("%+v, %v", e, err)
	}
	glance := s.Netem.Glancing().(*Netem).shaper(s.host, blind{w})
	if e, err := glance.probe(); err != nil || !e.Undone {
		t.Errorf("at a glance: %+v, %v", e, err)
	}
	if err := s.apply(); err != nil {
		t.Fatal(err)
	}
	if e, err := glance.probe(); err != nil || e.Undone || e.Summary == "" {
		t.Errorf("at a glance: %+v, %v", e, err)
	}
	inForce = false
	if e, err := s.probe(); err != nil || e.Confirmed || e.Summary != "the queueing discipline of eth0 is still there" {
		t.Errorf("%+v, %v", e, err)
	}
}

// The evidence of each change: what the emulators counted and what echoes showed.
func TestWhatShowsThatPacketsAreChanged(t *testing.T) {
	peer := twoPeers[0]
	look := func(packets, dropped float64, e echoes) history.Evidence {
		return history.Evidence{Confirmed: packets+dropped > 0, Summary: "emulator", Measures: append([]history.Measure{
			{Name: emulated, Value: packets}, {Name: emulatedAway, Value: dropped},
		}, e.measures(peer)...)}
	}
	whole := echoes{sent: 40, answered: 40, trip: time.Millisecond, rate: 1e9}
	before := look(0, 0, whole)
	for name, story := range map[string]struct {
		change history.PacketChange
		during []history.Evidence
		shown  bool
		says   string
	}{
		"a delay": {
			history.PacketChange{Delay: 100 * ms}, []history.Evidence{look(40, 0, echoes{sent: 40, answered: 40, trip: 99 * time.Millisecond})},
			true, "echoes took up to 1 ms before and take at least 99 ms now (asked for 100 ms more)",
		},
		"a delay both ways": {history.PacketChange{Delay: 100 * ms}, []history.Evidence{look(40, 0, echoes{sent: 40, answered: 40, trip: 201 * time.Millisecond})}, true, "201 ms"},
		"a delay that is too small": {
			history.PacketChange{Delay: 100 * ms}, []history.Evidence{look(40, 0, echoes{sent: 40, answered: 40, trip: 40 * time.Millisecond})}, false, "at least 40 ms now",
		},
		"a delay through which no packet went": {history.PacketChange{Delay: 100 * ms}, []history.Evidence{look(0, 0, echoes{sent: 40, answered: 40, trip: time.Second})}, false, ""},
		"a delay of packets that never come":   {history.PacketChange{Delay: 100 * ms}, []history.Evidence{look(9, 0, echoes{sent: 40})}, false, ""},
		"losses":                               {history.PacketChange{Loss: 0.1}, []history.Evidence{look(270, 30, whole)}, true, "10 % of packets lost (asked for 10 %)"},
		"losses that do not happen":            {history.PacketChange{Loss: 0.1}, []history.Evidence{look(270, 0, whole)}, false, "0 % of packets lost (asked for 10 %)"},
		"a duplicate in the first look only": {
			history.PacketChange{Duplicate: 0.01},
			[]history.Evidence{look(40, 0, echoes{sent: 40, answered: 40, twice: 1, trip: 1}), look(80, 0, whole)},
			true, "1 of 80 echoes came twice, before 0 of 40 (asked for 1 %)",
		},
		"no duplicate":   {history.PacketChange{Duplicate: 0.01}, []history.Evidence{look(80, 0, whole)}, false, "0 of 40 echoes came twice"},
		"a new order":    {history.PacketChange{Delay: ms, Reorder: 0.25}, []history.Evidence{look(80, 0, echoes{sent: 40, answered: 40, overtaken: 7, trip: 2 * time.Millisecond})}, true, "7 of 40 echoes were overtaken"},
		"the same order": {history.PacketChange{Delay: ms, Reorder: 0.25}, []history.Evidence{look(80, 0, echoes{sent: 40, answered: 40, trip: 2 * time.Millisecond})}, false, "0 of 40 echoes were overtaken"},
		"damage":         {history.PacketChange{Corrupt: 0.2}, []history.Evidence{look(80, 0, echoes{sent: 40, answered: 33, trip: 1})}, true, "17.5 % of echoes unanswered, before 0 % (asked for 20 % damaged)"},
		"no damage":      {history.PacketChange{Corrupt: 0.2}, []history.Evidence{look(80, 0, whole)}, false, "0 % of echoes unanswered"},
		"losses that are no damage": {
			history.PacketChange{Corrupt: 0.2, Loss: 0.2}, []history.Evidence{look(80, 20, echoes{sent: 40, answered: 32, trip: 1})}, false, "20 % of echoes unanswered",
		},
		"a rate":                {history.PacketChange{Rate: 1e6}, []history.Evidence{look(80, 0, echoes{sent: 40, answered: 40, trip: 1, rate: 0.98e6})}, true, "a burst came at 980 kbit/s, before at 1 Gbit/s (asked for 1 Mbit/s)"},
		"a rate that is not":    {history.PacketChange{Rate: 1e6}, []history.Evidence{look(80, 0, whole)}, false, "a burst came at 1 Gbit/s"},
		"a burst without end":   {history.PacketChange{Rate: 1e6}, []history.Evidence{look(80, 0, echoes{sent: 40, answered: 40, trip: 1})}, false, "a burst came at 0 kbit/s"},
		"one of two not shown":  {history.PacketChange{Loss: 0.5, Duplicate: 0.5}, []history.Evidence{look(20, 20, echoes{sent: 40, answered: 20, trip: 1})}, false, "0 of 20 echoes came twice"},
		"nothing was looked at": {history.PacketChange{Loss: 0.5}, nil, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := &Netem{ID: "f1", Peers: []netip.Addr{peer, netip.MustParseAddr("10.0.0.9")}, Change: story.change}
			got := n.Compare(before, story.during...)
			if got.Confirmed != story.shown || !strings.Contains(got.Summary, story.says) {
				t.Errorf("%v: %s", got.Confirmed, got.Summary)
			}
			// Nothing at all is never evidence.
			if e := n.Compare(history.Evidence{}, story.during...); e.Confirmed && story.change.Loss == 0 {
				t.Errorf("without a measure before it is confirmed: %s", e.Summary)
			}
		})
	}
}

// The requests and their answers, as they came.
func TestTallyingEchoes(t *testing.T) {
	began := time.Unix(100, 0)
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	sent := []time.Time{at(0), at(5), at(10), at(15)}
	got := tally(sent, []arrival{{seq: 0, at: at(20)}, {seq: 2, at: at(25)}, {seq: 1, at: at(30)}, {seq: 2, at: at(31)}, {seq: 9, at: at(31)}, {seq: -1, at: at(31)}})
	want := echoes{sent: 4, answered: 3, twice: 1, overtaken: 1, trip: 20 * time.Millisecond, longest: 25 * time.Millisecond}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	var answers []arrival
	for i := range streamLength + burstLength {
		for len(sent) <= i {
			sent = append(sent, at(0))
		}
		answers = append(answers, arrival{seq: i, at: at(10 * i)})
	}
	// 15 more packets of 1228 bytes in 150 ms.
	if got := tally(sent, answers); got.rate < 982_000 || got.rate > 983_000 || got.sent != streamLength || got.answered != streamLength {
		t.Errorf("got %+v", got)
	}
	if got := tally(sent, answers[:streamLength+3]); got.rate != 0 {
		t.Errorf("three answers to a burst give a rate of %v", got.rate)
	}
}

// Of a burst more than half must come back to tell a rate, also where packets are lost on both ways.
func TestBurstsAreLongerWherePacketsAreLost(t *testing.T) {
	for want, change := range map[int]history.PacketChange{
		16: {Rate: 1e6},
		25: {Rate: 1e6, Loss: 0.2},
		55: {Rate: 1e6, Loss: 0.1, Corrupt: 0.4},
		64: {Rate: 1e6, Loss: 1},
	} {
		if got := burstOf(change); got != want {
			t.Errorf("%+v: a burst of %d, want %d", change, got, want)
		}
	}
}

func TestEchoesAreWrittenAsMeasuresAndReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := echoes{
			rapid.IntRange(0, 100).Draw(t, "sent"), rapid.IntRange(0, 100).Draw(t, "answered"), rapid.IntRange(0, 100).Draw(t, "twice"), rapid.IntRange(0, 100).Draw(t, "overtaken"),
			time.Duration(rapid.IntRange(0, 1e9).Draw(t, "trip")), float64(rapid.IntRange(0, 1e9).Draw(t, "rate")), 0, 0,
		}
		got := echoesIn(history.Evidence{Measures: e.measures(twoPeers[2])}, twoPeers[2])
		if d := got.trip - e.trip; d < -1 || d > 1 {
			t.Fatalf("%s became %s", e.trip, got.trip)
		}
		got.trip = e.trip
		if got != e {
			t.Fatalf("%+v became %+v", e, got)
		}
	})
}

func TestChangesThatCannotBe(t *testing.T) {
	for want, c := range map[string]history.PacketChange{
		"it changes nothing about packets": {},
		"a delay of 1h0m0s ± 0s is not between nothing and 1m0s, with a jitter no larger than itself":   {Delay: history.Duration(time.Hour)},
		"a delay of 100ms ± 200ms is not between nothing and 1m0s, with a jitter no larger than itself": {Delay: 100 * ms, Jitter: 200 * ms},
		"loss is a share of packets from 0 to 1, not 1.5":                                               {Loss: 1.5},
		"corrupt is a share of packets from 0 to 1, not -1":                                             {Corrupt: -1},
		`delays are spread evenly, normal or pareto, not "wild"`:                                        {Delay: ms, Jitter: ms, Spread: "wild"},
		"a normal delay needs a jitter":                                                                 {Delay: ms, Spread: "normal"},
		"packets are reordered by letting some overtake delayed ones: give a delay too":                 {Reorder: 0.1},
		"bursts are of 1 to 1000 lost packets, not 0.5":                                                 {Loss: 0.1, Burst: 0.5},
		"bursts of losses need a loss":                                                                  {Burst: 3, Delay: ms},
		"losses of 0.9 of all packets cannot come in bursts as short as 2":                              {Loss: 0.9, Burst: 2},
		"a rate of 100 bits per second is less than 8000":                                               {Rate: 100},
	} {
		if err := PacketsCan(c); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		n := &Netem{ID: "f1", Peers: twoPeers, Change: c}
		if err := n.valid(); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("an effect with it: %v", err)
		}
	}
	for _, n := range []*Netem{
		{ID: "a b", Peers: twoPeers, Change: history.PacketChange{Loss: 1}},
		{ID: "f1", Change: history.PacketChange{Loss: 1}},
		{ID: "f1", Peers: []netip.Addr{netip.MustParseAddr("::")}, Change: history.PacketChange{Loss: 1}},
	} {
		if n.valid() == nil {
			t.Errorf("%+v is taken", n)
		}
	}
}

func TestEffectsHaveNumbersOfTheirOwn(t *testing.T) {
	seen := map[uint16]string{}
	for _, dir := range []string{"/var/lib/nemesis", "/tmp/other"} {
		for i := range 20 {
			n := &Netem{ID: fmt.Sprintf("f%d", i)}
			tree, emulator := n.numbers(&agent.Host{Dir: dir})
			if tree < 0x5000 || emulator >= 0x8000 || tree == emulator || seen[tree] != "" {
				t.Errorf("%s %s has %x and %x, %s too", dir, n.ID, tree, emulator, seen[tree])
			}
			seen[tree] = dir + n.ID
		}
	}
}

func TestANetemSurvivesTheLedger(t *testing.T) {
	n := &Netem{ID: "f1", Peers: twoPeers, Change: history.PacketChange{Delay: 100 * ms, Jitter: ms, Spread: "pareto", Loss: 0.1, Burst: 3, Duplicate: 0.2, Reorder: 0.3, Corrupt: 0.4, Rate: 1e6}}
	text, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Kinds().Decode(NetemKind, text)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(n, back, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Error(d)
	}
	if got, want := n.String(), "f1: packets to 10.0.0.2, 10.0.0.3, fd00::2: 100 ms ± 1 ms (pareto) later, 10 % lost in bursts of 3, 20 % twice, 30 % out of order, 40 % damaged, at 1 Mbit/s"; got != want {
		t.Errorf("got %s", got)
	}
}
