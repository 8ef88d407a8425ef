package monitor

import (
	"fmt"
	"math/rand"
	"slices"
	"strconv"
	"strings"
)

// The objects, each written once more from its definition. States are text.

// letter stands for the number 0; up to 93 a letter is one byte.
const letter = '!'

var queues = kind[QueueOp, *QueueOp]{
	name: "queue", decide: Queue,
	step: func(state string, op *QueueOp) (bool, string) {
		front, rest, some := strings.Cut(state, " ")
		switch {
		case op.Kind == Enqueue:
			return true, state + strconv.Itoa(int(op.Value)) + " "
		case op.crashed():
			return true, rest
		case op.Kind == DequeueEmpty:
			return !some, state
		}
		return some && front == strconv.Itoa(int(op.Value)), rest
	},
	choose: func(random *rand.Rand, n, process int) QueueOp {
		return QueueOp{Kind: QueueKind(random.Intn(2)), Value: int32(n)}
	},
	answer: func(state string, op *QueueOp) string {
		if op.Kind == Enqueue {
			return state + strconv.Itoa(int(op.Value)) + " "
		}
		front, rest, some := strings.Cut(state, " ")
		if op.Kind = DequeueEmpty; some {
			v, _ := strconv.Atoi(front)
			op.Kind, op.Value = Dequeue, int32(v)
		}
		return rest
	},
	bend: func(random *rand.Rand, n int, op *QueueOp) {
		switch op.Kind {
		case Dequeue:
			op.Kind = QueueKind(1 + random.Intn(2))
			op.Value = int32(random.Intn(n))
		case DequeueEmpty:
			op.Kind, op.Value = Dequeue, int32(random.Intn(n))
		case Enqueue:
			op.Return = never
		}
	},
}

// An unordered queue's state is all the bags that it may be, each sorted, after the crashed
// dequeues that took any value.
var unorderedQueues = kind[QueueOp, *QueueOp]{
	name: "unordered queue", decide: UnorderedQueue,
	step: func(state string, op *QueueOp) (bool, string) {
		after := make(map[string]bool)
		for _, bag := range strings.Split(state, "|") {
			value := string(letter + rune(op.Value))
			switch at := strings.Index(bag, value); {
			case op.Kind == Enqueue:
				after[with(bag, letter+rune(op.Value))] = true
			case op.crashed():
				after[bag] = bag == "" || after[bag]
				for i := range bag {
					after[bag[:i]+bag[i+1:]] = true
				}
			case op.Kind == DequeueEmpty:
				after[bag] = bag == "" || after[bag]
			case at >= 0:
				after[bag[:at]+bag[at+1:]] = true
			}
		}
		var bags []string
		for bag, is := range after {
			if is {
				bags = append(bags, bag)
			}
		}
		slices.Sort(bags)
		return len(bags) > 0, strings.Join(bags, "|")
	},
	choose: queues.choose,
	answer: func(state string, op *QueueOp) string {
		switch at := 7 * len(state) % max(1, len(state)-1); {
		case op.Kind == Enqueue:
			return with(state, letter+rune(op.Value))
		case state == "":
			op.Kind = DequeueEmpty
			return state
		default:
			op.Kind, op.Value = Dequeue, int32(state[at]-letter)
			return state[:at] + state[at+1:]
		}
	},
	bend: queues.bend,
}

var logs = kind[LogOp, *LogOp]{
	name: "log", decide: Log,
	step: func(state string, op *LogOp) (bool, string) {
		if !op.Read {
			return true, state + string(rune(letter+op.Value))
		}
		return op.crashed() || text(op.Values) == state, state
	},
	choose: func(random *rand.Rand, n, process int) LogOp {
		return LogOp{Read: random.Intn(2) == 0, Value: int32(n)}
	},
	answer: func(state string, op *LogOp) string {
		if !op.Read {
			return state + string(rune(letter+op.Value))
		}
		op.Values = values(state)
		return state
	},
	bend: bendLog,
}

func bendLog(random *rand.Rand, n int, op *LogOp) {
	if !op.Read {
		op.Value = int32(random.Intn(n))
		return
	}
	op.Values = bendValues(random, n, op.Values)
}

func bendValues(random *rand.Rand, n int, values []int32) []int32 {
	switch at := random.Intn(len(values) + 1); random.Intn(3) {
	case 0:
		return append(values[:at:at], int32(random.Intn(n)))
	case 1:
		return values[:at]
	default:
		if at < len(values) {
			return append(values[:at:at], values[at+1:]...)
		}
		return values
	}
}

func text(values []int32) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteRune(letter + v)
	}
	return b.String()
}

func values(text string) (values []int32) {
	for _, r := range text {
		values = append(values, r-letter)
	}
	return values
}

var sets = kind[SetOp, *SetOp]{
	name: "set", decide: Set,
	step: func(state string, op *SetOp) (bool, string) {
		if !op.Read {
			return true, with(state, letter+op.Element)
		}
		same := len(state) == len(op.Elements)
		for _, r := range state {
			same = same && strings.Count(text(op.Elements), string(r)) == 1
		}
		return op.crashed() || same, state
	},
	choose: func(random *rand.Rand, n, process int) SetOp {
		return SetOp{Read: random.Intn(2) == 0, Element: int32(n)}
	},
	answer: func(state string, op *SetOp) string {
		if !op.Read {
			return with(state, letter+op.Element)
		}
		op.Elements = values(state)
		return state
	},
	bend: func(random *rand.Rand, n int, op *SetOp) {
		if !op.Read {
			op.Element = int32(random.Intn(n))
			return
		}
		op.Elements = bendValues(random, n, op.Elements)
		random.Shuffle(len(op.Elements), func(a, b int) { op.Elements[a], op.Elements[b] = op.Elements[b], op.Elements[a] })
	},
}

// with adds a letter to a sorted text, once.
func with(state string, r rune) string {
	at := strings.IndexFunc(state, func(x rune) bool { return x >= r })
	if at < 0 {
		return state + string(r)
	}
	if rune(state[at]) == r {
		return state
	}
	return state[:at] + string(r) + state[at:]
}

var ids = kind[IDOp, *IDOp]{
	name: "ids", decide: IDs,
	step: func(state string, op *IDOp) (bool, string) {
		id := string(rune(letter + op.ID))
		return op.crashed() || !strings.Contains(state, id), with(state, letter+rune(op.ID))
	},
	choose: func(random *rand.Rand, n, process int) IDOp { return IDOp{ID: int64(n)} },
	answer: func(state string, op *IDOp) string { return state },
	bend:   func(random *rand.Rand, n int, op *IDOp) { op.ID = int64(random.Intn(n)) },
}

func counter(delta func(random *rand.Rand) int64) kind[CounterOp, *CounterOp] {
	number := func(state string) int64 { v, _ := strconv.ParseInt(state, 10, 64); return v }
	return kind[CounterOp, *CounterOp]{
		name: "counter", decide: Counter,
		step: func(state string, op *CounterOp) (bool, string) {
			if !op.Read {
				return true, fmt.Sprint(number(state) + op.Delta)
			}
			return op.crashed() || op.Value == number(state), state
		},
		choose: func(random *rand.Rand, n, process int) CounterOp {
			return CounterOp{Read: random.Intn(2) == 0, Delta: delta(random)}
		},
		answer: func(state string, op *CounterOp) string {
			if !op.Read {
				return fmt.Sprint(number(state) + op.Delta)
			}
			op.Value = number(state)
			return state
		},
		bend: func(random *rand.Rand, n int, op *CounterOp) {
			if op.Value += op.Delta * int64(random.Intn(5)-2); random.Intn(20) == 0 {
				op.Value++
			}
		},
	}
}

var (
	counters      = counter(func(*rand.Rand) int64 { return -3 })
	mixedCounters = counter(func(random *rand.Rand) int64 { return int64(1 - 2*random.Intn(2)) })
)

var mutexes = kind[MutexOp, *MutexOp]{
	name: "mutex", decide: Mutex,
	step: func(state string, op *MutexOp) (bool, string) {
		if op.Release {
			return state == "held", ""
		}
		return state == "", "held"
	},
	choose: func(random *rand.Rand, n, process int) MutexOp { return MutexOp{} },
	answer: func(state string, op *MutexOp) string {
		if op.Release = state == "held"; op.Release {
			return ""
		}
		return "held"
	},
	bend: func(random *rand.Rand, n int, op *MutexOp) {
		op.Release = !op.Release
	},
}

var ownedMutexes = kind[MutexOp, *MutexOp]{
	name: "owned mutex", decide: OwnedMutex,
	step: func(state string, op *MutexOp) (bool, string) {
		owner := fmt.Sprint(op.Owner)
		if op.Release {
			return state == owner, ""
		}
		return state == "", owner
	},
	choose: func(random *rand.Rand, n, process int) MutexOp { return MutexOp{Owner: process} },
	answer: func(state string, op *MutexOp) string {
		switch owner := fmt.Sprint(op.Owner); state {
		case owner:
			op.Release = true
			return ""
		case "":
			return owner
		}
		op.Call = -1
		return state
	},
	bend: func(random *rand.Rand, n int, op *MutexOp) {
		switch random.Intn(3) {
		case 0:
			op.Owner = random.Intn(n)
		case 1:
			op.Release = !op.Release
		}
	},
}
