package history

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

const (
	// MostJSON bounds a JSON file of a run, in bytes, a verdict above all: parsed it takes
	// some times as much.
	MostJSON = 128 << 20
	// mostPlan bounds plan.json: a schedule of as many faults as a run can have fits.
	mostPlan = 64 << 20
)

// Open opens a regular file to be read. Anything else is refused: opening or reading a
// pipe or a device may never end.
func Open(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		what := "not a regular file"
		if info.IsDir() {
			what = "a directory"
		}
		err = fmt.Errorf("%s is %s; name a file", path, what)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// ReadFile reads a regular file of at most so many bytes. One that is larger is refused
// unread.
func ReadFile(path string, most int64) ([]byte, error) {
	f, info, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tooLarge := fmt.Errorf("%s is larger than %d MiB, which no such file is", path, most>>20)
	if info.Size() > most {
		return nil, tooLarge
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most { // it grew meanwhile, or its size is not known
		err = tooLarge
	}
	return text, err
}
