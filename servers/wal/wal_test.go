package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"nemesis/servers/core"
)

func open(t *testing.T, path string) (*Log, core.Stored) {
	t.Helper()
	l, stored, err := tryOpen(t, path)
	if err != nil {
		t.Fatal(err)
	}
	return l, stored
}

func tryOpen(t *testing.T, path string) (*Log, core.Stored, error) {
	t.Helper()
	dir, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	l, stored, err := Open(dir, "")
	if err == nil {
		t.Cleanup(func() { l.Close() })
	}
	return l, stored, err
}

func record(i int) []byte { return []byte(fmt.Sprintf("record %d", i)) }

// write appends records from..to-1, one batch each, all synced.
func write(t *testing.T, l *Log, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := l.Write([][]byte{record(i)}); err != nil {
			t.Fatal(err)
		}
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
	}
}

func expect(t *testing.T, stored core.Stored, from, to int) {
	t.Helper()
	if len(stored.Records) != to-from {
		t.Fatalf("%d records, want %d to %d", len(stored.Records), from, to-1)
	}
	for i, r := range stored.Records {
		if string(r) != string(record(from+i)) {
			t.Fatalf("record %d is %q, want %q", i, r, record(from+i))
		}
	}
}

func TestRecordsComeBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, stored := open(t, path)
	if !stored.Empty() {
		t.Fatalf("a new directory holds %+v", stored)
	}
	write(t, l, 0, 3)
	l.Close()
	l, stored = open(t, path)
	expect(t, stored, 0, 3)
	write(t, l, 3, 5)
	l.Close()
	_, stored = open(t, path)
	expect(t, stored, 0, 5)
}

func TestCompactionKeepsSnapshotAndRecords(t *testing.T) {
	path := t.TempDir()
	l, _ := open(t, path)
	write(t, l, 0, 10)
	for id := uint64(1); id <= 2; id++ {
		if err := l.Save(core.Snapshot{ID: id, Data: []byte{byte(id)}}); err != nil {
			t.Fatal(err)
		}
		if err := l.Compact(core.Compaction{Snapshot: id, Records: [][]byte{record(8), record(9)}}); err != nil {
			t.Fatal(err)
		}
	}
	write(t, l, 10, 12)
	if err := l.Save(core.Snapshot{ID: 3, Data: []byte{3}}); err != nil { // crash before Compact names it
		t.Fatal(err)
	}
	l.Close()
	if err := os.WriteFile(filepath.Join(path, "snapshot-0000000000000004.tmp"), []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, stored := open(t, path)
	expect(t, stored, 8, 12)
	if stored.Snapshot == nil || stored.Snapshot.ID != 2 || string(stored.Snapshot.Data) != "\x02" {
		t.Fatalf("snapshot %+v, want that of the last compaction", stored.Snapshot)
	}
	if err := l.Compact(core.Compaction{Snapshot: 3}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Fatalf("the directory holds %v, want one log and one snapshot", entries)
	}
}

// TestTornTailAtEveryByte cuts the log at each byte of what was written and never synced: what was synced is there after
// Open, and the log goes on.
func TestTornTailAtEveryByte(t *testing.T) {
	path := t.TempDir()
	l, _ := open(t, path)
	write(t, l, 0, 3)
	synced := l.size
	for i := 3; i < 6; i++ {
		if err := l.Write([][]byte{record(i)}); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	name := logName(l.generation)
	whole, err := os.ReadFile(filepath.Join(path, name))
	if err != nil {
		t.Fatal(err)
	}
	for cut := synced; cut <= int64(len(whole)); cut++ {
		torn := t.TempDir()
		if err := os.WriteFile(filepath.Join(torn, name), whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		l, stored := open(t, torn)
		n := len(stored.Records)
		if n < 3 {
			t.Fatalf("cut at byte %d of %d: %d records, and 3 were synced", cut, len(whole), n)
		}
		expect(t, stored, 0, n)
		write(t, l, n, 7)
		l.Close()
		_, stored = open(t, torn)
		expect(t, stored, 0, 7)
	}
}

// TestDamageBeforeDurablePointIsAnError flips each byte of the synced batches but the last.
func TestDamageBeforeDurablePointIsAnError(t *testing.T) {
	path := t.TempDir()
	l, _ := open(t, path)
	write(t, l, 0, 2)
	end := l.size
	write(t, l, 2, 3)
	l.Close()
	name := logName(l.generation)
	whole, err := os.ReadFile(filepath.Join(path, name))
	if err != nil {
		t.Fatal(err)
	}
	for at := range end {
		if at >= int64(len(logMagic)) && at < int64(len(logMagic))+8 {
			continue // the snapshot's ID: see TestMissingSnapshotIsAnError
		}
		damaged := append([]byte(nil), whole...)
		damaged[at] ^= 1
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, stored, err := tryOpen(t, dir); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d flipped: got %d records and error %v, want ErrDamaged", at, len(stored.Records), err)
		}
	}
}

func TestMissingOrDamagedSnapshotIsAnError(t *testing.T) {
	path := t.TempDir()
	l, _ := open(t, path)
	if err := l.Save(core.Snapshot{ID: 7, Data: []byte("state")}); err != nil {
		t.Fatal(err)
	}
	if err := l.Compact(core.Compaction{Snapshot: 7}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	file := filepath.Join(path, snapshotName(7))
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		damaged := append([]byte(nil), whole...)
		damaged[at] ^= 1
		if err := os.WriteFile(file, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := tryOpen(t, path); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d flipped: %v, want ErrDamaged", at, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tryOpen(t, path); !errors.Is(err, ErrDamaged) {
		t.Fatalf("snapshot removed: %v, want ErrDamaged", err)
	}
}

func TestErrorOnReadingIsNotAnEmptyDisk(t *testing.T) {
	path := t.TempDir()
	l, _ := open(t, path)
	write(t, l, 0, 3)
	l.Close()
	file := filepath.Join(path, logName(l.generation))
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o755); err != nil { // reading it is an error even for root
		t.Fatal(err)
	}
	if _, stored, err := tryOpen(t, path); err == nil {
		t.Fatalf("an unreadable log was opened with %d records", len(stored.Records))
	}
}
