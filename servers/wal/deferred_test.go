package wal

import (
	"errors"
	"testing"
	"time"

	"nemesis/servers/core"
)

// TestDeferredSyncKeepsRecordsAndTellsErrors writes through a directory that syncs later, reads back, and breaks its file.
func TestDeferredSyncKeepsRecordsAndTellsErrors(t *testing.T) {
	path := t.TempDir()
	open := func() (*Log, core.Stored) {
		t.Helper()
		dir, err := OpenDir(path)
		if err != nil {
			t.Fatal(err)
		}
		log, stored, err := Open(Deferred{Dir: dir, Every: time.Millisecond}, "")
		if err != nil {
			t.Fatal(err)
		}
		return log, stored
	}
	log, _ := open()
	for _, r := range []string{"a", "b"} {
		if err := log.Write([][]byte{[]byte(r)}); err != nil {
			t.Fatal(err)
		}
		if err := log.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	log, stored := open()
	defer log.Close()
	if len(stored.Records) != 2 || string(stored.Records[1]) != "b" {
		t.Errorf("read back %q", stored.Records)
	}

	broken := &brokenFile{err: errors.New("broken")}
	f, _ := Deferred{Every: time.Millisecond}.deferred(broken, nil)
	for f.Sync() == nil { // until the background has tried
		time.Sleep(time.Millisecond)
	}
	if err := f.Close(); !errors.Is(err, broken.err) {
		t.Errorf("closing a file that could not be synced gives %v", err)
	}
}

// brokenFile is a file that cannot be synced.
type brokenFile struct{ err error }

func (f *brokenFile) Write(p []byte) (int, error) { return len(p), nil }
func (f *brokenFile) Sync() error                 { return f.err }
func (f *brokenFile) Close() error                { return nil }
