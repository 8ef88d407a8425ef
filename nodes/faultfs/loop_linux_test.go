package faultfs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newLoop is a disk on a loop device with ext4.
func newLoop(t testing.TB) loop {
	t.Helper()
	if err := LoopAvailable(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	l := loop{Mount{Path: filepath.Join(dir, "data"), Home: filepath.Join(dir, "home")}}
	if err := os.MkdirAll(l.Path, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, is := Client(l).onLoop(); is {
			if err := l.stop(); err != nil {
				t.Error(err)
			}
		}
	})
	return l
}

func written(t *testing.T, path, content string, sync bool) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err == nil {
		_, err = f.WriteString(content)
	}
	if err == nil && sync {
		err = f.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

func TestLoopDeviceLosesWhatWasNotSynced(t *testing.T) {
	l := newLoop(t)
	c := Client(l)
	written(t, filepath.Join(l.Path, "before"), "was there", false)
	if err := l.start(); err != nil {
		t.Fatal(err)
	}
	written(t, filepath.Join(l.Path, "synced"), "kept", true)
	written(t, filepath.Join(l.Path, "synced"), "more", false)
	written(t, filepath.Join(l.Path, "other"), "lost", false)
	lost, err := c.Lose(Loss{})
	if err != nil {
		t.Fatal(err)
	}
	if lost != (Lost{Bytes: 8, Files: 2, Operations: 1}) {
		t.Errorf("lost %+v", lost)
	}
	if err := c.Set(Rule{ID: "r", Do: Stall}); err != errLoop {
		t.Errorf("a rule: %v", err)
	}
	written(t, filepath.Join(l.Path, "late"), "unsynced", false)
	for range 2 {
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if l.mounted(l.Path) {
		t.Error("it is still mounted")
	}
	for name, want := range map[string]string{"before": "was there", "synced": "kept", "late": "unsynced"} {
		if got, err := os.ReadFile(filepath.Join(l.Path, name)); err != nil || string(got) != want {
			t.Errorf("beneath, %s is %q, %v", name, got, err)
		}
	}
}

// A node with neither says in one line why.
func TestNodeWithoutLoopDevicesSaysSo(t *testing.T) {
	want := "no loop device either: open /dev/no-such-control: no such file or directory"
	if err := loopAvailable("/dev/no-such-control"); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// onExt4 runs steps on a loop device.
type onExt4 struct {
	byKernel
	l loop
}

func (o onExt4) run(s step) error {
	if s.what == "loss" {
		_, err := o.l.lose()
		return err
	}
	return o.byKernel.run(s)
}

// untouched: nothing has changed the contents since they were safe, not even to the same.
func untouched(n *inode) bool {
	if len(n.safe) == 0 || len(n.data) == 0 {
		return n.safe == nil && n.data == nil
	}
	return &n.safe[0] == &n.data[0] && len(n.safe) == len(n.data)
}

// ext4 is an honest disk: it keeps everything that the model calls safe. It may keep more,
// and does, so what is compared are names that the model has after a loss, and the
// contents of files at them, as far as nothing that was not synced has changed them since.
// 400 programs: NEMESIS_LONG=1 go test ./nodes/faultfs -run Ext4 -v
func TestExt4KeepsWhatTheModelCallsSafe(t *testing.T) {
	l := newLoop(t)
	if err := l.start(); err != nil {
		t.Fatal(err)
	}
	seeds, steps := uint64(12), 60
	if os.Getenv("NEMESIS_LONG") != "" {
		seeds = 400
	}
	compared := 0
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 3))
		dir := filepath.Join(l.Path, fmt.Sprint(seed))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := Client(l).WriteBack(); err != nil {
			t.Fatal(err)
		}
		ex := onExt4{byKernel{&mounted{Mount: Mount{Path: dir}}}, l}
		model := newReference(false)
		var history []string
		for range steps {
			s := draw(rng)
			if s.what == "loss" {
				continue
			}
			want, got := model.run(s), ex.run(s)
			history = append(history, s.String())
			if (want == nil) != (got == nil) {
				t.Fatalf("seed %d, %s: ext4 says %v, the model %v, after\n%s", seed, s, got, want, strings.Join(history, "\n"))
			}
		}
		// What nobody has changed since it was safe.
		type kept struct {
			path string
			n    *inode
		}
		var safe []kept
		var walk func(at string, n *inode)
		walk = func(at string, n *inode) {
			for name, child := range n.kept {
				if n.names[name] != child {
					continue
				}
				p := filepath.Join(at, name)
				safe = append(safe, kept{p, child})
				walk(p, child)
			}
		}
		walk("", model.root)
		if err := ex.run(step{what: "loss"}); err != nil {
			t.Fatal(err)
		}
		for _, k := range safe {
			p := filepath.Join(dir, k.path)
			var st unix.Stat_t
			err := unix.Lstat(p, &st)
			isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
			if err != nil || isDir != k.n.dir {
				t.Fatalf("seed %d: the model keeps %s, and ext4 does not: %v, after\n%s", seed, k.path, err, strings.Join(history, "\n"))
			}
			compared++
			if k.n.dir || k.n.link != "" || !untouched(k.n) {
				continue
			}
			if got, err := os.ReadFile(p); err != nil || !bytes.Equal(got, k.n.safe) {
				t.Fatalf("seed %d: the model keeps the %d bytes of %s, ext4 has %d, %v, after\n%s", seed, len(k.n.safe), k.path, len(got), err, strings.Join(history, "\n"))
			}
		}
	}
	if compared < int(seeds) {
		t.Errorf("only %d names were safe", compared)
	}
	t.Logf("%d programs, %d safe names", seeds, compared)
}
