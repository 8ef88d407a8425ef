package lock

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/sim"
	"nemesis/servers/spec"
)

const ms = time.Millisecond

// ring is a lock's ring as sim.Model.
type ring struct {
	nodes   []core.Address
	cores   map[core.Address]*Core
	spec    spec.Lock
	live    spec.Liveness
	epoch   uint64
	healed  uint64 // the epoch when the faults ended
	mistake func(*Core, *core.Output)
}

func newRing(n int) *ring {
	r := &ring{cores: map[core.Address]*Core{}, live: spec.Liveness{Bound: 2 * time.Second}}
	for i := range n {
		r.nodes = append(r.nodes, core.Address(i+1))
		r.spec.Ring = append(r.spec.Ring, uint64(i+1))
	}
	return r
}

func (r *ring) Nodes() []core.Address               { return r.nodes }
func (r *ring) Clients() map[core.Address]core.Core { return nil }
func (r *ring) Decode(b []byte) (core.Body, error)  { return Decode(b) }
func (r *ring) Down(n core.Address)                 { delete(r.cores, n) }
func (r *ring) Change(sim.Fault) []core.Address     { return nil }

func (r *ring) Start(n core.Address, stored core.Stored) (core.Core, error) {
	c, err := New(Options{ID: n, Ring: r.nodes, Hold: 20 * ms, Retry: 50 * ms, Trace: true}, stored)
	if err == nil {
		r.cores[n] = c
	}
	return c, err
}

func (r *ring) Leader() core.Address {
	for _, n := range r.nodes {
		if c := r.cores[n]; c != nil && c.holds {
			return n
		}
	}
	return 0
}

// Stepped holds the step to the specification, and sees that no two nodes hold at once.
func (r *ring) Stepped(now time.Duration, at core.Address, c core.Core, e core.Event, out *core.Output) error {
	if r.mistake != nil {
		r.mistake(c.(*Core), out)
	}
	for _, event := range out.Trace {
		if err := r.spec.Next(event); err != nil {
			return err
		}
		if locked := event.(spec.Locked); locked.Epoch > r.epoch {
			r.live.Answer(spec.Request{Seq: locked.Epoch})
			r.epoch = locked.Epoch
			r.live.Invoke(spec.Request{Seq: r.epoch + 1}, now)
		}
	}
	var holder core.Address
	for _, n := range r.nodes {
		if c := r.cores[n]; c != nil && c.holds {
			if holder != 0 {
				return fmt.Errorf("nodes %d and %d hold at once", holder, n)
			}
			holder = n
		}
	}
	return nil
}

func (r *ring) Healed(now time.Duration) { r.healed = r.epoch; r.live.Heal(now) }

func (r *ring) Finished(now time.Duration) (bool, error) {
	if late := r.live.Overdue(now); late != nil {
		return false, fmt.Errorf("liveness: epoch %d has not begun for %v", late[0].Seq, r.live.Bound)
	}
	return r.epoch > r.healed+uint64(2*len(r.nodes)), nil
}

func run(seed uint64, r *ring) sim.Result {
	kinds := []sim.Kind{sim.Kill, sim.Power, sim.PowerAll, sim.DiskPower, sim.Pause, sim.Cut, sim.Isolate, sim.Loss, sim.Double, sim.Replay, sim.SlowDisk, sim.FastClock, sim.FullDisk, sim.NoFiles}
	mix := sim.Mix{Order: kinds, Weights: map[sim.Kind]int{}, Every: 100 * ms, Longest: 300 * ms, Aimed: 0.5}
	for _, k := range kinds {
		mix.Weights[k] = 1
	}
	const until = 2 * time.Second
	return sim.Run(r, sim.Options{Seed: seed, Faults: sim.Schedule(seed, mix, r.nodes, until), Until: until, Encode: seed%4 == 0})
}

func TestRingKeepsItsSpecificationUnderFaults(t *testing.T) {
	for seed := uint64(1); seed <= 200; seed++ {
		r := newRing(2 + int(seed%4))
		if res := run(seed, r); res.Failure != nil {
			t.Fatalf("seed %d: %v\n%v", seed, res.Failure, res.Failure.Steps)
		}
	}
}

// TestMistakesAreFound breaks the node in ways that the specification or its liveness must show.
func TestMistakesAreFound(t *testing.T) {
	for name, mistake := range map[string]func(*Core, *core.Output){
		"a transfer is sent before it is durable that the node let go": func(c *Core, o *core.Output) {
			o.Send, o.AfterSync = append(o.Send, o.AfterSync...), nil
		},
		"nothing is recorded":      func(c *Core, o *core.Output) { o.Records = nil },
		"a transfer is sent once":  func(c *Core, o *core.Output) { c.passing = false },
		"the node goes on to hold": func(c *Core, o *core.Output) { c.holds = c.holds || c.passing },
		"an epoch is used for two": func(c *Core, o *core.Output) { raise(o, 0) },
		"an epoch is left out":     func(c *Core, o *core.Output) { raise(o, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 200; seed++ {
				r := newRing(3)
				r.mistake = mistake
				if run(seed, r).Failure != nil {
					return
				}
			}
			t.Error("200 runs show nothing")
		})
	}
}

// raise moves the epoch of each transfer from one above the sender's.
func raise(o *core.Output, by uint64) {
	for i, m := range o.AfterSync {
		if t, ok := m.Body.(Transfer); ok {
			o.AfterSync[i].Body = Transfer{t.Epoch - 1 + by}
		}
	}
}

func TestMessagesComeBackFromTheirEncoding(t *testing.T) {
	for _, m := range []core.Body{Transfer{1 << 63}, Ack{2}, Ask{}, Told{3, true}, Told{4, false}} {
		encoded := m.Append(nil)
		if got, err := Decode(encoded); err != nil || got != m {
			t.Errorf("%#v comes back as %#v, %v", m, got, err)
		}
		for cut := range encoded {
			if got, err := Decode(encoded[:cut]); err == nil && got != nil && cut != 9 {
				t.Errorf("%#v cut at byte %d is %#v", m, cut, got)
			}
		}
	}
	if _, err := Decode([]byte{99, 0, 0, 0, 0, 0, 0, 0, 0}); err == nil {
		t.Error("a message of no kind was decoded")
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	for _, o := range []Options{{ID: 1}, {ID: 1, Ring: []core.Address{2}, Hold: 1, Retry: 1}, {ID: 1, Ring: []core.Address{1}, Retry: 1}} {
		if _, err := New(o, core.Stored{}); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	if _, err := New(Options{ID: 1, Ring: []core.Address{1}, Hold: 1, Retry: 1}, core.Stored{Records: [][]byte{{1}}}); err == nil {
		t.Error(errors.New("a record of one byte was accepted"))
	}
}
