//go:build !linux

package effects

import (
	"errors"
	"os"
	"time"
)

var errNoLimits = errors.New("limits of a running process can only be changed on Linux")

func monotonic() int64 { return time.Now().UnixNano() }

func openFiles(int) (open int, soft, hard uint64, err error) { return 0, 0, 0, errNoLimits }

func limitOpenFiles(int, uint64) error { return errNoLimits }

func memoryFile(string) (*os.File, error) { return nil, errNoLimits }

func readMemoryFile(int, string) ([]byte, error) { return nil, errNoLimits }
