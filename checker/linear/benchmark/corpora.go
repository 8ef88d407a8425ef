package benchmark

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nemesis/checker/linear/models"
	"nemesis/history"
	"nemesis/history/foreign"
)

// legalLogs are the etcd logs of Porcupine's tests that have a linear order.
var legalLogs = []int{2, 5, 7, 18, 25, 31, 38, 45, 48, 49, 51, 53, 56, 67, 75, 76, 80, 87, 92, 98, 100, 101, 102}

// recorded are the rows on histories that others recorded.
func recorded() []row {
	logs := onLogs()
	return []row{
		{"etcd", "at least 60 times faster over all logs", logs(etcdTotal), func(r Row) bool { return r.Ratio >= 60 }},
		{"etcd-worst-log", "at least 1000 times faster on the rival's worst log", logs(etcdWorst), func(r Row) bool { return r.Ratio >= 1000 }},
		{"etcd-slowest-log", "no log slower than 1.5 times plus 0.05 ms", logs(etcdSlowest), func(r Row) bool { return r.OursMS <= 1.5*r.RivalMS+0.05 }},
		{"knossos", "at least 4 times faster over all histories", knossos, func(r Row) bool { return r.Ratio >= 4 }},
	}
}

// recording is one recorded history, ready for both sides.
type recording struct {
	name   string
	object *models.Object
	legal  bool
}

// parse makes the object of a history of one register.
func parse(log *history.Log, opt models.Options) (*models.Object, error) {
	kind, err := models.Find("cas-register")
	if err != nil {
		return nil, err
	}
	ops := make([]*history.Operation, len(log.Operations))
	for i := range log.Operations {
		ops[i] = &log.Operations[i]
	}
	object, err := kind.Parse(ops, opt)
	return &object, err
}

// load reads all histories of a folder of the corpora; none is no error.
func load(cfg Config, pattern string, format foreign.Format, opt models.Options, legal func(name string) bool) ([]recording, error) {
	paths, err := filepath.Glob(filepath.Join(cfg.Corpora, pattern))
	if err != nil {
		return nil, fmt.Errorf("look for histories in %s: %w", cfg.Corpora, err)
	}
	var all []recording
	for _, path := range paths {
		h, err := foreign.Load(context.Background(), path, foreign.Options{Format: format, Keys: foreign.KeysNo})
		if err != nil {
			return nil, err
		}
		object, err := parse(h.Log, opt)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		all = append(all, recording{name, object, legal(name)})
	}
	return all, nil
}

// etcdLogs are judged as Porcupine's own tests do: a failed compare-and-set saw another
// value.
func etcdLogs(cfg Config) ([]recording, error) {
	return load(cfg, "porcupine-etcd/etcd_*.log", foreign.JepsenLog, models.Options{ObserveFailures: true}, func(name string) bool {
		n, err := strconv.Atoi(strings.TrimPrefix(name, "etcd_"))
		return err == nil && slices.Contains(legalLogs, n)
	})
}

// eachOf measures every recording.
func eachOf(ctx context.Context, cfg Config, all []recording) ([]Row, error) {
	const times = 5
	var rows []Row
	for i := range all {
		c, answer, err := ours(ctx, cfg, all[i].object, times)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", all[i].name, err)
		}
		row := against(c, answer, rival(cfg, all[i].object, times), answerOf(all[i].legal))
		row.Note = all[i].name
		if row.Wrong != "" {
			row.Wrong = all[i].name + ": " + row.Wrong
		}
		rows = append(rows, row)
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// total adds rows up; memory is that of the row that held most.
func total(rows []Row, what string) Row {
	var sum Row
	for _, r := range rows {
		sum.OursMS += r.OursMS
		sum.RivalMS += r.RivalMS
		sum.OursMB = max(sum.OursMB, r.OursMB)
		sum.RivalMB = max(sum.RivalMB, r.RivalMB)
		sum.RivalTimedOut = sum.RivalTimedOut || r.RivalTimedOut
		sum.RivalOutOfMemory = sum.RivalOutOfMemory || r.RivalOutOfMemory
		if sum.Wrong == "" {
			sum.Wrong = r.Wrong
		}
	}
	sum.Note = fmt.Sprintf("%d %s; MB of the worst", len(rows), what)
	return sum
}

// onLogs measures the etcd logs, once for all rows that say something about them.
func onLogs() func(func([]Row) Row) func(context.Context, Config) (Row, error) {
	var rows []Row
	return func(pick func([]Row) Row) func(context.Context, Config) (Row, error) {
		return func(ctx context.Context, cfg Config) (Row, error) {
			if rows == nil {
				logs, err := etcdLogs(cfg)
				if err != nil {
					return Row{}, err
				}
				if len(logs) == 0 {
					return Row{Skipped: missing("porcupine-etcd")}, nil
				}
				if rows, err = eachOf(ctx, cfg, logs); err != nil {
					return Row{}, err
				}
			}
			return pick(rows), nil
		}
	}
}

func missing(folder string) string {
	return "there is no " + folder + " in the corpora; name their folder with --corpora"
}

func etcdTotal(rows []Row) Row { return total(rows, "logs") }

func etcdWorst(rows []Row) Row {
	return slices.MaxFunc(rows, func(a, b Row) int { return cmp.Compare(a.RivalMS, b.RivalMS) })
}

func etcdSlowest(rows []Row) Row {
	return slices.MaxFunc(rows, func(a, b Row) int { return cmp.Compare(a.OursMS-1.5*a.RivalMS, b.OursMS-1.5*b.RivalMS) })
}

// knossos judges Knossos' histories as Knossos does: the register is 0 at first, and a
// read of nil tells nothing.
func knossos(ctx context.Context, cfg Config) (Row, error) {
	all, err := load(cfg, "knossos-cas/*.edn", foreign.JepsenEDN, models.Options{Init: []byte("0"), NilReads: true},
		func(name string) bool { return strings.HasPrefix(name, "good") })
	if err != nil {
		return Row{}, err
	}
	if len(all) == 0 {
		return Row{Skipped: missing("knossos-cas")}, nil
	}
	rows, err := eachOf(ctx, cfg, all)
	if err != nil {
		return Row{}, err
	}
	return total(rows, "histories"), nil
}
