package monitor

import (
	"math/rand"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemesis/checker/linear/internal/brute"
	"nemesis/checker/linear/order"
)

// told makes histories of a log in which every answer says its version: how many
// appends there were. Versions are bent now and then.
func told(random *rand.Rand) (ops []LogOp, places []Place, honest bool) {
	ops = logs.generate(random, 2+random.Intn(8), 3, []int{0, 15}[random.Intn(2)], 4)
	honest = true
	places = make([]Place, len(ops))
	longest := ""
	for i := range ops {
		if seen := text(ops[i].Values); len(seen) > len(longest) {
			longest = seen
		}
	}
	version := make(map[int32]int64)
	for _, v := range values(longest) {
		version[v] = int64(len(version) + 1)
	}
	for i := range ops {
		p := &places[i]
		p.Writes, p.Known = !ops[i].Read, ops[i].Return != never
		switch {
		case ops[i].Read:
			p.Version = int64(len(ops[i].Values))
		case version[ops[i].Value] > 0:
			p.Version = version[ops[i].Value]
		case p.Known:
			version[ops[i].Value] = int64(len(version) + 1)
			p.Version = version[ops[i].Value]
		}
		if random.Intn(30) == 0 {
			p.Version, honest = p.Version+int64(random.Intn(5)-2), false
		}
	}
	return ops, places, honest
}

func TestVersionsAreNeverWronglyLegal(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	model := logs.model()
	var counts [3]int
	for range rounds(10_000) {
		ops, places, _ := told(random)
		given := operations(ops)
		for _, trusted := range []bool{false, true} {
			d := Versions(model, given, places, trusted)
			counts[d.Answer]++
			switch {
			case d.Answer == order.Legal:
				if err := order.Verify(model, given, d.Order); err != nil {
					t.Fatalf("%v\n%+v\n%+v", err, ops, places)
				}
			case d.Reason == "":
				t.Fatalf("no reason: %+v", d)
			case d.Answer == order.Illegal && !trusted:
				t.Fatalf("a mistrusted account made a violation: %+v", d)
			}
		}
	}
	for answer, n := range counts {
		if n < 500 {
			t.Errorf("only %d of answer %d", n, answer)
		}
	}
}

// An honest account of the order in which things happened explains the history.
func TestHonestVersionsAreLegal(t *testing.T) {
	random := rand.New(rand.NewSource(2))
	model := logs.model()
	legal, explained := 0, 0
	for range rounds(10_000) {
		ops, places, honest := told(random)
		given := operations(ops)
		if !honest || !brute.Legal(model, given) {
			continue
		}
		legal++
		if Versions(model, given, places, false).Answer == order.Legal {
			explained++
		}
	}
	t.Logf("%d of %d legal histories explained", explained, legal)
	// The rest: told numbers unread appends by the time of their effect in a run that
	// was bent afterwards, and two crashed writes in a row are not tried.
	if explained < legal*3/4 {
		t.Errorf("only %d of %d legal histories explained", explained, legal)
	}
}

func TestVersionStories(t *testing.T) {
	type row struct {
		op    LogOp
		place Place
	}
	write := func(version, call, ret int64) row {
		return row{LogOp{Span: Span{call, ret}, Value: int32(version)}, Place{version, true, ret != never}}
	}
	read := func(version, call, ret int64, saw ...int32) row {
		return row{LogOp{Span: Span{call, ret}, Read: true, Values: saw}, Place{version, false, true}}
	}
	mute := read(0, 0, 9)
	mute.place.Known = false
	for _, story := range []struct {
		name     string
		rows     []row
		trusted  bool
		answer   order.Answer
		conflict []int
	}{
		{"a read of what was written", []row{write(1, 0, 1), read(1, 2, 3, 1)}, false, order.Legal, nil},
		{"a read that is behind", []row{write(1, 0, 1), read(0, 2, 3)}, true, order.Illegal, []int{0, 1}},
		{"a read that is behind, by an account nobody trusts", []row{write(1, 0, 1), read(0, 2, 3)}, false, order.Undecided, nil},
		{"one version for two changes", []row{write(1, 0, 9), write(1, 0, 9)}, true, order.Illegal, []int{0, 1}},
		{"an answer without a version", []row{mute}, true, order.Undecided, nil},
		{"an answer that the replay refuses", []row{write(1, 0, 1), read(1, 2, 3, 7)}, true, order.Undecided, nil},
		{"a crashed write that a read saw", []row{write(1, 0, never), read(1, 4, 5, 1)}, false, order.Legal, nil},
		{"a crashed write between two others", []row{write(1, 0, 1), write(2, 0, never), write(3, 6, 7), read(2, 4, 5, 1, 2), read(3, 8, 9, 1, 2, 3)}, false, order.Legal, nil},
		{"a crashed write that was called too late", []row{write(1, 6, never), read(1, 4, 5, 1)}, false, order.Undecided, nil},
	} {
		t.Run(story.name, func(t *testing.T) {
			var ops []LogOp
			var places []Place
			for _, r := range story.rows {
				ops, places = append(ops, r.op), append(places, r.place)
			}
			d := Versions(logs.model(), operations(ops), places, story.trusted)
			if d.Answer != story.answer {
				t.Errorf("answer %v, want %v: %s", d.Answer, story.answer, d.Reason)
			}
			if diff := cmp.Diff(story.conflict, d.Conflict); diff != "" {
				t.Errorf("conflict (-want +got):\n%s", diff)
			}
		})
	}
}
