package faultfs

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// where runs a benchmark on a plain directory, and on a disk d without rules over one.
func where(b *testing.B, run func(b *testing.B, dir string, d *mounted)) {
	b.Run("plain", func(b *testing.B) { run(b, b.TempDir(), nil) })
	b.Run("disk", func(b *testing.B) {
		d := newMount(b, false)
		run(b, d.Path, d)
	})
}

// BenchmarkSyncedWrites appends 4 KiB and syncs, as a log does.
func BenchmarkSyncedWrites(b *testing.B) {
	where(b, func(b *testing.B, dir string, _ *mounted) {
		f, err := os.Create(filepath.Join(dir, "log"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		page := make([]byte, 4096)
		for i := range page {
			page[i] = byte(i)
		}
		b.SetBytes(int64(len(page)))
		for b.Loop() {
			if _, err := f.Write(page); err != nil {
				b.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkWrites overwrites 4 KiB of a file of 16 MiB without syncs.
func BenchmarkWrites(b *testing.B) {
	where(b, func(b *testing.B, dir string, _ *mounted) {
		f, err := os.Create(filepath.Join(dir, "data"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		page := make([]byte, 4096)
		b.SetBytes(int64(len(page)))
		for i := 0; b.Loop(); i++ {
			if _, err := f.WriteAt(page, int64(i%4096)*4096); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkStreamingReads reads 64 MiB from the beginning to the end. The kernel holds them
// in memory: of the plain file, and of the one beneath the disk.
func BenchmarkStreamingReads(b *testing.B) { streamingReads(b, beneath) }

// BenchmarkStreamingReadsAgain is the same where the kernel holds the disk's files, too, as
// after they were written or read.
func BenchmarkStreamingReadsAgain(b *testing.B) { streamingReads(b, all) }

// BenchmarkStreamingReadsFromStorage is the same where the kernel holds nothing, as after
// a machine's start.
func BenchmarkStreamingReadsFromStorage(b *testing.B) { streamingReads(b, nothing) }

// What the kernel holds in memory before a file is read.
const (
	all = iota
	beneath
	nothing
)

func streamingReads(b *testing.B, held int) {
	where(b, func(b *testing.B, dir string, d *mounted) {
		path := filepath.Join(dir, "data")
		content := make([]byte, 64<<20)
		for i := range content {
			content[i] = byte(i >> 12)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			b.Fatal(err)
		}
		below, err := os.OpenFile(path, os.O_RDWR, 0)
		if err == nil && d != nil {
			below.Close()
			n := d.v.lookUp("data")
			below, err = d.v.open(n, false)
			defer d.v.release(n)
		}
		if err == nil {
			err = below.Sync()
		}
		if err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 128<<10)
		b.SetBytes(64 << 20)
		for b.Loop() {
			b.StopTimer()
			if held == nothing {
				if err := unix.Fadvise(int(below.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
					b.Fatal(err)
				}
			}
			if held != all && d != nil {
				d.uncache(Rule{Do: Flip})
			}
			b.StartTimer()
			f, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			for {
				n, err := f.Read(buf)
				if n == 0 || err != nil {
					break
				}
			}
			f.Close()
		}
	})
}
