// Package history is what one run leaves behind: events in order, and the
// directory that holds them.
//
// Everything flows one way through here. While a run lasts, clients and faults
// hand Events to a Writer, which gives each its index and appends it to
// history.jsonl.zst. Afterwards Scan yields the same events one by one in bounded
// memory, and Load pairs invocations with completions into a Log, which is all
// that checkers and reports ever see. A history on disk is enough to check
// again, report again or replay, with no cluster.
//
// The file is a sequence of zstd frames, each a whole number of JSON lines, each
// with its checksum. A frame is closed at least once a second, so a process that
// dies loses at most its last second, and a reader of the torn file stops after
// the last whole frame and says so:
//
//	tail, err := history.Scan(path, func(ev *history.Event) error {
//		fmt.Println(ev.Time, ev.Type, ev.F)
//		return nil
//	})
//	if tail.Torn() {
//		fmt.Println(tail) // "history ends torn: read 8192 events from 81920 of 90112 bytes"
//	}
package history
