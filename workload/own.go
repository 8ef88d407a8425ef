package workload

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"nemesis/checker"
	"nemesis/checker/linear"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/own"
	"nemesis/history"
	"nemesis/workload/generator"
)

// Of is the workload of a plan: the user's own that it holds, or the one of its name.
func Of(plan history.Workload) (Workload, error) {
	if plan.Own == nil {
		return Find(plan.Name)
	}
	return Own(plan.Name, *plan.Own)
}

// MostModel bounds the text of a model, in bytes.
const MostModel = own.MostText

// Bounds of what a workload of the user's may be.
const (
	mostOwn    = 100 // operations, values of a list, values to choose from
	mostWeight = 1_000_000
	mostNested = 4
	ownKeys    = 1
	ownPerKey  = 100
)

// Own makes a workload of operations that a user named, judged by a model of the user's: on
// many independent keys, each worked on by a few clients at once. The error says what cannot
// be, as one line.
func Own(name string, w history.OwnWorkload) (Workload, error) {
	if w.Executables != nil {
		return ofExecutables(w.Executables)
	}
	if err := checkOwn(w); err != nil {
		return Workload{}, fmt.Errorf("the workload %s: %w", name, err)
	}
	model, err := own.Compile(w.Model, w.Text)
	if err != nil {
		return Workload{}, fmt.Errorf("the workload %s: %w", name, err)
	}
	kind := model.Kind()
	work := Workload{
		Name: name, Doc: w.Doc, Keys: ownKeys, OpsPerKey: ownPerKey, Models: []history.Model{history.StrictSerializable, history.Linearizable},
		Main: func(plan history.Workload) generator.Generator {
			atOnce := orDefault(plan.Keys, ownKeys)
			operations := orDefault(plan.OpsPerKey, ownPerKey)
			sum := 0
			for _, o := range w.Operations {
				sum += o.Weight
			}
			return generator.KeysByShare(plan.Concurrency/atOnce, generator.Unlimited, keyName, shares(plan), func(string) generator.Generator {
				return generator.Limit(operations, generator.Unfold(ownOps{w.Operations, sum, 0}, ownOps.next))
			})
		},
		Final: func(_ history.Workload, used []string) generator.Generator {
			var ops []generator.Op
			for _, key := range newest(used, finalKeys) {
				for _, f := range w.Final {
					ops = append(ops, generator.Op{Thread: generator.AnyThread, F: f, Key: key})
				}
			}
			return eachThreadReads(ops)
		},
		Checkers: func(plan history.Plan) []checker.Checker {
			return append([]checker.Checker{linear.Checker(kind, models.Options{})}, anyCheckers(plan)...)
		},
	}
	for _, o := range w.Operations {
		work.Operations = append(work.Operations, o.F)
	}
	return work, nil
}

func checkOwn(w history.OwnWorkload) error {
	if len(w.Operations) == 0 || len(w.Operations) > mostOwn {
		return fmt.Errorf("it has %d operations; give from 1 to %d", len(w.Operations), mostOwn)
	}
	named := map[string]bool{}
	for _, o := range w.Operations {
		switch {
		case o.F == "" || len(o.F) > 64:
			return fmt.Errorf("%q is no name of an operation", o.F)
		case named[o.F]:
			return fmt.Errorf("the operation %s is there twice", o.F)
		case o.Weight < 1 || o.Weight > mostWeight:
			return fmt.Errorf("the operation %s: %d is no weight from 1 to %d", o.F, o.Weight, mostWeight)
		}
		named[o.F] = true
		if o.Value != nil {
			if err := checkOwnValue(*o.Value, 0); err != nil {
				return fmt.Errorf("the operation %s: %w", o.F, err)
			}
		}
	}
	for _, f := range w.Final {
		at := slices.IndexFunc(w.Operations, func(o history.OwnOperation) bool { return o.F == f })
		switch {
		case at < 0:
			return fmt.Errorf("final: there is no operation %q", f)
		case w.Operations[at].Value != nil:
			return fmt.Errorf("final: the operation %s has a value; name operations without one", f)
		}
	}
	return nil
}

func checkOwnValue(v history.OwnValue, depth int) error {
	ways := 0
	for _, is := range []bool{v.Unique, v.Used, v.Range != nil, v.OneOf != nil, v.List != nil} {
		if is {
			ways++
		}
	}
	switch {
	case ways != 1:
		return errors.New("a value is one of unique, used, range, one_of and list")
	case depth > mostNested:
		return fmt.Errorf("lists are nested more than %d deep", mostNested)
	case v.Distribution != "" && v.Range == nil:
		return errors.New("only a range has a distribution")
	case v.Range != nil && (len(v.Range) != 2 || v.Range[0] > v.Range[1] || v.Range[1]-v.Range[0] < 0 || v.Range[1]-v.Range[0] >= 1_000_000):
		return errors.New("a range is the smallest and the greatest number, at most a million of them")
	case len(v.OneOf) > mostOwn || len(v.List) > mostOwn || v.OneOf != nil && len(v.OneOf) == 0:
		return fmt.Errorf("there must be from 1 to %d values", mostOwn)
	}
	if err := CheckDistribution(v.Distribution); err != nil {
		return err
	}
	for _, one := range v.OneOf {
		if !json.Valid(one) {
			return fmt.Errorf("%s is no JSON", history.Quote(one))
		}
	}
	for _, one := range v.List {
		if err := checkOwnValue(one, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// ownOps are the operations on one key: handed is the last unique value so far. It does not
// change.
type ownOps struct {
	operations []history.OwnOperation
	sum        int // of their weights
	handed     int64
}

func (o ownOps) next(ctx *generator.Context) (generator.Op, ownOps) {
	at := ctx.Rand.IntN(o.sum)
	for _, one := range o.operations {
		if at -= one.Weight; at >= 0 {
			continue
		}
		op := generator.F(one.F)
		if one.Value != nil {
			op.Value = o.draw(ctx, *one.Value)
		}
		return op, o
	}
	panic("the weights of operations do not add up") // their sum was made of them
}

// draw draws a value, and takes note of unique ones.
func (o *ownOps) draw(ctx *generator.Context, v history.OwnValue) json.RawMessage {
	switch {
	case v.Unique:
		o.handed++
		return history.EncodeInt(o.handed)
	case v.Used:
		if o.handed == 0 {
			return history.EncodeInt(0)
		}
		return history.EncodeInt(1 + ctx.Rand.Int64N(o.handed))
	case v.Range != nil:
		n := int(v.Range[1]-v.Range[0]) + 1
		by := drawsOf(history.Workload{KeyDistribution: v.Distribution}, n)
		return history.EncodeInt(v.Range[0] + int64(by.next(ctx.Rand)))
	case v.OneOf != nil:
		return v.OneOf[ctx.Rand.IntN(len(v.OneOf))]
	}
	list := make([]json.RawMessage, len(v.List))
	for i, one := range v.List {
		list[i] = o.draw(ctx, one)
	}
	text, err := json.Marshal(list)
	if err != nil {
		return history.EncodeNull() // every element is JSON, which was checked
	}
	return text
}
