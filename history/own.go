package history

import "encoding/json"

// OwnWorkload is a workload of the user's: operations that the system's file names, judged by
// a model that is a part of the plan, so that a run is checked again without any other file.
type OwnWorkload struct {
	Doc string `json:"doc,omitempty"`
	// Model is the name of the model, Text the model itself (package checker/linear/own).
	Model string `json:"model"`
	Text  string `json:"text"`
	// Operations are what clients do, each as often as its weight says.
	Operations []OwnOperation `json:"operations"`
	// Final are operations without a value that every client performs on each key in the end.
	Final []string `json:"final,omitempty"`
	// Executables are the names of files that test the system by themselves, in the place of all
	// of the above.
	Executables []string `json:"executables,omitempty"`
}

// OwnOperation is one of them.
type OwnOperation struct {
	F      string    `json:"f"`
	Weight int       `json:"weight"`
	Value  *OwnValue `json:"value,omitempty"` // nil for null
}

// OwnValue says how a value is drawn. One of its fields is set.
type OwnValue struct {
	// Unique: 1, 2, 3, …, each once for its key. Used: one of those handed out before.
	Unique bool `json:"unique,omitempty"`
	Used   bool `json:"used,omitempty"`
	// Range is the smallest and the greatest of whole numbers, drawn by Distribution, one of
	// those of keys.
	Range        []int64 `json:"range,omitempty"`
	Distribution string  `json:"distribution,omitempty"`
	// OneOf are values of which one is drawn.
	OneOf []json.RawMessage `json:"oneOf,omitempty"`
	// List is a list of values, each drawn by itself.
	List []OwnValue `json:"list,omitempty"`
}
