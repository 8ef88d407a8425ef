package benchmark

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
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
		{"echo trouble ahead; printf 'no \\033[31mdisk'; exit 3", `start a script: node 1 ended (exit status 3): no `, groupSize},
		{"echo 'listen: address already in use' >&2; exit 1", `start a script: another process took a port of it`, groupSize * starts},
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

func TestRowsHaveNamesOfTheirOwn(t *testing.T) {
	names := Names()
	if slices.Sort(names); len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("some of %v is there twice", names)
	}
}

// TestRowsWithoutTheirRivalAreLeftOut: without a redis-server, who named a row of it is refused, and others are told.
func TestRowsWithoutTheirRivalAreLeftOut(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var progress strings.Builder
	cfg := Config{Only: []string{"puts-memory-1-shard-1"}, Time: time.Second, Rounds: 1, Progress: &progress}
	err := Run(t.Context(), cfg, func(Row) { t.Error("a row was measured") })
	if want := "measure puts-memory-1-shard-1: find redis-server in PATH: it is not installed; install Redis 7 or later"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	cfg.Only = nil
	var redis []contest
	for _, c := range contests() {
		if _, is := c.theirs.(redisServer); is {
			redis = append(redis, c)
		}
	}
	if err := measure(t.Context(), cfg, redis, func(Row) { t.Error("a row was measured") }); err != nil {
		t.Error(err)
	}
	if want := "rows of shardkv are left out: find redis-server in PATH: it is not installed; install Redis 7 or later\n"; progress.String() != want {
		t.Errorf("got  %q\nwant %q", progress.String(), want)
	}
}

func TestMedianIsTheRoundInTheMiddle(t *testing.T) {
	got := median([]Figures{{PerSecond: 9, P50MS: 1}, {PerSecond: 1, P50MS: 2}, {PerSecond: 5, P50MS: 3}})
	if got != (Figures{PerSecond: 5, P50MS: 3}) {
		t.Errorf("got %+v", got)
	}
}
