package ssh

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"nemesis/nodes"
)

// maxNoise is how many bytes a login shell may write to an output before the program's
// greeting. What it writes is skipped.
const maxNoise = 64 << 10

// greeted is an output of a program, behind the greeting. It is safe for concurrent use.
type greeted struct {
	from     io.Reader
	greeting []byte // with its line break

	mu    sync.Mutex
	noise []byte // before the greeting
	ready []byte // read with the greeting, not yet handed out
	found bool
	end   error // why there will be no greeting
}

// Read hands out what follows the greeting.
func (g *greeted) Read(b []byte) (int, error) {
	g.mu.Lock()
	if err := g.await(); err != nil {
		g.mu.Unlock()
		return 0, err
	}
	if len(g.ready) > 0 {
		n := copy(b, g.ready)
		g.ready = g.ready[n:]
		g.mu.Unlock()
		return n, nil
	}
	g.mu.Unlock()
	return g.from.Read(b)
}

// await reads up to the greeting.
func (g *greeted) await() error {
	part := make([]byte, 4<<10)
	for !g.found && g.end == nil {
		n, err := g.from.Read(part)
		g.noise = append(g.noise, part[:n]...)
		if noise, after, is := bytes.Cut(g.noise, g.greeting); is {
			g.noise, g.ready, g.found = noise, after, true
			break
		}
		switch {
		case err != nil:
			g.end = err
		case len(g.noise) > maxNoise:
			g.end = fmt.Errorf("the login shell writes more than %d KiB before the program starts; let its start-up files write nothing when nobody is at a terminal", maxNoise>>10)
		}
	}
	return g.end
}

// said is what was written in place of the greeting, up to the end of the output, for as
// long as patience has.
func (g *greeted) said(patience time.Duration) string {
	done := make(chan string, 1)
	go func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		_ = g.await()
		done <- string(g.noise)
	}()
	select {
	case s := <-done:
		return s
	case <-time.After(patience):
		return ""
	}
}

// notStarted says why there was no program: the login shell, or what stands in its place,
// ended with this status, having written this.
func (p *program) notStarted(code int) error {
	words := strings.TrimSpace(p.out.said(killGrace))
	if s := strings.TrimSpace(p.stderr.String()); s != "" {
		words = strings.TrimSpace(words + " " + s)
	}
	if words == "" {
		words = "it said nothing"
	}
	shell := "the login shell"
	if path := p.conn.loginShell(); path != "" {
		shell += " " + shown(path)
	}
	return fmt.Errorf("%s of %s ended with status %d before the program started: %s; give the user a shell that runs commands, or name another user with --ssh-user",
		shell, p.conn.client.User(), code, nodes.OneLine(words))
}

// loginShell looks up the user's shell in the node's list of users, "" if it is not there.
func (c *conn) loginShell() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*killGrace)
	defer cancel()
	free, err := c.take(ctx, transferSessions)
	if err != nil {
		return ""
	}
	f, err := c.open(ctx, free)
	if err != nil {
		return ""
	}
	defer f.close()
	file, err := f.Open("/etc/passwd")
	if err != nil {
		return ""
	}
	defer file.Close()
	users, err := io.ReadAll(io.LimitReader(file, 1<<20))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(users)) {
		if fields := strings.Split(strings.TrimSpace(line), ":"); len(fields) == 7 && fields[0] == c.client.User() {
			return fields[6]
		}
	}
	return ""
}
