package engine

// Reduction is a set of ways to search less.
//
// What each of them must keep is this: a configuration with a completion (a way to put
// further operations, so that every operation that returns is in the order, in time and
// accepted by the model) still has an allowed move to a configuration with a shorter
// completion. Then the search finds an order if there is one. For assume that it does
// not, and take, of all configurations that it visited, one whose shortest completion is
// the shortest of all. It is not behind the last return, or the search would have
// ended. So it has an allowed move to one with a shorter completion; that one is either
// visited, or left out for a visited one whose completion is at most as long (Interning,
// Dominance). Both contradict the choice. Note that nothing here depends on the order
// in which configurations are visited.
type Reduction uint16

const (
	// Windows: of what has taken effect, only the barrier and the set of open
	// operations that did are kept. When an operation returns, its slot in the set goes
	// to a later one, so that a set has as many bits as there are operations open at
	// once. Nothing is lost: whatever returned before the barrier has taken effect, and
	// whatever is called after it has not.
	//
	// Without it no slot is used again, and a set has a place for every operation.
	Windows Reduction = 1 << iota

	// Interning: equal states get one number, so do operations with equal input and
	// equal output (their class), and what the model says to a state and a class is
	// remembered. The model is a pure function that cannot tell equal things apart.
	// Equal for inputs and outputs means the same type and the same content, bit for
	// bit, with pointers compared as such; what contains a map or a function is equal
	// to nothing.
	//
	// Without it every operation has a class for itself and the model is asked anew
	// each time. States keep their numbers, or the search might never end.
	Interning

	// Saturation: an operation that changes no state whatever (Hints.ReadOnly) is put
	// into the order the moment the model accepts it. Take a completion from there. If
	// the operation is in it, move it to the front; it was called already, everything
	// that must precede it is in the order already, nobody notices, and the rest is a
	// shorter completion. If it is not, being of no consequence, putting it first is
	// no loss: it can be part of any completion, and every one must have it.
	//
	// It would be wrong for an operation that merely leaves the current state as it is:
	// a write of 3 in state 3 may be needed later, to restore 3.
	Saturation

	// Idleness: of crashed operations, those that change no state (Hints.ReadOnly) are
	// dropped, one that leaves the current state as it is is not used, and neither is
	// one whose effect makes no difference: if crashed c leads from s to s', and then
	// at once o from s' to t, where o leads from s to t just as well, o is not a move
	// after c. In the first two cases leaving the crashed operation out of a completion
	// leaves a shorter completion. In the third, o without c is a completion from the
	// configuration before c, of the same length as the one after c has; if o is
	// barred there for the same reason, go on to the one before that, which ends as
	// crashed operations do. From the last one o is a move that leads to a shorter
	// completion. (At once means that c allowed nothing to saturate and no return to
	// pass; otherwise it has made a difference. So has one that overwrites when something
	// can now be hidden in front of it that could not be before; see Hiding. It may leave
	// the state as it is, and is pointless only in front of another that overwrites.)
	Idleness

	// Symmetry: of the operations of one class that are open, the one that returns
	// first goes first; one that never returns goes after all others, and of those the
	// one called first goes first, so that their number says which were used. Say that
	// a completion begins with x, while y, of the same class, returns earlier. If y is
	// in the completion, exchange the two: y has been called, x comes to stand where y
	// stood, which is before y's return and so before x's. The states stay the same.
	// If y is not in it, y is crashed, and takes the place of x, which is crashed too.
	//
	// All that overwrite and make the same value are one class. And of a crashed operation
	// that overwrites and another one, crashed or not, that makes the same value and leads
	// to the same state from here, the other goes first: in a completion that begins
	// with the first, exchange the two; the first does whatever the other can, and where
	// the other changed nothing it is left out. (Not so when the first makes room to hide
	// something, which the other cannot.)
	Symmetry

	// Dominance: a configuration is left out when one with the same barrier and the same
	// state was visited that has spent nothing else. It is compared by three things.
	//
	// It has used at most as many crashed operations of each class: what completes the
	// configuration left out completes the other, which has the same operations left and
	// some more that it need not use.
	//
	// It may have used more of a class that makes a value, when it has used as many fewer of
	// one that overwrites (Hints.Overwrites) and makes that value: the latter takes the
	// place of the former wherever it has an effect, and is left out elsewhere. It is
	// called already, for the configuration left out has used it.
	//
	// The same open operations are in the order, but for those that overwrite: one that is
	// not in the order and can be hidden (see Hiding) is as good as one that is, as it can
	// be hidden when it returns, and as good as one that is not and cannot be hidden yet.
	//
	// Without it only equal configurations are left out.
	Dominance

	// Lookahead: for models that tell what an operation needs and makes. A
	// configuration is given up when an operation that returns needs a value that the
	// object does not have, and whatever could still make that value is called only
	// after that return; what may change the state and does not tell what it makes is
	// taken to make any. Such a configuration has no completion at all. This is looked at whenever the
	// object loses a value, and for all values at the start, so that it is noticed at
	// the earliest moment.
	Lookahead

	// Hiding: an operation that overwrites (Hints.Overwrites) and does not return yet is
	// put into the order for what comes after it to see. If nothing is to see it, it is
	// hidden: when it returns and is not in the order, but some other that overwrites was
	// put there since it was called, it goes in right in front of that one. All accept
	// that, and nobody notices. So of two that overwrite, one after the other at one
	// barrier, the first is not a move, as it could be hidden in front of the second.
	//
	// Here the length of a completion is the number of its operations that are not
	// hidden, and of completions that are equally long the one is shorter that passes
	// fewer returns. To hide is a move that passes a return. Let w overwrite and lead to
	// a configuration whose shortest completion begins with o, which overwrites too.
	// Without w before it, o begins a shorter completion of what was before w: w is
	// hidden when it returns, since o comes while it is open. So o leads from there to a
	// configuration with a shorter completion than the one that was barred. The other
	// reductions stand: where Symmetry exchanges x, that is seen, for y, that is hidden
	// and returns earlier, y itself was put while x was open, and x can be hidden there.
	// Lookahead is asked as well when an operation is hidden, since it can make its value
	// no longer.
	Hiding

	// Relaxation: when a search becomes dear because of crashed operations, the history is
	// searched with crashed operations that happen any number of times. Then nobody has to
	// remember which were used, and what is left to visit is little. Every order of the
	// history is one of the relaxed history, so if that has none neither has this; and
	// what the relaxed search cannot pass, no other can. When it finds an order, that
	// says nothing, and the search goes on without.
	Relaxation

	// Cuts: where no operation is open that returns, only the state and the crashed
	// operations used matter of what was before. When many configurations are
	// remembered, the search finds all of these that can be reached at the next such
	// place, forgets everything before it, and goes on from each of them. That is only
	// a way to go through the same configurations in another sequence. It keeps the
	// memory of a long history small; if anomaly them all takes more effort than was
	// made so far, it is put off.
	Cuts
)

// defect is a set of deliberate mistakes. Tests switch them on to see that they are
// found out; nothing else does.
type defect uint32

const (
	saturatesUnchanged   defect = 1 << iota // Saturation for what leaves just this state as it is
	dominatesReversed                       // Dominance by a configuration that used more
	closesCrashed                           // a crashed operation must have happened by the end
	forgetsCrashedMakers                    // Lookahead takes no crashed operation for a maker
	forgetsFutureMakers                     // Lookahead takes nothing called later for a maker
	opensLate                               // what is called at the very time of a return is not concurrent with it
	opensEarly                              // what is called just after a return is concurrent with it
	prefersLastReturn                       // Symmetry the wrong way round
	idlesCompleted                          // Idleness for any operation
	reusesCrashed                           // a crashed operation may happen twice
	leavesOneExit                           // Cuts go on from one state only
	keepsSlot                               // a slot's next operation is taken to have happened
	ignoresUse                              // configurations are the same whatever they used
	idlesAcrossReturns                      // Idleness although c allowed something to return
	hidesUncovered                          // Hiding with nothing to hide in front of
)
