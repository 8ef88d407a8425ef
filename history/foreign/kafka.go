package foreign

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"nemesis/history"
)

// Kafka makes transactions over logs (history/log.go) of the operations of Jepsen's workload kafka: send, poll and txn, whose
// values are lists of
//
//	[:send key value]  → [:send key [offset value]], or [:send key value] where the offset is not known
//	[:poll]            → [:poll {key [[offset value] …], …}]
//
// A poll begins where the last one of its process that was acknowledged ended, for each key; assign and subscribe are left out, and decide
// for which keys that is so: after an assign, for those that it names; after a subscribe for none, since the system may then move the
// consumer at any time. Polls of a transaction that failed, or of which nobody knows, are kept: a consumer must not see what is wrong,
// whatever becomes of the transaction. Other operations, such as crash, are left out.
func Kafka(log *history.Log) error {
	consumers := map[int]*consumer{}
	ops := log.Operations[:0]
	for _, o := range log.Operations {
		c := consumers[o.Process]
		if c == nil {
			c = &consumer{ends: map[string]json.RawMessage{}}
			consumers[o.Process] = c
		}
		var err error
		switch o.F {
		case history.FSend, history.FPoll, history.FTransaction:
			if err = c.transaction(&o); err == nil {
				ops = append(ops, o)
			}
		case "assign", "subscribe":
			err = c.assigned(&o)
		}
		if err != nil {
			return fmt.Errorf("read operation %d (:%s) as one of Jepsen's kafka workload: %w", o.Index, o.F, err)
		}
	}
	log.Operations = ops
	return nil
}

// consumer is what is known of a process's positions.
type consumer struct {
	moved bool // by the system, at any time
	// ends has for each key the offset at which its last poll ended.
	ends map[string]json.RawMessage
}

func (c *consumer) assigned(o *history.Operation) error {
	if o.Type == history.Fail {
		return nil
	}
	c.moved = o.F == "subscribe"
	kept := map[string]json.RawMessage{}
	err := history.EachElement(o.Input, func(key []byte) error {
		name := history.MicroOp{Key: key}.KeyName()
		if end, is := c.ends[name]; is && !c.moved {
			kept[name] = end
		}
		return nil
	})
	c.ends = kept
	return err
}

// transaction writes an operation anew: all that it sent, as far as it is known, and what it polled.
func (c *consumer) transaction(o *history.Operation) error {
	value, answered := o.Output, !history.IsNull(o.Output)
	if !answered {
		value = o.Input
	}
	var asked, told []history.MicroOp
	ends := maps.Clone(c.ends)
	err := history.EachElement(value, func(raw []byte) error {
		var parts []json.RawMessage
		err := history.EachElement(raw, func(part []byte) error {
			parts = append(parts, part)
			return nil
		})
		switch {
		case err != nil || len(parts) == 0:
			return fmt.Errorf("%s is no part of a transaction such as [:send 1 2] or [:poll]", history.Quote(raw))
		case string(parts[0]) == `":poll"` && len(parts) == 1:
			return nil // it was not answered
		case string(parts[0]) == `":poll"` && len(parts) == 2:
			var found map[string]json.RawMessage
			if json.Unmarshal(parts[1], &found) != nil {
				return fmt.Errorf("a poll returned %s, which is no map of keys", history.Quote(parts[1]))
			}
			for _, key := range slices.Sorted(maps.Keys(found)) {
				part := history.MicroOp{F: history.MicroPoll, Key: history.EncodeText(key), Value: ends[key]}
				asked = append(asked, part)
				part.Value = found[key]
				told = append(told, part)
				err := history.EachEntry(found[key], func(e history.Entry) error {
					if !c.moved {
						ends[key] = e.Offset
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		case string(parts[0]) == `":send"` && len(parts) == 3:
			part := history.MicroOp{F: history.MicroSend, Key: history.EncodeText(history.MicroOp{Key: parts[1]}.KeyName()), Value: parts[2]}
			entry, err := history.DecodeEntry(parts[2])
			if err != nil || !answered {
				entry = history.Entry{Offset: history.EncodeNull(), Value: parts[2]}
			}
			part.Value = entry.Value
			asked = append(asked, part)
			part.Value = history.EncodeEntry(entry)
			told = append(told, part)
			return nil
		}
		return fmt.Errorf("%s is no part of a transaction such as [:send 1 2] or [:poll]", history.Quote(raw))
	})
	if err != nil {
		return err
	}
	if o.Type == history.OK {
		c.ends = ends
	}
	o.F, o.Key, o.Input, o.Output = history.FTransaction, "", history.EncodeTransaction(asked), nil
	if answered {
		o.Output = history.EncodeTransaction(told)
	}
	return nil
}
