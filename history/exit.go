package history

import (
	"encoding/json"
	"fmt"
)

// FRun is the operation that runs an executable of the user's, which its key names. Its output
// is an ExitStatus.
const FRun = "run"

// ExitStatus is how an executable ended by itself.
type ExitStatus struct {
	// Status is its exit status, Said the end of what it wrote.
	Status int    `json:"exit"`
	Said   string `json:"said,omitempty"`
}

// Encode is the value in a history.
func (e ExitStatus) Encode() json.RawMessage {
	text, err := json.Marshal(e)
	if err != nil {
		return EncodeNull() // a number and a text are always JSON
	}
	return text
}

// DecodeExitStatus reads what Encode made. The error says what it is instead.
func DecodeExitStatus(value json.RawMessage) (e ExitStatus, err error) {
	if IsNull(value) || json.Unmarshal(value, &e) != nil {
		return e, fmt.Errorf("%s does not say how an executable ended", Quote(value))
	}
	return e, nil
}
