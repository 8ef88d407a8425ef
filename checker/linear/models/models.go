// Package models is what the objects under test are supposed to do: a register, a
// mutex, a set, a queue, a counter, a key-value store, each as a sequential model.
//
// A Kind is one sort of object. Its Parse turns the operations that a run recorded
// on one object (or, for kv, on a store of many keys) into an Object: Porcupine's
// operations, Porcupine's model to judge them, and what else is known about the
// model: hints for the generic engine, exact checks that are cheaper than any search,
// and which crashed operations can be left out. Values become small numbers on the
// way in and texts again in descriptions, so the model and the operations of one
// Object belong together.
//
//	kind, err := models.Find("queue")
//	object, err := kind.Parse(operations, models.Options{})
//	porcupine.CheckOperations(object.Model, object.Operations) // or linear.Check
//
// # What the types of an operation mean
//
//   - ok happened, with this answer.
//   - fail certainly did not happen, and is left out. That a failed compare-and-set
//     also saw another value than the expected one is not used unless
//     Options.ObserveFailures says that every failure of this system is such an
//     observation: clients report fail for other certain reasons as well. Failed
//     operations of all other sorts are never used.
//   - info may have happened at any moment after its call, or never: it returns at
//     history.Never, with an answer that the model accepts in every state. An info
//     read tells nothing and is left out.
package models

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/engine"
	"nemesis/checker/linear/monitor"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// Kind is one sort of object.
type Kind struct {
	// Name is what --model takes.
	Name string
	// Noun is the word for one such object in a sentence: "register".
	Noun string
	// Doc is one line on its functions.
	Doc string
	// Keys: the object is a store of many keys, and Parse takes all of them at once as
	// well as one at a time.
	Keys bool
	// Parse reads the operations of one object. An operation that the kind does not
	// know, or with a value it cannot read, is an error that names it. The Object's
	// operations have Metadata that points to what they were made of. Safe for
	// concurrent use.
	Parse func(ops []*history.Operation, opt Options) (Object, error)
	// Partition is which part of an object an operation is about, where parts are
	// independent of each other and judged each by itself; nil for objects of one part.
	Partition func(*history.Operation) (string, error)
}

// Fault is what is wrong with a model: it failed in the course of a search. Nothing that was
// decided with it counts.
type Fault struct{ Text string }

func (f *Fault) Error() string { return f.Text }

// Options change how a history is read. The zero value is right for our own.
type Options struct {
	// Init is the value that a register holds at first, as JSON; nothing is null. For
	// kv it is a string. Other kinds have but one way to begin.
	Init json.RawMessage
	// InitOption is how the user can give Init, for explanations; "" where it is not for
	// the user to say.
	InitOption string
	// NilReads: a register's read of null tells nothing, as in Knossos' histories.
	NilReads bool
	// Stop is asked again and again whether to give up reading, which ends in ErrStopped.
	// Nil never does.
	Stop func() bool
	// ObserveFailures: a failed compare-and-set saw a value other than the expected
	// one between its call and its return.
	ObserveFailures bool
}

// Object is the history of one object, ready to be judged.
type Object struct {
	Model porcupine.Model
	// Operations are by Call if those given to Parse were.
	Operations []porcupine.Operation
	Hints      engine.Hints
	// Checks are exact for the histories they know, and Undecided about others. The
	// cheapest is first.
	Checks []Check
	// Unseen reports crashed operations (by position) that may be left out: the
	// history has an order exactly when it has one without them, in whatever state the
	// object begins. Nil when nothing is known.
	Unseen func(ops []porcupine.Operation) []bool
	// Values tells what an operation with its answer found and left, where the state is
	// one value. Nil for other kinds.
	Values func(op *porcupine.Operation) (found, left Value)
	// Refusal says, as a clause, why the model refuses an operation in a state; "" where
	// nothing is known. Nil for kinds of which the state says enough.
	Refusal func(state any, op *porcupine.Operation) string
	// Fault tells what went wrong with the model so far, a *Fault. Nil for kinds with which
	// nothing can.
	Fault func() error
}

// Value is a value of a register, if there is one.
type Value struct {
	Text string
	Is   bool
}

// Check is an exact decision procedure for some histories of one object.
type Check struct {
	Name string
	// Decide asks stop again and again whether to give up, which ends in Undecided; a nil
	// stop never does.
	Decide func(ops []porcupine.Operation, stop func() bool) order.Decision
}

// Source is the recorded operation that an operation was made of; nil when it was not
// made by Parse.
func Source(op *porcupine.Operation) *history.Operation {
	o, _ := op.Metadata.(*history.Operation)
	return o
}

// All is every kind, by name.
func All() []Kind {
	return []Kind{
		{"cas-register", "register", "read, write, cas [expected,new]", false, parseRegister, nil},
		{"counter", "counter", "add n (negative too), read; 0 at first", false, parseCounter, nil},
		{"kv", "store", "get, put, append of strings per key; \"\" at first", true, parseKV, nil},
		{"mutex", "mutex", "acquire, release; free at first", false, parseMutex, nil},
		{"queue", "queue", "enqueue v, dequeue (null when empty); first in, first out", false, parseQueue, nil},
		{"register", "register", "read, write", false, parsePlainRegister, nil},
		{"set", "set", "add v, read of the whole set", false, parseSet, nil},
		{"unordered-queue", "queue", "enqueue v, dequeue (null when empty) of any element", false, parseUnorderedQueue, nil},
	}
}

// Find is the kind of that name.
func Find(name string) (Kind, error) {
	var names []string
	for _, k := range All() {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return Kind{}, fmt.Errorf("find the model %q: there is none; use %s", name, strings.Join(names, ", "))
}

// outcome is what is known about the answer of an operation that gives no value. It is as
// wide as deed, and for the same reason.
type outcome int32

const (
	done     outcome = iota
	mismatch         // a failed compare-and-set: it saw another value
	unknown          // crashed: any state is fine
)

// ErrStopped is what Parse ends in when Options.Stop says so.
var ErrStopped = errors.New("reading the history was given up, as the time was over")

// stopped asks Stop once in a while, for the i-th operation.
func (opt *Options) stopped(i int) bool { return i%1024 == 0 && opt.Stop != nil && opt.Stop() }

// operation is what all kinds have in common; the kind adds Input and Output.
func operation(o *history.Operation) porcupine.Operation {
	ret := o.Return
	if o.Type == history.Info {
		ret = history.Never
	}
	return porcupine.Operation{ClientId: o.Process, Call: o.Call, Return: ret, Metadata: o}
}

func span(op *porcupine.Operation) monitor.Span {
	return monitor.Span{Call: op.Call, Return: op.Return}
}

// unreadable says which operation does not fit the kind.
func unreadable(o *history.Operation, err error) error {
	return fmt.Errorf("read operation %d (%q) of the history: %w; the workload does not fit this checker", o.Index, o.F, err)
}

// hashNumber spreads a small number over all bits: Porcupine xors it with the hash of
// a bit set.
func hashNumber(n uint64) uint64 { return (n + 1) * 0x9e3779b97f4a7c15 }
