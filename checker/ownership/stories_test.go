package ownership

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemesis/checker"
	"nemesis/history"
)

func TestStories(t *testing.T) {
	for name, story := range map[string]struct {
		tell      func(w *world)
		automatic bool
		outcome   checker.Outcome
		want      []string
	}{
		"a shard is moved, and the new owner answers": {
			tell: func(w *world) {
				w.serve("n1", "17", 0, 0, s)
				w.move("n2", 10, 20, history.OK, 2*s, 3*s)
				w.serve("n2", "17", 0, 4*s, 5*s)
			},
			outcome: checker.Valid,
		},
		"the old owner goes on answering": {
			tell: func(w *world) {
				w.serve("n1", "17", 0, 0, s)
				w.move("n2", 10, 20, history.OK, 2*s, 3*s)
				w.serve("n1", "17", 0, 4*s, 5*s)
			},
			outcome: checker.Violation, want: []string{"served-by-another"},
		},
		"the same in a system that moves shards by itself": {
			tell: func(w *world) {
				w.serve("n1", "17", 0, 0, s)
				w.move("n2", 10, 20, history.OK, 2*s, 3*s)
				w.serve("n1", "17", 0, 4*s, 5*s)
			},
			automatic: true, outcome: checker.Valid,
		},
		"while it is being moved, both may answer": {
			tell: func(w *world) {
				w.move("n2", 10, 20, history.OK, 2*s, 6*s)
				w.serve("n2", "17", 0, 3*s, 4*s)
				w.serve("n1", "17", 0, 3*s, 4*s)
			},
			outcome: checker.Valid,
		},
		"a key at the border is not moved": {
			tell: func(w *world) {
				w.move("n1", 0, 0, history.OK, 0, s)
				w.move("n2", 10, 20, history.OK, 2*s, 3*s)
				for _, k := range []string{"9", "20", "18446744073709551615"} {
					w.serve("n1", k, 0, 4*s, 5*s)
				}
			},
			outcome: checker.Valid,
		},
		"and the last key before it is": {
			tell: func(w *world) {
				w.move("n1", 0, 0, history.OK, 0, s)
				w.move("n2", 10, 0, history.OK, 2*s, 3*s)
				w.serve("n1", "18446744073709551615", 0, 4*s, 5*s)
			},
			outcome: checker.Violation, want: []string{"served-by-another"},
		},
		"a move of unknown outcome may have brought it back": {
			tell: func(w *world) {
				w.move("n2", 10, 20, history.OK, 2*s, 3*s)
				w.move("n1", 10, 20, history.Info, 4*s, 5*s)
				w.serve("n1", "17", 0, 60*s, 61*s)
			},
			outcome: checker.Valid,
		},
		"an older move of unknown outcome may still do so": {
			tell: func(w *world) {
				w.move("n1", 10, 20, history.Info, 0, s)
				w.move("n2", 10, 20, history.OK, 2*s, 3*s)
				w.serve("n1", "17", 0, 60*s, 61*s)
			},
			outcome: checker.Valid,
		},
		"a refused move did nothing": {
			tell: func(w *world) {
				w.move("n2", 10, 20, history.OK, 2*s, 3*s)
				w.move("n1", 10, 20, history.Fail, 4*s, 5*s)
				w.serve("n1", "17", 0, 6*s, 7*s)
			},
			outcome: checker.Violation, want: []string{"served-by-another"},
		},
		"two moves at once leave nobody certain": {
			tell: func(w *world) {
				w.move("n2", 10, 20, history.OK, 2*s, 4*s)
				w.move("n1", 15, 30, history.OK, 3*s, 5*s)
				w.serve("n2", "17", 0, 6*s, 7*s)
				w.serve("n2", "12", 0, 6*s, 7*s)
				w.serve("n1", "25", 0, 6*s, 7*s)
			},
			outcome: checker.Valid,
		},
		"but only of the keys in both": {
			tell: func(w *world) {
				w.move("n2", 10, 20, history.OK, 2*s, 4*s)
				w.move("n1", 15, 30, history.OK, 3*s, 5*s)
				w.serve("n2", "25", 0, 6*s, 7*s)
			},
			outcome: checker.Violation, want: []string{"served-by-another"},
		},
		"a part of the range moves on, the rest stays": {
			tell: func(w *world) {
				w.move("n2", 10, 20, history.OK, 2*s, 3*s)
				w.move("n3", 15, 20, history.OK, 4*s, 5*s)
				w.serve("n3", "12", 0, 6*s, 7*s)
			},
			outcome: checker.Violation, want: []string{"served-by-another"},
		},
		"a range is answered for as a whole": {
			tell: func(w *world) {
				w.move("n2", 10, 20, history.OK, 2*s, 3*s)
				w.serve("n1", "10-19", 0, 4*s, 5*s)
			},
			outcome: checker.Violation, want: []string{"served-by-another"},
		},
		"a range of which the answered key may lie outside": {
			tell: func(w *world) {
				w.move("n2", 10, 20, history.OK, 2*s, 3*s)
				w.serve("n1", "10-20", 0, 4*s, 5*s)
			},
			outcome: checker.Valid,
		},
		"there and back without a move": {
			tell: func(w *world) {
				w.move("n3", 50, 60, history.OK, 0, s)
				w.serve("n1", "a", 0, s, 2*s)
				w.serve("n2", "a", 0, 3*s, 4*s)
				w.serve("n1", "a", 0, 5*s, 6*s)
			},
			outcome: checker.Violation, want: []string{"interleaved-owners"},
		},
		"there without a move: somebody may have failed over": {
			tell: func(w *world) {
				w.serve("n1", "a", 0, s, 2*s)
				w.serve("n2", "a", 0, 3*s, 4*s)
				w.serve("n2", "a", 0, 5*s, 6*s)
			},
			outcome: checker.Valid,
		},
		"there and back with a move of other keys": {
			tell: func(w *world) {
				w.serve("n1", "17", 0, s, 2*s)
				w.move("n2", 50, 60, history.OK, s, 2*s)
				w.serve("n2", "17", 0, 3*s, 4*s)
				w.serve("n1", "17", 0, 5*s, 6*s)
			},
			outcome: checker.Violation, want: []string{"interleaved-owners"},
		},
		"one epoch with two owners": {
			tell: func(w *world) {
				w.serve("n1", "a", 7, 0, 9*s)
				w.serve("n2", "a", 7, s, 2*s)
			},
			automatic: true, outcome: checker.Violation, want: []string{"epoch-shared"},
		},
		"somebody is told another owner of the same epoch": {
			tell: func(w *world) {
				w.serve("n1", "a", 7, 0, 9*s)
				w.serve("n2", "a", 8, s, 2*s)
				w.do(1, "holder", "a", history.OK, 0, 9*s, "", `{"owner":"n3","token":8}`)
			},
			automatic: true, outcome: checker.Violation, want: []string{"epoch-shared"},
		},
		"the epoch goes back": {
			tell: func(w *world) {
				w.serve("n2", "a", 8, s, 2*s)
				w.serve("n1", "a", 7, 3*s, 4*s)
			},
			automatic: true, outcome: checker.Violation, want: []string{"epoch-went-back"},
		},
		"answers under two epochs at once": {
			tell: func(w *world) {
				w.serve("n2", "a", 8, s, 3*s)
				w.serve("n1", "a", 7, 3*s, 4*s)
			},
			automatic: true, outcome: checker.Valid,
		},
		"there and back under growing epochs": {
			tell: func(w *world) {
				w.serve("n1", "a", 1, s, 2*s)
				w.serve("n2", "a", 2, 3*s, 4*s)
				w.serve("n1", "a", 3, 5*s, 6*s)
			},
			outcome: checker.Valid,
		},
		"two leases of one shard": {
			tell: func(w *world) {
				w.acquire(1, "n1", "a", 1, 0, s)
				w.acquire(2, "n2", "a", 2, 2*s, 3*s)
			},
			outcome: checker.Violation, want: []string{"two-owners"},
		},
		"the second waits until the first has run out by a fast clock": {
			tell: func(w *world) {
				w.acquire(1, "n1", "a", 1, 0, s)
				w.acquire(2, "n2", "a", 2, 2*s, 3*s+97*s/100)
			},
			outcome: checker.Valid,
		},
		"a renewal makes it last": {
			tell: func(w *world) {
				w.acquire(1, "n1", "a", 1, 0, s)
				w.do(1, "renew", "a", history.OK, 2*s, 3*s, "", `{"owner":"n1","token":1,"ttl":4000}`)
				w.acquire(2, "n2", "a", 2, 4*s, 5*s)
			},
			outcome: checker.Violation, want: []string{"two-owners"},
		},
		"a release ends it": {
			tell: func(w *world) {
				w.acquire(1, "n1", "a", 1, 0, s)
				w.do(1, "release", "a", history.Info, 2*s, 3*s, "", "")
				w.acquire(2, "n2", "a", 2, 2*s, 3*s)
			},
			outcome: checker.Valid,
		},
		"who stops acting may give it up": {
			tell: func(w *world) {
				w.acquire(1, "n1", "a", 1, 0, s)
				w.believes(1, "exit", "a", `{"at":1500000000}`)
				w.acquire(2, "n2", "a", 2, 2*s, 3*s)
			},
			outcome: checker.Valid,
		},
		"whose outcome is unknown is no more, and may have given it up": {
			tell: func(w *world) {
				w.acquire(1, "n1", "a", 1, 0, s)
				w.do(1, "serve", "b", history.Info, s, 2*s, "", "")
				w.acquire(2, "n2", "a", 2, 2*s, 3*s)
			},
			outcome: checker.Valid,
		},
		"somebody else gives it back": {
			tell: func(w *world) {
				w.acquire(1, "n1", "a", 1, 0, s)
				w.do(3, "release", "a", history.OK, s, 2*s, `{"owner":"n1","token":1}`, "")
				w.acquire(2, "n2", "a", 2, 2*s, 3*s)
			},
			outcome: checker.Valid,
		},
		"a session is older than what is acquired on it": {
			tell: func(w *world) {
				session := `{"owner":"n1","lease":"L","ttl":4000}`
				w.do(1, "acquire", "b", history.OK, 0, s, "", session)
				w.do(1, "acquire", "a", history.OK, 3*s, 3*s+s/10, "", session)
				w.acquire(2, "n2", "a", 2, 4*s, 5*s)
			},
			outcome: checker.Valid,
		},
		"a session that nothing was acquired on before is told of": {
			tell: func(w *world) {
				w.believes(1, "renewed", "", `{"lease":"L","at":1000000000,"sent":500000000}`)
				w.do(1, "acquire", "a", history.OK, 3*s, 3*s+s/10, "", `{"owner":"n1","lease":"L","ttl":4000}`)
				w.acquire(2, "n2", "a", 2, 4*s, 5*s)
			},
			outcome: checker.Valid,
		},
		"who is told its own epoch again need not have its whole time again": {
			tell: func(w *world) {
				w.acquire(1, "n1", "a", 1, 0, s)
				w.acquire(1, "n1", "a", 1, 3*s, 3*s+s/10)
				w.acquire(2, "n2", "a", 2, 4*s, 5*s)
			},
			outcome: checker.Valid,
		},
		"a renewal may make it shorter": {
			tell: func(w *world) {
				w.acquire(1, "n1", "a", 1, 0, s)
				w.do(1, "renew", "a", history.OK, s, s+s/10, "", `{"owner":"n1","token":1,"ttl":1000}`)
				w.acquire(2, "n2", "a", 2, 2*s, 3*s)
			},
			outcome: checker.Valid,
		},
		"shards were moved, and nobody was asked": {
			tell:    func(w *world) { w.move("n2", 10, 20, history.OK, 0, s) },
			outcome: checker.Vacuous,
		},
		"leases of ranges that meet": {
			tell: func(w *world) {
				w.acquire(1, "n1", "0-9", 1, 0, s)
				w.acquire(2, "n2", "9-20", 1, s, 2*s)
			},
			outcome: checker.Violation, want: []string{"two-owners"},
		},
		"leases of ranges side by side": {
			tell: func(w *world) {
				w.acquire(1, "n1", "0-9", 1, 0, s)
				w.acquire(2, "n2", "10-20", 1, s, 2*s)
				w.serve("n1", "7", 1, 2*s, 3*s)
				w.serve("n2", "7-7", 1, 9*s, 10*s)
				w.serve("n1", "7-7", 2, 19*s, 20*s)
			},
			outcome: checker.Valid,
		},
		"a move ends a lease": {
			tell: func(w *world) {
				w.acquire(1, "n1", "0-9", 1, 0, s)
				w.move("n2", 0, 5, history.Info, s+s/2, 2*s)
				w.acquire(2, "n2", "0-4", 2, 2*s, 3*s)
			},
			outcome: checker.Vacuous,
		},
		"a move under way makes a lease uncertain": {
			tell: func(w *world) {
				w.move("n2", 0, 5, history.Info, 0, s)
				w.acquire(1, "n1", "0-9", 1, s, 2*s)
				w.acquire(2, "n2", "0-4", 2, 2*s, 3*s)
			},
			outcome: checker.Vacuous,
		},
		"somebody answers beside the holder of a lease": {
			tell: func(w *world) {
				w.acquire(1, "n1", "a", 1, 0, s)
				w.serve("n2", "a", 0, 2*s, 3*s)
				w.serve("n1", "a", 0, 2*s, 3*s)
			},
			outcome: checker.Violation, want: []string{"served-by-another"},
		},
		"the clock of a node ran at double speed": {
			tell: func(w *world) {
				w.acquire(1, "n1", "a", 1, 0, s)
				w.acquire(2, "n2", "a", 2, 2*s, 3*s)
				w.runsFast(s, 9*s)
			},
			outcome: checker.Exceeded, want: []string{"two-owners"},
		},
		"the second may have been over before the first, by a fast clock": {
			tell: func(w *world) {
				w.acquire(1, "n1", "a", 1, 0, 3*s+s/2)
				w.acquire(2, "n2", "a", 2, 2*s, 3*s)
				w.runsFast(s/2, s)
			},
			outcome: checker.Exceeded, want: []string{"two-owners"},
		},
		"nothing moves": {
			tell: func(w *world) {
				w.serve("n1", "a", 0, s, 2*s)
				w.serve("n1", "a", 0, 3*s, 4*s)
			},
			outcome: checker.Vacuous,
		},
		"nothing that can be read": {
			tell: func(w *world) {
				w.do(1, "serve", "a", history.OK, 0, s, "", `{`)
				w.do(2, "serve", "a", history.OK, 0, s, "", `null`)
				w.do(3, "move", "", history.OK, 0, s, `{"low":9,"high":3,"to":"n1"}`, "")
				w.do(4, "move", "", history.OK, 0, s, `"n1"`, "")
				w.do(5, "acquire", "\x00", history.OK, 0, s, "", `[`)
				w.do(6, "acquire", "a", history.OK, 0, s, "", `{"ttl":9223372036854775807}`)
			},
			outcome: checker.Vacuous,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{}
			story.tell(w)
			options := bounds()
			options.Automatic = story.automatic
			r := check(w.done(), options)
			if r.Outcome != story.outcome {
				t.Errorf("judged %s: %s", r.Outcome, r.Summary)
			}
			if diff := cmp.Diff(story.want, classesOf(r)); diff != "" {
				t.Errorf("%s\n%s", r.Summary, diff)
			}
			for _, f := range r.Anomalies {
				if f.Sentence == "" || f.Rule == "" || len(f.Core) < 2 || f.Unexplained < 0 || len(f.Proof) <= len(f.Core) {
					t.Errorf("badly told: %+v", f)
				}
			}
		})
	}
}

func TestWallClocksMayDisagreeByTwiceTheirError(t *testing.T) {
	w := &world{}
	w.acquire(1, "n1", "a", 1, 0, s)
	w.acquire(2, "n2", "a", 2, 2*s, 3*s)
	options := bounds()
	options.Bounds.ClockOffset = history.Duration(s / 2)
	if r := check(w.done(), options); r.Outcome != checker.Valid {
		t.Errorf("judged %s: %s", r.Outcome, r.Summary)
	}
}

func TestAnAnomalyTellsWhoAndWhen(t *testing.T) {
	w := &world{}
	w.serve("n1", "17", 0, 0, s)
	w.move("n2", 10, 20, history.OK, 2*s, 3*s)
	w.serve("n1\n\x1b", "17", 0, 4*s, 5*s)
	r := check(w.done(), bounds())
	want := checker.Anomaly{
		Class: "served-by-another", Count: 1, Key: "17", Unexplained: 1,
		Sentence: `n1\n\x1b answered for shard 17 at 5.000 s, although it had been moved to n2 1.0 s before the request was called.`,
		Rule:     "Nobody answers for keys that are certainly another's.", Breaks: []history.Model{history.SingleOwner},
		Core: w.log.Operations[1:], Around: w.log.Operations[:1],
		Proof: []checker.ProofStep{
			{Text: "Client 1001's move of the keys 10 to 19 to n2 was called at 2.000 s and returned at 3.000 s.", Core: []int{0}},
			{Text: `n1\n\x1b answered for shard 17: client 1002's request, called at 4.000 s and returned at 5.000 s.`, Core: []int{1}},
			{Text: "No other change of these keys was under way when the move was called, and none was called before 5.000 s."},
		},
	}
	if diff := cmp.Diff([]checker.Anomaly{want}, r.Anomalies); diff != "" {
		t.Error(diff)
	}
}

func TestAnEndedContextIsUnknown(t *testing.T) {
	w := &world{}
	w.serve("n1", "a", 0, 0, s)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if r := Checker(bounds()).Check(ctx, w.done(), checker.Budget{}); r.Outcome != checker.Unknown || !strings.Contains(r.Summary, "interrupted") {
		t.Errorf("judged %s: %s", r.Outcome, r.Summary)
	}
}
