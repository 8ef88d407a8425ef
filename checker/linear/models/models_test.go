package models

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/order"
	"nemesis/history"
)

// did is an operation that certainly happened; maybe one that may have, and refused one
// that did not.
func did(f, in, out string, call, ret int64) *history.Operation {
	return &history.Operation{F: f, Type: history.OK, Input: json.RawMessage(in), Output: json.RawMessage(out), Call: call, Return: ret}
}

func maybe(f, in string, call int64) *history.Operation {
	return &history.Operation{F: f, Type: history.Info, Input: json.RawMessage(in), Call: call, Return: history.Never}
}

func refused(f, in string, call, ret int64) *history.Operation {
	return &history.Operation{F: f, Type: history.Fail, Input: json.RawMessage(in), Call: call, Return: ret}
}

func on(key string, o *history.Operation) *history.Operation {
	o.Key = key
	return o
}

func TestStoriesOfEveryKind(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		opt        Options
		legal      bool
		ops        []*history.Operation
	}{
		{"what was written is read", "register", Options{}, true, []*history.Operation{did("read", "", "null", 0, 1), did("write", "5", "", 2, 3), did("read", "", "5", 4, 5)}},
		{"a register begins where told", "register", Options{Init: json.RawMessage("0")}, true, []*history.Operation{did("read", "", "0", 0, 1)}},
		{"and nowhere else", "register", Options{Init: json.RawMessage("0")}, false, []*history.Operation{did("read", "", "null", 0, 1)}},
		{"unless a read of null tells nothing", "register", Options{Init: json.RawMessage("0"), NilReads: true}, true, []*history.Operation{did("read", "", "null", 0, 1)}},
		{"a compare-and-set needs what it expects", "cas-register", Options{}, false, []*history.Operation{did("write", "1", "", 0, 1), did("cas", "[2,3]", "", 2, 3)}},
		{"a refused compare-and-set tells nothing", "cas-register", Options{}, true, []*history.Operation{did("write", "1", "", 0, 1), refused("cas", "[1,3]", 2, 3)}},
		{"unless a failure is known to be an answer", "cas-register", Options{ObserveFailures: true}, false, []*history.Operation{did("write", "1", "", 0, 1), refused("cas", "[1,3]", 2, 3)}},
		{"a crashed compare-and-set may happen later", "cas-register", Options{}, true, []*history.Operation{maybe("cas", "[null,3]", 0), did("read", "", "null", 2, 3), did("read", "", "3", 4, 5)}},

		{"a mutex changes hands", "mutex", Options{}, true, []*history.Operation{did("acquire", "", "", 0, 1), did("release", "", "", 2, 3), did("acquire", "", "", 4, 5)}},
		{"two cannot hold it", "mutex", Options{}, false, []*history.Operation{did("acquire", "", "", 0, 1), did("acquire", "", "", 2, 3)}},
		{"a crashed release may have freed it", "mutex", Options{}, true, []*history.Operation{did("acquire", "", "", 0, 1), maybe("release", "", 2), did("acquire", "", "", 3, 4)}},
		{"a refused one did not", "mutex", Options{}, false, []*history.Operation{did("acquire", "", "", 0, 1), refused("release", "", 2, 3), did("acquire", "", "", 4, 5)}},

		{"a set is read in any order", "set", Options{}, true, []*history.Operation{did("add", "2", "", 0, 1), did("add", "1", "", 2, 3), did("read", "", "[1,2]", 4, 5), did("read", "", "[2,1]", 6, 7)}},
		{"it loses nothing", "set", Options{}, false, []*history.Operation{did("add", "2", "", 0, 1), did("read", "", "[]", 4, 5)}},
		{"and makes nothing up", "set", Options{}, false, []*history.Operation{did("read", "", "[7]", 4, 5)}},
		{"a crashed add may show late, and then stays", "set", Options{}, false, []*history.Operation{maybe("add", "2", 0), did("read", "", "[]", 1, 2), did("read", "", "[2]", 3, 4), did("read", "", "[]", 5, 6)}},

		{"first in, first out", "queue", Options{}, true, []*history.Operation{did("enqueue", "1", "", 0, 1), did("enqueue", "2", "", 2, 3), did("dequeue", "", "1", 4, 5), did("dequeue", "", "2", 6, 7), did("dequeue", "", "null", 8, 9)}},
		{"last in, first out is another thing", "queue", Options{}, false, []*history.Operation{did("enqueue", "1", "", 0, 1), did("enqueue", "2", "", 2, 3), did("dequeue", "", "2", 4, 5)}},
		{"a queue that holds something is not empty", "queue", Options{}, false, []*history.Operation{did("enqueue", "1", "", 0, 1), did("dequeue", "", "null", 4, 5)}},
		{"a crashed dequeue may have taken it", "queue", Options{}, true, []*history.Operation{did("enqueue", "1", "", 0, 1), maybe("dequeue", "", 2), did("dequeue", "", "null", 4, 5)}},

		{"any element may come out first", "unordered-queue", Options{}, true, []*history.Operation{did("enqueue", "1", "", 0, 1), did("enqueue", "2", "", 2, 3), did("dequeue", "", "2", 4, 5), did("dequeue", "", "1", 6, 7), did("dequeue", "", "null", 8, 9)}},
		{"but once only", "unordered-queue", Options{}, false, []*history.Operation{did("enqueue", "1", "", 0, 1), did("enqueue", "2", "", 2, 3), did("dequeue", "", "1", 4, 5), did("dequeue", "", "1", 6, 7)}},
		{"twice if it went in twice", "unordered-queue", Options{}, true, []*history.Operation{did("enqueue", "1", "", 0, 1), did("enqueue", "1", "", 2, 3), did("dequeue", "", "1", 4, 5), did("dequeue", "", "1", 6, 7)}},
		{"not before it went in", "unordered-queue", Options{}, false, []*history.Operation{did("dequeue", "", "1", 0, 1), did("enqueue", "1", "", 2, 3)}},
		{"a bag that holds something is not empty", "unordered-queue", Options{}, false, []*history.Operation{did("enqueue", "1", "", 0, 1), did("dequeue", "", "null", 4, 5)}},
		{"a crashed dequeue may have taken either", "unordered-queue", Options{}, true, []*history.Operation{did("enqueue", "1", "", 0, 1), did("enqueue", "2", "", 2, 3), maybe("dequeue", "", 4), did("dequeue", "", "1", 5, 6), did("dequeue", "", "null", 7, 8)}},
		{"but not both", "unordered-queue", Options{}, false, []*history.Operation{did("enqueue", "1", "", 0, 1), did("enqueue", "2", "", 2, 3), maybe("dequeue", "", 4), did("dequeue", "", "null", 7, 8)}},
		{"nor what went in after it was seen to have taken", "unordered-queue", Options{}, false, []*history.Operation{did("enqueue", "1", "", 0, 1), maybe("dequeue", "", 2), did("dequeue", "", "null", 3, 4), did("enqueue", "2", "", 5, 6), did("dequeue", "", "null", 7, 8)}},

		{"a counter counts both ways", "counter", Options{}, true, []*history.Operation{did("add", "3", "", 0, 1), did("add", "-1", "", 2, 3), did("read", "", "2", 4, 5)}},
		{"it forgets nothing", "counter", Options{}, false, []*history.Operation{did("add", "3", "", 0, 1), did("read", "", "0", 4, 5)}},
		{"a crashed add may count late", "counter", Options{}, true, []*history.Operation{maybe("add", "3", 0), did("read", "", "0", 1, 2), did("read", "", "3", 4, 5)}},

		{"keys have nothing to do with one another", "kv", Options{}, true, []*history.Operation{on("a", did("put", `"x"`, "", 0, 1)), on("b", did("get", "", `""`, 2, 3)), on("a", did("append", `"y"`, "", 4, 5)), on("a", did("get", "", `"xy"`, 6, 7))}},
		{"appends are in order", "kv", Options{}, false, []*history.Operation{on("a", did("put", `"x"`, "", 0, 1)), on("a", did("append", `"y"`, "", 4, 5)), on("a", did("get", "", `"yx"`, 6, 7))}},
	} {
		t.Run(c.kind+": "+c.name, func(t *testing.T) {
			object := parse(t, c.kind, c.opt, c.ops)
			if got := porcupine.CheckOperations(object.Model, object.Operations); got != c.legal {
				t.Errorf("an order: %v, should be %v", got, c.legal)
			}
		})
	}
}

func parse(t testing.TB, kind string, opt Options, ops []*history.Operation) Object {
	t.Helper()
	k, err := Find(kind)
	if err != nil {
		t.Fatal(err)
	}
	object, err := k.Parse(ops, opt)
	if err != nil {
		t.Fatal(err)
	}
	return object
}

func TestOperationOfTheWrongFormIsNamed(t *testing.T) {
	for _, c := range []struct {
		kind string
		op   *history.Operation
		says string
	}{
		{"register", did("cas", "[1,2]", "", 0, 1), "a cas-register knows cas as well"},
		{"register", did("pop", "", "", 0, 1), "knows read, write and cas"},
		{"cas-register", did("cas", "[1]", "", 0, 1), "1 values where [expected, new] belong"},
		{"cas-register", did("read", "", "{", 0, 1), "read a value"},
		{"mutex", did("lock", "", "", 0, 1), "knows acquire and release"},
		{"set", did("read", "", "5", 0, 1), "array"},
		{"set", did("remove", "5", "", 0, 1), "knows add and read"},
		{"queue", did("enqueue", "null", "", 0, 1), "null cannot be enqueued"},
		{"queue", did("drain", "", "", 0, 1), "knows enqueue and dequeue"},
		{"unordered-queue", did("pop", "", "", 0, 1), "an unordered queue knows enqueue and dequeue"},
		{"counter", did("add", "1.5", "", 0, 1), "no whole number"},
		{"counter", did("read", "", `"x"`, 0, 1), "no whole number"},
		{"kv", did("get", "", "[1]", 0, 1), "neither a string nor a number"},
		{"kv", did("delete", "", "", 0, 1), "knows get, put and append"},
	} {
		k, err := Find(c.kind)
		if err != nil {
			t.Fatal(err)
		}
		c.op.Index = 42
		_, err = k.Parse([]*history.Operation{c.op}, Options{})
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "operation 42") {
			t.Errorf("%s with %s: %v", c.kind, c.op.F, err)
		}
	}
	if _, err := Find("stack"); err == nil || !strings.Contains(err.Error(), "use cas-register, counter, kv, mutex, queue, register, set") {
		t.Error(err)
	}
}

func TestZonesDecideWhereMostWritesWereRefused(t *testing.T) {
	var ops []*history.Operation
	for n := range 50 {
		ops = append(ops, refused("write", fmt.Sprint(100+n), 0, 1))
	}
	ops = append(ops, did("write", "1", "", 2, 3), did("cas", "[1,2]", "", 4, 5))
	for saw, want := range map[string]order.Answer{"2": order.Legal, "1": order.Illegal, "149": order.Illegal} {
		object := parse(t, "cas-register", Options{}, append(ops, did("read", "", saw, 6, 7)))
		if d := object.Checks[0].Decide(object.Operations, nil); d.Answer != want {
			t.Errorf("a read of %s: answer %d, should be %d: %s", saw, d.Answer, want, d.Reason)
		}
	}
}
