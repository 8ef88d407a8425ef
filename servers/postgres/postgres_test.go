package postgres

import (
	"archive/tar"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

func TestNewestInstalledServerIsFound(t *testing.T) {
	for _, c := range []struct {
		files []string
		want  string
	}{
		{[]string{"usr/lib/postgresql/9/bin/postgres", "usr/lib/postgresql/15/bin/postgres", "usr/bin/postgres"}, "/usr/lib/postgresql/15/bin"},
		{[]string{"usr/pgsql-14/bin/postgres", "usr/pgsql-16/bin/postgres"}, "/usr/pgsql-16/bin"},
		{[]string{"usr/bin/postgres"}, "/usr/bin"},
		{nil, ""},
	} {
		root := fstest.MapFS{}
		for _, f := range c.files {
			root[f] = &fstest.MapFile{}
		}
		got, err := find(root)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%v: %q, %v; want %q", c.files, got, err, c.want)
		}
	}
}

// archiveOf makes a tarball as npm does: all below package/, no links.
func archiveOf(t *testing.T, files map[string]string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "programs.tgz")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	zipped := gzip.NewWriter(f)
	w := tar.NewWriter(zipped)
	for path, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{w.Close(), zipped.Close(), f.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return name
}

func TestUnpackedWholeWithItsLinksOrNotAtAll(t *testing.T) {
	archive := archiveOf(t, map[string]string{
		"package/native/bin/postgres": "program", "package/native/lib/libpq.so.5.15": "library", "package/native/lib/libpq.a": "for builders",
		"package/native/pg-symlinks.json": `[{"source":"native/lib/libpq.so.5.15","target":"native/lib/libpq.so.5"},{"source":"native/lib/libpq.a","target":"native/lib/old.a"}]`,
	})
	into := filepath.Join(t.TempDir(), "15.3")
	bin, err := unpack(archive, into)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{filepath.Join(bin, "postgres"): "program", filepath.Join(into, "native/lib/libpq.so.5"): "library"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	if _, err := os.Stat(filepath.Join(into, "native/lib/libpq.a")); err == nil {
		t.Error("what only builders need was unpacked")
	}

	whole, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(archive, whole[:len(whole)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "15.3")
	if _, err := unpack(archive, other); err == nil {
		t.Error("half an archive was unpacked")
	}
	if _, err := os.Stat(other); err == nil {
		t.Error("half an archive left its directory")
	}
}

func TestArchiveDoesNotLeadOutOfItsDirectory(t *testing.T) {
	dir := t.TempDir()
	archive := archiveOf(t, map[string]string{"package/native/../../../outside": "x", "package/native/ok": "y"})
	_, _ = unpack(archive, filepath.Join(dir, "in", "15.3")) // whether that is refused or left out does not matter
	if _, err := os.Stat(filepath.Join(dir, "outside")); err == nil {
		t.Error("a file was written outside")
	}
	archive = archiveOf(t, map[string]string{
		"package/native/a": "x", "package/native/pg-symlinks.json": `[{"source":"native/a","target":"native/../../../outside"}]`,
	})
	_, _ = unpack(archive, filepath.Join(dir, "in", "15.4"))
	if _, err := os.Lstat(filepath.Join(dir, "outside")); err == nil {
		t.Error("a link was made outside")
	}
}

func TestLockOfAKilledServerIsRemoved(t *testing.T) {
	s := &server{Options: Options{Dir: t.TempDir()}}
	if err := os.MkdirAll(s.data(), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.data(), "postmaster.pid")
	for _, pid := range []string{"99999999", "1", "../../etc", ""} { // nobody, another program, nonsense
		if err := os.WriteFile(path, []byte(pid+"\nmore\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.clearLock(); err != nil {
			t.Errorf("lock of %q: %v", pid, err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("the lock of %q is still there", pid)
		}
	}
	if err := s.clearLock(); err != nil {
		t.Errorf("without a lock: %v", err)
	}
}
