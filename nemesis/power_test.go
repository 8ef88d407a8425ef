package nemesis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

// plugs are the power of a world's machines. One that is off answers nothing, and one
// that was off has another agent, nothing of what was in force, and no server.
type plugs struct {
	*world
	// boots is how long a machine takes from its power to its agent.
	boots time.Duration
	// stuck machines keep their power whatever is asked; dead ones never come back;
	// unplugged ones lose their network and not their power.
	stuck, dead, unplugged bool
	// restored: somebody else gave all machines their power.
	restored bool
	// spent: the control node has no descriptor left to connect with.
	spent bool
	on    map[string]time.Time // since when each boots
}

// power gives a world's injector what faults of power need.
func (p *plugs) power(in *Injector) *Injector {
	p.on = map[string]time.Time{}
	in.Power, in.Reconnect, in.Dial = p, p.reconnect, p.dial
	in.Restart = func(_ context.Context, node string) error {
		a := p.agentOf(node)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.pids++
		a.server = agent.ProcessState{Name: "db", PID: p.pids, State: agent.Running, Started: 2}
		return nil
	}
	return in
}

func (w *world) agentOf(node string) *fakeAgent {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.agents[slices.IndexFunc(w.agents, func(a *fakeAgent) bool { return a.node.Name == node })]
}

func (p *plugs) Off(_ context.Context, node string) error {
	if p.stuck {
		return nil
	}
	a := p.agentOf(node)
	p.mu.Lock()
	defer p.mu.Unlock()
	a.trouble = hanging("state", "probe", "undo", "apply", "connect", "heal all")
	delete(p.on, node)
	p.on[node] = time.Time{}
	return nil
}

func (p *plugs) On(_ context.Context, node string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at, off := p.on[node]; off && at.IsZero() {
		p.on[node] = time.Now()
	}
	return nil
}

func (p *plugs) reconnect(_ context.Context, node string) error {
	a := p.agentOf(node)
	p.mu.Lock()
	defer p.mu.Unlock()
	began, was := p.on[node]
	if p.dead || was && (began.IsZero() || time.Since(began) < p.boots) {
		return errors.New("no route to host")
	}
	a.trouble, a.filters, a.dropped, a.changed = nil, nil, map[string]int{}, map[string]agent.Effect{}
	if was && !p.unplugged {
		p.pids++
		a.boot, a.server = "boot "+strconv.Itoa(p.pids), agent.ProcessState{Name: "db", State: agent.Exited}
	}
	return nil
}

func (p *plugs) dial(ctx context.Context, to netip.AddrPort) error {
	p.mu.Lock()
	i := slices.IndexFunc(p.agents, func(a *fakeAgent) bool { return slices.Contains(a.node.Addresses(), to.Addr()) })
	_, off := p.on[p.agents[i].node.Name]
	off = off && !p.restored
	spent := p.spent
	p.mu.Unlock()
	if spent {
		return &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}
	}
	if off {
		<-ctx.Done()
		return ctx.Err()
	}
	if to.Addr().Is6() {
		return fmt.Errorf("connect: %w", syscall.ECONNREFUSED)
	}
	return nil
}

func TestTheLifeOfAPowerOff(t *testing.T) {
	for name, story := range map[string]struct {
		step                 history.Step
		plugs                plugs
		confirmed, recovered bool
		errors               []string
		left                 string
	}{
		"one machine":         {step: on(powerOff(), "n1"), plugs: plugs{boots: 40 * time.Second}, confirmed: true, recovered: true},
		"all machines":        {step: on(powerOff(), "n1", "n2", "n3"), plugs: plugs{boots: 9 * time.Second}, confirmed: true, recovered: true},
		"a machine for a bit": {step: on(powerCycle(), "n2"), plugs: plugs{boots: time.Second}, confirmed: true, recovered: true},
		"a machine that keeps its power": {
			step: on(powerOff(), "n1"), plugs: plugs{stuck: true}, recovered: true,
			errors: []string{"n1: nothing shows that it acted: its agent still answers", "n1: nothing shows that it acted: the machine did not boot again: its boot id is boot 0 as before"},
		},
		"a machine that only loses its network": {
			step: on(powerOff(), "n1"), plugs: plugs{unplugged: true, boots: time.Second}, recovered: true,
			errors: []string{"the machine did not boot again"},
		},
		"a machine that nobody could ask for its port": {
			step: on(powerOff(), "n1"), plugs: plugs{spent: true, boots: time.Second}, confirmed: true, recovered: true,
			errors: []string{"n1: nothing shows what its power does: connect to n1 from the control node: dial: socket: too many open files"},
		},
		"a machine that does not come back": {
			step: on(powerOff(), "n3"), plugs: plugs{dead: true},
			errors: []string{"n3: reach n3 after its power came back: no route to host"}, left: "nothing shows that n3 recovered",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(3)
				for _, a := range w.agents {
					a.boot = "boot 0"
				}
				story.plugs.world = w
				in := story.plugs.power(w.injector())
				err := in.Run(t.Context(), []history.Step{story.step}, 0)
				if (err == nil) != (story.left == "") || err != nil && !strings.Contains(err.Error(), story.left) {
					t.Errorf("Run returned %v", err)
				}
				stages := w.stages(1)
				wrong := ""
				for _, stage := range stages {
					wrong += stage.Error + "\n"
				}
				for _, want := range story.errors {
					if !strings.Contains(wrong, want) {
						t.Errorf("recorded errors\n%slack %q", wrong, want)
					}
				}
				if story.errors == nil && strings.TrimSpace(wrong) != "" {
					t.Errorf("recorded errors: %s", wrong)
				}
				if got := stages[history.Heal].Confirmed; got != story.confirmed {
					t.Errorf("confirmed: %v", got)
				}
				if got := stages[history.Healed].Confirmed; got != story.recovered {
					t.Errorf("recovered: %v", got)
				}
				inOrder(t, w.events)
				if broken := w.broken(); (broken == nil) != story.recovered && !story.plugs.dead {
					t.Errorf("afterwards: %v", broken)
				}
				time.Sleep(time.Hour) // whatever still waits for an answer
			})
		})
	}
}

func TestWhatShowsThatAMachineHadNoPower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		w.agents[0].boot = "a"
		p := &plugs{world: w, boots: 20 * time.Second}
		if err := p.power(w.injector()).Run(t.Context(), []history.Step{on(powerOff(), "n1")}, 0); err != nil {
			t.Fatal(err)
		}
		for stage, want := range map[history.Stage]string{
			history.Active: "its agent does not answer, nor does its port, which did before",
			history.Heal:   "boot id boot 104, before a",
			history.Healed: "booted again; server running, process id 105",
		} {
			if got := w.stages(1)[stage].Effects[0].Evidence.Summary; got != want {
				t.Errorf("%s: got %q, want %q", stage, got, want)
			}
		}
		if got := w.at(history.Heal); got < 24*time.Second || got > 26*time.Second {
			t.Errorf("it was healed from %s on, and booted from 4 s to 24 s", got)
		}
	})
}

// The fault after it is done by the agent of the next boot.
func TestFaultsGoOnAfterAPowerOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		p := &plugs{world: w, boots: 5 * time.Second}
		next := on(pause(), "n1")
		next.ID, next.At = 2, history.Duration(20*time.Second)
		if err := p.power(w.injector()).Run(t.Context(), []history.Step{on(powerOff(), "n1"), next}, 0); err != nil {
			t.Fatal(err)
		}
		if heal := w.stages(2)[history.Heal]; !heal.Confirmed {
			t.Errorf("the pause was not seen: %s", heal.Error)
		}
		time.Sleep(time.Hour)
	})
}

// The plan knows nothing of boots: what comes after one comes as late as that made it.
func TestABootPostponesWhatFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		p := &plugs{world: w, boots: 50 * time.Second}
		in := p.power(w.injector())
		off, next := on(powerOff(), "n1"), on(pause(), "n2")
		gap := 6 * time.Second // from the heal of one to the beginning of the other
		next.ID, next.At = 2, off.At+off.Hold+history.Duration(gap)
		meanwhile := time.AfterFunc(time.Duration(off.At+off.Hold)+20*time.Second, func() {
			if by := in.Postponed(); by < 19*time.Second || by > 21*time.Second {
				t.Errorf("after 20 s of the boot, postponed by %v", by)
			}
		})
		defer meanwhile.Stop()
		if err := in.Run(t.Context(), []history.Step{off, next}, 0); err != nil {
			t.Fatal(err)
		}
		if by := in.Postponed(); by < 50*time.Second || by > 52*time.Second {
			t.Errorf("postponed by %v, and the machine booted for 50 s", by)
		}
		moment := func(id int, stage history.Stage) int64 {
			i := slices.IndexFunc(w.events, func(e history.Event) bool { return e.Fault != nil && e.Fault.ID == id && e.Fault.Stage == stage })
			return w.events[i].Time
		}
		if got := time.Duration(moment(2, history.Inject) - moment(1, history.Healed)); got < gap-time.Second || got > gap+time.Second {
			t.Errorf("the next fault came %s after it was healed, and in the plan after %s", got, gap)
		}
		time.Sleep(time.Hour)
	})
}

// A run that is given up leaves no machine without power.
func TestARunThatEndsDuringAPowerOffTurnsTheMachineOn(t *testing.T) {
	for _, end := range []time.Duration{1500 * time.Millisecond, 3 * time.Second, 5 * time.Second, 12 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(3)
			p := &plugs{world: w, boots: 10 * time.Second}
			ctx, cancel := context.WithTimeout(t.Context(), end)
			defer cancel()
			for _, a := range w.agents {
				a.boot = "boot 0"
			}
			if err := p.power(w.injector()).Run(ctx, []history.Step{on(powerOff(), "n2")}, 0); err != nil {
				t.Error(err)
			}
			if at := p.on["n2"]; at.IsZero() || w.broken() != nil {
				t.Errorf("ended after %s: turned on %v, %v", end, at, w.broken())
			}
			inOrder(t, w.events)
			time.Sleep(time.Hour)
		})
	}
}

func TestNobodyTakesThePower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		if err := w.injector().Run(t.Context(), []history.Step{on(powerOff(), "n1")}, 0); err != nil {
			t.Error(err)
		}
		if got, want := w.stages(1)[history.Inject], "resolve step 1: a power-off cannot be done: nobody can turn the machines' power off and on"; !got.Skipped || got.Error != want {
			t.Errorf("got %+v", got)
		}
	})
}

// A packet fault is measured before, during and after on every node that does it.
func TestTheLifeOfAPacketFault(t *testing.T) {
	bad := func(w *world) history.Step {
		step := aimed(packet{}, Form{Shape: "one-way-out", Target: "one"}, []string{"n1"})
		return with(step, history.PacketChange{Delay: history.Duration(80 * time.Millisecond)})
	}
	for name, story := range map[string]struct {
		set                  func(*world)
		confirmed, recovered bool
		errors               string
	}{
		"as asked": {confirmed: true, recovered: true},
		"an emulator that delays nothing": {
			set: func(w *world) { w.agents[0].numb = true }, recovered: true,
			errors: "n1: nothing shows that it acted: netem; echoes took up to 1 ms before and take at least 1 ms now (asked for 80 ms more)",
		},
		"a node that refuses": {
			set: func(w *world) { w.agents[0].trouble = failing("apply") }, recovered: true, errors: "n1: apply net.netem: operation not permitted",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(3)
				if story.set != nil {
					story.set(w)
				}
				if err := w.injector().Run(t.Context(), []history.Step{bad(w)}, 0); err != nil {
					t.Error(err)
				}
				heal, healed := w.stages(1)[history.Heal], w.stages(1)[history.Healed]
				wrong := w.stages(1)[history.Active].Error + heal.Error + healed.Error
				if heal.Confirmed != story.confirmed || healed.Confirmed != story.recovered || !strings.Contains(wrong, story.errors) || story.errors == "" && wrong != "" {
					t.Errorf("confirmed %v, recovered %v, %s", heal.Confirmed, healed.Confirmed, wrong)
				}
				if broken := w.broken(); broken != nil {
					t.Errorf("afterwards: %v", broken)
				}
			})
		})
	}
}

// emulated is what a world's emulator shows: echoes that take as long as it says.
func (a *fakeAgent) emulated(e *effects.Netem, undone bool) history.Evidence {
	_, there := a.changed[clockKey(e)]
	seen := history.Evidence{Confirmed: there != undone, Summary: "netem"}
	trip := 0.001
	if there {
		trip += time.Duration(e.Change.Delay).Seconds()
	}
	for _, p := range e.Peers {
		of := " " + p.String()
		seen.Measures = append(seen.Measures, history.Measure{Name: "sent" + of, Value: 40}, history.Measure{Name: "answered" + of, Value: 40},
			history.Measure{Name: "round trip" + of, Value: trip})
	}
	return seen
}
