package paxos

import "nemesis/servers/spec"

// What a node traces are steps of spec.RSM. A read is asked of one node and answered by that one, so of others its name tells
// nothing.

var _ spec.App = Application(nil)

// trace is called only if the node traces: making an event of what it is told costs memory.
func (c *Core) trace(event any) { c.out.Trace = append(c.out.Trace, event) }

func (m Command) request() spec.Request { return spec.Request{Client: m.Session, Seq: m.Seq} }

// traceRequest notes that this node has taken a request.
func (c *Core) traceRequest(m Command) {
	if c.opt.Trace && (m.Kind == Apply || m.Kind == Read) {
		c.trace(spec.Invoke{Request: m.request(), Op: m.Op, Read: m.Kind == Read})
	}
}

// traceExecution notes that an operation was applied just now.
func (c *Core) traceExecution(m Command, o outcome) {
	if c.opt.Trace && o.fresh {
		c.trace(spec.Execution{Position: c.state.position, Request: m.request(), Op: m.Op, Result: o.result})
	}
}

func (c *Core) traceAnswer(m Command, o outcome) {
	if c.opt.Trace && o.status == OK && (m.Kind == Apply || m.Kind == Read) {
		c.trace(spec.Reply{Request: m.request(), Result: o.result})
	}
}

// traceWithdrawal notes that this node will not answer a read.
func (c *Core) traceWithdrawal(k requestKey) {
	if c.opt.Trace && k.kind == Read {
		c.trace(spec.Withdrawal{Request: spec.Request{Client: k.session, Seq: k.seq}})
	}
}

// traceState notes that the node has taken a state that it did not come to by executing.
func (c *Core) traceState() {
	if c.opt.Trace {
		c.trace(spec.Restored{Position: c.state.position})
	}
}
