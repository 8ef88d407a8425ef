package effects_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

// panel is a shadow clock made of arithmetic, in the time of a synctest bubble. It can
// be told to do something else than it is asked to.
type panel struct {
	mu     sync.Mutex
	began  time.Time
	turned time.Duration // when wall and mono were last brought up to date
	wall   float64       // ahead of the truth, ns
	mono   float64
	rates  [2]float64
	held   map[string]history.ClockChange
	stop   map[string]chan struct{}

	unsure  time.Duration                                 // half the width of a reading
	twist   func(history.ClockChange) history.ClockChange // what it does instead
	seeing  []int
	blind   []int
	readErr error
}

func newPanel() *panel {
	return &panel{
		began: time.Now(), rates: [2]float64{1, 1}, unsure: 20 * time.Microsecond, seeing: []int{101},
		held: map[string]history.ClockChange{}, stop: map[string]chan struct{}{},
		twist: func(c history.ClockChange) history.ClockChange { return c },
	}
}

// catchUp brings the clocks to now; p.mu is held.
func (p *panel) catchUp() {
	now := time.Since(p.began)
	p.wall += (p.rates[0] - 1) * float64(now-p.turned)
	p.mono += (p.rates[1] - 1) * float64(now-p.turned)
	p.turned = now
}

func (p *panel) put(c history.ClockChange) {
	p.catchUp()
	if c.Of != history.MonotonicClock {
		p.wall, p.rates[0] = p.wall+float64(c.Jump), c.Rate
	}
	if c.Of != history.WallClock {
		p.mono, p.rates[1] = p.mono+float64(c.Jump), c.Rate
	}
}

func (p *panel) Change(by string, c history.ClockChange) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	time.Sleep(time.Millisecond)
	p.held[by] = c
	p.put(p.twist(c))
	return nil
}

func (p *panel) Strobe(by string, c history.ClockChange, period time.Duration) error {
	if err := p.Change(by, c); err != nil {
		return err
	}
	stop := make(chan struct{})
	p.stop[by] = stop
	go func() {
		c := p.twist(c)
		for {
			select {
			case <-time.After(period):
			case <-stop:
				return
			}
			p.mu.Lock()
			c.Jump = -c.Jump
			p.put(c)
			p.mu.Unlock()
		}
	}()
	return nil
}

func (p *panel) Restore(by string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, held := p.held[by]; !held {
		return nil
	}
	delete(p.held, by)
	if stop := p.stop[by]; stop != nil {
		close(stop)
		delete(p.stop, by)
	}
	p.catchUp()
	p.wall, p.rates = 0, [2]float64{1, 1}
	return nil
}

func (p *panel) Bent(by string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, held := p.held[by]
	return held
}

func (p *panel) Read() (agent.ClockOffsets, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	time.Sleep(100 * time.Microsecond)
	p.catchUp()
	u := int64(p.unsure)
	return agent.ClockOffsets{
		WallLow: int64(p.wall) - u, WallHigh: int64(p.wall) + u,
		MonoLow: int64(p.mono) - u, MonoHigh: int64(p.mono) + u, At: int64(p.turned),
	}, p.readErr
}

func (p *panel) Under() (seeing, blind []int, err error) { return p.seeing, p.blind, nil }

// host has that clock, and a ledger that holds every effect or none.
func host(t *testing.T, p *panel, inForce *bool) *agent.Host {
	return &agent.Host{Dir: t.TempDir(), Clocks: p, InForce: func(agent.Effect) bool { return *inForce }}
}

func jump(of string, by time.Duration) history.ClockChange {
	return history.ClockChange{Of: of, Jump: history.Duration(by), Rate: 1}
}

func rate(of string, rate float64) history.ClockChange {
	return history.ClockChange{Of: of, Rate: rate}
}

// What a probe says of a clock that was changed, or was not.
func TestEvidenceOfAChangedClock(t *testing.T) {
	faster := func(history.ClockChange) history.ClockChange { return rate("monotonic", 0.6) }
	for name, story := range map[string]struct {
		change  history.ClockChange
		period  time.Duration
		set     func(*panel)
		held    time.Duration // until it is probed
		shown   bool
		summary string // part of it
	}{
		"a step forward": {change: jump("wall", 8*time.Second), shown: true, summary: "wall clock moved by +8.000 s, asked for +8.000 s; seen by 1 process of the server"},
		"a step back":    {change: jump("wall", -time.Hour), shown: true, summary: "wall clock moved by -3600.000 s, asked for -3600.000 s"},
		"a step of both": {
			change: jump("both", 2*time.Second), held: time.Minute, shown: true,
			summary: "wall clock moved by +2.000 s, asked for +2.000 s, monotonic clock moved by +2.000 s, asked for +2.000 s",
		},
		"half speed, at once":       {change: rate("monotonic", 0.5), shown: true, summary: "monotonic clock ran at 0.4"},
		"half speed, after a while": {change: rate("monotonic", 0.5), held: 3 * time.Second, shown: true, summary: "monotonic clock ran at 0.5000 to 0.5002 of its rate, asked for 0.5, in 3.001s; seen by"},
		"a little fast":             {change: rate("both", 1.01), held: time.Second, shown: true, summary: "wall clock ran at 1.0"},
		"a freeze":                  {change: rate("both", 0), held: time.Second, shown: true, summary: "wall clock ran at -0.00"},
		"a strobe": {
			change: jump("wall", -time.Second), period: 50 * time.Millisecond, shown: true,
			summary: "times neither, asked for -1.000 s every 50ms",
		},
		"a clock that was ahead before": {
			change: jump("monotonic", time.Second), set: func(p *panel) { p.mono = 7e9 }, shown: true,
			summary: "monotonic clock moved by +1.000 s",
		},
		"nothing at all": {
			change: jump("wall", time.Second), set: func(p *panel) { p.twist = func(history.ClockChange) history.ClockChange { return rate("wall", 1) } },
			summary: "wall clock moved by +0.000 s, asked for +1.000 s",
		},
		"another step than was asked for": {
			change: jump("wall", 8*time.Second), set: func(p *panel) {
				p.twist = func(history.ClockChange) history.ClockChange { return jump("wall", 7*time.Second) }
			},
			summary: "wall clock moved by +7.000 s, asked for +8.000 s",
		},
		"another rate": {change: rate("monotonic", 0.5), set: func(p *panel) { p.twist = faster }, held: time.Second, summary: "monotonic clock ran at 0."},
		"the other clock, too": {
			change: jump("wall", time.Second), set: func(p *panel) {
				p.twist = func(history.ClockChange) history.ClockChange { return jump("both", time.Second) }
			},
			summary: "the monotonic clock moved too, by +1.000 s",
		},
		"a change smaller than what can be measured": {
			change: jump("wall", time.Second), set: func(p *panel) { p.unsure = 2 * time.Second },
			summary: "wall clock moved by between -3.000 s and +5.000 s, asked for +1.000 s",
		},
		"a strobe that stays there": {
			change: jump("wall", time.Second), period: 50 * time.Millisecond, set: func(p *panel) {
				p.twist = func(c history.ClockChange) history.ClockChange { return jump("monotonic", time.Second) }
			},
			summary: "wall clock seen there 0 times and back",
		},
		"a server that does not see it": {
			change: jump("wall", time.Second), set: func(p *panel) { p.blind = []int{77} },
			summary: "but process 77 does not see this clock",
		},
		"no server": {
			change: jump("wall", time.Second), set: func(p *panel) { p.seeing = nil },
			summary: "but no server runs that would see it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, inForce := newPanel(), true
				if story.set != nil {
					story.set(p)
				}
				h, e := host(t, p, &inForce), &effects.Shadow{ID: "f1", Change: story.change, Period: story.period}
				for range 2 { // the second changes nothing
					if err := e.Apply(h); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(story.held)
				got, err := e.Probe(h)
				if err != nil || got.Confirmed != story.shown || !strings.Contains(got.Summary, story.summary) {
					t.Errorf("in force: %v, %q, %v\nwant %v, %q", got.Confirmed, got.Summary, err, story.shown, story.summary)
				}
				inForce = false
				if got, err = e.Probe(h); err != nil || got.Confirmed || got.Summary != "the clock is still changed" {
					t.Errorf("before it was undone: %v, %q, %v", got.Confirmed, got.Summary, err)
				}
				for range 2 {
					if err := e.Undo(h); err != nil {
						t.Fatal(err)
					}
				}
				if got, err = e.Probe(h); err != nil || !got.Confirmed {
					t.Errorf("undone: %v, %q, %v", got.Confirmed, got.Summary, err)
				}
				time.Sleep(time.Second) // a strobe may look for its end
			})
		})
	}
}

func TestAClockThatDoesNotComeBackIsNoticed(t *testing.T) {
	for name, story := range map[string]struct {
		change history.ClockChange
		spoil  func(*panel)
	}{
		"the time of day stays wrong":        {jump("wall", time.Second), func(p *panel) { p.wall = 1e9 }},
		"the monotonic clock stays slow":     {rate("both", 0.5), func(p *panel) { p.rates[1] = 0.5 }},
		"the wall clock runs too fast after": {rate("wall", 2), func(p *panel) { p.rates[0] = 2 }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, inForce := newPanel(), true
				h, e := host(t, p, &inForce), &effects.Shadow{ID: "f1", Change: story.change}
				if err := e.Apply(h); err != nil {
					t.Fatal(err)
				}
				if err := e.Undo(h); err != nil {
					t.Fatal(err)
				}
				story.spoil(p)
				inForce = false
				if got, err := e.Probe(h); err != nil || got.Confirmed {
					t.Errorf("%v, %q, %v", got.Confirmed, got.Summary, err)
				}
			})
		})
	}
}

func TestTwoFaultsOnOneClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, inForce := newPanel(), true
		h := host(t, p, &inForce)
		first, second := &effects.Shadow{ID: "f1", Change: jump("wall", time.Second)}, &effects.Shadow{ID: "f2", Change: rate("monotonic", 0)}
		for _, e := range []agent.Effect{first, second} {
			if err := e.Apply(h); err != nil {
				t.Fatal(err)
			}
		}
		if err := first.Undo(h); err != nil {
			t.Fatal(err)
		}
		inForce = false
		if got, err := first.Probe(h); err != nil || !got.Confirmed || got.Summary != "let go of the clock, which another fault, f2, changes" {
			t.Errorf("%v, %q, %v", got.Confirmed, got.Summary, err)
		}
	})
}

func TestAnAgentThatForgotTheClockSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, inForce := newPanel(), true
		h, e := host(t, p, &inForce), &effects.Shadow{ID: "f1", Change: jump("wall", time.Second)}
		if err := e.Apply(h); err != nil {
			t.Fatal(err)
		}
		h.Clocks = newPanel()
		if got, err := e.Probe(h); err != nil || got.Confirmed || !got.Undone || got.Summary != "the clock is not changed: the agent that changed it is gone" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestClockChangesThatMakeNoSenseAreRefused(t *testing.T) {
	inForce := true
	h := host(t, newPanel(), &inForce)
	for want, e := range map[string]*effects.Shadow{
		`clock.shadow f1: "sun" is not wall, monotonic or both`:                          {ID: "f1", Change: jump("sun", 1)},
		`clock.shadow f1: a clock cannot run at -1 of its rate, only at 0 to 1000`:       {ID: "f1", Change: rate("wall", -1)},
		`clock.shadow f1: a jump of 200000h0m0s is more than ten years`:                  {ID: "f1", Change: jump("wall", 200_000*time.Hour)},
		`clock.shadow f1: it changes nothing`:                                            {ID: "f1", Change: rate("wall", 1)},
		`clock.shadow f1: a clock that strobes jumps, and does nothing else`:             {ID: "f1", Change: rate("wall", 2), Period: time.Second},
		`clock.shadow f1: a clock cannot jump every 1µs, only every millisecond or more`: {ID: "f1", Change: jump("wall", 1), Period: time.Microsecond},
		`clock.shadow: ID "a b" is not up to 32 letters, digits, dashes and underscores`: {ID: "a b", Change: jump("wall", 1)},
	} {
		if err := e.Apply(h); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if err := e.Undo(h); err != nil {
			t.Errorf("undo what was refused: %v", err)
		}
	}
	h.Clocks = nil
	e := &effects.Shadow{ID: "f1", Change: jump("wall", time.Second)}
	if err := e.Apply(h); err == nil || !strings.Contains(err.Error(), "this agent has no shadow clock") {
		t.Errorf("got %v", err)
	}
	if err := e.Undo(h); err != nil {
		t.Error(err)
	}
	broken := newPanel()
	broken.readErr = errors.New("ptrace is not permitted here")
	h.Clocks = broken
	if err := e.Check(h); err == nil || err.Error() != "the clocks of servers cannot be changed: ptrace is not permitted here" {
		t.Errorf("got %v", err)
	}
}
