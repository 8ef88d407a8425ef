package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nodes"
)

// Node is the machine the agent runs on.
func (c *Client) Node() nodes.Node { return c.node }

// Facts are what the agent found when it started.
func (c *Client) Facts() Facts { return c.agent().facts }

// Dir is the agent's directory on the node. Relative paths below are relative to it,
// and no path outside it is ever written.
func (c *Client) Dir() string { return c.Facts().Dir }

// Upload puts a file of the control node on the node, skipping the transfer when the
// node has the same content (by hash).
func (c *Client) Upload(ctx context.Context, localPath, path string, mode uint32) error {
	f, info, err := history.Open(localPath)
	if err != nil {
		return fmt.Errorf("upload %s to %s: %w", localPath, c.node.Name, err)
	}
	defer f.Close()
	if err := c.place(ctx, f, info.Size(), path, mode); err != nil {
		return fmt.Errorf("upload %s to %s:%s: %w", localPath, c.node.Name, path, err)
	}
	return nil
}

// WriteFile writes content at path, whole or not at all; parent directories are made.
func (c *Client) WriteFile(ctx context.Context, path string, content []byte, mode uint32) error {
	var err error
	if len(content) <= maxPayload {
		err = c.call(ctx, doWrite, file{Path: path, Mode: mode}, content, nil)
	} else {
		err = c.place(ctx, bytes.NewReader(content), int64(len(content)), path, mode)
	}
	if err != nil {
		return fmt.Errorf("write %s:%s: %w", c.node.Name, path, err)
	}
	return nil
}

// place asks the node to put the content at path from what it has, and sends it
// when it does not have it.
func (c *Client) place(ctx context.Context, content io.ReaderAt, size int64, path string, mode uint32) error {
	sum, err := contentOf(content, size)
	if err != nil {
		return err
	}
	c.uploading.Lock()
	defer c.uploading.Unlock()
	want := placement{SHA256: sum, Size: size, Path: path, Mode: mode}
	var got placed
	if err := c.call(ctx, doPlace, want, nil, &got); err != nil || !got.Missing {
		return err
	}
	part := make([]byte, maxPayload/2)
	for offset := int64(0); ; {
		n, err := content.ReadAt(part[:min(int64(len(part)), size-offset)], offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n == 0 && offset < size {
			return errors.New("the file became shorter while it was sent")
		}
		end := offset+int64(n) >= size
		if err := c.call(ctx, doSend, chunk{SHA256: sum, Offset: offset, End: end}, part[:n], nil); err != nil {
			return err
		}
		offset += int64(n)
		if end {
			break
		}
	}
	got = placed{} // decoding keeps what an answer leaves out
	if err := c.call(ctx, doPlace, want, nil, &got); err != nil {
		return err
	}
	if got.Missing {
		return errors.New("the node lost the content that was just sent")
	}
	return nil
}

// MakeDir makes a directory and its parents.
func (c *Client) MakeDir(ctx context.Context, path string) error {
	return c.on("make directory", path, c.call(ctx, doMkdir, file{Path: path, Mode: 0o755}, nil, nil))
}

// RemoveAll removes path and what is in it; a path that is not there is removed already.
func (c *Client) RemoveAll(ctx context.Context, path string) error {
	return c.on("remove", path, c.call(ctx, doRemove, file{Path: path}, nil, nil))
}

// Download copies the file at path to w, as long as it is when the copying begins.
func (c *Client) Download(ctx context.Context, path string, w io.Writer) error {
	_, err := c.fetch(ctx, doRead, path, w, maxInt64, 0)
	return err
}

// A log is collected up to this length. Of a longer one the beginning, with how the server
// was started, and the end, with its last words, are kept.
const (
	LogBeginning = 8 << 20 // bytes
	LogEnd       = 8 << 20 // bytes
)

// DownloadLog copies the log at path to w. Of one that is longer than LogBeginning and
// LogEnd together it copies those two parts, with a line between them that says what is
// left out, and returns how many bytes that is.
func (c *Client) DownloadLog(ctx context.Context, path string, w io.Writer) (leftOut int64, err error) {
	return c.fetch(ctx, doRead, path, w, LogBeginning, LogEnd)
}

// ReadPart reads the file at path from an offset on, up to some hundred KiB of it, and tells
// how long it is.
func (c *Client) ReadPart(ctx context.Context, path string, offset int64) (part []byte, size int64, err error) {
	answer, err := c.agent().exchange(ctx, doRead, chunk{Path: path, Offset: offset}, nil)
	var got chunk
	if err == nil {
		err = json.Unmarshal(answer.Body, &got)
	}
	if err != nil {
		return nil, 0, c.on("read", path, err)
	}
	return answer.payload, got.Size, nil
}

// AgentLog copies the agent's own log: what it and those before it did, and when.
func (c *Client) AgentLog(ctx context.Context, w io.Writer) error {
	_, err := c.fetch(ctx, doLog, "agent.log", w, maxInt64, 0)
	return err
}

const maxInt64 = 1<<63 - 1

// fetch copies a file's first bytes and its last ones, and returns how many lie between
// them. How long the file is, is what it is when the copying begins.
func (c *Client) fetch(ctx context.Context, do, path string, w io.Writer, beginning, end int64) (leftOut int64, err error) {
	from := c.agent() // parts of one file must not come from two boots
	stop := int64(maxInt64)
	for offset := int64(0); ; {
		answer, err := from.exchange(ctx, do, chunk{Path: path, Offset: offset}, nil)
		if err != nil {
			return leftOut, c.on("download", path, err)
		}
		var got chunk
		if err := json.Unmarshal(answer.Body, &got); err != nil {
			return leftOut, c.on("download", path, err)
		}
		part := answer.payload
		if offset == 0 && got.Size-end > beginning {
			leftOut, stop = got.Size-end-beginning, got.Size
		}
		skip := leftOut > 0 && offset < beginning && offset+int64(len(part)) >= beginning
		if skip {
			part = part[:beginning-offset]
		}
		part = part[:min(int64(len(part)), stop-offset)]
		if _, err := w.Write(part); err != nil {
			return leftOut, c.on("download", path, err)
		}
		offset += int64(len(part))
		if skip {
			if _, err := fmt.Fprintf(w, "\n[nemesis left out %d bytes of this log here]\n", leftOut); err != nil {
				return leftOut, c.on("download", path, err)
			}
			offset += leftOut
			continue
		}
		if got.End || offset >= stop {
			return leftOut, nil
		}
		if len(part) == 0 {
			return leftOut, c.on("download", path, errors.New("the agent sent nothing more, and no end"))
		}
	}
}

// StartProcess starts a supervised process, with Options.Shadow under the shadow clock and
// with Options.Disk on disks of ours; one that already runs is left alone.
func (c *Client) StartProcess(ctx context.Context, spec ProcessSpec) (ProcessState, error) {
	var state ProcessState
	spec.Shadow = spec.Shadow || c.opt.Shadow
	spec.Disk = spec.Disk || c.opt.Disk
	err := c.call(ctx, doStart, spec, nil, &state)
	return state, c.on("start", spec.Name, err)
}

// StopProcess asks it to end (SIGTERM), and kills it after grace. One that is
// paused is killed after grace too, since it cannot answer. It stays down: faults
// that are undone later do not start it again.
func (c *Client) StopProcess(ctx context.Context, name string, grace time.Duration) (ProcessState, error) {
	var state ProcessState
	err := c.call(ctx, doStop, stopping{Name: name, Grace: int64(grace)}, nil, &state)
	return state, c.on("stop", name, err)
}

// ProcessState is read from the node's /proc; State is Absent for an unknown name.
func (c *Client) ProcessState(ctx context.Context, name string) (ProcessState, error) {
	var state ProcessState
	err := c.call(ctx, doState, stopping{Name: name}, nil, &state)
	return state, c.on("look at", name, err)
}

// Exits yields each end of a supervised process, whichever agent tells it. Close closes
// the channel.
func (c *Client) Exits() <-chan history.Exit { return c.exits.c }

// Check says why the node cannot do the effect; nil when it can.
func (c *Client) Check(ctx context.Context, e Effect) error { return c.act(ctx, doCheck, e, nil) }

// Apply writes the effect to the ledger, then brings it about. An effect that
// fails is undone at once and not in force.
func (c *Client) Apply(ctx context.Context, e Effect) error { return c.act(ctx, doApply, e, nil) }

// Undo takes the effect back; one that is not in force is undone already.
func (c *Client) Undo(ctx context.Context, e Effect) error { return c.act(ctx, doUndo, e, nil) }

// Probe measures whether the effect acts (when it is in force), or whether nothing
// of it is left (when it is not).
func (c *Client) Probe(ctx context.Context, e Effect) (history.Evidence, error) {
	var evidence history.Evidence
	err := c.act(ctx, doProbe, e, &evidence)
	return evidence, err
}

func (c *Client) act(ctx context.Context, do string, e Effect, out any) error {
	env, err := pack(e)
	if err == nil {
		err = c.call(ctx, do, env, nil, out)
	}
	return c.on(do, e.Kind(), err)
}

// on puts what was attempted, and where, in front of an error.
func (c *Client) on(verb, object string, err error) error {
	if err == nil {
		return nil
	}
	if text := err.Error(); strings.HasPrefix(text, verb+" "+object) {
		return fmt.Errorf("on %s: %w", c.node.Name, err)
	}
	if errors.As(err, new(*lostError)) { // which names the node
		return fmt.Errorf("%s %s: %w", verb, object, err)
	}
	return fmt.Errorf("%s %s on %s: %w", verb, object, c.node.Name, err)
}

// Ledger lists the effects in force.
func (c *Client) Ledger(ctx context.Context) ([]string, error) {
	var l listing
	err := c.call(ctx, doLedger, struct{}{}, nil, &l)
	return l.Effects, c.on("read", "the ledger", err)
}

// HealAll undoes every effect in force and lists what it undid. When some could not
// be undone the error names them, and the list has the others.
func (c *Client) HealAll(ctx context.Context) ([]string, error) {
	var l listing
	if err := c.call(ctx, doHeal, struct{}{}, nil, &l); err != nil {
		return nil, c.on("undo", "the ledger", err)
	}
	if len(l.Stuck) > 0 {
		return l.Effects, c.on("undo", "the ledger", &RemoteError{firstLine(strings.Join(l.Stuck, "; "))})
	}
	return l.Effects, nil
}

// EndAll ends the servers that earlier clients left running, whole, and lists them. With
// kept it ends those too that their client wanted to run on (Options.Keep).
func (c *Client) EndAll(ctx context.Context, kept bool) ([]string, error) {
	var l listing
	if err := c.call(ctx, doEndAll, endingAll{Kept: kept}, nil, &l); err != nil {
		return nil, c.on("stop", "the servers", err)
	}
	if len(l.Stuck) > 0 {
		return l.Effects, c.on("stop", "the servers", &RemoteError{firstLine(strings.Join(l.Stuck, "; "))})
	}
	return l.Effects, nil
}

// ProbeTCP tries to connect from the node. The error is about asking; a connection
// that fails is a Connection that is not OK.
func (c *Client) ProbeTCP(ctx context.Context, to netip.AddrPort, timeout time.Duration) (Connection, error) {
	var got Connection
	err := c.call(ctx, doProbeTCP, dial{To: to, Timeout: int64(timeout)}, nil, &got)
	got.Err = firstLine(got.Err)
	return got, c.on("connect to", to.String(), err)
}

// Alive ends when the agent that is current now is lost, also when Close or Reconnect
// makes it so. Its cause (context.Cause) says why, in one line.
func (c *Client) Alive() context.Context { return c.agent().alive }

// Lost is closed when the current agent is lost.
func (c *Client) Lost() <-chan struct{} { return c.Alive().Done() }

// Err says why the current agent was lost, in one line; nil while it is not.
func (c *Client) Err() error { return c.agent().why() }

// Close ends the agent in order: effects are undone, and the supervised processes
// are stopped unless keep is set. It returns when the agent has ended, or at the
// context's deadline. No other agent can take its place afterwards.
func (c *Client) Close(ctx context.Context, keep bool) error {
	c.mu.Lock()
	c.closed = true
	last := c.current
	c.mu.Unlock()
	defer c.exits.close()
	if last.dead() {
		return nil
	}
	err := last.call(ctx, doClose, ending{Keep: keep}, nil, nil)
	last.fail(errors.New("it was closed"))
	if err != nil {
		return c.on("close", "the agent", err)
	}
	select {
	case <-last.ended:
		return nil
	case <-ctx.Done():
		return c.on("close", "the agent", ctx.Err())
	}
}
