package trace

import (
	"fmt"
	"os"
	"strings"
)

// Limit is the size to which a trace grows, in bytes, however many processes write it.
const Limit = 64 << 20

// Open begins the trace of a process in a file, which may be there already, and fills in Start.Boot. The path "" is no trace.
func Open(path string, node uint64, start Start) (*Writer, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the trace: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open the trace: %w", err)
	}
	if boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		start.Boot = strings.TrimSpace(string(boot))
	}
	w := New(f, node, start, Limit-info.Size())
	w.file = f
	return w, nil
}

// Close closes the file. What was not flushed is lost.
func (t *Writer) Close() error {
	if t == nil || t.file == nil {
		return nil
	}
	return t.file.Close()
}
