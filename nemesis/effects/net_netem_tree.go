package effects

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// traffic is the part of a node's kernel that sends packets.
type traffic interface {
	// route finds the interface by which packets reach an address.
	route(to netip.Addr) (device, error)
	devices() ([]device, error)
	// queues lists what is on an interface for packets that leave.
	queues(device) ([]queue, error)
	add(device, piece) error
	// remove takes the tree away that has this number, and fails when another has its
	// place.
	remove(d device, tree uint16) error
	// plain is the queue that the kernel gives an interface by itself; "" when it does
	// not say.
	plain() string
	// echo measures the way to addresses and back; see echoes.
	echo(to []netip.Addr, change history.PacketChange) (map[netip.Addr]echoes, error)
}

// device is a network interface.
type device struct {
	index    int
	name     string
	loopback bool
}

// queue is one queueing discipline on an interface.
type queue struct {
	kind           string
	handle, parent uint32
	// packets and bytes went through, dropped were thrown away, waiting are inside.
	packets, bytes, dropped, waiting uint64
}

// root is the queue that all packets leave through, and its number; 0 for one that
// the kernel made by itself.
func root(queues []queue) (queue, uint16) {
	for _, q := range queues {
		if q.parent == atRoot {
			return q, uint16(q.handle >> 16)
		}
	}
	return queue{}, 0
}

// kinds names an interface's queues: two that agree in it are the same to us, as long
// as the kernel made them by itself.
func kinds(queues []queue) string {
	var names []string
	for _, q := range queues {
		names = append(names, q.kind)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// shaper puts an effect's trees on a node's interfaces.
type shaper struct {
	*Netem
	host    *agent.Host
	traffic traffic
	// note is what was on each interface before, by name.
	note note
}

func (n *Netem) shaper(h *agent.Host, t traffic) shaper {
	return shaper{n, h, t, noteOf(h, NetemKind, n.ID)}
}

// ways are the interfaces that lead to the peers, with the peers behind each.
func (s shaper) ways() ([]device, map[device][]netip.Addr, error) {
	var order []device
	behind := map[device][]netip.Addr{}
	for _, p := range s.Peers {
		d, err := s.traffic.route(p)
		if err != nil {
			return nil, nil, fmt.Errorf("find the way to %s: %w", p, err)
		}
		if d.loopback {
			return nil, nil, fmt.Errorf("the way to %s does not leave this node: a peer must be another node", p)
		}
		if behind[d] == nil {
			order = append(order, d)
		}
		behind[d] = append(behind[d], p)
	}
	return order, behind, nil
}

// free says why a tree of ours cannot be put on an interface; nil when it can, or when
// it is there.
func (s shaper) free(d device, queues []queue) error {
	ours, _ := s.numbers(s.host)
	q, number := root(queues)
	switch {
	case number == ours:
		return nil
	case number != 0:
		return fmt.Errorf("%s has a queueing discipline already, %s %x:, which is not ours to replace: delete it (tc qdisc del dev %s root) or leave the fault packet out", d.name, q.kind, number, d.name)
	}
	// The kernel makes what it would make now, not what it made then.
	plain := s.traffic.plain()
	for _, q := range queues {
		if plain != "" && q.kind != plain && q.kind != "mq" && q.kind != "noqueue" {
			return fmt.Errorf("%s has the queueing discipline %s and the kernel would put %s in its place when ours goes: set net.core.default_qdisc to %s, or leave the fault packet out", d.name, q.kind, plain, q.kind)
		}
	}
	return nil
}

func (s shaper) apply() error {
	order, behind, err := s.ways()
	if err != nil {
		return err
	}
	before := map[string]string{}
	_, noted := s.note.read(&before)
	if noted != nil || before == nil {
		before = map[string]string{}
	}
	ours, emulator := s.numbers(s.host)
	var todo []device
	for _, d := range order {
		queues, err := s.traffic.queues(d)
		if err != nil {
			return err
		}
		if err := s.free(d, queues); err != nil {
			return err
		}
		whole := slices.ContainsFunc(queues, func(q queue) bool { return q.kind == "netem" && uint16(q.handle>>16) == emulator })
		switch _, number := root(queues); {
		case number == ours && whole:
			continue // it stays, with its counters
		case number == ours:
			if err := s.traffic.remove(d, ours); err != nil { // its maker did not live to finish it
				return err
			}
		default:
			before[d.name] = kinds(queues)
		}
		todo = append(todo, d)
	}
	if err := s.note.write(before); err != nil {
		return err
	}
	for _, d := range todo {
		for _, p := range s.tree(s.host, behind[d]) {
			if err := s.traffic.add(d, p); err != nil {
				return fmt.Errorf("put the %s on %s: %w", p.kind, d.name, err)
			}
		}
	}
	return nil
}

// undo deletes the trees wherever they are: routes may have changed meanwhile. The
// note stays for the probe where there was one to delete.
func (s shaper) undo() error {
	found, err := s.found()
	if err != nil {
		return err
	}
	ours, _ := s.numbers(s.host)
	for _, d := range found {
		if err := s.traffic.remove(d.device, ours); err != nil {
			return fmt.Errorf("delete the queueing discipline %x: of %s: %w", ours, d.name, err)
		}
	}
	if len(found) == 0 {
		return s.note.remove()
	}
	return nil
}

// shaped is an interface with a tree of ours.
type shaped struct {
	device
	emulator queue
}

func (s shaper) found() ([]shaped, error) {
	devices, err := s.traffic.devices()
	if err != nil {
		return nil, err
	}
	ours, emulator := s.numbers(s.host)
	var out []shaped
	for _, d := range devices {
		queues, err := s.traffic.queues(d)
		if err != nil {
			return nil, err
		}
		if q, number := root(queues); number != ours || q.kind != "prio" {
			continue
		}
		at := shaped{device: d}
		for _, q := range queues {
			if uint16(q.handle>>16) == emulator {
				at.emulator = q
			}
		}
		out = append(out, at)
	}
	return out, nil
}

// probe tells what the emulators did so far, and how long echoes take and what becomes
// of them. Before the effect is in force the echoes alone are told, to compare with.
func (s shaper) probe() (history.Evidence, error) {
	var seen map[netip.Addr]echoes
	var unseen error
	if !s.Glance {
		// The echoes first, so that those which the emulators lose are counted.
		seen, unseen = s.traffic.echo(s.Peers, s.Change)
	}
	found, err := s.found()
	if err != nil {
		return history.Evidence{}, err
	}
	var e history.Evidence
	switch {
	case s.host.InForce(s.Applied()):
		if len(found) == 0 {
			return history.Evidence{Undone: true, Summary: "the queueing discipline is gone: something else on the node deleted it"}, nil
		}
		if e = counted(found); s.Glance {
			return e, nil
		}
	case len(found) > 0:
		return history.Evidence{Summary: "the queueing discipline of " + found[0].name + " is still there"}, nil
	default:
		wrong, err := s.restored()
		if err != nil || wrong != "" {
			return history.Evidence{Summary: wrong}, err
		}
		e = history.Evidence{Confirmed: true, Summary: "no queueing discipline of it is left"}
	}
	if unseen != nil { // the counters say what they say all the same
		e.Summary += "; no echoes: " + inOneLine(unseen)
	}
	for _, p := range s.Peers {
		e.Measures = append(e.Measures, seen[p].measures(p)...)
	}
	return e, nil
}

// restored says what an interface has now instead of what it had before; "" when
// they agree.
func (s shaper) restored() (string, error) {
	before := map[string]string{}
	if there, err := s.note.read(&before); err != nil || !there {
		return "", err
	}
	devices, err := s.traffic.devices()
	if err != nil {
		return "", err
	}
	for _, d := range devices {
		was, noted := before[d.name]
		if !noted {
			continue
		}
		queues, err := s.traffic.queues(d)
		if err != nil {
			return "", err
		}
		if now := kinds(queues); now != was {
			return fmt.Sprintf("%s has the queueing disciplines %q now and had %q before", d.name, now, was), nil
		}
	}
	return "", nil
}

// counted is what the emulators' own counters say.
func counted(found []shaped) history.Evidence {
	var sum queue
	for _, d := range found {
		sum.packets += d.emulator.packets
		sum.bytes += d.emulator.bytes
		sum.dropped += d.emulator.dropped
		sum.waiting += d.emulator.waiting
	}
	return history.Evidence{
		Confirmed: sum.packets+sum.dropped > 0,
		Summary:   fmt.Sprintf("%d packets went through the emulator, %d more it dropped", sum.packets, sum.dropped),
		Measures: []history.Measure{
			{Name: emulated, Value: float64(sum.packets), Unit: "packets"},
			{Name: emulatedAway, Value: float64(sum.dropped), Unit: "packets"},
			{Name: "emulated bytes", Value: float64(sum.bytes), Unit: "B"},
			{Name: "waiting", Value: float64(sum.waiting), Unit: "packets"},
		},
	}
}

// The names of measures that are looked for again.
const (
	emulated     = "emulated"
	emulatedAway = "emulated away"
)

// inOneLine is an error on one line.
func inOneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// check looks whether the interfaces are free; for an empty effect, whether any is.
func (s shaper) check() error {
	if len(s.Peers) > 0 {
		order, _, err := s.ways()
		for _, d := range order {
			queues, listed := s.traffic.queues(d)
			err = errors.Join(err, listed, s.free(d, queues))
		}
		return err
	}
	devices, err := s.traffic.devices()
	if err != nil {
		return err
	}
	var taken error
	for _, d := range devices {
		if d.loopback {
			continue
		}
		queues, err := s.traffic.queues(d)
		if err != nil {
			return err
		}
		if err = s.free(d, queues); err == nil {
			return nil
		}
		taken = err
	}
	if taken == nil {
		return errors.New("this node has no network interface but its loopback")
	}
	return taken
}
