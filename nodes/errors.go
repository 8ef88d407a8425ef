package nodes

import (
	"fmt"
	"strings"
)

// Error says which program ended how, with the last line it wrote to stderr.
func (e *ExitError) Error() string {
	msg := fmt.Sprintf("run %q on %s: exit status %d", strings.Join(e.Argv, " "), e.Node, e.Code)
	lines := strings.Split(strings.TrimSpace(e.Stderr), "\n")
	if last := lines[len(lines)-1]; last != "" {
		msg += ": " + last
	}
	return msg
}
