package foreign

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"nemesis/history"
)

// Transactions makes our own transactions of operations whose values are Jepsen's: lists of
// [f key value] with the keywords :append, :r and :w for f. It changes operations in place.
func Transactions(ops []history.Operation) error {
	for i := range ops {
		o := &ops[i]
		o.F = history.FTransaction
		for _, value := range []*[]byte{(*[]byte)(&o.Input), (*[]byte)(&o.Output)} {
			parts, err := history.DecodeTransaction(*value)
			if err != nil {
				return fmt.Errorf("read operation %d as a transaction: %w", o.Index, err)
			}
			if len(parts) == 0 {
				continue
			}
			for n := range parts {
				parts[n].F = strings.TrimPrefix(parts[n].F, ":")
			}
			*value = history.EncodeTransaction(parts)
		}
	}
	return nil
}

// UnrecordedWrites adds writes of unknown outcome to transactions over registers of which no write was
// recorded, as in some histories of long forks: of each value that was read, at any time. Where a write was
// recorded, it adds nothing.
func UnrecordedWrites(log *history.Log) error {
	type version struct{ key, value string }
	var read []version
	seen := map[version]bool{}
	spare := 0
	for i := range log.Operations {
		o := &log.Operations[i]
		spare = max(spare, o.Process+1)
		recorded := false
		for _, value := range [2]json.RawMessage{o.Input, o.Output} {
			err := history.EachMicroOp(value, func(m history.MicroOp) error {
				v := version{string(m.Key), string(m.Value)}
				switch {
				case m.F == history.MicroWrite:
					recorded = true
				case o.Type == history.OK && !history.IsNull(m.Value) && !seen[v]:
					seen[v] = true
					read = append(read, v)
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("read operation %d as a transaction: %w", o.Index, err)
			}
		}
		if recorded {
			return nil
		}
	}
	var writes []history.Operation
	for _, v := range read {
		writes = append(writes, history.Operation{Completion: -1, Process: spare, F: history.FTransaction, Type: history.Info, Return: history.Never, End: log.End,
			Input: history.EncodeTransaction([]history.MicroOp{{F: history.MicroWrite, Key: json.RawMessage(v.key), Value: json.RawMessage(v.value)}})})
		spare++
	}
	log.Operations = append(writes, log.Operations...)
	return nil
}

// Banks makes our own transfers of Jepsen's, of which :from, :to and :amount are keywords.
func Banks(log *history.Log) error {
	for i := range log.Operations {
		o := &log.Operations[i]
		if o.F != history.FTransfer {
			continue
		}
		var parts map[string]json.RawMessage
		if err := json.Unmarshal(o.Input, &parts); err != nil {
			return fmt.Errorf("read operation %d as a transfer: its value %s is no map", o.Index, history.Quote(o.Input))
		}
		ours := make(map[string]json.RawMessage, len(parts))
		for name, value := range parts {
			ours[strings.TrimPrefix(name, ":")] = value
		}
		var err error
		if o.Input, err = json.Marshal(ours); err != nil {
			return fmt.Errorf("read operation %d as a transfer: %w", o.Index, err)
		}
	}
	return nil
}

// Sets makes our own reads of whole sets of Jepsen's, whose :f is :read.
func Sets(log *history.Log) error {
	for i := range log.Operations {
		if o := &log.Operations[i]; o.F == history.FRead {
			o.F = history.FList
		}
	}
	return nil
}

// parseOf reads events of Jepsen's, or what is left of them where Elle's users write a history
// of transactions by hand.
func parseOf(opt Options) func(line int, f form) (event, error) {
	if !opt.Transactions {
		return jepsenEvent
	}
	alone := 0 // events without a process
	return func(line int, f form) (event, error) {
		hasName, hasProcess := false, false
		for i := 0; i+1 < len(f.items); i += 2 {
			hasName = hasName || f.items[i].text == "f"
			hasProcess = hasProcess || f.items[i].text == "process"
		}
		if !hasName {
			f.items = append(f.items, form{kind: keyword, text: "f"}, form{kind: keyword, text: history.FTransaction})
		}
		if !hasProcess {
			f.items = append(f.items, form{kind: keyword, text: "process"}, form{kind: integer, text: strconv.Itoa(alone / 2)})
			alone++
		}
		return jepsenEvent(line, f)
	}
}
