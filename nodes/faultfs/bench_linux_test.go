package faultfs

import (
	"os"
	"path/filepath"
	"testing"
)

// where runs a benchmark on a plain directory and on a disk without rules over one. forget
// makes the kernel forget what it holds of the disk's files, not of those beneath.
func where(b *testing.B, run func(b *testing.B, dir string, forget func())) {
	b.Run("plain", func(b *testing.B) { run(b, b.TempDir(), func() {}) })
	b.Run("disk", func(b *testing.B) {
		d := newMount(b, false)
		run(b, d.Path, func() { d.uncache(Rule{Do: Flip}) })
	})
}

// BenchmarkSyncedWrites appends 4 KiB and syncs, as a log does.
func BenchmarkSyncedWrites(b *testing.B) {
	where(b, func(b *testing.B, dir string, _ func()) {
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
	where(b, func(b *testing.B, dir string, _ func()) {
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
func BenchmarkStreamingReads(b *testing.B) { streamingReads(b, true) }

// BenchmarkStreamingReadsAgain is the same where the kernel holds the disk's files, too, as
// after they were written or read.
func BenchmarkStreamingReadsAgain(b *testing.B) { streamingReads(b, false) }

func streamingReads(b *testing.B, first bool) {
	where(b, func(b *testing.B, dir string, forget func()) {
		path := filepath.Join(dir, "data")
		if err := os.WriteFile(path, make([]byte, 64<<20), 0o600); err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 128<<10)
		b.SetBytes(64 << 20)
		for b.Loop() {
			if first {
				forget()
			}
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
