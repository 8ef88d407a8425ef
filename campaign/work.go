package campaign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/run"
)

// Config is where and with what a campaign runs.
type Config struct {
	// Out is the campaign's directory. One that was begun is gone on with.
	Out string
	// Executable is nemesis; it is started for every item as
	//
	//	nemesis replay DIR --json --out DIR REACH…
	//	nemesis check DIR --quiet
	//	nemesis nodes heal --nodes SPEC REACH…
	Executable string
	// Reach are the flags that say how nodes are reached, such as --ssh-key.
	Reach []string
	// Env is added to the environment of these processes.
	Env []string
	// Prepare gets a system's server ready before the first run of it, so that building
	// it takes nothing of that run's time; nil leaves it to the runs.
	Prepare func(context.Context, history.System) error
	// Log is told of every result, one line each.
	Log io.Writer
	// Archive is the directory of earlier nights, to be added to when the night is over
	// and not a shard; "" is none.
	Archive string
	// Grace is how long a run may take to end when its time is up; 0 is 90 s.
	Grace time.Duration
	// Version names this build of nemesis.
	Version string
}

// givingUp is after how many runs in a row that ended in harness a night ends: what is
// broken then is nemesis, the network or the machines, and no seed will change that.
const givingUp = 10

// Run runs a night, or the rest of one that was killed, and writes its outputs. The
// error says why there is no complete night: mistakes are run.UsageErrors, and an ended
// ctx gives its cause, after the runs under way were healed.
func Run(ctx context.Context, c *Campaign, cfg Config) (Night, error) {
	store, err := openStore(cfg.Out, c.Manifest(time.Now().UTC(), cfg.Version))
	if err != nil {
		return Night{}, err
	}
	defer store.close()
	night := *c
	night.Replays, night.Rechecks = pending(c.Replays, store.manifest.Replays), pending(c.Rechecks, store.manifest.Rechecks)
	w := &worker{Campaign: &night, cfg: cfg, store: store, done: map[string]Result{}, prepared: map[string]*preparation{}}
	if w.cfg.Grace == 0 {
		w.cfg.Grace = defaultGrace
	}
	for _, r := range store.results {
		w.take(r)
		w.before += time.Duration(r.Took) / time.Duration(c.File.Budget.Parallel)
	}
	w.began = time.Now()
	if w.memory, err = c.File.memory(); err != nil {
		return Night{}, err
	}
	if err := w.all(ctx); err != nil {
		return Night{}, err
	}
	return w.finish()
}

// pending returns the items that the manifest of the night lists. A resumed night may find
// more items in its archive, its own findings among them, and leaves those to a later night.
func pending(items []Item, duties []Duty) []Item {
	return slices.DeleteFunc(slices.Clone(items), func(it Item) bool {
		id := it.ID()
		return !slices.ContainsFunc(duties, func(d Duty) bool { return d.ID == id })
	})
}

func (f *File) memory() (int64, error) {
	if f.Budget.Memory == "" {
		return 0, nil
	}
	return run.ParseBytes(f.Budget.Memory)
}

// worker is a night under way.
type worker struct {
	*Campaign
	cfg    Config
	store  *store
	memory int64

	mu       sync.Mutex
	done     map[string]Result
	before   time.Duration // what is used of the wall budget by a campaign that was killed
	began    time.Time
	broken   int // runs in a row that ended in harness
	repeated map[string]bool
	prepared map[string]*preparation
	stopped  string // why the night ended before its work was done
}

// take counts a result.
func (w *worker) take(r Result) {
	w.done[r.ID] = r
	switch {
	case r.Kind == Recheck:
	case r.Verdict == checker.Harness:
		w.broken++
	default:
		w.broken = 0
	}
}

// all does one thing after the other: cheap truths first.
func (w *worker) all(ctx context.Context) error {
	if err := w.healLeftovers(ctx); err != nil {
		return err
	}
	for _, phase := range []func() func() (task, error){w.canaries, w.replays, w.rechecks, w.search} {
		if err := w.inParallel(ctx, phase()); err != nil {
			return err
		}
	}
	return nil
}

// task is what one of the parallel workers does before it takes the next.
type task func(context.Context) error

// inParallel runs tasks until next says io.EOF, budget.parallel at once, and returns the
// first error, or why ctx ended.
func (w *worker) inParallel(ctx context.Context, next func() (task, error)) error {
	var taking sync.Mutex
	all, within := errgroup.WithContext(ctx)
	for range w.File.Budget.Parallel {
		all.Go(func() error {
			for within.Err() == nil {
				taking.Lock()
				do, err := next()
				taking.Unlock()
				if err == nil {
					err = do(within)
				}
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return context.Cause(ctx)
}

// canaries are one task each: the tries of one come after one another.
func (w *worker) canaries() func() (task, error) {
	i := 0
	return func() (task, error) {
		for ; i < len(w.Canaries); i++ {
			if w.Canaries[i].Shard == w.Shard.Number {
				watch := w.Canaries[i]
				i++
				return func(ctx context.Context) error { return w.watch(ctx, watch) }, nil
			}
		}
		return nil, io.EOF
	}
}

// watch runs a canary until it has shown what it should, or can no more.
func (w *worker) watch(ctx context.Context, watch Watch) error {
	for try := 1; try <= watch.Tries; try++ {
		it, err := watch.item(Item{Kind: Canary, Try: try}, watch.seed(w.base, try))
		if err != nil {
			return err
		}
		r, err := w.do(ctx, it)
		if err != nil {
			return err
		}
		if watch.Expect == checker.Violation && r.finds(watch.Finds) {
			return nil
		}
	}
	return nil
}

// finds tells whether a result is a violation of the named sort.
func (r Result) finds(named string) bool {
	if r.Verdict != checker.Violation {
		return false
	}
	return named == "" || slices.ContainsFunc(r.Findings, func(f Finding) bool { return sameFinding(f.Fingerprint, named) })
}

func (w *worker) replays() func() (task, error) {
	return w.list(w.Replays, w.Wall/2)
}

func (w *worker) rechecks() func() (task, error) {
	return w.list(w.Rechecks, w.Wall*3/4)
}

// list does items as long as less than limit of the wall budget is used: old findings
// must leave time for new ones. What is left out stays pending, and the night says so.
func (w *worker) list(items []Item, limit time.Duration) func() (task, error) {
	i := 0
	return func() (task, error) {
		if i == len(items) || w.over(limit) {
			return nil, io.EOF
		}
		it := items[i]
		i++
		return func(ctx context.Context) error {
			_, err := w.do(ctx, it)
			return err
		}, nil
	}
}

func (w *worker) search() func() (task, error) {
	q := w.queue()
	return func() (task, error) {
		it, expected, err := q.next()
		if err != nil {
			return nil, err
		}
		// An item that has its result costs nothing more.
		if w.result(it.ID()) == nil && w.over(w.Wall-expected) {
			return nil, io.EOF
		}
		return func(ctx context.Context) error {
			r, err := w.do(ctx, it)
			if err != nil {
				return err
			}
			return w.repeat(ctx, it, r, expected)
		}, nil
	}
}

// repeat runs a new finding again, to estimate how often it comes: once for each anomaly and
// cell, since one defect has several shapes, and what always fails must leave time for other
// cells; and not when it is in quarantine. Whatever comes of it, the finding stands.
func (w *worker) repeat(ctx context.Context, it Item, r Result, expected time.Duration) error {
	if r.Verdict != checker.Violation {
		return nil
	}
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return w.store.manifest.quarantine(f.Fingerprint, r.Began) == "" })
	if i < 0 {
		return nil
	}
	sort := r.Cell + " " + anomaly(r.Findings[i].Fingerprint)
	w.mu.Lock()
	before := w.repeated[sort]
	if w.repeated == nil {
		w.repeated = map[string]bool{}
	}
	w.repeated[sort] = true
	w.mu.Unlock()
	for try := 1; try <= w.File.Repeat && !before; try++ {
		again := it
		again.Kind, again.Try, again.Of = Repeat, try, it.ID()
		if w.result(again.ID()) == nil && w.over(w.Wall-expected) {
			return nil
		}
		if _, err := w.do(ctx, again); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) result(id string) *Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r, ok := w.done[id]; ok {
		return &r
	}
	return nil
}

// over tells whether no more is to be started.
func (w *worker) over(limit time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken >= givingUp {
		w.stopped = fmt.Sprintf("stopped after %d runs in a row that ended in harness", w.broken)
		return true
	}
	// By the clock, not by the runs: while one of the parallel workers is at a canary's last
	// try the others may have nothing to do.
	return w.before+time.Since(w.began) > limit
}

// do is an item's one result: that of results.jsonl, or a new one, on disk when do returns.
func (w *worker) do(ctx context.Context, it Item) (Result, error) {
	id := it.ID()
	if r := w.result(id); r != nil {
		return *r, nil
	}
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	r := Result{
		Schema: ResultSchema, ID: id, Kind: it.Kind, Cell: it.Cell, Try: it.Try, Of: it.Of,
		System: it.Plan.System.Name, Version: it.Plan.System.Version, Workload: it.Plan.Workload.Name, Seed: it.Plan.Seed,
		Began: time.Now().UTC(),
	}
	if it.Subject != "" {
		r.Version = "sha256:" + it.Subject[:12]
	}
	var err error
	if it.Kind == Recheck {
		err = w.recheck(ctx, it, &r)
	} else {
		err = w.run(ctx, it, &r)
	}
	if err != nil {
		return r, err
	}
	r.Took = history.Duration(time.Since(r.Began))
	if r.Verdict != checker.Valid && it.Kind != Recheck {
		r.Plan = &it.Plan
	}
	if err := w.record(r); err != nil {
		return r, err
	}
	// Not before: until its result is on disk, a run may have to be judged again.
	w.thin(r)
	return r, nil
}

func (w *worker) record(r Result) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.store.add(r); err != nil {
		return err
	}
	w.take(r)
	w.tell(r)
	return nil
}

func (w *worker) tell(r Result) {
	if w.cfg.Log == nil {
		return
	}
	what := string(r.Kind)
	if r.Try > 0 {
		what += " " + strconv.Itoa(r.Try)
	}
	fmt.Fprintf(w.cfg.Log, "%s  %-9s  %-10s  %s, seed %d, %.0f s: %s\n", time.Now().UTC().Format("15:04:05"), r.Verdict, what, r.Cell, r.Seed, time.Duration(r.Took).Seconds(), shown(r.Sentence, 160))
}

// finish judges the night and writes what it says.
func (w *worker) finish() (Night, error) {
	archive, err := OpenArchive(w.cfg.Archive)
	if err != nil {
		return Night{}, err
	}
	night := Judge(w.store.manifest, w.store.results, archive, time.Now().UTC())
	if w.stopped != "" {
		night.stop(w.stopped)
	}
	if err := trim(w.cfg.Out, w.store.manifest.Artifacts, &night); err != nil {
		return night, err
	}
	if w.Shard == Whole && w.cfg.Archive != "" {
		archive.add(&night, w.store.manifest, w.store.results, w.cfg.Out)
	}
	return night, Write(w.cfg.Out, night)
}

// attempts are the directories of an item's attempts so far, oldest first.
func (w *worker) attempts(id string) []string {
	var dirs []string
	for n := 1; ; n++ {
		dir := filepath.Join(w.store.itemDir(id), strconv.Itoa(n))
		if _, err := os.Stat(dir); err != nil {
			return dirs
		}
		dirs = append(dirs, dir)
	}
}
