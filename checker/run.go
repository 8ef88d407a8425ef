package checker

import (
	"context"
	"fmt"
	"time"

	"nemesis/history"
)

// grace is how much longer than its deadline a checker may take to notice it.
const grace = 5 * time.Second

// Run lets every checker judge the log, all at once, within limit (0 is no
// bound) and memory (bytes of heap for the process; 0 is no bound). The results
// come in the order of the checkers, one each: a checker that panics, or that is
// still at work well after its deadline, is Unknown with the reason.
func Run(ctx context.Context, log *history.Log, checkers []Checker, limit time.Duration, memory int64) []Result {
	return run(ctx, log, checkers, limit, memory, grace)
}

func run(ctx context.Context, log *history.Log, checkers []Checker, limit time.Duration, memory int64, grace time.Duration) []Result {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	began := time.Now()
	answers := make([]chan Result, len(checkers))
	for i, c := range checkers {
		answers[i] = make(chan Result, 1)
		go func() {
			start := time.Now()
			r := judgeSafely(ctx, c, log, Budget{Memory: memory})
			r.Took = time.Since(start).Nanoseconds()
			answers[i] <- r
		}()
	}
	// The one timer is shared: it starts when the time is up, for whatever reason.
	late := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(grace, func() { close(late) })
	})
	defer stop()

	results := make([]Result, len(checkers))
	for i, c := range checkers {
		select {
		case results[i] = <-answers[i]:
			continue
		default:
		}
		select {
		case results[i] = <-answers[i]:
		case <-late:
			results[i] = Result{Checker: c.Name(), Outcome: Unknown, Operations: len(log.Operations), Took: time.Since(began).Nanoseconds(),
				Summary: fmt.Sprintf("did not stop within %s of its deadline", grace)}
		}
	}
	return results
}

// judgeSafely turns a panic into Unknown: a checker with a defect must not take
// the history and the other checkers' results down with it.
func judgeSafely(ctx context.Context, c Checker, log *history.Log, budget Budget) (r Result) {
	defer func() {
		if p := recover(); p != nil {
			r = Result{Checker: c.Name(), Outcome: Unknown, Operations: len(log.Operations),
				Summary: "the checker itself failed, please report it: " + Show(fmt.Sprint(p))}
		}
	}()
	return c.Check(ctx, log, budget)
}
