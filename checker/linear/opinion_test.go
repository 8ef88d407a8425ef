package linear

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/internal/brute"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// strict is an object whose operations are refused wherever they have no effect, crashed
// ones too: what ask does about those is Porcupine's to be told. An operation moves the
// state from its input to its output.
var strict = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) { return state == input, output },
}

func strictHistory(r *rand.Rand) []porcupine.Operation {
	ops := make([]porcupine.Operation, r.IntN(8))
	state := 0
	for i := range ops {
		from, to := state, r.IntN(3)
		call := int64(3*i + r.IntN(4))
		ret := call + int64(r.IntN(9))
		if r.IntN(4) == 0 {
			ret = history.Never
		}
		if r.IntN(6) == 0 {
			from = r.IntN(3)
		}
		if ret != history.Never || r.IntN(2) == 0 {
			state = to
		}
		ops[i] = porcupine.Operation{ClientId: i, Input: from, Output: to, Call: call, Return: ret}
	}
	return ops
}

// opinions holds Porcupine, asked in our way, to trying every order: with steps enough,
// with too few, and when time has run out.
func opinions(rounds int) error {
	r := rand.New(rand.NewPCG(3, 1))
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var answers [3]int
	for range rounds {
		ops := strictHistory(r)
		want := order.Illegal
		if brute.Legal(strict, ops) {
			want = order.Legal
		}
		taken := int64(0)
		counted := strict
		counted.Step = func(state, input, output any) (bool, any) {
			taken++
			return strict.Step(state, input, output)
		}
		few := int64(r.IntN(12))
		for _, c := range []struct {
			leash *leash
			steps int64
			sure  bool
			says  string
		}{
			{newLeash(context.Background(), len(ops), 1<<20), 1 << 20, true, ""},
			{newLeash(context.Background(), len(ops), few), few, false, "ran out of steps"},
			{newLeash(ended, len(ops), 1<<20), 0, false, outOfTime},
		} {
			taken = 0
			d := ask(counted, ops, c.leash)
			answers[d.Answer]++
			var err error
			switch {
			case d.Answer == order.Undecided && (c.sure || d.Reason != c.says):
				err = fmt.Errorf("undecided: %s", d.Reason)
			case d.Answer != order.Undecided && d.Answer != want:
				err = fmt.Errorf("answer %d, should be %d", d.Answer, want)
			case d.Answer == order.Legal:
				err = order.Verify(strict, ops, d.Order)
			case taken > c.steps:
				err = fmt.Errorf("%d steps were taken", taken)
			}
			if err != nil {
				return fmt.Errorf("%w, when %d were allowed, of %+v", err, c.steps, ops)
			}
		}
	}
	for answer, n := range answers {
		if n < rounds/10 {
			return fmt.Errorf("answer %d was given %d times in %d histories; mend the generator", answer, n, rounds)
		}
	}
	return nil
}

func TestFuzzTheSecondOpinion(t *testing.T) {
	if err := opinions(3_000); err != nil {
		t.Error(err)
	}
}
