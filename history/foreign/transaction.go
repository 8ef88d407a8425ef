package foreign

import (
	"fmt"
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
