package listappend

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"nemesis/checker/transactions/dependency"
	"nemesis/checker/transactions/reference"
	"nemesis/history"
)

// verify checks a cycle against the recorded operations alone, edge by edge.
func (h *columns) verify(cycle []hop) error {
	if len(cycle) < 2 {
		return errors.New("it is no cycle")
	}
	for i, e := range cycle {
		if e.to != cycle[(i+1)%len(cycle)].from {
			return fmt.Errorf("step %d does not lead to the next", i+1)
		}
		if !h.holds(&e) {
			return fmt.Errorf("step %d, from operation %d to operation %d, does not follow from them", i+1, h.op(e.from).Index, h.op(e.to).Index)
		}
	}
	return nil
}

func (h *columns) holds(e *hop) bool {
	from, to := h.op(e.from), h.op(e.to)
	switch e.kind {
	case rt:
		return from.Type == history.OK && from.Return < to.Call
	case po:
		return from.Process == to.Process && from.Index < to.Index
	}
	key, value := h.keys[e.key].name, h.valueText(e.element)
	var seen []string // the list of somebody who saw the value
	if r := h.elements[e.element].reader; r >= 0 {
		for _, list := range listsOf(h.op(r), key) {
			if slices.Contains(list, value) {
				seen = list
			}
		}
	} else if r := h.keys[e.key].reader; r >= 0 { // all that was ever seen, and not the value
		for _, list := range listsOf(h.op(r), key) {
			if len(list) >= len(seen) {
				seen = append(slices.Clone(list), value)
			}
		}
	} else {
		seen = []string{value}
	}
	at := slices.Index(seen, value)
	switch e.kind {
	case wr:
		return slices.Contains(appendsOf(from, key), value) &&
			slices.ContainsFunc(listsOf(to, key), func(list []string) bool { return slices.Contains(list, value) })
	case rw:
		return slices.Contains(appendsOf(to, key), value) && slices.ContainsFunc(listsOf(from, key), func(list []string) bool {
			return !slices.Contains(list, value) && len(list) <= at && slices.Equal(list, seen[:len(list)])
		})
	}
	return slices.Contains(appendsOf(to, key), value) && at > 0 &&
		slices.ContainsFunc(appendsOf(from, key), func(before string) bool { return slices.Contains(seen[:at], before) })
}

func (h *columns) valueText(e int32) string {
	if v := h.elements[e].value; v < textual {
		return strconv.FormatInt(v, 10)
	}
	return h.texts.Text(int32(h.elements[e].value - textual))
}

// appendsOf are the values that an operation appends to a key, in canonical JSON.
func appendsOf(o *history.Operation, key string) (values []string) {
	each(o, key, func(m history.MicroOp) {
		if m.F == history.MicroAppend {
			values = append(values, canonical(m.Value))
		}
	})
	return values
}

// listsOf are the lists that an acknowledged operation read of a key.
func listsOf(o *history.Operation, key string) (lists [][]string) {
	if o.Type != history.OK {
		return nil
	}
	each(o, key, func(m history.MicroOp) {
		if m.F == history.MicroRead {
			list := []string{}
			_ = history.EachElement(m.Value, func(one []byte) error { // it was read before
				list = append(list, canonical(one))
				return nil
			})
			lists = append(lists, list)
		}
	})
	return lists
}

func each(o *history.Operation, key string, visit func(history.MicroOp)) {
	value := o.Input
	if o.Type == history.OK {
		value = o.Output
	}
	_ = history.EachMicroOp(value, func(m history.MicroOp) error { // it was read before
		if name, err := history.Canonical(m.Key); err == nil && (key == "" || (history.MicroOp{Key: name}).KeyName() == key) {
			visit(m)
		}
		return nil
	})
}

func canonical(value []byte) string {
	text, err := history.Canonical(value)
	if err != nil {
		return string(value)
	}
	return string(text)
}

// confirm has the reference try every order of a few transactions: there must be none that
// keeps to the order of a variant and, for shapes that break snapshot isolation, no starts
// and commits either. It returns the fewest of them of which that is so; none where they are
// too many for the reference.
func (h *columns) confirm(core []int32, class dependency.Class) (fewest []int32, err error) {
	core = slices.Clone(core)
	slices.Sort(core)
	core = slices.Compact(core)
	if len(core) > reference.MostTransactions {
		return nil, nil
	}
	order := [...]reference.Order{dependency.Data: reference.None, dependency.Sessions: reference.Processes,
		dependency.Writers: reference.WritersInTime, dependency.RealTime: reference.InTime}[class.Variant]
	impossible := func(some []int32) (bool, error) {
		transactions, is := h.small(some)
		if !is {
			return false, errTooMany
		}
		small := reference.New(transactions, true)
		return !small.Serial(order) && (class.Shape > dependency.GNonadjacent || !small.Snapshot(order)), nil
	}
	switch is, err := impossible(core); {
	case err != nil:
		return nil, nil
	case !is:
		return nil, errors.New("trying every order finds one")
	}
	for i := 0; i < len(core); {
		without := slices.Delete(slices.Clone(core), i, i+1)
		if is, _ := impossible(without); is {
			core = without
		} else {
			i++
		}
	}
	return core, nil
}

var errTooMany = errors.New("more keys than the reference knows")

// small makes the reference's transactions of some operations, from what was recorded.
func (h *columns) small(some []int32) ([]reference.Transaction, bool) {
	keys, values := make(map[string]int), make(map[string]int64)
	number := func(text string) int64 {
		if _, is := values[text]; !is {
			values[text] = int64(len(values))
		}
		return values[text]
	}
	all := make([]reference.Transaction, len(some))
	for i, t := range some {
		o := h.op(t)
		all[i] = reference.Transaction{Process: o.Process, Call: o.Call, Return: o.Return}
		switch o.Type {
		case history.Info:
			all[i].Outcome = reference.Info
		case history.Fail:
			all[i].Outcome = reference.Fail
		}
		each(o, "", func(m history.MicroOp) {
			name := canonical(m.Key)
			if _, is := keys[name]; !is {
				keys[name] = len(keys)
			}
			s := reference.Step{Key: keys[name], Append: m.F == history.MicroAppend}
			if s.Append {
				s.Value = number(canonical(m.Value))
			} else if o.Type == history.OK {
				_ = history.EachElement(m.Value, func(one []byte) error { // it was read before
					s.List = append(s.List, number(canonical(one)))
					return nil
				})
			}
			all[i].Steps = append(all[i].Steps, s)
		})
	}
	return all, len(keys) <= reference.MostKeys
}
