package wal

import "testing"

// TestUnsyncedDirectoryIsNotSynced syncs what is closed already: an error shows that the file system was asked.
func TestUnsyncedDirectoryIsNotSynced(t *testing.T) {
	for _, synced := range []bool{true, false} {
		dir, err := OpenDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		var fs FS = dir
		if !synced {
			fs = Unsynced{Dir: dir}
		}
		for name, open := range map[string]func(string) (File, error){"created": fs.Create, "appended to": fs.Append} {
			if name == "appended to" {
				if f, err := fs.Create("log"); err != nil || f.Close() != nil {
					t.Fatal(err)
				}
			}
			f, err := open("log")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			f.Close()
			if asked := f.Sync() != nil; asked != synced {
				t.Errorf("a file %s was synced: %t, want %t", name, asked, synced)
			}
		}
		if b, err := fs.Read("log"); err != nil || string(b) != "x" {
			t.Errorf("read %q, %v", b, err)
		}
		dir.Close()
		if asked := fs.SyncDir() != nil; asked != synced {
			t.Errorf("the directory was synced: %t, want %t", asked, synced)
		}
		if _, err := fs.Append("gone"); err == nil {
			t.Error("a file that is not there was opened")
		}
	}
}
