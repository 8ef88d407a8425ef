package history

import (
	"errors"
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

// NotRegularError says that a path leads to something other than a regular file. Opening or
// reading a pipe or a device may never end.
type NotRegularError struct {
	Path string
	Mode fs.FileMode
}

func (e *NotRegularError) Error() string { return e.Path + " is " + e.What() }

// What is the error without the path, as what comes after "it is".
func (e *NotRegularError) What() string {
	const not = "not a regular file; name a file"
	switch {
	case e.Mode.IsDir():
		return "a directory; name a file"
	case e.Mode&fs.ModeNamedPipe != 0: // a shell makes <(…) of one
		return not + ", also in the place of <(…), which is a pipe"
	case e.Mode&fs.ModeSocket != 0:
		return not + ", and no socket"
	case e.Mode&fs.ModeDevice != 0:
		return not + ", and no device"
	}
	return not
}

// Open opens a regular file to be read. Anything else is refused with a NotRegularError.
func Open(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ENXIO) { // as for a socket
		if info, e := os.Stat(path); e == nil && !info.Mode().IsRegular() {
			err = &NotRegularError{path, info.Mode()}
		}
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &NotRegularError{path, info.Mode()}
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
