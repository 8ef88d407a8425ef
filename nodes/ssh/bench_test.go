package ssh_test

import (
	"bytes"
	"context"
	"io"
	"math/rand"
	"path/filepath"
	"testing"
)

func BenchmarkRun(b *testing.B) {
	s := startServer(b)
	conn := s.dial(b, s.options(b))
	for b.Loop() {
		if _, err := conn.Run(context.Background(), nil, "true"); err != nil {
			b.Fatal(err)
		}
	}
}

// A deployment sends some 40 MB to each node and has them verified.
func BenchmarkTransfer(b *testing.B) {
	s := startServer(b)
	conn := s.dial(b, s.options(b))
	content := make([]byte, 38<<20)
	rand.New(rand.NewSource(1)).Read(content)
	path := filepath.Join(b.TempDir(), "file")
	b.Run("upload", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			if err := conn.Upload(context.Background(), bytes.NewReader(content), path, 0o755); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("download", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			if err := conn.Download(context.Background(), path, io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
}
