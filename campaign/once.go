package campaign

import (
	"context"
	"fmt"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

// Once runs `nemesis run` with these arguments as a child of its own, as items of a campaign are run, and returns its run
// directory and verdict. A run that ends without a verdict is an error, which says why.
func Once(ctx context.Context, executable string, args []string, limit time.Duration) (history.Dir, checker.Verdict, error) {
	c, err := start(ctx, limits{time: limit, grace: defaultGrace}, executable, append([]string{"run", "--json"}, args...), nil)
	if err != nil {
		return "", checker.Verdict{}, err
	}
	if err := context.Cause(ctx); err != nil {
		return "", checker.Verdict{}, err
	}
	if c.Dir == "" {
		return "", checker.Verdict{}, fmt.Errorf("run %v: it ended before its run directory was made: %s", args, lastLine(c.Said))
	}
	dir := history.Dir(c.Dir)
	v, err := checker.ReadVerdict(dir)
	if err != nil && c.Ended != "" {
		err = fmt.Errorf("run %v: %s", args, c.Ended)
	}
	return dir, v, err
}
