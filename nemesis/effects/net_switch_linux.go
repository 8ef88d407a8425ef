package effects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/history"
	"nemesis/nodes/agent"
	"nemesis/nodes/netswitch"
)

// Check opens a device and a socket in a network namespace of its own. An effect that names
// peers is asked about the way to them as well.
func (s *Switch) Check(h *agent.Host) error {
	if h.Workers == nil {
		return errors.New("packets cannot be changed: this agent runs no processes of its own")
	}
	err := aside(func() error {
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = netswitch.Try()
		}
		return err
	})
	switch {
	case errors.Is(err, os.ErrPermission):
		return errors.New("packets cannot be changed by a switch: that needs root (CAP_NET_ADMIN) here: log in as root or pass --sudo")
	case err != nil:
		return fmt.Errorf("packets cannot be changed by a switch: %s", inOneLine(err))
	}
	if len(s.Peers) > 0 {
		if err := netswitch.Reaches(s.Peers); err != nil {
			return fmt.Errorf("packets cannot be changed by a switch: %s", inOneLine(err))
		}
	}
	return nil
}

// openTime bounds how long a worker takes to say that it is at work: a process is started, on a
// machine that may be busy.
const openTime = 30 * time.Second

// Apply starts the worker, unless it runs, and waits until packets go through it.
func (s *Switch) Apply(h *agent.Host) error {
	if err := s.valid(); err != nil {
		return err
	}
	w := s.worker(h)
	if h.Workers.PID(w) == 0 {
		if err := netswitch.Remove(w.Device); err != nil { // of one whose agent was killed, which may take a moment to end
			return err
		}
		if err := h.Workers.Start(w, ""); err != nil {
			return err
		}
	}
	var last error
	for began := time.Now(); time.Since(began) < openTime; time.Sleep(10 * time.Millisecond) {
		status, err := netswitch.Ask(w.Device)
		switch {
		case err == nil && status.Error != "":
			_ = h.Workers.Stop(w)
			return fmt.Errorf("open the switch: %s", status.Error)
		case err == nil:
			return nil
		case h.Workers.PID(w) == 0:
			return errors.New("open the switch: its process ended at once")
		}
		last = err
	}
	return fmt.Errorf("open the switch: %w", last)
}

// Undo ends the worker. What is left of a device, of a worker that nobody can end, goes as well.
func (s *Switch) Undo(h *agent.Host) error {
	if s.valid() != nil || h.Workers == nil {
		return nil // it was refused, so it never acted
	}
	w := s.worker(h)
	return errors.Join(h.Workers.Stop(w), netswitch.Remove(w.Device))
}

// Work is the switch.
func (s *Switch) Work(ctx context.Context) error {
	if err := s.valid(); err != nil {
		return err
	}
	o := netswitch.Options{Device: s.Device, Peers: s.Peers, Rule: s.Rule, Seed: s.Seed}
	if s.Rule.Jam > 0 {
		// A jam lasts longer than a probe may.
		m := &monitor{seen: map[netip.Addr]echoes{}}
		go m.watch(ctx, s)
		o.Observe = m.told
	}
	return netswitch.Serve(ctx, o)
}

// monitor sends echoes to the peers all the time.
type monitor struct {
	mu   sync.Mutex
	seen map[netip.Addr]echoes
}

func (m *monitor) watch(ctx context.Context, s *Switch) {
	hold := time.Duration(s.Rule.Jam)
	ask := asking{change: s.Rule.PacketChange, every: max(hold*6/10/streamLength, time.Millisecond), most: patience(s.Rule.PacketChange) + 2*hold}
	for ctx.Err() == nil {
		seen, err := pingAs(s.Peers, ask)
		if err != nil {
			return // nothing is shown then
		}
		m.mu.Lock()
		for p, e := range seen {
			m.seen[p] = m.seen[p].and(e)
		}
		m.mu.Unlock()
	}
}

func (m *monitor) told() json.RawMessage {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[netip.Addr]jammedEcho{}
	for p, e := range m.seen {
		out[p] = jammedEcho{e.sent, e.answered, history.Duration(e.longest)}
	}
	text, _ := json.Marshal(out) // of such a map it cannot fail
	return text
}

// waitForJam is how long a probe waits for the first echoes that were held.
const waitForJam = 3 * time.Second

// Probe tells what the switch counted, what becomes of echoes to the peers, and which
// connections there are.
func (s *Switch) Probe(h *agent.Host) (history.Evidence, error) {
	if err := s.valid(); err != nil {
		return history.Evidence{}, err
	}
	if s.Connections {
		var e history.Evidence
		err := addConnections(&e, s.Peers)
		return e, err
	}
	w := s.worker(h)
	inForce, running := h.InForce(s.Applied()), h.Workers.PID(w) != 0
	there, err := netswitch.Exists(w.Device)
	if err != nil {
		return history.Evidence{}, err
	}
	switch {
	case !inForce && (running || there):
		return history.Evidence{Summary: "the switch " + w.Device + " is still there"}, nil
	case inForce && (!running || !there):
		return history.Evidence{Undone: true, Summary: "the switch is gone: something else on the node ended its process or removed its device"}, nil
	case inForce && !netswitch.Leads(w.Device, s.Peers):
		return history.Evidence{Undone: true, Summary: "packets do not go through the switch: something else on the node removed its routes"}, nil
	}
	if s.Glance {
		return history.Evidence{Confirmed: true, Summary: "the switch is there"}, nil
	}
	var seen map[netip.Addr]echoes
	var unseen error
	if s.Rule.Jam == 0 || !inForce { // the worker looks at those by itself
		// The echoes first, so that those which the switch loses are counted.
		seen, unseen = s.echo()
	}
	e := history.Evidence{Confirmed: true, Summary: "no switch of it is left"}
	if inForce {
		for began := time.Now(); ; time.Sleep(lookAgain) {
			status, err := netswitch.Ask(w.Device)
			if err != nil {
				return history.Evidence{}, err
			}
			// The first echoes of a jam take so long that a look just after its beginning waits for them.
			if e = s.counted(status); s.Rule.Jam == 0 || measured(e, jamAnswered) > 0 || time.Since(began) > waitForJam {
				break
			}
		}
	}
	if unseen != nil {
		e.Summary += "; no echoes: " + inOneLine(unseen)
	}
	for _, p := range s.Peers {
		e.Measures = append(e.Measures, seen[p].measures(p)...)
		if s.Rule.Damage > 0 {
			e.Measures = append(e.Measures, history.Measure{Name: changedOf(p), Value: float64(seen[p].changed), Unit: "echoes"})
		}
	}
	if s.Rule.Reset > 0 || s.Rule.HalfOpen > 0 {
		if err := addConnections(&e, s.Peers); err != nil {
			e.Summary += "; no list of connections: " + inOneLine(err)
		}
	}
	return e, nil
}

func (s *Switch) echo() (map[netip.Addr]echoes, error) {
	ask := asking{change: s.Rule.PacketChange, every: streamEvery, most: patience(s.Rule.PacketChange)}
	if s.Rule.Damage > 0 {
		ask.payload = damagePayload
	}
	return pingAs(s.Peers, ask)
}
