package run

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/workload"
	"nemesis/workload/generator"
)

// BenchRow is one measurement of the interpreter with clients that do nothing.
type BenchRow struct {
	// Name says what was measured: "recorded" goes to disk like a run, "unrecorded" does not.
	Name       string  `json:"name"`
	Clients    int     `json:"clients"`
	CPUs       int     `json:"cpus"`
	Operations int64   `json:"operations"`
	Seconds    float64 `json:"seconds"` // until the history is synced to the disk
	PerSecond  float64 `json:"opsPerSecond"`
	// DiskPerOp is bytes of history file, HeapPerOp bytes and AllocsPerOp objects
	// allocated, each per operation (an invocation and a completion).
	DiskPerOp   float64 `json:"diskBytesPerOp"`
	HeapPerOp   float64 `json:"heapBytesPerOp"`
	AllocsPerOp float64 `json:"allocsPerOp"`
	// Target is what the row is held to, "" for nothing, Met whether it was reached.
	Target string `json:"target,omitempty"`
	Met    bool   `json:"met,omitempty"`
}

// The targets of recorded operations.
const (
	leastPerSecond = 400_000
	mostHeap       = 600 // bytes an operation
	mostAllocs     = 8   // objects an operation
)

func (r BenchRow) String() string {
	s := fmt.Sprintf("%-10s %4d clients %9d operations in %6.2f s  %8.0f operations/s  %5.1f B/op on disk  %4.0f B/op  %4.1f allocs/op",
		r.Name, r.Clients, r.Operations, r.Seconds, r.PerSecond, r.DiskPerOp, r.HeapPerOp, r.AllocsPerOp)
	switch {
	case r.Target == "":
	case r.Met:
		s += "  met: " + r.Target
	default:
		s += "  missed: " + r.Target
	}
	return s
}

// Bench measures what the harness itself costs: the register workload, with its
// real generator, deadlines and recorder, and clients that answer at once.
// Histories are written below dir, which must exist, and removed again. A ctx that
// ends stops it with what has been measured so far.
func Bench(ctx context.Context, dir string, operations, concurrency int) ([]BenchRow, error) {
	if operations < 1 || concurrency < 1 || concurrency > mostClients {
		return nil, fmt.Errorf("measure the interpreter: %d operations by %d clients is nothing to measure; give at least 1, and at most 100000 clients", operations, concurrency)
	}
	var rows []BenchRow
	for _, measure := range []func(context.Context, string, int, int) (BenchRow, error){unrecorded, recorded} {
		row, err := measure(ctx, dir, operations, concurrency)
		if err != nil {
			return rows, fmt.Errorf("measure the interpreter: %w", err)
		}
		if ctx.Err() != nil {
			return rows, fmt.Errorf("measure the interpreter: %w", context.Cause(ctx))
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func unrecorded(ctx context.Context, _ string, operations, concurrency int) (BenchRow, error) {
	start := time.Now()
	return measure(ctx, "unrecorded", operations, concurrency, start, func(*history.Event) {}, func() error { return nil })
}

func recorded(ctx context.Context, dir string, operations, concurrency int) (row BenchRow, err error) {
	dir, err = os.MkdirTemp(dir, "bench-")
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "history.jsonl.zst")
	writer, err := history.Create(path)
	if err != nil {
		return row, err
	}
	defer writer.Close()
	start := time.Now()
	rec := newRecorder(writer, start, nil)
	row, err = measure(ctx, "recorded", operations, concurrency, start, rec.operation, writer.Close)
	if err != nil {
		return row, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return row, err
	}
	row.DiskPerOp = float64(info.Size()) / float64(max(row.Operations, 1))
	row.Target = fmt.Sprintf("%d operations/s, %d B and %d allocations an operation", leastPerSecond, mostHeap, mostAllocs)
	row.Met = row.PerSecond >= leastPerSecond && row.HeapPerOp <= mostHeap && row.AllocsPerOp <= mostAllocs
	return row, nil
}

// measure runs the interpreter once; the time counts until finish has returned.
func measure(ctx context.Context, name string, operations, concurrency int, start time.Time,
	record func(*history.Event), finish func() error) (BenchRow, error) {
	register, err := workload.Find("register")
	if err != nil {
		return BenchRow{}, err
	}
	in := NewInterpreter(InterpreterConfig{
		Open:        func(context.Context, int, string, *clients.Dialer) (clients.Client, error) { return idle{}, nil },
		Nodes:       []string{"n1", "n2", "n3", "n4", "n5"},
		Concurrency: concurrency,
		OpTimeout:   5 * time.Second,
		Now:         func() int64 { return int64(time.Since(start)) },
		Record:      record,
	})
	defer in.Close()
	plan := history.Workload{Name: register.Name, Concurrency: concurrency, Keys: max(concurrency/5, 1), OpsPerKey: register.OpsPerKey}
	g := generator.Limit(operations, register.Main(plan))

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	if err := in.Run(ctx, g, rand.New(rand.NewPCG(1, 2))); err != nil {
		return BenchRow{}, err
	}
	if err := finish(); err != nil {
		return BenchRow{}, err
	}
	took := time.Since(began).Seconds()
	runtime.ReadMemStats(&after)

	ok, fail, info := in.Counts()
	done := ok + fail + info
	per := float64(max(done, 1))
	return BenchRow{
		Name: name, Clients: concurrency, CPUs: runtime.GOMAXPROCS(0), Operations: done,
		Seconds: took, PerSecond: float64(done) / took,
		HeapPerOp:   float64(after.TotalAlloc-before.TotalAlloc) / per,
		AllocsPerOp: float64(after.Mallocs-before.Mallocs) / per,
	}, nil
}

// idle is a client that answers at once.
type idle struct{}

func (idle) Invoke(_ context.Context, op history.Event) clients.Completion {
	return clients.Completion{Type: history.OK, Value: op.Value}
}

func (idle) Close() error { return nil }
