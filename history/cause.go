package history

// Cause says why an operation did not end in OK where that was not the system.
type Cause string

const (
	// ControlSide: nemesis itself failed before a request was sent. It had no descriptor,
	// port, route or memory left, or its client could not be built or crashed. This is no
	// answer of the system, and silence near it is none of the system's either.
	ControlSide Cause = "control-side"
	// Declined: the client did not ask, by its own rules: what it was told to give back
	// it does not hold.
	Declined Cause = "declined"
)

// Asked reports whether an operation was a question to the system: nothing but its client
// kept it from being sent.
func (o *Operation) Asked() bool { return o.Cause == "" }
