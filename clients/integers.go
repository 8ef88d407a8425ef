package clients

import (
	"encoding/json"
	"strconv"

	"nemesis/history"
)

// StoredInt is a text that a server says it holds, where integers were written in decimal digits, as a value of the history. Only our own
// spelling of an integer is that integer: "+7", "07" or "seven" were written by
// nobody. They stay in the history as text, for a checker to find that out; calling the
// read's outcome unknown would hide a corrupted store.
func StoredInt(s string) json.RawMessage {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && strconv.FormatInt(n, 10) == s {
		return history.EncodeInt(n)
	}
	return history.EncodeText(s)
}
