package faultfs

import (
	"bytes"
	"math/bits"
	"os"
	"path/filepath"
	"testing"
)

// stored writes files of one content through a mount, with a hole in front and zeros
// behind, as of a log that is allocated ahead.
func stored(t *testing.T, d *mounted, names ...string) []byte {
	t.Helper()
	content := make([]byte, 100*block+100)
	for i := 40 * block; i < 60*block; i++ {
		content[i] = byte(1 + i%251)
	}
	for _, name := range names {
		p := filepath.Join(d.Path, name)
		if err := os.WriteFile(p, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(p); err != nil || !bytes.Equal(got, content) { // the kernel has it in memory
			t.Fatal(err)
		}
	}
	return content
}

func TestFilesAreDamagedWhereTheyAreStored(t *testing.T) {
	for _, do := range []string{CorruptFlip, CorruptZero, CorruptTruncate} {
		t.Run(do, func(t *testing.T) {
			d := newMount(t, false)
			was := stored(t, d, "a.db", "b.db", "c.log")
			if err := d.set(Rule{ID: "r", Do: do, Path: "*.db", Times: 1, Seed: 5}); err != nil {
				t.Fatal(err)
			}
			c := d.stats().Rules["r"]
			if c.Calls != 2 || c.Struck != 1 || c.Bytes == 0 {
				t.Fatalf("%+v", c)
			}
			d.clear("r")
			for _, name := range []string{"a.db", "b.db", "c.log"} {
				now, err := os.ReadFile(filepath.Join(d.Path, name))
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Equal(now, was) != (name != c.LastPath) {
					t.Errorf("%s differs: %v; damaged is %s", name, !bytes.Equal(now, was), c.LastPath)
				}
				if name != c.LastPath {
					continue
				}
				var wrong, flipped int64
				for i := range was {
					if i >= len(now) || now[i] != was[i] {
						wrong++
					}
					if i < len(now) {
						flipped += int64(bits.OnesCount8(now[i] ^ was[i]))
					}
				}
				switch do {
				case CorruptFlip:
					if wrong != 1 || flipped != 1 {
						t.Errorf("%d bytes are wrong in %d bits", wrong, flipped)
					}
				case CorruptZero:
					if wrong != c.Bytes || len(now) != len(was) {
						t.Errorf("%d bytes are wrong of %d zeroed", wrong, c.Bytes)
					}
				case CorruptTruncate:
					if int64(len(was)-len(now)) != c.Bytes || len(now) >= 60*block || !bytes.Equal(now, was[:len(now)]) {
						t.Errorf("%d bytes are left", len(now))
					}
				}
			}
			// A server that goes on writing finds the size that there is.
			p := filepath.Join(d.Path, c.LastPath)
			f, err := os.OpenFile(p, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			before, _ := os.Stat(p)
			if _, err := f.Write([]byte("more")); err != nil {
				t.Fatal(err)
			}
			if after, _ := os.Stat(p); after.Size() != before.Size()+4 {
				t.Errorf("after 4 bytes more it has %d of %d", after.Size(), before.Size())
			}
		})
	}
}

// The damage is what a disk has: synced or not, a power loss does not mend it.
func TestDamageOutlivesAPowerLoss(t *testing.T) {
	d := newMount(t, false)
	was := stored(t, d, "data")
	f, err := os.OpenFile(filepath.Join(d.Path, "data"), os.O_WRONLY, 0)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := d.set(Rule{ID: "r", Do: CorruptZero, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.lose(Loss{}); err != nil {
		t.Fatal(err)
	}
	now, err := os.ReadFile(filepath.Join(d.Path, "data"))
	if err != nil || len(now) != len(was) || bytes.Equal(now, was) {
		t.Errorf("%d bytes of %d, as before: %v, %v", len(now), len(was), bytes.Equal(now, was), err)
	}
}

func TestFilesWithoutDataAreNotDamaged(t *testing.T) {
	d := newMount(t, false)
	f, err := os.Create(filepath.Join(d.Path, "empty"))
	if err == nil {
		err = f.Truncate(1 << 30)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := d.set(Rule{ID: "r", Do: CorruptFlip}); err != nil {
		t.Fatal(err)
	}
	if c := d.stats().Rules["r"]; c.Calls != 1 || c.Struck != 0 {
		t.Errorf("%+v", c)
	}
}
