package wal

import "io/fs"

// Nowhere is a directory that keeps nothing: a log in it is gone when its process is.
type Nowhere struct{}

var _ FS = Nowhere{}

// Create opens a file for writing, whose bytes go nowhere.
func (Nowhere) Create(string) (File, error) { return nothing{}, nil }

// Append opens a file for writing, whose bytes go nowhere.
func (Nowhere) Append(string) (File, error) { return nothing{}, nil }

// Read finds no file.
func (Nowhere) Read(string) ([]byte, error) { return nil, fs.ErrNotExist }

// Truncate does nothing.
func (Nowhere) Truncate(string, int64) error { return nil }

// Rename does nothing.
func (Nowhere) Rename(_, _ string) error { return nil }

// Remove does nothing.
func (Nowhere) Remove(string) error { return nil }

// List finds no file.
func (Nowhere) List() ([]string, error) { return nil, nil }

// SyncDir does nothing.
func (Nowhere) SyncDir() error { return nil }

type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }
func (nothing) Sync() error                 { return nil }
func (nothing) Close() error                { return nil }
