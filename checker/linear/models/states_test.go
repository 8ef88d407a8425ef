package models

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Each state that never changes is held to a plain one that is copied with every step: the
// newest, and all those it was made from. Equal states have equal hashes, however they
// were made.
func TestStatesThatShareAreWhatCopiesWouldBe(t *testing.T) {
	type version struct {
		queue    fifo
		queued   []int32
		set      bag
		elements []int32
		text     *rope
		said     string
	}
	rapid.Check(t, func(t *rapid.T) {
		all := []version{{}}
		value := rapid.OneOf(rapid.Int32Range(0, 20), rapid.Int32Range(0, 1<<30))
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			v := all[rapid.IntRange(max(len(all)-3, 0), len(all)-1).Draw(t, "from")]
			n := value.Draw(t, "value")
			switch rapid.SampledFrom([]string{"enqueue", "enqueue", "dequeue", "put in", "put in", "take out", "append", "replace"}).Draw(t, "step") {
			case "enqueue":
				v.queue, v.queued = v.queue.with(n), append(slices.Clone(v.queued), n)
			case "dequeue":
				if len(v.queued) > 0 {
					var oldest int32
					if oldest, v.queue = v.queue.take(); oldest != v.queued[0] {
						t.Fatalf("took %d of %v", oldest, v.queued)
					}
					v.queued = v.queued[1:]
				}
			case "put in":
				v.set, v.elements = v.set.with(n), append(slices.Clone(v.elements), n)
				slices.Sort(v.elements)
			case "take out":
				if len(v.elements) > 0 {
					at := rapid.IntRange(0, len(v.elements)-1).Draw(t, "which")
					v.set, v.elements = v.set.without(v.elements[at]), slices.Delete(slices.Clone(v.elements), at, at+1)
				}
			case "append":
				v.text, v.said = v.text.with(fmt.Sprint(n)), v.said+fmt.Sprint(n)
			case "replace":
				v.text, v.said = ropeOf(fmt.Sprint(n)), fmt.Sprint(n)
			}
			all = append(all, v)
		}
		for _, v := range all {
			if !slices.Equal(v.queue.values(), v.queued) || v.queue.len() != len(v.queued) {
				t.Fatalf("a queue of %v has %v", v.queued, v.queue.values())
			}
			if v.set.values() != pack(v.elements...) || v.set.len() != len(v.elements) {
				t.Fatalf("a bag of %v has %v", v.elements, v.set.values().values())
			}
			if len(v.elements) > 0 && v.set.smallest() != v.elements[0] {
				t.Fatalf("the smallest of %v is %d", v.elements, v.set.smallest())
			}
			different := slices.Compact(slices.Clone(v.elements))
			if v.set.holds(pack(different...)) != (len(different) == len(v.elements)) {
				t.Fatalf("a bag of %v holds %v: %v", v.elements, different, v.set.holds(pack(different...)))
			}
			if v.text.String() != v.said || !v.text.is(v.said) || v.text.is(v.said+"x") || v.text.len() != len(v.said) {
				t.Fatalf("a rope of %q is %q", v.said, v.text)
			}
			var queue fifo
			for _, n := range v.queued {
				queue = queue.with(n)
			}
			var set bag
			for _, n := range slices.Backward(v.elements) {
				set = set.with(n)
			}
			text := ropeOf(v.said)
			if !queue.equal(v.queue) || queue.hash != v.queue.hash || !set.equal(v.set) || set.hash != v.set.hash || !text.equal(v.text) || text.sum() != v.text.sum() {
				t.Fatalf("made in another way, %v, %v and %q are different", v.queued, v.elements, v.said)
			}
			last := all[len(all)-1]
			if v.queue.equal(last.queue) != slices.Equal(v.queued, last.queued) || v.set.equal(last.set) != slices.Equal(v.elements, last.elements) || v.text.equal(last.text) != (v.said == last.said) {
				t.Fatalf("%v, %v, %q is compared wrongly with %v, %v, %q", v.queued, v.elements, v.said, last.queued, last.elements, last.said)
			}
		}
	})
}
