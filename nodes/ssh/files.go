package ssh

import (
	"errors"
	"io/fs"
	"os"

	"nemesis/history"
)

// mostText bounds the files of the user's that are read here, in bytes: configurations,
// keys, known hosts, lists of hosts.
const mostText = 64 << 20

// readFile reads a file that the user, or a configuration, names. Only regular files are
// read, and the null device, which people name in the place of a file that is empty.
func readFile(path string) ([]byte, error) {
	text, err := history.ReadFile(path, mostText)
	var other *history.NotRegularError
	if errors.As(err, &other) && isNull(path) {
		return nil, nil
	}
	return text, err
}

func isNull(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(info, null)
}

// why is an error of readFile for a message that names the path already.
func why(err error) error {
	var at *fs.PathError
	var other *history.NotRegularError
	switch {
	case errors.As(err, &at):
		return at.Err
	case errors.As(err, &other):
		return errors.New("it is " + other.What())
	}
	return err
}
