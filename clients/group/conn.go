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

// View is what the standing says about who leads.
func (s Standing) View(node string, id uint64) *clients.View {
	return &clients.View{Node: node, ID: id, Term: s.Term(), Leader: s.Leader}
}
