package benchmark

import (
	"context"
	"slices"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/internal/measure"
	"nemesis/checker/linear"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/monitor"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// Rows of a million elements each. What makes them hard is the size of the state: a set
// holds all of its elements when it is read, a queue before anything is taken out. Ours
// reads the operations, decides and replays the order that it has found; of logs and ids, for
// which there is no kind of object, it decides.

func millions() []row {
	within := func(r Row) bool { return r.OursMS < 3000 }
	target := "1 000 000 elements in under 3 s"
	var rows []row
	for _, kind := range []string{"set", "queue", "counter"} {
		rows = append(rows, row{kind + "-1m", target, ofKind(kind), within})
	}
	return append(rows, row{"log-1m", target, ofLog, within}, row{"ids-1m", target, ofIDs, within})
}

// ofKind measures a kind of object.
func ofKind(name string) func(context.Context, Config) (Row, error) {
	return func(ctx context.Context, cfg Config) (Row, error) {
		kind, err := models.Find(name)
		if err != nil {
			return Row{}, err
		}
		recorded := million(cfg, name)
		pointers := make([]*history.Operation, len(recorded))
		for i := range recorded {
			pointers[i] = &recorded[i]
		}
		var object models.Object
		var result linear.Result
		c := measure.Once(func() {
			ctx, cancel := context.WithTimeout(ctx, cfg.OursTime)
			defer cancel()
			if object, err = kind.Parse(pointers, models.Options{}); err != nil {
				return
			}
			result, err = linear.Check(ctx, object.Model, object.Operations, linear.Options{Hints: object.Hints, Checks: object.Checks})
		}, 0, nil)
		if err != nil {
			return Row{}, err
		}
		return against(c, result.Answer, rival(cfg, &object, 1), order.Legal), nil
	}
}

// million is a valid history of an object.
func million(cfg Config, kind string) []history.Operation {
	n := cfg.scaled(1_000_000)
	ops := make([]history.Operation, 0, n+1)
	add := func(f string, input, output []byte) {
		i := int64(len(ops))
		ops = append(ops, history.Operation{Index: 2 * i, Completion: 2*i + 1, Process: int(i % 10), F: f, Type: history.OK, Input: input, Output: output,
			Call: 10 * i, Return: 10*i + 25, End: 10*i + 25})
	}
	switch kind {
	case "set":
		all := make([]int64, n)
		for i := range all {
			all[i] = int64(i)
			add(history.FAdd, history.EncodeInt(int64(i)), nil)
		}
		cfg.rand(n).Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
		add(history.FRead, nil, history.EncodeInts(all))
		ops[n].Call, ops[n].Return = 10*int64(n)+100, 10*int64(n)+200
	case "queue":
		for i := range n / 2 {
			add(history.FEnqueue, history.EncodeInt(int64(i)), nil)
		}
		for i := range n / 2 {
			add(history.FDequeue, nil, history.EncodeInt(int64(i)))
		}
	case "counter":
		for i := range n / 2 {
			add(history.FAdd, history.EncodeInt(1), nil)
			add(history.FRead, nil, history.EncodeInt(int64(i+1)))
		}
	}
	return ops
}

// ofLog measures a log that is read whole ten times.
func ofLog(_ context.Context, cfg Config) (Row, error) {
	n := cfg.scaled(1_000_000)
	ops := make([]monitor.LogOp, 0, n)
	every := max(n/10, 2)
	var written []int32
	for i := range n {
		op := monitor.LogOp{Span: spanOf(i), Value: int32(len(written))}
		if i%every == every-1 {
			op.Read, op.Values = true, written[:len(written):len(written)]
		} else {
			written = append(written, op.Value)
		}
		ops = append(ops, op)
	}
	var d order.Decision
	c := measure.Once(func() { d = monitor.Log(ops, monitor.Options{}) }, 0, nil)
	plain := make([]porcupine.Operation, n)
	for i, op := range ops {
		plain[i] = porcupine.Operation{Input: op.Value, Call: op.Call, Return: op.Return}
		if op.Read {
			plain[i].Input, plain[i].Output = nil, op.Values
		}
	}
	model := porcupine.Model{
		Init: func() any { return []int32(nil) },
		Step: func(state, input, output any) (bool, any) {
			if input == nil {
				return slices.Equal(state.([]int32), output.([]int32)), state
			}
			return true, append(slices.Clip(state.([]int32)), input.(int32))
		},
		Equal: func(a, b any) bool { return slices.Equal(a.([]int32), b.([]int32)) },
	}
	return against(c, d.Answer, rival(cfg, &models.Object{Model: model, Operations: plain}, 1), order.Legal), nil
}

// ofIDs measures a generator of ids.
func ofIDs(_ context.Context, cfg Config) (Row, error) {
	n := cfg.scaled(1_000_000)
	ops := make([]monitor.IDOp, n)
	plain := make([]porcupine.Operation, n)
	for i, id := range cfg.rand(n).Perm(n) {
		ops[i] = monitor.IDOp{Span: spanOf(i), ID: int64(id) << 20}
		plain[i] = porcupine.Operation{Output: int64(id), Call: ops[i].Call, Return: ops[i].Return}
	}
	var d order.Decision
	c := measure.Once(func() { d = monitor.IDs(ops, monitor.Options{}) }, 0, nil)
	// Which ids there have been, in ascending order.
	model := porcupine.Model{
		Init: func() any { return []int64(nil) },
		Step: func(state, _, output any) (bool, any) {
			at, taken := slices.BinarySearch(state.([]int64), output.(int64))
			if taken {
				return false, state
			}
			return true, slices.Insert(slices.Clone(state.([]int64)), at, output.(int64))
		},
		Equal: func(a, b any) bool { return slices.Equal(a.([]int64), b.([]int64)) },
	}
	return against(c, d.Answer, rival(cfg, &models.Object{Model: model, Operations: plain}, 1), order.Legal), nil
}

// spanOf is the i-th operation's, of ten clients.
func spanOf(i int) monitor.Span { return monitor.Span{Call: 10 * int64(i), Return: 10*int64(i) + 25} }
