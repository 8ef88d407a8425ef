package etcd

import (
	"bytes"
	"encoding/json"
	"strings"

	"nemesis/clients"
)

// lastWords picks from the end of a server's log the line that says why it ended:
// the last one of level error or worse, or else the last one at all. The result is
// one short printable line; "" when the log is empty.
func lastWords(log []byte) string {
	var last, grave string
	for line := range bytes.Lines(log) {
		text := strings.TrimSpace(string(line))
		if text == "" {
			continue
		}
		var entry struct {
			Level, Msg, Error string
		}
		if json.Unmarshal([]byte(text), &entry) != nil || entry.Msg == "" {
			// Flag errors, panics and v3.4's first lines are plain text. A panic is
			// followed by its stack, which is not what anybody wants to read.
			last = text
			panicked, isPanic := strings.CutPrefix(text, "panic: ")
			switch {
			case isPanic && strings.HasPrefix(grave, panicked): // the log said it, and why
			case isPanic, strings.HasPrefix(text, "fatal error: "):
				grave = text
			}
			continue
		}
		words := entry.Msg
		if entry.Error != "" {
			words += ": " + entry.Error
		}
		last = words
		switch entry.Level {
		case "error", "dpanic", "panic", "fatal":
			grave = words
		}
	}
	if grave != "" {
		last = grave
	}
	return clients.Printable(last)
}
