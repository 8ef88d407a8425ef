package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/history"
)

// mark is an effect that anybody can see: a file while it is in force.
type mark struct {
	Path string `json:"path"`
	// Needs, when set, is a file without which Undo fails.
	Needs string `json:"needs,omitempty"`
	Panic bool   `json:"panic,omitempty"`
}

func (m *mark) Kind() string      { return "test.mark" }
func (m *mark) String() string    { return filepath.Base(m.Path) }
func (m *mark) Check(*Host) error { return nil }
func (m *mark) Apply(*Host) error {
	if m.Panic {
		panic("an effect with a mistake")
	}
	return os.WriteFile(m.Path, nil, 0o600)
}

func (m *mark) Undo(*Host) error {
	if m.Needs != "" {
		if _, err := os.Stat(m.Needs); err != nil {
			return errors.New("what it needs is missing")
		}
	}
	if err := os.Remove(m.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (m *mark) Probe(h *Host) (history.Evidence, error) {
	return history.Evidence{Confirmed: there(m.Path) == h.InForce(m)}, nil
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

var testKinds = Kinds{"test.mark": func() Effect { return &mark{} }}

// control is a control node made of nothing but frames: it beats only when told to.
type control struct {
	t      *testing.T
	in     io.WriteCloser
	out    *bufio.Reader
	id     uint64
	served chan error
	cancel context.CancelFunc
}

// serve starts an agent in this process, its channel a pair of pipes.
func serve(t *testing.T, dir string) *control {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	c := &control{t: t, in: inW, out: bufio.NewReader(outR), served: make(chan error, 1), cancel: cancel}
	go func() {
		err := Serve(ctx, inR, outW, testKinds, ServeOptions{Dir: dir})
		inR.Close()
		outW.Close()
		c.served <- err
		close(c.served)
	}()
	t.Cleanup(func() {
		inW.Close()
		outR.Close()
		<-c.served
	})
	return c
}

// ask sends a request and returns the answer's error, or fills out.
func (c *control) ask(do string, in, out any) error {
	c.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		c.t.Fatal(err)
	}
	c.id++
	b, err := frame{message: message{ID: c.id, Do: do, Body: body}}.encode()
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.in.Write(b); err != nil {
		c.t.Fatal(err)
	}
	for {
		f, err := readFrame(c.out)
		if err != nil {
			c.t.Fatalf("no answer to %s: %v", do, err)
		}
		if f.ID != c.id {
			continue // a push
		}
		if f.Error != "" {
			return errors.New(f.Error)
		}
		if out != nil {
			if err := json.Unmarshal(f.Body, out); err != nil {
				c.t.Fatal(err)
			}
		}
		return nil
	}
}

func (c *control) greet(deadAfter time.Duration) (greeting, error) {
	var g greeting
	err := c.ask(doHello, hello{Protocol: protocolVersion, Control: "me@here", DeadAfter: int64(deadAfter)}, &g)
	return g, err
}

func (c *control) act(do string, e Effect, out any) error {
	c.t.Helper()
	env, err := pack(e)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.ask(do, env, out)
}

func (c *control) mustGreet(deadAfter time.Duration) greeting {
	c.t.Helper()
	g, err := c.greet(deadAfter)
	if err != nil {
		c.t.Fatal(err)
	}
	return g
}

func TestEffectsAreUndoneHoweverTheClientGoes(t *testing.T) {
	for _, way := range []struct {
		name      string
		deadAfter time.Duration
		leave     func(*control)
	}{
		{"its channel closes", time.Minute, func(c *control) { c.in.Close() }},
		{"it falls silent", 200 * time.Millisecond, func(*control) {}},
		{"the agent is told to end by a signal", time.Minute, func(c *control) { c.cancel() }},
		{"it says so", time.Minute, func(c *control) {
			if err := c.ask(doClose, ending{Keep: true}, nil); err != nil {
				c.t.Error(err)
			}
		}},
		{"it sends nonsense", time.Minute, func(c *control) { fmt.Fprint(c.in, "GET / HTTP/1.1\r\n\r\n") }},
		{"it is cut off within a frame", time.Minute, func(c *control) { fmt.Fprint(c.in, magic+"\x00"); c.in.Close() }},
	} {
		t.Run(way.name, func(t *testing.T) {
			dir := t.TempDir()
			c := serve(t, dir)
			c.mustGreet(way.deadAfter)
			broken := &mark{Path: filepath.Join(dir, "broken")}
			if err := c.act(doApply, broken, nil); err != nil {
				t.Fatal(err)
			}
			if !there(broken.Path) {
				t.Fatal("it was not applied")
			}
			way.leave(c)
			if err := <-c.served; err != nil {
				t.Fatal(err)
			}
			if there(broken.Path) {
				t.Error("it is still in force after the agent ended")
			}
			if l, err := openLedger(filepath.Join(dir, ownDir)); err != nil || len(l.list()) != 0 {
				t.Errorf("the ledger still holds %v, %v", l.list(), err)
			}
		})
	}
}

func TestAClientThatBeatsIsNotTakenForDead(t *testing.T) {
	dir := t.TempDir()
	c := serve(t, dir)
	c.mustGreet(time.Second)
	broken := &mark{Path: filepath.Join(dir, "broken")}
	if err := c.act(doApply, broken, nil); err != nil {
		t.Fatal(err)
	}
	last := time.Now()
	for began := last; time.Since(began) < 1500*time.Millisecond; time.Sleep(20 * time.Millisecond) {
		if gap := time.Since(last); gap > 500*time.Millisecond {
			t.Skipf("this machine is too busy to beat regularly: it once took %v", gap)
		}
		last = time.Now()
		if err := c.ask(doBeat, struct{}{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if !there(broken.Path) {
		t.Error("it was undone under a client that lives")
	}
}

func TestNothingIsDoneThatCannotBeWrittenDownFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("nemesis-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a small disk cannot be made here: mount tmpfs: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	outside := t.TempDir()
	c := serve(t, dir)
	c.mustGreet(time.Minute)
	if err := os.WriteFile(filepath.Join(dir, "full"), make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}

	broken := &mark{Path: filepath.Join(outside, "broken")}
	err := c.act(doApply, broken, nil)
	if err == nil || !strings.Contains(err.Error(), "nothing was done, since it could not be written down first: write the ledger") || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("got %v", err)
	}
	if there(broken.Path) {
		t.Error("it acted all the same")
	}
	if err := c.ask(doStart, ProcessSpec{Name: "server", Argv: []string{"sleep", "1000"}}, nil); err == nil {
		t.Error("a process was started that no later agent would find")
	}

	if err := os.Remove(filepath.Join(dir, "full")); err != nil {
		t.Fatal(err)
	}
	if err := c.act(doApply, broken, nil); err != nil {
		t.Errorf("with room again: %v", err)
	}
	c.in.Close()
	if err := <-c.served; err != nil {
		t.Error(err)
	}
}

func TestAnEffectWithAMistakeEndsNeitherTheAgentNorTheOtherEffects(t *testing.T) {
	dir := t.TempDir()
	c := serve(t, dir)
	c.mustGreet(time.Minute)
	if err := c.act(doApply, &mark{Path: filepath.Join(dir, "x"), Panic: true}, nil); err == nil || !strings.Contains(err.Error(), "this is a bug in nemesis") {
		t.Errorf("got %v", err)
	}
	if err := c.act(doApply, &mark{Path: filepath.Join(dir, "y")}, nil); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeUndoneStaysInTheLedgerAndIsTold(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	stuck := &mark{Path: filepath.Join(dir, "stuck"), Needs: key}
	fine := &mark{Path: filepath.Join(dir, "fine")}
	c := serve(t, dir)
	c.mustGreet(time.Minute)
	for _, e := range []Effect{stuck, fine} {
		if err := c.act(doApply, e, nil); err != nil {
			t.Fatal(err)
		}
	}
	var l listing
	if err := c.ask(doHeal, struct{}{}, &l); err != nil {
		t.Fatal(err)
	}
	if len(l.Effects) != 1 || len(l.Stuck) != 1 || !strings.Contains(l.Stuck[0], "what it needs is missing") {
		t.Errorf("healed %+v", l)
	}
	c.in.Close()
	if err := <-c.served; err == nil || !strings.Contains(err.Error(), "what it needs is missing") {
		t.Errorf("the agent ended with %v", err)
	}

	c = serve(t, dir)
	if g := c.mustGreet(time.Minute); len(g.Facts.Stuck) != 1 || len(g.Facts.Leftovers) != 0 {
		t.Errorf("the next agent found %+v", g.Facts)
	}
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// The same effect, though the ledger was written by another agent.
	if err := c.act(doUndo, stuck, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.ask(doLedger, struct{}{}, &l); err != nil || len(l.Effects) != 0 {
		t.Errorf("%v, %v", l.Effects, err)
	}
	if there(stuck.Path) {
		t.Error("it is still in force")
	}
}

func TestOneAgentAtATimeUsesADirectory(t *testing.T) {
	dir := t.TempDir()
	first := serve(t, dir)
	first.mustGreet(time.Minute)
	second := serve(t, dir)
	_, err := second.greet(minDeadAfter)
	if err == nil || !strings.Contains(err.Error(), "another nemesis uses this node (me@here, since ") {
		t.Errorf("got %v", err)
	}
	// One that loses its client meanwhile makes room for one that waits.
	third := serve(t, dir)
	go first.in.Close()
	third.mustGreet(time.Minute)
}

func TestAClientOfAnotherVersionIsRefused(t *testing.T) {
	c := serve(t, t.TempDir())
	err := c.ask(doHello, hello{Protocol: protocolVersion + 1}, nil)
	if err == nil || !strings.Contains(err.Error(), "use one nemesis release on both sides") {
		t.Errorf("got %v", err)
	}
}

func TestUnknownThingsAreRefusedByName(t *testing.T) {
	c := serve(t, t.TempDir())
	c.mustGreet(time.Minute)
	for _, q := range []struct {
		do   string
		in   any
		want string
	}{
		{"dance", struct{}{}, `knows no request "dance"`},
		{doApply, envelope{Kind: "net.dorp", Spec: json.RawMessage(`{}`)}, `kind "net.dorp" is not one of test.mark`},
		{doApply, "text", "understand request"},
		{doStart, ProcessSpec{Name: "../etcd", Argv: []string{"sleep"}}, `process name "../etcd" is not made of`},
		{doStart, ProcessSpec{Name: "x"}, "no program to run"},
		{doStart, ProcessSpec{Name: "x", Argv: []string{"no-such-program"}}, `program "no-such-program" is in none of the usual directories`},
		{doStart, ProcessSpec{Name: "x", Argv: []string{"/no/such"}}, "run /no/such: no such file"},
		{doSend, chunk{SHA256: "../../etc/passwd", End: true}, "is not a part of content"},
	} {
		if err := c.ask(q.do, q.in, nil); err == nil || !strings.Contains(err.Error(), q.want) {
			t.Errorf("%s %v: got %v, want …%s…", q.do, q.in, err, q.want)
		}
	}
}
