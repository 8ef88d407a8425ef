package faultfs

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// afterLoss writes a file of size bytes a and syncs it, changes it without a sync, and is
// what some of a power loss leaves of it, once for each of many seeds.
func afterLoss(t *testing.T, size int, change func(v *Volume, n *node, f *os.File) error, check func(left []byte) string) {
	t.Helper()
	outcomes := map[string]bool{}
	for seed := range uint64(200) {
		d := newDirect(t, Options{})
		n, err := d.v.make(d.v.root, "file", func(at int, p string) error {
			fd, err := unix.Openat(at, p, unix.O_CREAT|unix.O_RDWR, 0o600)
			unix.Close(fd)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		f, err := d.v.open(n, true)
		if err == nil {
			_, err = d.v.write(n, f, bytes.Repeat([]byte("a"), size), 0)
		}
		if err == nil {
			err = d.v.sync(n, f, true)
		}
		if err == nil {
			err = change(d.v, n, f)
		}
		if err != nil {
			t.Fatal(err)
		}
		d.v.release(n)
		if _, err := d.v.PowerLoss(Loss{Sectors: true, Seed: seed}); err != nil {
			t.Fatal(err)
		}
		left, err := os.ReadFile(filepath.Join(d.path, "file"))
		if err != nil {
			t.Fatal(err)
		}
		what := check(left)
		if what == "" {
			t.Fatalf("seed %d: %d bytes are left: %d a, %d b, %d zeros", seed, len(left), bytes.Count(left, []byte("a")), bytes.Count(left, []byte("b")), bytes.Count(left, []byte{0}))
		}
		outcomes[what] = true
	}
	if len(outcomes) < 2 {
		t.Errorf("it is always %v", outcomes)
	}
}

func TestTruncationHappenedOrDidNot(t *testing.T) {
	const size = 5*block + 100
	old := bytes.Repeat([]byte("a"), size)
	t.Run("alone", func(t *testing.T) {
		afterLoss(t, size, func(v *Volume, n *node, f *os.File) error { return v.truncate(n, f, 300) }, func(left []byte) string {
			switch {
			case bytes.Equal(left, old):
				return "did not"
			case bytes.Equal(left, old[:300]):
				return "happened"
			}
			return ""
		})
	})
	t.Run("and written again", func(t *testing.T) {
		afterLoss(t, size, func(v *Volume, n *node, f *os.File) error {
			if err := v.truncate(n, f, 0); err != nil {
				return err
			}
			_, err := v.write(n, f, bytes.Repeat([]byte("b"), 7*block), 0)
			return err
		}, func(left []byte) string {
			switch {
			case bytes.Equal(left, old):
				return "did not"
			case !bytes.Contains(left, []byte("a")) && len(left)%sector == 0:
				return "happened"
			}
			return ""
		})
	})
}

func TestHoleIsThereOrIsNot(t *testing.T) {
	const size = 8 * block
	afterLoss(t, size, func(v *Volume, n *node, f *os.File) error {
		return v.allocate(n, f, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 2*block, 3*block)
	}, func(left []byte) string {
		if len(left) != size || bytes.Count(left[:2*block], []byte("a")) != 2*block || bytes.Count(left[5*block:], []byte("a")) != 3*block {
			return ""
		}
		switch bytes.Count(left[2*block:5*block], []byte("a")) {
		case 0:
			return "is there"
		case 3 * block:
			return "is not"
		}
		return ""
	})
}

// What is overwritten in place is torn, sector by sector.
func TestOverwritesAreTornBySectors(t *testing.T) {
	afterLoss(t, block, func(v *Volume, n *node, f *os.File) error {
		_, err := v.write(n, f, bytes.Repeat([]byte("b"), block), 0)
		return err
	}, func(left []byte) string {
		for at := 0; at < block; at += sector {
			if c := bytes.Count(left[at:at+sector], []byte("a")); c != 0 && c != sector {
				return ""
			}
		}
		return string(left[0]) + string(left[block-1])
	})
}
