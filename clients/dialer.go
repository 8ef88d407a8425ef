package clients

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"

	"nemesis/history"
	"nemesis/nodes"
)

// Dialer opens all connections of one client and knows on whose side the last attempt
// failed. Client libraries hide that: gRPC, for one, makes a text of the error. It may be
// used by several goroutines at once; the zero value is ready.
type Dialer struct {
	// Connect opens a connection; nil is the kernel's way. Tests let it fail.
	Connect func(ctx context.Context, network, address string) (net.Conn, error)

	mu sync.Mutex
	// failure is the error of the last attempt that ended, if that failed on our side.
	failure error
	// connected: an attempt succeeded once.
	connected bool
}

// DialContext has the signature that client libraries ask for.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	connect := d.Connect
	if connect == nil {
		connect = new(net.Dialer).DialContext
	}
	conn, err := connect(ctx, network, address)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failure = nil
	switch {
	case err == nil:
		d.connected = true
	case nodes.FailedHere(err):
		d.failure = err
	}
	return conn, err
}

// Sort says how an operation of this client ended that ended as done: with the cause
// history.ControlSide if it got no answer and the last attempt to connect failed on our
// side. What can have been sent over no connection certainly did not happen.
//
// Where an attempt is under way again, the one before it decides; that errs for as long as
// one attempt may take, and never against the system. A connection that stands needs
// nothing more of our side: its errors are the network's or the system's.
func (d *Dialer) Sort(done Completion) Completion {
	if done.Type == history.OK || done.Cause != "" || done.Version != 0 || len(done.Value) > 0 {
		return done
	}
	d.mu.Lock()
	failure, connected := d.failure, d.connected
	d.mu.Unlock()
	if failure == nil {
		return done
	}
	done.Cause = history.ControlSide
	if !connected && done.Type == history.Info {
		done.Type = history.Fail
	}
	// A client library may still tell of an older attempt, such as one that was refused.
	switch here := Printable(failure.Error()); {
	case done.Error == "":
		done.Error = here
	case !strings.Contains(done.Error, here):
		done.Error = Printable(here + "; the client says: " + done.Error)
	}
	return done
}

// CauseOfNoClient is why a client could not be made. Making one asks the system nothing,
// so that is our side, unless the error is about a connection after all, or a time that
// was up.
func CauseOfNoClient(err error) history.Cause {
	var network net.Error
	if errors.As(err, &network) && !nodes.FailedHere(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return ""
	}
	return history.ControlSide
}
