package wal

import (
	"errors"
	"sync"
	"time"
)

// Deferred is a directory whose files are synced in the background: what was written to them may be lost for as long as Every when
// the power is. The directory itself is synced at once.
type Deferred struct {
	*Dir
	Every time.Duration
}

// Create opens an empty file for writing; its Sync is deferred.
func (d Deferred) Create(name string) (File, error) { return d.deferred(d.Dir.Create(name)) }

// Append opens an existing file for writing at its end; its Sync is deferred.
func (d Deferred) Append(name string) (File, error) { return d.deferred(d.Dir.Append(name)) }

func (d Deferred) deferred(file File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	f := &deferredFile{File: file, over: make(chan struct{})}
	f.done.Go(func() { f.run(d.Every) })
	return f, nil
}

// deferredFile is a file with a goroutine that syncs it.
type deferredFile struct {
	File
	over chan struct{}
	done sync.WaitGroup

	mu    sync.Mutex
	dirty bool
	err   error
}

// Sync asks for a sync. Its error is that of an earlier one.
func (f *deferredFile) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dirty = true
	return f.err
}

// Close syncs what is not synced and closes the file.
func (f *deferredFile) Close() error {
	close(f.over)
	f.done.Wait()
	f.sync()
	return errors.Join(f.err, f.File.Close())
}

func (f *deferredFile) run(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-f.over:
			return
		case <-ticker.C:
			f.sync()
		}
	}
}

// sync syncs the file if somebody has asked for it since the last time.
func (f *deferredFile) sync() {
	f.mu.Lock()
	dirty := f.dirty
	f.dirty = false
	f.mu.Unlock()
	if !dirty {
		return
	}
	if err := f.File.Sync(); err != nil {
		f.mu.Lock()
		f.err = err
		f.mu.Unlock()
	}
}
