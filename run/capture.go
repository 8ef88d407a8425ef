package run

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/nodes/agent"
	"nemesis/nodes/capture"
)

// CaptureCommand is the hidden command that captures a node's packets, started by its agent.
const CaptureCommand = "capture"

const (
	// captureProcess is its name among the processes of a node.
	captureProcess = "packet-capture"
	captureDir     = "packet-capture"
	// captureStart is how long it may take until it captures.
	captureStart = 15 * time.Second
)

func readCapture(p *history.Plan, said string) (err error) {
	if said == "off" {
		p.Capture = 0
		return nil
	}
	p.Capture, err = ParseBytes(said)
	return err
}

func checkCapture(p *history.Plan) error {
	if c := p.Capture; c != 0 && (c < capture.Smallest || c > capture.Largest) {
		return fmt.Errorf("%d bytes are no ring to keep packets in; give from %d KiB to %d MiB, or off", c, capture.Smallest>>10, capture.Largest>>20)
	}
	return nil
}

// startCapture begins to capture packets on a node. A node that cannot is no trouble: a note
// says why.
func (r *runner) startCapture(ctx context.Context, m *agent.Client) {
	if r.plan.Capture == 0 {
		return
	}
	node := m.Node().Name
	if err := r.tryCapture(ctx, m); err != nil {
		r.note(node, "%s captures no packets: %v", node, err)
		_, _ = m.StopProcess(ctx, captureProcess, 0) // so that it is not taken for a server
	}
}

func (r *runner) tryCapture(ctx context.Context, m *agent.Client) error {
	argv := []string{agent.OwnExecutable, CaptureCommand, "--dir", ".", "--size", strconv.FormatInt(r.plan.Capture, 10)}
	for _, other := range r.machines {
		for _, address := range other.Node().Addresses() {
			argv = append(argv, "--node", address.String())
		}
	}
	ports := map[uint16]bool{}
	for _, c := range r.servers.Components() {
		if c.ClientPort != 0 && !ports[c.ClientPort] {
			ports[c.ClientPort] = true
			argv = append(argv, "--port", strconv.Itoa(int(c.ClientPort)))
		}
	}
	dir := path.Join(m.Dir(), captureDir)
	if err := m.RemoveAll(ctx, dir); err != nil {
		return err
	}
	if err := m.MakeDir(ctx, dir); err != nil {
		return err
	}
	if _, err := m.StartProcess(ctx, agent.ProcessSpec{Name: captureProcess, Argv: argv, Dir: captureDir}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, r.plan.Patience(captureStart))
	defer cancel()
	for {
		if _, size, err := m.ReadPart(ctx, path.Join(dir, capture.Parts()[0]), 0); err == nil && size > 0 {
			return nil
		}
		state, err := m.ProcessState(ctx, captureProcess)
		switch {
		case err != nil:
			return err
		case state.State == agent.Exited || state.State == agent.Absent:
			var said bytes.Buffer
			_ = m.Download(ctx, path.Join(m.Dir(), captureProcess+".log"), &said)
			lines := strings.Split(strings.TrimSpace(said.String()), "\n")
			return fmt.Errorf("%s", checker.ShowLine(lines[len(lines)-1]))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// saveCapture ends the capture of a node and keeps its packets in the run directory.
func (r *runner) saveCapture(ctx context.Context, m *agent.Client) {
	if r.plan.Capture == 0 {
		return
	}
	node := m.Node().Name
	if state, err := m.ProcessState(ctx, captureProcess); err != nil || state.State == agent.Absent {
		return // a note was made when it did not start
	}
	_, err := m.StopProcess(ctx, captureProcess, stopDeadline/3)
	var parts [][]byte
	for _, name := range capture.Parts() {
		var part bytes.Buffer
		// The second is there only if the first was full once.
		if m.Download(ctx, path.Join(m.Dir(), captureDir, name), &part) == nil {
			parts = append(parts, part.Bytes())
		}
	}
	var dir string
	if err == nil {
		dir, err = r.recording.current().Node(node)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, history.CaptureFile), capture.Join(parts...), 0o644)
	}
	if err != nil {
		r.note(node, "the packets that were captured on %s are not kept: %v", node, err)
	}
}

// dropCaptures removes the packets of a run in which nothing was found.
func dropCaptures(dir history.Dir, plan history.Plan, outcome checker.Outcome) {
	if plan.Capture == 0 || outcome != checker.Valid && outcome != checker.Vacuous {
		return
	}
	for _, node := range plan.Cluster.Nodes {
		_ = os.Remove(filepath.Join(dir.NodePath(node), history.CaptureFile))
	}
}
