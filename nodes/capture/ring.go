package capture

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Parts are the names of the two files of a ring.
func Parts() []string { return []string{"part-0.pcapng", "part-1.pcapng"} }

// Smallest and Largest bound the size of a ring, in bytes.
const Smallest, Largest = 256 << 10, 1 << 30

// Ring writes packets into two files in turn. It is used by one goroutine at a time.
type Ring struct {
	dir   string
	each  int64 // how long one file may become
	on    int
	wrote int64
	file  *os.File
	w     *bufio.Writer
}

// NewRing makes the first file in a directory. size bounds both together, in bytes.
func NewRing(dir string, size int64) (*Ring, error) {
	if size < Smallest || size > Largest {
		return nil, fmt.Errorf("keep packets: %d bytes are not from %d to %d", size, Smallest, Largest)
	}
	r := &Ring{dir: dir, each: size / 2, on: 1}
	return r, r.turn()
}

// turn empties the other file and goes on with it.
func (r *Ring) turn() error {
	if err := r.Close(); err != nil {
		return err
	}
	r.on = 1 - r.on
	file, err := os.Create(filepath.Join(r.dir, Parts()[r.on]))
	if err != nil {
		return fmt.Errorf("keep packets: %w", err)
	}
	r.file, r.w, r.wrote = file, bufio.NewWriterSize(file, 64<<10), 0
	return r.write(header())
}

func (r *Ring) write(b []byte) error {
	r.wrote += int64(len(b))
	if _, err := r.w.Write(b); err != nil {
		return fmt.Errorf("keep packets: %w", err)
	}
	return nil
}

// Add adds a packet, of which data is the beginning and length how long it was.
func (r *Ring) Add(at time.Time, data []byte, length int) error {
	b := encode(at, data[:min(len(data), mostPacket)], length)
	if r.wrote+int64(len(b)) > r.each {
		if err := r.turn(); err != nil {
			return err
		}
	}
	return r.write(b)
}

// Flush hands to the system what is buffered.
func (r *Ring) Flush() error { return r.w.Flush() }

// Close ends the file.
func (r *Ring) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.w.Flush()
	if closing := r.file.Close(); err == nil {
		err = closing
	}
	r.file = nil
	if err != nil {
		return fmt.Errorf("keep packets: %w", err)
	}
	return nil
}
