package history

import (
	"encoding/json"
	"math"
)

// Never is the return time of an operation whose outcome is not known: it may
// take effect at any later moment.
const Never int64 = math.MaxInt64

// Operation is an invocation with its completion, if it has one.
type Operation struct {
	// Index is the invocation's index in the history, Completion the index of
	// its completion, -1 when the history ends before one.
	Index      int64  `json:"index"`
	Completion int64  `json:"completion"`
	Process    int    `json:"process"`
	Node       string `json:"node,omitempty"`
	F          string `json:"f"`
	Key        string `json:"key,omitempty"`
	// Type is OK, Fail or Info. An operation without a completion is Info.
	Type Type `json:"type"`
	// Input is the invocation's value, Output the completion's.
	Input  json.RawMessage `json:"input,omitempty"`
	Output json.RawMessage `json:"output,omitempty"`
	// Call and Return are nanoseconds since the run began; Return is Never for
	// Info. End is when the client stopped waiting, for pictures only: it bounds
	// nothing.
	Call    int64  `json:"call"`
	Return  int64  `json:"return"`
	End     int64  `json:"end"`
	Version int64  `json:"version,omitempty"`
	Error   string `json:"error,omitempty"`
	Cause   Cause  `json:"cause,omitempty"`
}

// Log is a whole history in memory: operations paired, the other events apart.
type Log struct {
	// Operations are sorted by Call.
	Operations []Operation
	// Events are the events that are not operations, in order.
	Events []Event
	// End is the time of the last event.
	End int64
	// Truncated says, in one sentence, where reading stopped when the file has a
	// torn tail; "" for a complete file.
	Truncated string
}
