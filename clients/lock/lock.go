// Package lock tests the lock that goes around a ring of nodes, which nemesis brings along (docs/servers.md): IronLock of the
// IronFleet paper, served by nemesis' own program.
//
// Nobody acquires it. A node holds it for a while and hands it to the next one; clients ask each node whether it holds now, and in
// which epoch (workload ring).
package lock

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"nemesis/clients"
	"nemesis/clients/group"
	"nemesis/history"
)

// own says how it is served.
func own() group.Own { return group.Own{Name: "lock", Port: 7402} }

// System is the lock. The zero value is ready to use.
type System struct{}

var (
	_ clients.System  = System{}
	_ clients.Checked = System{}
)

// Name is lock.
func (System) Name() string { return own().Name }

// Doc is one line for nemesis list systems.
func (System) Doc() string {
	return "a lock that the nodes hand around a ring, served by nemesis itself"
}

// DefaultVersion is the nemesis that runs.
func (System) DefaultVersion() string { return group.Version }

// CheckVersion accepts no other.
func (System) CheckVersion(v string) error { return own().CheckVersion(v) }

// options are the --set options of one run, read.
type options struct {
	hold, retry time.Duration
	trace       bool
}

func settings() []clients.Setting[options] {
	return []clients.Setting[options]{{
		Option:  clients.Option{Name: "hold", Default: "200ms", Waits: true, Doc: "for how long a node holds the lock before it hands it on"},
		Allowed: "whole milliseconds from 1ms to 1m",
		Read:    clients.ReadDuration(time.Millisecond, time.Minute, func(o *options, d time.Duration) { o.hold = d }),
	}, {
		Option:  clients.Option{Name: "retry", Default: "100ms", Waits: true, Doc: "after which a transfer that was not acknowledged is sent again"},
		Allowed: "whole milliseconds from 1ms to 1m",
		Read:    clients.ReadDuration(time.Millisecond, time.Minute, func(o *options, d time.Duration) { o.retry = d }),
	}, {
		Option: clients.Option{Name: "trace", Default: "off", Values: []string{"off", "on"},
			Doc: "on: servers write down each step, which is held to the specification after the run"},
		Read: func(o *options, v string) bool { o.trace = v == "on"; return true },
	}}
}

func parseOptions(given map[string]string) (options, error) {
	return clients.ReadSettings("lock", settings(), given)
}

// Options are what --set accepts.
func (System) Options() []clients.Option { return clients.OptionsOf(settings()) }

// Workloads are those that its clients can serve.
func (System) Workloads() []string { return []string{"ring"} }

// documentation is where our servers say what they promise.
const documentation = "docs/servers.md#what-lock-promises"

// specification is the name of what the servers' steps are held to where they trace them.
const specification = "lock"

// recovery is how long after everything is healed the lock may rest at least.
const recovery = 15 * time.Second

// Claim is what our documentation says for these options. The lock rests while any node of the ring is down or cut off, so nothing
// is promised of outages.
func (System) Claim(given map[string]string) history.Claim {
	o, err := parseOptions(given)
	if err != nil {
		return clients.ClaimNothing(err)
	}
	claim := history.Claim{
		Origin: history.Documented,
		Rules:  []history.Model{history.SingleOwner, history.FencingTokens},
		Bounds: history.Bounds{ClockOffset: -1, Recovery: history.Duration(max(recovery, 50*(o.hold+o.retry)))},
		Assumptions: []history.Assumption{
			{Name: history.CrashRecovery, Text: "nodes stop or pause but never lie, and every one of them comes back: without it the lock does not go on"},
			{Name: history.FsyncHonoured, Text: "what a node synced to its disk is still there when it restarts"},
			{Name: "all-connected", Text: "every node can talk to the next one of the ring (for availability, not for safety)"},
		},
		Sources: []history.Source{{
			Sentence: "lock documents that in an epoch at most one node holds, that epochs only grow, and that no node holds while another one does.",
			Address:  documentation,
		}},
	}
	if o.trace {
		claim.Specification = specification
	}
	return claim
}

// Timing has no timeouts: nobody is elected, and nothing runs out.
func (System) Timing(map[string]string) history.Timing { return history.Timing{} }

// Check says which option has a wrong value.
func (System) Check(plan history.Plan) error {
	_, err := parseOptions(plan.System.Options)
	return err
}

// Prepare has nothing to get: the agent on each node is the server's program, unless the user gives another.
func (System) Prepare(_ context.Context, plan history.System, _ io.Writer) (clients.Install, error) {
	if _, err := parseOptions(plan.Options); err != nil {
		return clients.Install{}, err
	}
	return own().Install(plan)
}

// client asks one node.
type client struct {
	node string
	conn *group.Conn
}

// Messages of clients (docs/servers.md).
const (
	tagAsk  = 3
	tagTold = 4
)

// told is a node's answer: the last epoch in which it held, and whether it still does.
type told struct {
	epoch uint64
	holds bool
}

func readTold(message []byte) (told, error) {
	if len(message) != 10 || message[0] != tagTold || message[9] > 1 {
		return told{}, errors.New("the server answered with something that is no message")
	}
	return told{binary.BigEndian.Uint64(message[1:]), message[9] == 1}, nil
}

func ask(ctx context.Context, c *group.Conn) (t told, err error) {
	_, err = c.Exchange(ctx, append([]byte{tagAsk}, make([]byte, 8)...), func(answer []byte) (bool, error) {
		t, err = readTold(answer)
		return err == nil, err
	})
	return t, err
}

// Invoke asks the node whether it holds. Asking changes nothing, so whatever goes wrong is a fail.
func (c *client) Invoke(ctx context.Context, op history.Event) clients.Completion {
	failed := func(why string) clients.Completion {
		return clients.Failed(errors.New(why))
	}
	if op.F != history.FServe {
		return failed(fmt.Sprintf("lock cannot perform %q", op.F))
	}
	t, err := ask(ctx, c.conn)
	switch {
	case err != nil:
		return failed(err.Error())
	case !t.holds:
		return failed("the node does not hold the lock")
	case t.epoch == 0 || t.epoch > math.MaxInt64:
		return failed(fmt.Sprintf("the node holds in epoch %d, which is none", t.epoch))
	}
	grant := &history.Grant{Owner: c.node, Token: int64(t.epoch)}
	return clients.Done(grant.Encode())
}

// Close ends the connection.
func (c *client) Close() error { return c.conn.Close() }
