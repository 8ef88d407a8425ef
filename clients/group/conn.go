package group

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"nemesis/clients"
)

// Conn is a connection to one server, made when it is needed and dropped after any error. It is used by one goroutine at a time.
type Conn struct {
	Address netip.AddrPort
	Dialer  *clients.Dialer

	socket net.Conn
	r      *bufio.Reader
}

// Exchange sends one message and hands those that come back to take until it says that one is the answer. sent says that
// something of the message may have reached the server.
func (c *Conn) Exchange(ctx context.Context, message []byte, take func([]byte) (bool, error)) (sent bool, err error) {
	deadline, _ := ctx.Deadline()
	return c.exchange(ctx, deadline, message, take)
}

// exchange is Exchange with a deadline of its own, no later than the context's; zero if there is none.
func (c *Conn) exchange(ctx context.Context, deadline time.Time, message []byte, take func([]byte) (bool, error)) (sent bool, err error) {
	if c.socket == nil {
		socket, err := c.dial(ctx, deadline)
		if err != nil {
			return false, err
		}
		c.socket, c.r = socket, bufio.NewReader(socket)
		message = append(Hello(), Frame(message)...)
	} else {
		message = Frame(message)
	}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	// Both ways of a context's end are seen by the socket.
	c.socket.SetDeadline(deadline)
	socket := c.socket
	stop := context.AfterFunc(ctx, func() { socket.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() { // it may yet spoil the next exchange
			c.Close()
		}
	}()
	if n, err := c.socket.Write(message); err != nil {
		return n > 0, err
	}
	for {
		answer, err := ReadFrame(c.r)
		if err != nil {
			return true, err
		}
		if is, err := take(answer); is || err != nil {
			return true, err
		}
	}
}

func (c *Conn) dial(ctx context.Context, deadline time.Time) (net.Conn, error) {
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	return c.Dialer.DialContext(ctx, "tcp", c.Address.String())
}

// ExchangeWithin is Exchange with a time limit of its own, whose passing its error tells.
func (c *Conn) ExchangeWithin(ctx context.Context, limit time.Duration, message []byte, take func([]byte) (bool, error)) (sent bool, err error) {
	end := time.Now().Add(limit)
	if deadline, is := ctx.Deadline(); is && deadline.Before(end) {
		end = deadline
	}
	sent, err = c.exchange(ctx, end, message, take)
	if err != nil && (ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)) {
		err = fmt.Errorf("no answer within its time (%w)", err)
	}
	return sent, err
}

// Ask sends a request and returns its reply.
func (c *Conn) Ask(ctx context.Context, q Request) (r Reply, err error) {
	_, err = c.Exchange(ctx, q.Message(), func(answer []byte) (bool, error) {
		var err error
		if r, err = ReadReply(answer); err != nil {
			return false, err
		}
		return r.Kind == q.Kind && r.Seq == q.Seq, nil
	})
	return r, err
}

// Close ends the connection; the next exchange makes another one.
func (c *Conn) Close() error {
	if c.socket == nil {
		return nil
	}
	err := c.socket.Close()
	c.socket, c.r = nil, nil
	return err
}

// Inquire asks one server where it stands, over a connection of its own.
func Inquire(ctx context.Context, address netip.AddrPort) (s Standing, err error) {
	c := &Conn{Address: address, Dialer: new(clients.Dialer)}
	defer c.Close()
	_, err = c.Exchange(ctx, []byte{TagInquiry}, func(answer []byte) (bool, error) {
		s, err = ReadStanding(answer)
		return err == nil, err
	})
	return s, err
}

// ballots makes one number of a ballot: 3002 is the third ballot of node 2.
const ballots = 1000

// MostServers is how many servers a group may have for the number of a ballot to be one.
const MostServers = ballots - 1

// Term is the ballot as one number, which grows from one leader to the next.
func (s Standing) Term() uint64 { return s.Sequence*ballots + s.Node }

// View is what the standing says about who leads: servers i+1 of n by the places of their nodes.
func (s Standing) View(node string, i, n int) *clients.View {
	return &clients.View{Node: node, ID: uint64(i + 1), Term: s.Term(), Leader: uint64(Place(s.Leader, n) + 1)}
}

// Place is which of n nodes a server with this number is on, from 0; -1 for no number. The first n are in the order of the
// nodes; a server that joins later has a multiple of n more than the one that was there before.
func Place(number uint64, n int) int {
	if number == 0 || n == 0 {
		return -1
	}
	return int((number - 1) % uint64(n))
}
