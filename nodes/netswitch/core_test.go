package netswitch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nemesis/history"
)

const ms = history.Duration(time.Millisecond)

var (
	us4, peer4 = netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.77.0.2")
	us6, peer6 = netip.MustParseAddr("fd77::1"), netip.MustParseAddr("fd77::2")
)

// frame is a packet from this node with a right checksum, as the kernel hands it over.
func frame(six bool, protocol byte, payload []byte) []byte {
	from, to, length := us4, peer4, map[byte]int{tcp: 32, udp: 8, icmp4: 8, icmp6: 8}[protocol]
	var b []byte
	if six {
		from, to = us6, peer6
		b = make([]byte, 40+length)
		b[0], b[6], b[7] = 0x60, protocol, 64
		binary.BigEndian.PutUint16(b[4:], uint16(length+len(payload)))
		copy(b[8:], from.AsSlice())
		copy(b[24:], to.AsSlice())
	} else {
		b = make([]byte, 20+length)
		b[0], b[8], b[9] = 0x45, 64, protocol
		binary.BigEndian.PutUint16(b[2:], uint16(20+length+len(payload)))
		copy(b[12:], from.AsSlice())
		copy(b[16:], to.AsSlice())
	}
	b = append(b, payload...)
	p, ok := parse(b)
	if !ok {
		panic("no packet")
	}
	t := b[p.transport:]
	switch protocol {
	case tcp:
		binary.BigEndian.PutUint16(t, 2380)
		binary.BigEndian.PutUint16(t[2:], 45678)
		t[12], t[13] = 8<<4, flagACK
	case udp:
		binary.BigEndian.PutUint16(t[4:], uint16(len(t)))
	case icmp4:
		t[0] = 8
	case icmp6:
		t[0] = 128
	}
	p, _ = parse(b)
	setSum(b, &p)
	return b
}

func setSum(b []byte, p *packet) {
	at := p.checksumAt()
	b[at], b[at+1] = 0, 0
	s := ^transportSum(p)
	if s == 0 && p.protocol == udp {
		s = 0xffff
	}
	binary.BigEndian.PutUint16(b[at:], s)
}

// transportSum adds everything up anew; 0xffff for a packet whose checksum is right.
func transportSum(p *packet) uint16 {
	t := p.bytes[p.transport:]
	if p.protocol == icmp4 {
		return fold(sum(0, t))
	}
	return fold(sum(pseudo(p.from, p.to, p.protocol, len(t)), t))
}

func anyFrame(t *rapid.T) []byte {
	six := rapid.Bool().Draw(t, "IPv6")
	protocol := rapid.SampledFrom([]byte{tcp, udp, icmp4}).Draw(t, "protocol")
	if six && protocol == icmp4 {
		protocol = icmp6
	}
	return frame(six, protocol, rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "payload"))
}

// out is what comes out of a Core, with when.
type out struct {
	At   time.Duration
	To   netip.Addr
	Back bool
	Data string
}

// through sends frames through a Core, one after the other.
func through(c *Core, frames [][]byte, every time.Duration) (got []out) {
	due := func(now time.Duration) {
		for {
			at, _ := c.Next()
			d, ok := c.Due(now)
			if !ok {
				return
			}
			got = append(got, out{at, d.To, d.Back, string(d.Bytes)})
			c.Free(d)
		}
	}
	now := time.Duration(0)
	for _, f := range frames {
		due(now)
		if c.Take(now, f) {
			k, _ := parse(f)
			got = append(got, out{now, k.to, false, string(f)})
		}
		now += every
	}
	due(math.MaxInt64)
	return got
}

func TestWithoutAnEffectEveryPacketArrivesInOrderAndUnchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frames := rapid.SliceOf(rapid.Custom(anyFrame)).Draw(t, "frames")
		// Effects that are there and whose chance is nothing: the long way.
		rule := rapid.SampledFrom([]Rule{{}, {Damage: 1e-300}, {PacketChange: history.PacketChange{Delay: 5 * ms}}, {PacketChange: history.PacketChange{Rate: 1e6}}, {Jam: 50 * ms}}).Draw(t, "rule")
		c := New(rule, []netip.Addr{peer4, peer6}, rapid.Uint64().Draw(t, "seed"))
		var want []string
		for _, f := range frames {
			want = append(want, string(f))
		}
		// With a rate, each way has its own queue, so order holds for each.
		for _, to := range []netip.Addr{peer4, peer6} {
			var sent, got []string
			for _, f := range frames {
				if k, _ := parse(f); k.to == to {
					sent = append(sent, string(f))
				}
			}
			for _, o := range through(New(rule, []netip.Addr{peer4, peer6}, 1), frames, time.Millisecond) {
				if o.To == to {
					got = append(got, o.Data)
				}
			}
			if !slices.Equal(got, sent) {
				t.Fatalf("to %s came %d packets of %d, or others", to, len(got), len(sent))
			}
		}
		if rule.Rate == 0 {
			var got []string
			for _, o := range through(c, frames, time.Millisecond) {
				got = append(got, o.Data)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%d packets of %d, or others", len(got), len(want))
			}
		}
		if c.Held() != 0 {
			t.Fatalf("%d are still held", c.Held())
		}
	})
}

func TestTheSameSeedDecidesTheSame(t *testing.T) {
	rule := Rule{PacketChange: history.PacketChange{Delay: 30 * ms, Jitter: 10 * ms, Spread: "pareto", Loss: 0.2, Burst: 3, Duplicate: 0.2, Reorder: 0.2, Corrupt: 0.2, Rate: 1e6}, Damage: 0.3, Jam: 40 * ms}
	run := func(seed uint64) ([]out, map[netip.Addr]Counts) {
		c := New(rule, []netip.Addr{peer4, peer6}, seed)
		var frames [][]byte
		for i := range 300 {
			frames = append(frames, frame(i%3 == 0, tcp, []byte(fmt.Sprint("payload ", i))))
		}
		return through(c, frames, time.Millisecond), c.Counts()
	}
	one, counts := run(7)
	two, again := run(7)
	if !slices.Equal(one, two) || !maps.Equal(counts, again) {
		t.Errorf("the same seed decides otherwise: %+v, %+v", counts, again)
	}
	if other, _ := run(8); slices.Equal(one, other) {
		t.Error("another seed decides the same")
	}
}

// Everything that is decided is counted, and comes as often as was asked for.
func TestSharesAreThoseAskedForAndCounted(t *testing.T) {
	const n = 20_000
	for name, c := range map[string]struct {
		rule  Rule
		share func(Counts) int64
		want  float64
		wide  float64 // how many times wider than independent ones the count is spread
	}{
		"loss":       {Rule{PacketChange: history.PacketChange{Loss: 0.1}}, func(c Counts) int64 { return c.Lost }, 0.1, 1},
		"bursts":     {Rule{PacketChange: history.PacketChange{Loss: 0.25, Burst: 8}}, func(c Counts) int64 { return c.Lost }, 0.25, 4},
		"everything": {Rule{PacketChange: history.PacketChange{Loss: 1}}, func(c Counts) int64 { return c.Lost }, 1, 1},
		"duplicates": {Rule{PacketChange: history.PacketChange{Duplicate: 0.3}}, func(c Counts) int64 { return c.Duplicated }, 0.3, 1},
		"reordering": {Rule{PacketChange: history.PacketChange{Delay: 5 * ms, Reorder: 0.25}}, func(c Counts) int64 { return c.Reordered }, 0.25, 1},
		"corruption": {Rule{PacketChange: history.PacketChange{Corrupt: 0.15}}, func(c Counts) int64 { return c.Corrupted }, 0.15, 1},
		"damage":     {Rule{Damage: 0.05}, func(c Counts) int64 { return c.Damaged }, 0.05, 1},
	} {
		t.Run(name, func(t *testing.T) {
			core := New(c.rule, []netip.Addr{peer4}, 1)
			f := frame(false, udp, make([]byte, 100))
			var frames [][]byte
			for range n {
				frames = append(frames, f)
			}
			got := through(core, frames, 100*time.Microsecond)
			counts := core.Counts()[peer4]
			if counts.Packets != n || counts.Bytes != int64(n*len(f)) || counts.Waiting != 0 {
				t.Errorf("%+v", counts)
			}
			if want := n - counts.Lost + counts.Duplicated; int64(len(got)) != want {
				t.Errorf("%d came, want %d", len(got), want)
			}
			if share := float64(c.share(counts)) / n; math.Abs(share-c.want) > 5*c.wide*math.Sqrt(c.want*(1-c.want)/n)+1e-9 {
				t.Errorf("a share of %v, want %v", share, c.want)
			}
			changed := int64(0)
			for _, o := range got {
				if o.Data != string(f) {
					changed++
				}
			}
			if changed != counts.Damaged+counts.Corrupted {
				t.Errorf("%d were changed, of %d damaged and %d corrupted", changed, counts.Damaged, counts.Corrupted)
			}
		})
	}
}

func TestDelaysAreSpreadAsAskedFor(t *testing.T) {
	for _, spread := range []string{"", "normal", "pareto"} {
		core := New(Rule{PacketChange: history.PacketChange{Delay: 100 * ms, Jitter: 10 * ms, Spread: spread}}, []netip.Addr{peer4}, 3)
		p := core.peers[peer4]
		var sum, squares float64
		const n = 50_000
		for range n {
			d := p.delay(core.rule).Seconds() * 1000
			if spread == "" && (d < 90 || d > 110) || d < 60-1e-9 || d > 140+1e-9 {
				t.Fatalf("%q: %v ms", spread, d)
			}
			sum, squares = sum+d, squares+d*d
		}
		mean := sum / n
		deviation := math.Sqrt(squares/n - mean*mean)
		want := map[string]float64{"": 10 / math.Sqrt(3), "normal": 10, "pareto": 7.5}[spread] // cut off, so less
		if math.Abs(mean-100) > 1 || math.Abs(deviation-want) > 0.5 {
			t.Errorf("%q: %v ms ± %v, want 100 ± %v", spread, mean, deviation, want)
		}
	}
}

func TestAJamHoldsAllAndDeliversAtOnce(t *testing.T) {
	core := New(Rule{Jam: 50 * ms}, []netip.Addr{peer4}, 1)
	var frames [][]byte
	for i := range 100 {
		frames = append(frames, frame(false, udp, []byte{byte(i)}))
	}
	got := through(core, frames, time.Millisecond)
	for i, o := range got {
		if want := time.Duration(i/50+1) * 50 * time.Millisecond; o.At != want || o.Data != string(frames[i]) {
			t.Fatalf("packet %d came at %s, want %s", i, o.At, want)
		}
	}
	if c := core.Counts()[peer4]; c.Jammed != 100 || c.Jams != 2 || len(got) != 100 {
		t.Errorf("%d came: %+v", len(got), c)
	}
}

func TestARateIsKeptForEachPeer(t *testing.T) {
	core := New(Rule{PacketChange: history.PacketChange{Rate: 1_000_000}}, []netip.Addr{peer4, peer6}, 1)
	var frames [][]byte
	for range 50 {
		frames = append(frames, frame(false, udp, make([]byte, 972)), frame(true, udp, make([]byte, 952)))
	}
	for _, o := range through(core, frames, 0)[98:] { // 50 packets of 1000 bytes take 0.4 s
		if o.At != 400*time.Millisecond {
			t.Errorf("the last to %s at %s", o.To, o.At)
		}
	}
}

// What is damaged differs in one byte of the payload, and everybody who checks finds it right.
func TestChecksumsAreRightAfterDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFrame(t)
		before, _ := parse(f)
		core := New(Rule{Damage: 1}, []netip.Addr{peer4, peer6}, rapid.Uint64().Draw(t, "seed"))
		got := through(core, [][]byte{f}, 0)
		if len(got) != 1 {
			t.Fatalf("%d came", len(got))
		}
		b := []byte(got[0].Data)
		p, ok := parse(b)
		if !ok || transportSum(&p) != 0xffff {
			t.Fatalf("the checksum is wrong: %x", b)
		}
		differing := 0
		for i := before.payload; i < len(f); i++ {
			if b[i] != f[i] {
				differing++
			}
		}
		want := min(len(f)-before.payload, 1)
		sumAt := before.checksumAt()
		if differing != want || !bytes.Equal(b[:sumAt], f[:sumAt]) || !bytes.Equal(b[sumAt+2:before.payload], f[sumAt+2:before.payload]) {
			t.Fatalf("%d bytes of the payload differ, or others do:\n%x\n%x", differing, f, b)
		}
	})
}

// A checksum that was wrong stays wrong: damage repairs only what it did itself. And UDP
// without a checksum stays without.
func TestDamageRepairsNoOtherChecksum(t *testing.T) {
	f := frame(false, tcp, []byte("payload"))
	f[len(f)-1] ^= 1
	b := []byte(through(New(Rule{Damage: 1}, []netip.Addr{peer4}, 1), [][]byte{f}, 0)[0].Data)
	if p, _ := parse(b); transportSum(&p) == 0xffff {
		t.Error("a wrong checksum became right")
	}
	f = frame(false, udp, []byte("payload"))
	p, _ := parse(f)
	f[p.checksumAt()], f[p.checksumAt()+1] = 0, 0
	b = []byte(through(New(Rule{Damage: 1}, []netip.Addr{peer4}, 1), [][]byte{f}, 0)[0].Data)
	if b[p.checksumAt()] != 0 || b[p.checksumAt()+1] != 0 || bytes.Equal(b, f) {
		t.Errorf("%x", b)
	}
}

func TestFragmentsAndStrangePacketsAreNotDamaged(t *testing.T) {
	fragment := frame(false, udp, make([]byte, 50))
	fragment[6] = 0x20
	short := frame(false, tcp, make([]byte, 50))[:30]
	errors6 := frame(true, icmp6, make([]byte, 50))
	errors6[40] = 135
	for _, f := range [][]byte{fragment, short, errors6} {
		got := through(New(Rule{Damage: 1}, []netip.Addr{peer4, peer6}, 1), [][]byte{f}, 0)
		if len(got) != 1 || got[0].Data != string(f) {
			t.Errorf("%x became %+v", f, got)
		}
	}
}

func TestNothingMakesTheCoreFail(t *testing.T) {
	rule := Rule{PacketChange: history.PacketChange{Delay: 1, Corrupt: 0.5, Duplicate: 0.5}, Damage: 1, Reset: 0.5}
	core := New(rule, []netip.Addr{peer4, peer6}, 1)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		f := frame(rng.IntN(2) == 0, []byte{tcp, udp}[rng.IntN(2)], make([]byte, rng.IntN(30)))
		for range rng.IntN(4) {
			f[rng.IntN(len(f))] = byte(rng.Uint32())
		}
		if rng.IntN(3) == 0 {
			f = f[:rng.IntN(len(f)+1)]
		}
		through(core, [][]byte{f}, 0)
	}
}

func TestWhatIsTooMuchIsLostAndCounted(t *testing.T) {
	core := New(Rule{Jam: 10_000 * ms}, []netip.Addr{peer4}, 1)
	f := frame(false, udp, nil)
	for range mostHeld + 5 {
		core.Take(0, f)
	}
	if c := core.Counts()[peer4]; c.Overflowed != 5 || core.Held() != mostHeld || c.Waiting != mostHeld {
		t.Errorf("%d are held: %+v", core.Held(), c)
	}
}

func TestRulesThatCannotBe(t *testing.T) {
	for want, r := range map[string]Rule{
		"packets are held for or after 10ms to 10s, not 1ms":            {Jam: ms},
		"connections are reset anew for or after 10ms to 10s, not 1m0s": {Reset: 1, Again: 60_000 * ms},
		"damage is a share from 0 to 1, not 1.5":                        {Damage: 1.5},
		"what is reset anew needs a share of connections to reset":      {Again: 100 * ms},
		"a connection is reset at both ends or at one":                  {Reset: 1, HalfOpen: 1},
		"reset is a share from 0 to 1, not NaN":                         {Reset: math.NaN()},
		"half-open is a share from 0 to 1, not -1":                      {HalfOpen: -1},
	} {
		if err := r.Check(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
