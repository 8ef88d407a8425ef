package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"strings"
	"sync"
	"testing"
)

func (n node) upload(t *testing.T, content []byte, path string, mode uint32) {
	t.Helper()
	if err := n.Upload(n.ctx, bytes.NewReader(content), path, mode); err != nil {
		t.Fatal(err)
	}
}

func (n node) download(t *testing.T, path string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := n.Download(n.ctx, path, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// noise is content in which no block resembles another.
func noise(seed int64, size int) []byte {
	b := make([]byte, size)
	rand.New(rand.NewSource(seed)).Read(b)
	return b
}

func roundTrip(t *testing.T, n node) {
	for _, size := range []int{0, 1, 32 << 10, 32<<10 + 1, 5<<20 + 7} {
		path := fmt.Sprintf("%s/not/yet/there/%d", n.dir, size)
		sent := noise(int64(size), size)
		n.upload(t, sent, path, 0o640)
		if got := n.download(t, path); !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came back as %d others", size, len(got))
		}
	}
	for _, name := range []string{"it's here", `back\slash`, "ünïcödé", "-dash", "new\nline", "$HOME"} {
		path := n.dir + "/" + name
		n.upload(t, []byte(name), path, 0o600)
		if got := n.download(t, path); string(got) != name {
			t.Errorf("the file named %q holds %q", name, got)
		}
	}
	if got := n.download(t, "/proc/self/cmdline"); len(got) == 0 {
		t.Error("a file whose size is unknown beforehand came back empty")
	}
}

func replace(t *testing.T, n node) {
	path := n.dir + "/program"
	n.upload(t, []byte("#!/bin/sh\necho up; read line; echo old\n"), path, 0o755)
	running, err := n.Start(n.ctx, nil, path)
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	if _, err := io.ReadFull(running, make([]byte, len("up\n"))); err != nil {
		t.Fatal(err)
	}
	// A running program can only be replaced by a rename.
	n.upload(t, []byte("#!/bin/sh\necho new\n"), path, 0o700)
	if got := n.run(t, path); got != "new\n" {
		t.Errorf("after the second upload it says %q", got)
	}
	io.WriteString(running, "\n")
	if got, _ := io.ReadAll(running); string(got) != "old\n" {
		t.Errorf("the running program now says %q", got)
	}
	if got := n.run(t, "stat", "-c", "%a", path); got != "700\n" {
		t.Errorf("its mode is %q", got)
	}
	n.upload(t, []byte("x"), path, 0o444) // no umask, no owner's write bit
	if got := n.run(t, "stat", "-c", "%a", path); got != "444\n" {
		t.Errorf("its mode is %q", got)
	}
}

func noTrace(t *testing.T, n node) {
	path := n.dir + "/file"
	n.upload(t, []byte("before"), path, 0o600)
	broken := io.MultiReader(bytes.NewReader(noise(1, 1<<20)), failing{})
	if err := n.Upload(n.ctx, broken, path, 0o600); err == nil || !strings.Contains(err.Error(), "broken source") {
		t.Errorf("content that fails on this side must fail the upload: %v", err)
	}
	if got := n.download(t, path); string(got) != "before" {
		t.Errorf("the failed upload changed the file to %d bytes", len(got))
	}
	if got := n.run(t, "ls", "-A", n.dir); got != "file\n" {
		t.Errorf("the failed upload left %q", got)
	}
}

func cancelledTransfer(t *testing.T, n node) {
	ctx, cancel := context.WithCancel(n.ctx)
	endless := readerFunc(func(b []byte) (int, error) { return len(b), nil })
	sent := 0
	stops := readerFunc(func(b []byte) (int, error) {
		if sent += len(b); sent > 1<<20 {
			cancel()
		}
		return endless(b)
	})
	if err := n.Upload(ctx, stops, n.dir+"/endless", 0o600); !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled upload returned %v", err)
	}
	if got := n.run(t, "ls", n.dir); got != "" {
		t.Errorf("the cancelled upload left %q", got)
	}

	n.upload(t, noise(3, 4<<20), n.dir+"/big", 0o600)
	ctx, cancel = context.WithCancel(n.ctx)
	defer cancel()
	if err := n.Download(ctx, n.dir+"/big", writerFunc(func(b []byte) (int, error) {
		cancel()
		return len(b), nil
	})); !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled download returned %v", err)
	}
	if err := n.Download(n.ctx, n.dir+"/big", writerFunc(func([]byte) (int, error) {
		return 0, errors.New("no room here")
	})); err == nil || !strings.Contains(err.Error(), "no room here") {
		t.Errorf("a download that cannot be written must fail: %v", err)
	}
}

func parallelTransfers(t *testing.T, n node) {
	var wg sync.WaitGroup
	for i := range 8 { // more than there are sessions for
		wg.Go(func() {
			path := fmt.Sprintf("%s/%d", n.dir, i)
			sent := noise(int64(i), 300_000)
			if err := n.Upload(n.ctx, bytes.NewReader(sent), path, 0o600); err != nil {
				t.Error(err)
				return
			}
			var got bytes.Buffer
			if err := n.Download(n.ctx, path, &got); err != nil || !bytes.Equal(got.Bytes(), sent) {
				t.Errorf("transfer %d: %d bytes came back as %d: %v", i, len(sent), got.Len(), err)
			}
		})
	}
	wg.Wait()
}

func impossibleTransfers(t *testing.T, n node) {
	n.upload(t, nil, n.dir+"/file", 0o600)
	n.run(t, "mkdir", n.dir+"/directory")
	put := func(path string) error { return n.Upload(n.ctx, strings.NewReader("x"), path, 0o600) }
	get := func(path string) error { return n.Download(n.ctx, path, io.Discard) }
	for _, c := range []struct {
		name string
		err  error
		says string
	}{
		{"upload below a file", put(n.dir + "/file/below"), "make directory"},
		{"upload onto a directory", put(n.dir + "/directory"), "directory"},
		{"upload where nobody may write", put("/proc/nemesis"), "/proc"},
		{"download nothing", get(n.dir + "/nothing"), "no such file"},
		{"download a directory", get(n.dir), "directory"},
	} {
		if c.err == nil || strings.Contains(c.err.Error(), "\n") || !strings.Contains(c.err.Error(), c.says) || !strings.Contains(c.err.Error(), n.Node().Name) {
			t.Errorf("%s: %v", c.name, c.err)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
