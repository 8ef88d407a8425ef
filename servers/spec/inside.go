package spec

// Steps of a replicated state machine that nobody sees from outside. Traces have them, so that it is known where in the
// machine's history a replica is, and which reads are pending.
type (
	// Restored is a replica's taking the state after a position for its own: that of its disk, or another replica's.
	Restored struct {
		Position uint64 `json:"position"`
	}
	// Withdrawal says that a read will not be answered.
	Withdrawal struct {
		Request Request `json:"request"`
	}
)

// inside takes a step that nobody sees from outside.
func (s *RSM) inside(event any) error {
	switch e := event.(type) {
	case Restored:
		if n := s.Executed(); e.Position > n {
			return absent(Order, "a replica has the state after position %d when the history has %d", e.Position, n)
		}
	case Withdrawal:
		if s.reads[e.Request] != nil {
			delete(s.reads, e.Request)
			delete(s.invoked, e.Request)
		}
	}
	return nil
}
