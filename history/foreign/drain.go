package foreign

import (
	"fmt"

	"nemesis/history"
)

// drain is what Jepsen's queue workloads end with: one operation that dequeues until
// nothing is left, and returns a list of what it got.
const drain = "drain"

// most is how many elements a drain with this answer returned, at most.
func (f *form) most() int {
	n := len(f.items)
	for i := range f.items {
		n = max(n, len(f.items[i].items)) // behind a key
	}
	return n
}

// expandDrains puts dequeues in the place of drains.
//
// The elements that one returned were dequeued one after another between its invocation
// and its completion, nobody knows when. If no other client's event lies between, they
// may as well have followed one another in equal times: every other operation was either
// under way all the while, or not at all. If there is such an event, all that is said is
// that each took place between invocation and completion: less than is known of their
// order, so that nobody is accused unfoundedly.
//
// A drain that failed took nothing. One of unknown outcome may have taken all that no
// other dequeue returned; there are as many dequeues of unknown outcome in its place. That
// the queue was found empty at last is not used, as clients give up for other reasons too.
//
// A process does one thing at a time. Dequeues of one drain that may overlap therefore have
// processes of their own, which the file does not have, but for the first.
func (r *record) expandDrains(log *history.Log) error {
	spare := 0 // a process that nobody has
	for process := range r.process {
		spare = max(spare, process+1)
	}
	ownProcess := func(o *history.Operation, n int64) {
		if n > 0 {
			o.Process = spare
			spare++
		}
	}
	left := make(map[string]int) // by key, how much was enqueued and not returned
	total := 0
	for i := range log.Operations {
		o := &log.Operations[i]
		switch {
		case o.F == history.FEnqueue && o.Type != history.Fail:
			left[o.Key]++
		case o.F == history.FDequeue && o.Type == history.OK && !history.IsNull(o.Output):
			left[o.Key]--
		case o.F == drain && o.Type == history.OK:
			n := 0
			err := history.EachElement(o.Output, func([]byte) error { n++; return nil })
			if err != nil {
				return fmt.Errorf("line %d: the drain is completed with %s; a list of elements was expected", r.ops[i].line, brief(string(o.Output)))
			}
			left[o.Key] -= n
			total += n
		}
	}
	for _, n := range left { // what drains of unknown outcome may have taken
		total += max(n, 0)
	}
	if err := r.spend(int64(total) * sizeOfRecorded); err != nil {
		return err
	}
	all := make([]history.Operation, 0, len(log.Operations)+total)
	for i := range log.Operations {
		o := log.Operations[i]
		if o.F != drain {
			all = append(all, o)
			continue
		}
		o.F, o.Input = history.FDequeue, history.EncodeNull()
		switch o.Type {
		case history.OK:
			alone, call := r.ops[i].alone, o.Call
			n := int64(0)
			_ = history.EachElement(o.Output, func(one []byte) error { // it was read above
				d := o
				d.Output = one
				if alone {
					d.Call = call + 2*n
					d.Return = d.Call + 1
					d.End = d.Return
				} else {
					ownProcess(&d, n)
				}
				n++
				all = append(all, d)
				return nil
			})
		case history.Info:
			o.Output = nil
			for n := range max(0, left[o.Key]) {
				d := o
				ownProcess(&d, int64(n))
				all = append(all, d)
			}
			left[o.Key] = 0 // the next one of unknown outcome can have no more
		}
	}
	log.Operations = all
	return nil
}
