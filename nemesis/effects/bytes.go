package effects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"nemesis/history"
	"nemesis/nodes"
	"nemesis/nodes/agent"
	"nemesis/nodes/hostile"
)

// BytesKind is Bytes' kind, OutsideBytesKind that of what the control side does alike, without an agent.
const (
	BytesKind        = "net.bytes"
	OutsideBytesKind = "net.bytes.outside"
)

// Bytes sends servers of other nodes what no client of theirs sends (package hostile), by a process on
// this node. It ends with the agent.
type Bytes struct {
	ID string `json:"id"`
	// Process is the supervised process of this node beside which it runs.
	Process string `json:"process"`
	// Input is what is sent to whom.
	Input hostile.Input `json:"input"`
}

const (
	// leastInputs is the part of the inputs a second that was asked for which must have been sent: a
	// machine may be busy, and a server slow to take connections.
	leastInputs = 0.1
	// countsName names the file in memory in which the sender counts.
	countsName = "nemesis-counts"
)

// Kind is BytesKind.
func (b *Bytes) Kind() string { return BytesKind }

// String is the effect in one line.
func (b *Bytes) String() string { return fmt.Sprintf("%s: to %v", b.ID, b.Input.Targets) }

// Check passes on an agent that can run a process of its own.
func (b *Bytes) Check(h *agent.Host) error {
	if h.Workers == nil {
		return errors.New("hostile input cannot be sent: this agent runs no processes of its own; it takes Linux")
	}
	return nil
}

// Apply starts the process, unless it runs.
func (b *Bytes) Apply(h *agent.Host) error {
	if err := checkID(BytesKind, b.ID); err != nil {
		return err
	}
	if err := b.Input.Check(); err != nil {
		return fmt.Errorf("%s %s: %w", BytesKind, b.ID, err)
	}
	if h.Workers == nil {
		return b.Check(h)
	}
	if h.Workers.PID(b) != 0 {
		return nil
	}
	return h.Workers.Start(b, b.Process)
}

// Undo ends the process, and with it all its connections.
func (b *Bytes) Undo(h *agent.Host) error {
	if checkID(BytesKind, b.ID) != nil || h.Workers == nil {
		return nil // it was refused, so it never acted
	}
	return h.Workers.Stop(b)
}

// Work sends, and keeps count in a file in memory.
func (b *Bytes) Work(ctx context.Context) error {
	if err := b.Input.Check(); err != nil {
		return fmt.Errorf("%s %s: %w", BytesKind, b.ID, err)
	}
	nodes.RaiseDescriptors(uint64(b.Input.Idle*len(b.Input.Targets) + 1000))
	file, err := memoryFile(countsName)
	if err != nil {
		return err
	}
	sender := hostile.New(b.Input)
	go sender.Run(ctx)
	for ctx.Err() == nil {
		text := append(sender.Counts().Text(), '\n')
		// Longer from one time to the next, but for the number of idle connections: what is
		// left of a longer text stands behind the end of the line.
		if _, err := file.WriteAt(text, 0); err != nil {
			return fmt.Errorf("count what is sent: %w", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}

// Probe reads what was sent so far.
func (b *Bytes) Probe(h *agent.Host) (e history.Evidence, err error) {
	if h.Workers == nil {
		return e, b.Check(h)
	}
	pid := h.Workers.PID(b)
	switch inForce := h.InForce(b); {
	case !inForce && pid != 0:
		return history.Evidence{Summary: fmt.Sprintf("process %d still sends", pid)}, nil
	case !inForce:
		return history.Evidence{Confirmed: true, Summary: "nothing is sent any more"}, nil
	case pid == 0:
		return history.Evidence{Undone: true, Summary: "the process that sent is gone: something else on the node ended it"}, nil
	}
	for range looks { // it takes a moment to begin
		text, err := readMemoryFile(pid, countsName)
		var c hostile.Counts
		if err == nil {
			err = json.NewDecoder(newLine(text)).Decode(&c)
		}
		if err == nil {
			e = InputEvidence(b.Input, c)
		} else {
			e = history.Evidence{Summary: err.Error()}
		}
		if e.Confirmed {
			break
		}
		time.Sleep(lookAgain)
	}
	return e, nil
}

// InputEvidence is what an input and its counts show: that every target took a connection, and that as much
// was sent as was asked for.
func InputEvidence(input hostile.Input, c hostile.Counts) history.Evidence {
	asked := float64(input.Rate * len(input.Targets))
	e := history.Evidence{Measures: []history.Measure{
		history.AtLeast("targets reached", float64(c.Reached), float64(len(input.Targets)), float64(len(input.Targets)), ""),
	}}
	sends := false // other than nothing
	for _, form := range input.Forms {
		sends = sends || form != hostile.Idle
	}
	if sends {
		// The first second may be spent on starting.
		e.Measures = append(e.Measures, history.AtLeast("inputs", float64(c.Inputs), asked*c.Seconds, leastInputs*asked*max(c.Seconds-1, 0.1), ""))
	}
	if input.Idle > 0 {
		e.Measures = append(e.Measures, history.AtLeast("idle connections", float64(c.MostIdle), float64(input.Idle*len(input.Targets)), 1, ""))
	}
	e.Measures = append(e.Measures,
		history.Measure{Name: "bytes sent", Value: float64(c.Bytes), Unit: "B"},
		history.Measure{Name: "answered", Value: float64(c.Answered)},
		history.Measure{Name: "closed by the server", Value: float64(c.Closed)},
		history.Measure{Name: "connections refused", Value: float64(c.Refused)})
	e.Confirmed = e.Within()
	e.Summary = fmt.Sprintf("sent %d inputs of %d bytes to %d of %d ports in %.2g s; %d were answered, %d connections closed by the server and %d refused; %d idle connections open, at most %d",
		c.Inputs, c.Bytes, c.Reached, len(input.Targets), c.Seconds, c.Answered, c.Closed, c.Refused, c.Idle, c.MostIdle)
	return e
}
