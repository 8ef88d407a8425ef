package ironkv

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"nemesis/clients"
	"nemesis/clients/iron"
	"nemesis/history"
)

// resendEvery is after which a client sends again what a server has not acknowledged.
const resendEvery = 200 * time.Millisecond

// client has a channel with each server: what it sends is numbered from 1 without a gap, and what it receives it
// acknowledges. Answers do not name their request, so after an operation that was not answered it goes on as another endpoint.
type client struct {
	wire    string
	own     int // the server that it asks first
	servers []netip.AddrPort
	resend  time.Duration
	open    func() (iron.Network, error)

	network  iron.Network
	channels []channel // by server
}

// channel is what one server and the client know of each other.
type channel struct {
	sent     uint64 // the number of the last message
	received uint64
}

// Invoke performs one operation:
//
//	read       register  null → int or null
//	write      register  int
func (c *client) Invoke(ctx context.Context, op history.Event) clients.Completion {
	key, err := strconv.ParseUint(strings.TrimPrefix(op.Key, "k"), 10, 64)
	if err != nil {
		return declined(fmt.Sprintf("ironkv's keys are numbers, not %q", op.Key))
	}
	switch op.F {
	case history.FRead:
		in, _, err := c.do(ctx, key, get(key))
		switch {
		case err != nil:
			return clients.Failed(err)
		case in.absent:
			return clients.Done(history.EncodeNull())
		}
		return clients.Done(clients.StoredInt(in.value))
	case history.FWrite:
		n, err := history.DecodeInt(op.Value)
		value := strconv.FormatInt(n, 10)
		if err != nil || len(value) > longestValue {
			return declined(fmt.Sprintf("ironkv's clients write integers, not %s", history.Quote(op.Value)))
		}
		in, sent, err := c.do(ctx, key, set(key, value))
		if err == nil && (in.absent || in.value != value) {
			sent, err = true, fmt.Errorf("the server answered a write of %s with another value", value)
			c.giveUp()
		}
		switch {
		case err == nil:
			return clients.Done(nil)
		case sent:
			return clients.Unsure(err)
		}
		return clients.Failed(err)
	}
	return declined("ironkv has no operation " + strconv.Quote(op.F))
}

func declined(why string) clients.Completion {
	return clients.Completion{Type: history.Fail, Error: clients.Printable(why), Cause: history.Declined}
}

// do asks servers until one answers that has the key. sent says that a server may have carried it out, or may yet.
func (c *client) do(ctx context.Context, key uint64, inner []byte) (in incoming, sent bool, err error) {
	if c.network == nil {
		if c.network, err = c.open(); err != nil {
			return in, false, err
		}
		c.channels = make([]channel, len(c.servers))
	}
	at := c.own
	for {
		var left bool
		in, left, err = c.ask(ctx, at, key, inner)
		sent = sent || left
		if err != nil {
			c.giveUp()
			return in, sent, fmt.Errorf("server %d: %w", at+1, err)
		}
		if !in.redirect {
			return in, sent, nil
		}
		sent = false // this one did not carry it out, and the channel delivers once
		next := slices.IndexFunc(c.servers, func(a netip.AddrPort) bool { return in.owner != 0 && endpoint(a) == in.owner })
		if next < 0 || next == at {
			next = (at + 1) % len(c.servers)
		}
		at = next
		select {
		case <-ctx.Done():
		case <-time.After(c.resend / 20): // while a range moves its owners send to each other
		}
	}
}

// endpoint is what UDP servers call an address.
func endpoint(a netip.AddrPort) uint64 {
	if !a.Addr().Is4() {
		return 0
	}
	ip := a.Addr().As4()
	return uint64(ip[0])<<40 | uint64(ip[1])<<32 | uint64(ip[2])<<24 | uint64(ip[3])<<16 | uint64(a.Port())
}

// ask sends one message to a server, again and again, until its answer comes.
func (c *client) ask(ctx context.Context, at int, key uint64, inner []byte) (in incoming, sent bool, err error) {
	ch := &c.channels[at]
	ch.sent++
	message := single(c.wire, ch.sent, inner)
	why := errors.New("no answer within its time")
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, c.resend)
		left, err := c.network.Send(within, at, message)
		sent = sent || left
		if err != nil && within.Err() == nil {
			why = err
		}
		for within.Err() == nil {
			answer, err := c.receive(within)
			switch {
			case err == nil && answer.from == at && !answer.ack && answer.fresh:
				cancel()
				if answer.key != key {
					return in, sent, fmt.Errorf("the server answered for key %d, and was asked for key %d", answer.key, key)
				}
				return answer.incoming, sent, nil
			case err != nil && within.Err() == nil:
				why = err
			}
		}
		cancel()
	}
	return in, sent, why
}

// delivered is a message with the server that it is of. fresh: it comes next in its channel, and was not there before.
type delivered struct {
	incoming
	from  int
	fresh bool
}

// receive takes the next message of any server, and acknowledges what there is to acknowledge.
func (c *client) receive(ctx context.Context) (delivered, error) {
	from, message, err := c.network.Receive(ctx)
	if err != nil {
		return delivered{}, err
	}
	in, err := receive(c.wire, message)
	if err != nil {
		return delivered{}, err
	}
	d := delivered{incoming: in, from: from}
	if in.ack {
		return d, nil
	}
	ch := &c.channels[from]
	if in.seq == ch.received+1 {
		d.fresh = true
		ch.received++
	}
	if in.seq <= ch.received { // a lost acknowledgement is asked for by the message coming again
		_, _ = c.network.Send(ctx, from, acknowledge(ch.received))
	}
	return d, nil
}

// giveUp ends the endpoint: an answer that is still to come would be taken for that to another request.
func (c *client) giveUp() {
	if c.network != nil {
		c.network.Close()
		c.network = nil
	}
}

// Close gives the endpoint up.
func (c *client) Close() error { c.giveUp(); return nil }
