package spec

import "fmt"

// What steps are called where a person reads them.

func (e Invoke) String() string {
	if e.Read {
		return fmt.Sprintf("read %v asks for %q", e.Request, e.Op)
	}
	return fmt.Sprintf("request %v asks for %q", e.Request, e.Op)
}

func (e Execution) String() string {
	return fmt.Sprintf("position %d is request %v, %q, and gives %q", e.Position, e.Request, e.Op, e.Result)
}

func (e Reply) String() string { return fmt.Sprintf("request %v is answered %q", e.Request, e.Result) }

func (e Restored) String() string {
	return fmt.Sprintf("a replica takes the state after position %d for its own", e.Position)
}

func (e Withdrawal) String() string { return fmt.Sprintf("read %v will not be answered", e.Request) }

func (e Locked) String() string {
	return fmt.Sprintf("node %d holds the lock in epoch %d", e.Node, e.Epoch)
}
