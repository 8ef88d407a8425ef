package foreign

import (
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
