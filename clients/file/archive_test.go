package file

import (
	"archive/tar"
	"compress/gzip"
	"os"
	"testing"
)

// writeArchive writes a .tar.gz with one file.
func writeArchive(t *testing.T, at, name string) {
	t.Helper()
	f, err := os.Create(at)
	if err != nil {
		t.Fatal(err)
	}
	zipped := gzip.NewWriter(f)
	archive := tar.NewWriter(zipped)
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: 1, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	archive.Write([]byte("x"))
	archive.Close()
	zipped.Close()
	f.Close()
}
