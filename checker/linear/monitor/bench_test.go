package monitor

import (
	"math/rand"
	"testing"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/order"
)

// spansOf makes n operations by ten clients, each with the moment of its effect, by moment.
func spansOf(n int) []Span {
	random := rand.New(rand.NewSource(1))
	all := make([]Span, n)
	for i := range all {
		at := int64(i * 10)
		all[i] = Span{at - int64(random.Intn(50)), at + int64(random.Intn(50))}
	}
	return all
}

// BenchmarkMillion is a legal history of a million operations of each kind; sets and logs
// are read rarely, as each read names everything.
func BenchmarkMillion(b *testing.B) {
	all := spansOf(1_000_000)
	run := func(name string, decide func() order.Decision) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if d := decide(); d.Answer != order.Legal {
					b.Fatal(d.Answer, d.Reason, d.Conflict)
				}
			}
		})
	}
	queue := make([]QueueOp, len(all))
	mutex := make([]MutexOp, len(all))
	counter := make([]CounterOp, len(all))
	identity := make([]IDOp, len(all))
	log, set := make([]LogOp, len(all)), make([]SetOp, len(all))
	var written []int32
	for i, s := range all {
		queue[i] = QueueOp{s, Enqueue, int32(i)}
		if i%20 >= 10 {
			queue[i] = QueueOp{s, Dequeue, int32(i - 10)}
		}
		if i%100 == 99 {
			queue[i].Return = never
		}
		mutex[i] = MutexOp{s, i%2 == 1, i / 2}
		counter[i] = CounterOp{Span: s, Read: i%2 == 1, Delta: 1, Value: int64(i/2 + 1)}
		identity[i] = IDOp{s, int64(i)}
		log[i], set[i] = LogOp{Span: s, Value: int32(i)}, SetOp{Span: s, Element: int32(i)}
		if i%100_000 == 99_999 {
			log[i], set[i] = LogOp{Span: s, Read: true, Values: written}, SetOp{Span: s, Read: true, Elements: written}
		} else {
			written = append(written, int32(i))
		}
	}
	// The versions of a counter: what it counts.
	count := porcupine.Model{
		Init: func() any { return int64(0) },
		Step: func(state, input, output any) (bool, any) {
			if input == nil {
				return output == state, state
			}
			return true, state.(int64) + 1
		},
	}
	counted, places := make([]porcupine.Operation, len(all)), make([]Place, len(all))
	for i, s := range all {
		counted[i] = porcupine.Operation{Output: int64(i/2 + 1), Call: s.Call, Return: s.Return}
		places[i] = Place{Version: int64(i/2 + 1), Writes: i%2 == 0, Known: true}
		if i%2 == 0 {
			counted[i].Input = 1
		}
	}
	run("queue", func() order.Decision { return Queue(queue, Options{}) })
	run("unordered queue", func() order.Decision { return UnorderedQueue(queue, Options{}) })
	run("mutex", func() order.Decision { return Mutex(mutex, Options{}) })
	run("counter", func() order.Decision { return Counter(counter, Options{}) })
	run("ids", func() order.Decision { return IDs(identity, Options{}) })
	run("log", func() order.Decision { return Log(log, Options{}) })
	run("versions", func() order.Decision { return Versions(count, counted, places, true, Options{}) })
	run("set", func() order.Decision { return Set(set, Options{}) })
}
