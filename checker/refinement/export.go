package refinement

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"nemesis/history"
)

// Exported is a line of Export: a step in the order of all nodes.
type Exported struct {
	// Step is its number in that order, from 1.
	Step int    `json:"step"`
	Node string `json:"node"`
	// ID is the node's number, which events name; Process is which of its processes took the step, from 1, Line
	// which line of that process' trace says so, from 0, and At nanoseconds since the process began.
	ID      uint64 `json:"id"`
	Process int    `json:"process"`
	Line    uint64 `json:"line"`
	At      int64  `json:"at"`
	// Kind is what Event is: start, or a step of the specification.
	Kind  string          `json:"kind"`
	Event json.RawMessage `json:"event"`
}

// Export writes the traces of a run as JSON lines, merged in the order in which the checker takes them. It judges
// nothing. losses are why steps may be missing, a clause each.
func Export(w io.Writer, dir history.Dir, nodes []string, name string, find Specifications) (losses []string, err error) {
	traces, missing, err := open(dir, nodes)
	if err != nil {
		return nil, err
	}
	defer closeAll(traces)
	if len(traces) == 0 {
		return nil, errors.New("no node has a trace")
	}
	spec := find(name, len(nodes))
	if spec == nil {
		return nil, fmt.Errorf("this nemesis does not know the specification %s", history.Quote([]byte(name)))
	}
	m, err := newMerger(spec, traces)
	if err != nil {
		return nil, err
	}
	out := bufio.NewWriter(w)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	for n := 1; ; n++ {
		s, err := m.next()
		if err != nil {
			return nil, errors.Join(err, out.Flush())
		}
		if s == nil {
			break
		}
		if err := lines.Encode(Exported{n, s.Node, s.ID, s.Process, s.Line.Line, s.Line.At, s.Line.Step, s.Line.Event}); err != nil {
			return nil, fmt.Errorf("write the steps: %w", err)
		}
	}
	for _, node := range missing {
		losses = append(losses, "there is no trace of "+node)
	}
	return append(losses, m.losses()...), out.Flush()
}
