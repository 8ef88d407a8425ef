package wal

// Unsynced is a directory on which nothing is synced: what it holds survives the death of the process, and not the loss of power.
type Unsynced struct{ *Dir }

// Create opens an empty file for writing; its Sync does nothing.
func (d Unsynced) Create(name string) (File, error) { return unsynced(d.Dir.Create(name)) }

// Append opens an existing file for writing at its end; its Sync does nothing.
func (d Unsynced) Append(name string) (File, error) { return unsynced(d.Dir.Append(name)) }

// SyncDir does nothing.
func (d Unsynced) SyncDir() error { return nil }

type unsyncedFile struct{ File }

func (unsyncedFile) Sync() error { return nil }

func unsynced(f File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}
