package engine

// Hints are what a model may tell besides its steps. Each is optional; each only
// makes the search faster, never changes its answer, if it tells the truth.
type Hints struct {
	// ReadOnly: this operation with this answer changes no state whatever. (That it
	// leaves some states unchanged is not enough.)
	ReadOnly func(input, output any) bool
	// Needs is the value that the object must have for the step to be accepted, Makes
	// the value that the object has after it; ok is false when there is no such single
	// value. Values are comparable, and equal exactly when the states are.
	Needs func(input, output any) (value any, ok bool)
	Makes func(input, output any) (value any, ok bool)
}
