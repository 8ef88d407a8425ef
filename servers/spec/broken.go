package spec

import "fmt"

// Rule names what a step breaks.
type Rule string

// Rules of RSM, Shards and Lock.
const (
	Known       Rule = "known steps"  // the step is one of the specification
	Identity    Rule = "identity"     // a request's name is its own
	Agreement   Rule = "agreement"    // replicas execute the same at the same position
	Order       Rule = "order"        // positions are taken one after another
	Origin      Rule = "origin"       // what is executed or answered was asked for
	ExactlyOnce Rule = "exactly once" // nothing is executed twice
	Result      Rule = "result"       // what is executed gives what the application gives
	Answers     Rule = "answers"      // an answer is that of an execution
	Reads       Rule = "reads"        // a read is answered from a state since it was made
	Succession  Rule = "succession"   // each epoch follows the one before
	OneHolder   Rule = "one holder"   // an epoch has one holder, and a key one at a time
	EpochsGrow  Rule = "epochs grow"  // a key's later lease has a higher epoch
	Holding     Rule = "holding"      // who serves a key, or gives it up, holds it
	InLease     Rule = "lease"        // nothing is served once the lease has ended
	OneMap      Rule = "one map"      // what is served is what was written last
)

// Broken is why a step is not allowed.
type Broken struct {
	Rule Rule
	Why  string
	// Absent: the step lacks another that must come before it. Whoever has not seen all steps cannot tell that it is not there.
	Absent bool
}

func (b *Broken) Error() string { return string(b.Rule) + ": " + b.Why }

// Break returns the fields, for who does not import this package.
func (b *Broken) Break() (rule string, absent bool) { return string(b.Rule), b.Absent }

func broken(rule Rule, format string, args ...any) error {
	return &Broken{Rule: rule, Why: fmt.Sprintf(format, args...)}
}

// absent is broken for want of an earlier step.
func absent(rule Rule, format string, args ...any) error {
	return &Broken{Rule: rule, Why: fmt.Sprintf(format, args...), Absent: true}
}
