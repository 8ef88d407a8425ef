package benchmark

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

// shell is a server that runs a script and never answers.
type shell struct {
	etcdServer
	script string
	starts *int
}

func (shell) prepare(context.Context, Config) (string, string, error) {
	return "/bin/sh", "a script", nil
}

func (s shell) command([][]netip.AddrPort, int, string) []string {
	*s.starts++
	return []string{"-c", s.script}
}

func (shell) leader(context.Context, [][]netip.AddrPort) (int, error) {
	return 0, errors.New("nobody listens")
}

func TestServerThatEndsIsToldWithItsLastWords(t *testing.T) {
	for _, c := range []struct {
		script, want string
		starts       int
	}{
		{"echo trouble ahead; printf 'no \\033[31mdisk'; exit 3", `start a script: node 1 ended (exit status 3): no `, nodes},
		{"echo 'listen: address already in use' >&2; exit 1", `start a script: another process took a port of it`, nodes * starts},
	} {
		dir, started := t.TempDir(), 0
		_, err := start(t.Context(), Config{Dir: dir}, shell{script: c.script, starts: &started})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
		if started != c.starts {
			t.Errorf("%d nodes were started, and %d ought to", started, c.starts)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

func TestEveryRowBelongsToOneContest(t *testing.T) {
	for _, r := range rows() {
		n := 0
		for _, c := range contests() {
			if slices.Contains(c.how, r.how) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s is measured by %d contests", r.name(), n)
		}
	}
}

func TestMedianIsTheRoundInTheMiddle(t *testing.T) {
	got := median([]Figures{{PerSecond: 9, P50MS: 1}, {PerSecond: 1, P50MS: 2}, {PerSecond: 5, P50MS: 3}})
	if got != (Figures{PerSecond: 5, P50MS: 3}) {
		t.Errorf("got %+v", got)
	}
}
