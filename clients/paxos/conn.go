package paxos

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"time"

	"nemesis/clients"
)

// conn is a connection to one node, made when it is needed and dropped after any error.
type conn struct {
	address netip.AddrPort
	dialer  *clients.Dialer

	socket net.Conn
	r      *bufio.Reader
}

// exchange sends one message and hands those that come back to take until it says that one is the answer. sent says that
// something of the message may have reached the node.
func (c *conn) exchange(ctx context.Context, message []byte, take func([]byte) (bool, error)) (sent bool, err error) {
	if c.socket == nil {
		socket, err := c.dialer.DialContext(ctx, "tcp", c.address.String())
		if err != nil {
			return false, err
		}
		c.socket, c.r = socket, bufio.NewReader(socket)
		message = append(hello(), frame(message)...)
	} else {
		message = frame(message)
	}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	// Both ways of a context's end are seen by the socket.
	if deadline, is := ctx.Deadline(); is {
		c.socket.SetDeadline(deadline)
	}
	socket := c.socket
	stop := context.AfterFunc(ctx, func() { socket.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() { // it may yet spoil the next exchange
			c.close()
		}
	}()
	if n, err := c.socket.Write(message); err != nil {
		return n > 0, err
	}
	for {
		answer, err := readFrame(c.r)
		if err != nil {
			return true, err
		}
		if is, err := take(answer); is || err != nil {
			return true, err
		}
	}
}

func (c *conn) close() error {
	if c.socket == nil {
		return nil
	}
	err := c.socket.Close()
	c.socket, c.r = nil, nil
	return err
}
