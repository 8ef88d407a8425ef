package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"nemesis/nodes"
)

func arguments(t *testing.T, n node) {
	every := make([]byte, 255)
	for i := range every {
		every[i] = byte(i + 1)
	}
	args := []string{
		"plain", "", " ", "two words", "'", `"`, "it's", `''`, `'"'"'`,
		"a|b", "a;b", "a&b", "a&&b", "(a)", "{a,b}", "<in", ">out", "#no comment",
		"$HOME", "${HOME}", "$(id)", "`id`", "$$", "$", "!!", "~", "~root", "*", "?", "[a-z]",
		"line\nline", "\n", "tab\there", "\r\n", `back\slash`, `\`, `\\`, `\n`, `\'`, `'\''`,
		"-n", "--", "--help", "-", "=", "A=b", "%s", "%", "ünïcödé", "日本語", "🦉", "\x01\x1b[31m", "\xff\xfe",
		string(every), strings.Repeat("long ", 4000),
	}
	got := n.run(t, append([]string{"printf", `%s\0`}, args...)...)
	if diff := cmp.Diff(args, strings.Split(strings.TrimSuffix(got, "\x00"), "\x00")); diff != "" {
		t.Errorf("arguments (-sent +arrived):\n%s", diff)
	}
}

func builtins(t *testing.T, n node) {
	// dash's own echo would turn \n into a line break.
	if got := n.run(t, "echo", `a\nb`); got != "a\\nb\n" {
		t.Errorf(`echo 'a\nb' printed %q: not the program but a shell's builtin ran`, got)
	}
}

func impossibleArguments(t *testing.T, n node) {
	for name, argv := range map[string][]string{
		"nothing":          {},
		"an empty program": {""},
		"a NUL byte":       {"echo", "a\x00b"},
	} {
		if _, err := n.Run(n.ctx, nil, argv...); err == nil {
			t.Errorf("%s was run", name)
		}
	}
}

func stdin(t *testing.T, n node) {
	sent := bytes.Repeat([]byte("every byte\x00\xff\n"), 100_000)
	got, err := n.Run(n.ctx, bytes.NewReader(sent), "cat")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sent) {
		t.Errorf("cat was given %d bytes and returned %d others", len(sent), len(got))
	}
	if got := n.run(t, "cat"); got != "" {
		t.Errorf("without input, cat returned %q", got)
	}
}

func unreadInput(t *testing.T, n node) {
	endless, w := io.Pipe() // never written, never closed
	defer w.Close()
	if _, err := n.Run(n.ctx, endless, "true"); err != nil {
		t.Errorf("with input that never ends: %v", err)
	}
	if _, err := n.Run(n.ctx, bytes.NewReader(make([]byte, 8<<20)), "true"); err != nil {
		t.Errorf("with more input than it wants: %v", err)
	}
	_, err := n.Run(n.ctx, io.MultiReader(strings.NewReader("a"), failing{}), "cat")
	if err == nil || !strings.Contains(err.Error(), "broken source") {
		t.Errorf("input that fails on this side must fail the run: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken source") }

func exits(t *testing.T, n node) {
	argv := []string{"sh", "-c", "echo first >&2; echo 'no such thing' >&2; exit 3"}
	out, err := n.Run(n.ctx, nil, argv...)
	want := &nodes.ExitError{Node: n.Node().Name, Argv: argv, Code: 3, Stderr: "first\nno such thing\n"}
	var got *nodes.ExitError
	if !errors.As(err, &got) {
		t.Fatalf("exit 3 gave %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("exit error (-want +got):\n%s", diff)
	}
	if len(out) != 0 {
		t.Errorf("standard error is in the output: %q", out)
	}

	out, err = n.Run(n.ctx, nil, "sh", "-c", "echo partly; exit 1")
	if !errors.As(err, &got) || got.Code != 1 || string(out) != "partly\n" {
		t.Errorf("output before the failure: %q, %v", out, err)
	}
	if _, err := n.Run(n.ctx, nil, "sh", "-c", "kill -9 $$"); !errors.As(err, &got) || got.Code != 128+9 {
		t.Errorf("a program killed by signal 9 must have status 137: %v", err)
	}
	_, err = n.Run(n.ctx, nil, "sh", "-c", `i=0; while [ $i -lt 400 ]; do echo "line $i" >&2; i=$((i+1)); done; exit 2`)
	if !errors.As(err, &got) || len(got.Stderr) > 1024 || !strings.HasSuffix(got.Stderr, "line 399\n") {
		t.Errorf("of a long standard error the last kilobyte must stay: %v", err)
	}
}

func missingProgram(t *testing.T, n node) {
	var exit *nodes.ExitError
	if _, err := n.Run(n.ctx, nil, "no-such-program-anywhere", "x"); !errors.As(err, &exit) || exit.Code != 127 {
		t.Errorf("a program that is not there must end with status 127: %v", err)
	}
}

func hostileWords(t *testing.T, n node) {
	_, err := n.Run(n.ctx, nil, "sh", "-c", `printf 'red \033[31m bell \007 \377 end' >&2; exit 1`)
	if err == nil {
		t.Fatal("exit 1 is no error")
	}
	if s := err.Error(); strings.ContainsAny(s, "\x1b\x07\n") || !utf8.ValidString(s) || !strings.Contains(s, "end") {
		t.Errorf("the error is not one harmless line: %q", s)
	}
}

func parallel(t *testing.T, n node) {
	var wg sync.WaitGroup
	for i := range 24 { // more than twice what sshd allows at once
		wg.Go(func() {
			want := fmt.Sprintf("program %d\n", i)
			if out, err := n.Run(n.ctx, strings.NewReader(want), "cat"); err != nil || string(out) != want {
				t.Errorf("%q came back as %q: %v", want, out, err)
			}
		})
	}
	wg.Wait()
}

func cancellation(t *testing.T, n node) {
	pidFile := n.dir + "/pid"
	ctx, cancel := context.WithCancel(n.ctx)
	done := make(chan error, 1)
	go func() {
		// It reads no input and writes no output: nothing but a signal ends it.
		_, err := n.Run(ctx, nil, "sh", "-c", `echo $$ > "$1.new"; mv "$1.new" "$1"; exec sleep 1000`, "sh", pidFile)
		done <- err
	}()
	var pid string
	n.eventually(t, "the program starts", func() bool {
		out, err := n.Run(n.ctx, nil, "cat", pidFile)
		pid = strings.TrimSpace(string(out))
		return err == nil
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled run returned %v", err)
	}
	n.eventually(t, "the program is gone", func() bool {
		_, err := n.Run(n.ctx, nil, "kill", "-0", pid)
		return err != nil
	})
}

func stream(t *testing.T, n node) {
	var words syncBuffer
	s, err := n.Start(n.ctx, &words, "sh", "-c", "echo started >&2; cat; echo the end")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 100 { // in turns, so that nothing may wait in a buffer
		sent := fmt.Sprintf("message %d\n", i)
		if _, err := io.WriteString(s, sent); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(s, got); err != nil || string(got) != sent {
			t.Fatalf("sent %q, got %q: %v", sent, got, err)
		}
	}
	if err := s.CloseWrite(); err != nil {
		t.Error(err)
	}
	rest, err := io.ReadAll(s)
	if err != nil || string(rest) != "the end\n" {
		t.Errorf("after the input: %q, %v", rest, err)
	}
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
	if words.String() != "started\n" {
		t.Errorf("standard error: %q", words.String())
	}
	if _, err := io.WriteString(s, "too late"); err == nil {
		t.Error("a program that has ended took input")
	}
}

func streamContext(t *testing.T, n node) {
	ctx, cancel := context.WithCancel(n.ctx)
	s, err := n.Start(ctx, nil, "cat")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cancel()
	n.run(t, "true") // time enough for a wrong signal to arrive
	io.WriteString(s, "still here")
	got := make([]byte, len("still here"))
	if _, err := io.ReadFull(s, got); err != nil {
		t.Errorf("the program ended with its starter's context: %v", err)
	}
}

func abandonedStream(t *testing.T, n node) {
	// This is what an agent's dead-man's switch hangs on: not to be killed, and
	// to see the end of its input.
	mark := n.dir + "/saw-the-end"
	s, err := n.Start(n.ctx, nil, "sh", "-c", `echo ready; cat > /dev/null; echo > "$1"`, "sh", mark)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	n.eventually(t, "the program acts after the end of its input", func() bool {
		_, err := n.Run(n.ctx, nil, "cat", mark)
		return err == nil
	})
}

func streamStatus(t *testing.T, n node) {
	s, err := n.Start(n.ctx, nil, "sh", "-c", "read line; echo sorry >&2; exit 4")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	io.WriteString(s, "go\n")
	var exit *nodes.ExitError
	for range 2 {
		if err := s.Wait(); !errors.As(err, &exit) || exit.Code != 4 || exit.Stderr != "sorry\n" {
			t.Errorf("the stream ended with %v", err)
		}
	}
}

func closed(t *testing.T, n node) {
	s, err := n.Start(n.ctx, nil, "cat")
	if err != nil {
		t.Fatal(err)
	}
	n.run(t, "rm", "-rf", "--", n.dir)
	n.Close()
	LostNoticed(t, n.Conn, s)
}

// LostNoticed waits until a connection that was cut is lost, and checks that
// everything on it says so. The stream is one that was running; it may be nil.
func LostNoticed(t *testing.T, conn nodes.Conn, running nodes.Stream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-conn.Lost():
	case <-ctx.Done():
		t.Fatalf("the lost connection was not noticed within %v", patience)
	}
	says := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "connection is lost") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s on a lost connection: %v", what, err)
		}
	}
	if running != nil {
		io.ReadAll(running)
		says("wait", running.Wait())
		_, err := running.Write([]byte("x"))
		says("write", err)
	}
	_, err := conn.Run(ctx, nil, "true")
	says("run", err)
	_, err = conn.Start(ctx, nil, "true")
	says("start", err)
	says("upload", conn.Upload(ctx, strings.NewReader("x"), "/tmp/nemesis-conformance-lost", 0o600))
	says("download", conn.Download(ctx, "/etc/passwd", io.Discard))
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
