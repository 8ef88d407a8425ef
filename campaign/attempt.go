package campaign

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/visible"
)

// run makes an item's result by a run of its plan. Where a killed campaign had begun with
// it, what is there counts first: a verdict is the item's result, and a violation in a
// history that was cut off is one. An error ends the campaign; whatever happens to the run
// is in the result.
func (w *worker) run(ctx context.Context, it Item, r *Result) error {
	before := w.attempts(r.ID)
	for i, out := range slices.Backward(before) {
		r.Attempt = i + 1
		if w.adopt(ctx, out, r) {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	r.Attempt = len(before) + 1
	if err := w.prepare(ctx, it.Plan.System); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.harness("the server could not be made ready: " + err.Error())
		return nil
	}
	item := w.store.itemDir(r.ID)
	out := filepath.Join(item, strconv.Itoa(r.Attempt))
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("make the directory of a run: %w", err)
	}
	if err := writeJSON(filepath.Join(item, history.PlanFile), it.Plan); err != nil {
		return err
	}
	args := append([]string{"replay", item, "--json", "--out", out}, w.cfg.Reach...)
	c, err := start(ctx, w.limits(), w.cfg.Executable, args, w.cfg.Env)
	if err != nil {
		return err
	}
	if c.crashed() {
		w.heal(context.WithoutCancel(ctx), it.Plan.Cluster.Spec, r)
	}
	w.conclude(ctx, c, out, r)
	if ctx.Err() != nil && r.Verdict != checker.Violation {
		// It did not have its time. What it recorded stays, and another attempt is made
		// when the campaign goes on.
		return context.Cause(ctx)
	}
	return nil
}

// adopt takes an earlier attempt's run for the item's result, if it is one. Of a run that
// did not end by itself only what it proves counts: broken promises.
func (w *worker) adopt(ctx context.Context, out string, r *Result) bool {
	dir := findRun(out)
	if dir == "" || !exists(dir.Path(history.HistoryFile)) {
		return false
	}
	if !exists(dir.Path(history.VerdictFile)) && w.judge(ctx, out, dir) != nil {
		return false
	}
	got := *r
	if got.observe(dir, w.File.Floors) != nil {
		return false
	}
	cut := exists(filepath.Join(out, cutFile)) || got.Interrupted
	if cut && got.Said != checker.Violation && got.Said != checker.Exceeded {
		return false
	}
	got.Dir = w.store.relative(string(dir))
	*r = got
	return true
}

// cutFile marks an attempt whose run did not end. The verdict in it is ours, and says
// nothing about what was not recorded any more, whoever reads it after we were killed too.
const cutFile = "cut-off"

// judge lets a child judge what a run recorded that did not end.
func (w *worker) judge(ctx context.Context, out string, dir history.Dir) error {
	if err := history.WriteFile(filepath.Join(out, cutFile), 0o644, nil); err != nil {
		return err
	}
	return w.check(ctx, dir)
}

// conclude makes a result of how a run's process ended and what it left behind. A
// violation that was written down stands whatever came after it. Whom we ended while it
// judged, since it took too long or too much memory, could not finish: unknown. Everything
// else that is not in order is harness, a crash above all, whatever its exit status: that of
// a run's verdict is only believed beside the verdict itself.
func (w *worker) conclude(ctx context.Context, c child, out string, r *Result) {
	dir := findRun(out)
	trouble := c.Ended
	if trouble == "" && c.Code > checker.Harness.ExitCode() {
		trouble = "it ended with status " + strconv.Itoa(c.Code)
	}
	if line := lastLine(c.Said); line != "" && (trouble != "" || c.Code != 0) {
		trouble = strings.TrimPrefix(trouble+": "+line, ": ")
	}
	if dir == "" {
		if trouble == "" {
			trouble = fmt.Sprintf("it ended with status %d and left no run directory", c.Code)
		}
		r.harness(trouble)
		return
	}
	r.Dir = w.store.relative(string(dir))
	unread := r.observe(dir, w.File.Floors)
	switch {
	case unread == nil && r.Said == checker.Violation:
		if c.crashed() {
			r.Reasons = append(r.Reasons, "after the verdict the run did not end in order: "+trouble)
		}
	case unread == nil && !c.crashed() && c.Code == r.Said.ExitCode():
	case unread == nil && c.crashed():
		r.harness("the run did not end in order: " + trouble)
	case unread == nil:
		r.harness(fmt.Sprintf("its verdict is %s, but its exit status %d: %s", r.Said, c.Code, trouble))
	case c.judging() && c.Beyond:
		undecided(trouble, r)
	case !exists(dir.Path(history.HistoryFile)):
		r.harness("the run did not end in order: " + strings.TrimPrefix(trouble+"; it recorded nothing", "; "))
	default:
		// It died before it had judged, or of that. Nobody must miss a violation for it.
		if w.judge(ctx, out, dir) == nil && r.observe(dir, w.File.Floors) == nil && (r.Said == checker.Violation || r.Said == checker.Exceeded) {
			r.Reasons = append(r.Reasons, "the run did not end in order: "+trouble)
			return
		}
		if trouble == "" {
			trouble = fmt.Sprintf("it ended with status %d: %s", c.Code, unread.Error())
		}
		r.Said = "" // that was us
		r.harness("the run did not end in order: " + trouble)
	}
}

// undecided is a result whose history was recorded and could not be judged within limits.
func undecided(trouble string, r *Result) {
	r.Verdict, r.Said = checker.Unknown, ""
	r.Sentence = visible.Text("The history is recorded, but judging it did not end in order: " + trouble + ".")
	r.Reasons = append(r.Reasons, visible.Text(trouble))
}

func (r *Result) harness(trouble string) {
	trouble = visible.Text(trouble)
	r.Verdict = checker.Harness
	r.Sentence = "The harness failed: " + strings.TrimSuffix(trouble, ".") + "."
	r.Reasons = append([]string{trouble}, r.Reasons...)
	r.Findings = nil
}

// beyondError says that judging went beyond its limits.
type beyondError struct{ error }

// check lets a child judge a run directory that has no verdict, and tells why there is none
// afterwards: a beyondError when it was not given the time or the memory.
func (w *worker) check(ctx context.Context, dir history.Dir) error {
	c, err := start(ctx, w.limits(), w.cfg.Executable, []string{"check", string(dir), "--quiet"}, w.cfg.Env)
	if err != nil {
		return err
	}
	ended := cmp.Or(c.Ended, fmt.Sprintf("it ended with status %d", c.Code))
	if line := lastLine(c.Said); line != "" {
		ended += ": " + line
	}
	switch v, unread := checker.ReadVerdict(dir); {
	case c.Beyond:
		return beyondError{errors.New(ended)}
	case c.crashed():
		return errors.New(ended)
	case unread != nil:
		return fmt.Errorf("%s, and left no verdict", ended)
	case c.Code != v.Outcome.ExitCode():
		return fmt.Errorf("%s, and its verdict is %s", ended, v.Outcome)
	}
	return nil
}

// recheck lets tonight's checkers judge a stored history, on a copy: the stored verdict
// is what it is compared with.
func (w *worker) recheck(ctx context.Context, it Item, r *Result) error {
	r.Attempt = 1
	var stored checker.Verdict
	if err := it.stored.ReadJSON(history.VerdictFile, &stored); err != nil {
		r.harness(err.Error())
		return nil
	}
	r.Was = stored.Outcome
	dir := history.Dir(filepath.Join(w.store.itemDir(r.ID), "1", "recheck", "1"))
	if err := os.RemoveAll(string(dir)); err != nil { // of an attempt that was killed
		return fmt.Errorf("judge a stored history: %w", err)
	}
	if err := os.MkdirAll(string(dir), 0o755); err != nil {
		return fmt.Errorf("judge a stored history: %w", err)
	}
	for _, name := range []string{history.PlanFile, history.HistoryFile} {
		if err := linkOrCopy(it.stored.Path(name), dir.Path(name)); err != nil {
			r.harness(err.Error())
			return nil
		}
	}
	r.Dir = w.store.relative(string(dir))
	if err := w.check(ctx, dir); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var beyond beyondError
		if !errors.As(err, &beyond) {
			r.harness("the stored history could not be judged: " + err.Error())
			return nil
		}
		r.Verdict = checker.Unknown
		r.Sentence = visible.Text("The stored history could not be judged: " + err.Error() + ".")
		return nil
	}
	if err := r.observe(dir, Floors{}); err != nil {
		r.harness(err.Error())
	}
	if r.Verdict == r.Was { // the stored one says as much
		r.Dir = ""
		return os.RemoveAll(w.store.itemDir(r.ID))
	}
	return nil
}

func (w *worker) limits() limits {
	return limits{time: w.File.Budget.Run, memory: w.memory, grace: w.cfg.Grace}
}

// preparation is a server that is made ready once. Who fails is asked again by the next
// run: a network that was away for a minute must not cost a night.
type preparation struct {
	sync.Mutex
	ready bool
}

func (w *worker) prepare(ctx context.Context, system history.System) error {
	if w.cfg.Prepare == nil {
		return nil
	}
	name := system.Name + "@" + system.Version + system.Binary
	w.mu.Lock()
	p := w.prepared[name]
	if p == nil {
		p = &preparation{}
		w.prepared[name] = p
	}
	w.mu.Unlock()
	p.Lock()
	defer p.Unlock()
	if p.ready {
		return nil
	}
	err := w.cfg.Prepare(ctx, system)
	p.ready = err == nil
	return err
}

// heal undoes what a run may have left on remote nodes; local ones are gone with it. That
// it could not is a trouble of the result.
func (w *worker) heal(ctx context.Context, spec string, r *Result) {
	if err := w.healNodes(ctx, spec); err != nil {
		r.Reasons = append(r.Reasons, visible.Text(err.Error()))
	}
}

// healWithin bounds nodes heal, which has a deadline of its own.
const healWithin = 3 * time.Minute

func (w *worker) healNodes(ctx context.Context, spec string) error {
	if isLocal(spec) {
		return nil
	}
	args := append([]string{"nodes", "heal", "--nodes", spec}, w.cfg.Reach...)
	c, err := start(ctx, limits{time: healWithin, grace: 10 * time.Second}, w.cfg.Executable, args, w.cfg.Env)
	if err == nil && (c.crashed() || c.Code != 0) {
		err = fmt.Errorf("nemesis nodes heal --nodes %s did not undo everything: %s", spec, strings.TrimPrefix(c.Ended+" "+lastLine(c.Said), " "))
	}
	return err
}

// healLeftovers heals the nodes of runs that a killed campaign left without a result,
// before anything is started there.
func (w *worker) healLeftovers(ctx context.Context) error {
	items, err := os.ReadDir(filepath.Join(w.store.dir, runsDir))
	if err != nil {
		return fmt.Errorf("look for unfinished runs: %w", err)
	}
	specs := map[string]bool{}
	for _, entry := range items {
		if w.result(entry.Name()) != nil {
			continue
		}
		var plan history.Plan
		if history.Dir(w.store.itemDir(entry.Name())).ReadJSON(history.PlanFile, &plan) == nil {
			specs[plan.Cluster.Spec] = true
		}
	}
	for spec := range specs {
		if err := w.healNodes(ctx, spec); err != nil {
			return err
		}
	}
	return nil
}
