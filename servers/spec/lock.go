package spec

// Lock specifies a lock that goes around a ring of nodes (IronLock, section 3 of the IronFleet paper, SOSP 2015): its
// history is a sequence of holders, one for each epoch, beginning with the first node in epoch 1; every holder hands over
// to its successor in the ring.
//
// Liveness is stated by Liveness, with the epoch as the request: while the nodes of the ring are up and connected, each
// epoch is followed by the next within a bound. A server that does not send a lost transfer again does not have it.
type Lock struct {
	// Ring is the nodes in order.
	Ring []uint64

	epoch uint64
}

// Locked is a node's announcing that it holds the lock in an epoch. It may be announced again, at any time.
type Locked struct {
	Node  uint64 `json:"node"`
	Epoch uint64 `json:"epoch"`
}

// Next takes one step: a Locked. An error is a Broken.
func (s *Lock) Next(event any) error {
	e, ok := event.(Locked)
	if !ok {
		return broken(Known, "a lock has no step %T", event)
	}
	switch {
	case e.Epoch == 0:
		return broken(Succession, "node %d holds the lock in epoch 0", e.Node)
	case e.Epoch > s.epoch+1:
		return absent(Succession, "node %d holds the lock in epoch %d, and the last was %d", e.Node, e.Epoch, s.epoch)
	case e.Node != s.holder(e.Epoch):
		return broken(OneHolder, "node %d holds the lock in epoch %d, which is node %d's", e.Node, e.Epoch, s.holder(e.Epoch))
	}
	s.epoch = max(s.epoch, e.Epoch)
	return nil
}

// holder is the node whose epoch this is.
func (s *Lock) holder(epoch uint64) uint64 { return s.Ring[(epoch-1)%uint64(len(s.Ring))] }
