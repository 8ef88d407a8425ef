package nemesis

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/nodes/agent"
)

// anyStep is a step of a fault with parameters, on the first of three nodes.
func anyStep(t *testing.T, fault Fault) history.Step {
	t.Helper()
	rng := dice(1)
	opt := Options{Faults: []string{fault.Info().Name}, Nodes: named(3), TimeLimit: time.Minute, Timing: quick, Settings: map[string]string{packetsSetting: "delay:80ms"}}
	dealer, err := fault.Parameters(rng, opt)
	if err != nil {
		t.Fatal(err)
	}
	form := fitting(fault, 3, Options{Leases: true})[0]
	step := on(fault, "n1")
	if form.Shape != "" {
		step = aimed(fault, Form{Shape: form.Shape, Target: "one"}, []string{"n1"})
	}
	if err := (&cards{fault: fault, parameters: dealer}).dealParameters(&step); err != nil {
		t.Fatal(err)
	}
	return step
}

// anyFault does one step of a fault in a world of three nodes whose power can be taken, and
// gives its stages.
func anyFault(t *testing.T, fault Fault, set func(*plugs)) map[history.Stage]*history.Fault {
	t.Helper()
	w := newWorld(3)
	for _, a := range w.agents {
		a.boot = "boot 0"
	}
	p := &plugs{world: w, boots: time.Second}
	in := p.power(w.injector())
	set(p)
	_ = in.Run(t.Context(), []history.Step{anyStep(t, fault)}, 0)
	time.Sleep(time.Hour) // whatever still waits for an answer
	return w.stages(1)
}

func TestEveryFaultIsConfirmedWhereNothingIsWrong(t *testing.T) {
	for _, fault := range Faults() {
		t.Run(fault.Info().Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stages := anyFault(t, fault, func(*plugs) {})
				if !stages[history.Heal].Confirmed || !stages[history.Healed].Confirmed {
					t.Errorf("confirmed %v, recovered %v: %s", stages[history.Heal].Confirmed, stages[history.Healed].Confirmed, stages[history.Heal].Error)
				}
			})
		})
	}
}

// Whatever an agent says of applying, no fault is confirmed that its probe does not show.
func TestNoFaultIsConfirmedAgainstItsProbe(t *testing.T) {
	for name, set := range map[string]func(*plugs){
		"the probe says that it does not act, although it was applied": func(p *plugs) {
			p.stuck = true // so that the agent of a machine without power answers
			for _, a := range p.agents {
				a.denies = true
			}
		},
		"it was refused, so the probe says that nothing is left of it": func(p *plugs) {
			p.stuck = true
			for _, a := range p.agents {
				a.refuses = true
			}
		},
		"the probe fails": func(p *plugs) {
			p.stuck = true
			for _, a := range p.agents {
				var undone atomic.Bool // calls of one agent come at once
				a.trouble = func(_ context.Context, call string) error {
					if call == "undo" {
						undone.Store(true)
					}
					if !undone.Load() && call == "probe" {
						return errors.New("input/output error")
					}
					return nil
				}
			}
		},
	} {
		for _, fault := range Faults() {
			t.Run(name+"/"+fault.Info().Name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					stages := anyFault(t, fault, set)
					for _, stage := range []history.Stage{history.Active, history.Heal} {
						if f := stages[stage]; f == nil || f.Confirmed || f.Error == "" {
							t.Errorf("at stage %s: %+v", stage, f)
						}
					}
				})
			})
		}
	}
}

func TestAFaultWithoutActionsIsNotConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		i := w.injector().newInjection(history.Step{ID: 1, Kind: "kill", Hold: history.Duration(time.Second)}, Binding{})
		i.hold(t.Context(), i.inject(t.Context(), int64(time.Second)))
		for stage, f := range w.stages(1) {
			if f.Confirmed {
				t.Errorf("it is confirmed at stage %s", stage)
			}
		}
	})
}

// A fault that something else undoes in the middle of its hold is not confirmed, and ends,
// for the record, when that was seen.
func TestFaultUndoneByOthersIsNotConfirmedForItsHold(t *testing.T) {
	for _, fault := range Faults() {
		if fault.Info().Name == powerCycle().Info().Name {
			continue // it gives the power back at once by itself
		}
		t.Run(fault.Info().Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const struck = 2500 * time.Millisecond // of the 1 s to 4 s that it is to hold
				stages := anyFault(t, fault, func(p *plugs) {
					time.AfterFunc(struck, func() {
						p.mu.Lock()
						defer p.mu.Unlock()
						p.restored = true
						for _, a := range p.agents {
							a.filters, a.swept = nil, true
							clear(a.changed)
							if a.server.State != agent.Running {
								p.pids++
								a.server.State, a.server.PID = agent.Running, p.pids
							}
						}
					})
				})
				heal := stages[history.Heal]
				if heal.Confirmed || heal.Error == "" {
					t.Errorf("confirmed %v, error %q", heal.Confirmed, heal.Error)
				}
				f := checker.FaultsOf(nil, eventsOf(stages))[0]
				switch fault.Info().Name {
				case "bytes": // what is sent from outside goes on
					if f.EndedEarly {
						t.Errorf("ended early: %+v", f)
					}
				case "packet": // one look takes most of its time
					if !f.EndedEarly {
						t.Errorf("not ended early: %+v", f)
					}
				default:
					if !f.EndedEarly || f.Healed < int64(struck) || f.Healed > int64(struck+1500*time.Millisecond) ||
						f.SeenFrom < int64(time.Second) || f.SeenUntil > int64(struck) || f.SeenUntil < f.SeenFrom {
						t.Errorf("seen in force from %s to %s, ended early %v at %s",
							time.Duration(f.SeenFrom), time.Duration(f.SeenUntil), f.EndedEarly, time.Duration(f.Healed))
					}
				}
			})
		})
	}
}

// What takes long to measure is looked at in between all the same.
func TestAPacketFaultThatIsUndoneIsSeenBeforeItsNextMeasurement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const struck = 6200 * time.Millisecond
		w := newWorld(3)
		step := anyStep(t, packet{})
		step.Hold = history.Duration(20 * time.Second)
		time.AfterFunc(struck, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, a := range w.agents {
				a.swept = true
				clear(a.changed)
			}
		})
		_ = w.injector().Run(t.Context(), []history.Step{step}, 0)
		heal := w.stages(1)[history.Heal]
		if heal.Confirmed || heal.SeenUntil == 0 || heal.Ended < int64(struck) || heal.Ended > int64(struck+time.Second) {
			t.Errorf("confirmed %v, seen until %s, ended at %s", heal.Confirmed, time.Duration(heal.SeenUntil), time.Duration(heal.Ended))
		}
	})
}

// A fault that goes between its last look and its heal was not in force to the end.
func TestAFaultUndoneJustBeforeItsHealIsNotConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stages := anyFault(t, partition{}, func(p *plugs) {
			time.AfterFunc(3950*time.Millisecond, func() { // it heals at 4 s
				p.mu.Lock()
				defer p.mu.Unlock()
				for _, a := range p.agents {
					a.filters, a.swept = nil, true
				}
			})
		})
		if heal := stages[history.Heal]; heal.Confirmed || heal.Ended < int64(3950*time.Millisecond) {
			t.Errorf("confirmed %v, ended at %s", heal.Confirmed, time.Duration(heal.Ended))
		}
	})
}

func eventsOf(stages map[history.Stage]*history.Fault) []history.Event {
	var events []history.Event
	for i, stage := range []history.Stage{history.Inject, history.Active, history.Heal, history.Healed} {
		if f := stages[stage]; f != nil {
			events = append(events, history.Event{Type: history.FaultChange, Time: int64(i+1) * int64(time.Second), Fault: f})
		}
	}
	return events
}

// A link that one end's filter still cuts is cut, though the other end's was deleted.
func TestPartitionHeldByItsOtherEndStaysConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stages := anyFault(t, partition{}, func(p *plugs) {
			time.AfterFunc(2500*time.Millisecond, func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.agents[0].filters, p.agents[0].swept = nil, true
			})
		})
		heal := stages[history.Heal]
		if !heal.Confirmed || heal.Ended != 0 {
			t.Errorf("confirmed %v, ended at %d: %s", heal.Confirmed, heal.Ended, heal.Error)
		}
		if heal.SeenUntil < int64(3500*time.Millisecond) {
			t.Errorf("seen in force until %s only", time.Duration(heal.SeenUntil))
		}
	})
}
