package history

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
)

// Latest is the short name of the run that began last. In a store it is also the name of a
// link to that run, and Latest-SYSTEM that of a link to the last run of a system.
const Latest = "latest"

// FindDir finds a run of a store by the path of its directory or of a file directly in it,
// or by a short name:
//
//	latest        the run that began last
//	latest~2      the second before it
//	-1, -3        the last one, and the second before it
//	20261122T01   the only run whose start time begins so; 2026-11-22T01 is the same
//	etcd/latest   any of these among the runs of one system or one plan
//
// A path goes before a short name. Runs have short names by the names of their directories
// alone: no link is needed. Where a short name fits no run or several, the error names some.
func FindDir(store, name string) (Dir, error) {
	dir, err := OpenDir(name)
	if err == nil {
		return dir, nil
	}
	if _, there := os.Lstat(name); there == nil && filepath.Base(name) != Latest {
		return "", err // what it is not was told
	}
	where, when, ok := shortName(store, name)
	if !ok {
		return "", err
	}
	runs, listing := listRuns(store)
	if listing != nil {
		return "", fmt.Errorf("find run %q: %w; name its directory, or its store with --store", name, listing)
	}
	if len(runs) == 0 {
		return "", fmt.Errorf("find run %q: there is no run in %s; name its directory, or its store with --store", name, store)
	}
	of := runs
	if where != "" {
		if of = slices.DeleteFunc(slices.Clone(runs), func(r storedRun) bool { return !r.of(store, where) }); len(of) == 0 {
			return "", fmt.Errorf("find run %q: %s has no run of a system or plan %q; the newest are %s", name, store, where, someRuns(runs))
		}
	}
	if back, isIndex := indexOf(when); isIndex {
		if back >= len(of) {
			return "", fmt.Errorf("find run %q: there are no more than %d; the newest are %s", name, len(of), someRuns(of))
		}
		return OpenDir(filepath.Join(store, of[back].name()))
	}
	fit := startingWith(of, when)
	if len(fit) == 0 {
		fit = startingWith(of, strings.NewReplacer("-", "", ":", "").Replace(when))
	}
	switch len(fit) {
	case 0:
		return "", fmt.Errorf("find run %q: no run in %s began then; the newest are %s", name, store, someRuns(of))
	case 1:
		return OpenDir(filepath.Join(store, fit[0].name()))
	}
	return "", fmt.Errorf("find run %q: %d runs begin so: %s; say more of the start time", name, len(fit), someRuns(fit))
}

// shortName takes a short name apart: the system or plan, "" for any, and which run of it.
// ok is false for what is no short name.
func shortName(store, name string) (where, when string, ok bool) {
	if in, err := filepath.Rel(store, name); err == nil && !strings.HasPrefix(name, "-") && filepath.IsLocal(in) {
		name = in // store/latest where no link could be made
	}
	parts := strings.Split(filepath.ToSlash(name), "/")
	if of, isLink := strings.CutPrefix(name, Latest+"-"); isLink && len(parts) == 1 {
		return of, Latest, true
	}
	when = parts[len(parts)-1]
	_, isIndex := indexOf(when)
	switch {
	case len(parts) > 2 || !isIndex && (when == "" || when[0] < '0' || when[0] > '9'):
		return "", "", false
	case len(parts) == 2:
		where = parts[0]
	}
	return where, when, true
}

// indexOf is how many runs before the last one is meant, if the name says so.
func indexOf(when string) (back int, is bool) {
	if when == Latest {
		return 0, true
	}
	text, first := strings.CutPrefix(when, Latest+"~")
	if !first {
		if text, is = strings.CutPrefix(when, "-"); !is {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || !first && n == 0 {
		return 0, false
	}
	if !first {
		n--
	}
	return int(n), true
}

// storedRun is a run of a store by the names of its directories.
type storedRun struct {
	plan, start string
	again       int // two runs of a plan in one millisecond
}

func (r storedRun) name() string { return filepath.Join(r.plan, r.start) }

// of reports whether a run is of a plan or a system.
func (r storedRun) of(store, where string) bool {
	if r.plan == where {
		return true
	}
	if !strings.HasPrefix(r.plan, where+"-") {
		return false
	}
	plan, err := Dir(filepath.Join(store, r.name())).Plan()
	return err == nil && fileName(plan.System.Name) == where
}

// startForm is what NewDir calls a run.
var startForm = regexp.MustCompile(`^\d{8}T\d{6}\.\d{3}Z(?:-(\d{1,3}))?$`)

// listRuns are the runs of a store, the one that began last first.
func listRuns(store string) ([]storedRun, error) {
	plans, err := os.ReadDir(store)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var runs []storedRun
	for _, plan := range plans {
		if !plan.IsDir() {
			continue
		}
		starts, err := os.ReadDir(filepath.Join(store, plan.Name()))
		if err != nil {
			continue // somebody else's, or gone meanwhile
		}
		for _, start := range starts {
			form := startForm.FindStringSubmatch(start.Name())
			if form == nil || !start.IsDir() {
				continue
			}
			if _, err := os.Stat(filepath.Join(store, plan.Name(), start.Name(), PlanFile)); err != nil {
				continue
			}
			again, _ := strconv.Atoi(form[1]) // "" is the first
			runs = append(runs, storedRun{plan.Name(), start.Name(), again})
		}
	}
	slices.SortFunc(runs, func(a, b storedRun) int {
		const length = len("20060102T150405.000Z")
		return cmp.Or(cmp.Compare(b.start[:length], a.start[:length]), cmp.Compare(b.again, a.again), cmp.Compare(a.plan, b.plan))
	})
	return runs, nil
}

func startingWith(runs []storedRun, prefix string) []storedRun {
	var fit []storedRun
	for _, r := range runs {
		if r.start == prefix {
			fit = append(fit, r)
		}
	}
	if fit != nil { // not another one of the same millisecond
		return fit
	}
	return slices.DeleteFunc(slices.Clone(runs), func(r storedRun) bool { return !strings.HasPrefix(r.start, prefix) })
}

// someRuns names the first few runs of a list.
func someRuns(runs []storedRun) string {
	const most = 3
	var names []string
	for _, r := range runs[:min(most, len(runs))] {
		names = append(names, filepath.ToSlash(r.name()))
	}
	text := strings.Join(names, ", ")
	if more := len(runs) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// LinkLatest lets the links of a store, latest and latest-SYSTEM, lead to the run that began
// last and to the last of a system. It may be called by several processes at once: whoever
// writes last looks at the store afterwards. Where links cannot be made, or something else has their
// names, there are none; no command needs them.
func LinkLatest(store, system string) {
	link(store, Latest, "")
	link(store, Latest+"-"+fileName(system), fileName(system))
}

// link makes one link, relative to the store, so that a store may be moved.
func link(store, name, system string) {
	path := filepath.Join(store, name)
	for range 10 { // each time somebody else began a run meanwhile
		newest := newestOf(store, system)
		if newest == "" {
			return
		}
		there, err := os.Lstat(path)
		if err == nil && there.Mode()&fs.ModeSymlink == 0 {
			return // a file or a directory of the user's
		}
		if to, err := os.Readlink(path); err == nil && to == newest {
			return
		}
		if renameio.Symlink(newest, path) != nil {
			return
		}
	}
}

// newestOf is the last run of a system, of any for "", relative to the store; "" for none.
func newestOf(store, system string) string {
	runs, err := listRuns(store)
	if err != nil {
		return ""
	}
	for _, r := range runs {
		if system == "" || r.of(store, system) {
			return r.name()
		}
	}
	return ""
}
