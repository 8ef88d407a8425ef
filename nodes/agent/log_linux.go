package agent

import (
	"io"
	"os"
)

// The agent's log tells what was applied, undone and ended, and when. It is a file, and
// not standard error: a client that takes nothing any more must not be able to hold
// up the undoing. For the same reason a full disk costs the log its lines, and nothing
// else.
const (
	logName  = "agent.log"
	logLimit = 4 << 20 // bytes, beyond which an agent begins the file anew
)

func openLog(path string) io.WriteCloser {
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if info, err := os.Stat(path); err == nil && info.Size() > logLimit {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nowhere{}
	}
	return f
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Close() error                { return nil }
