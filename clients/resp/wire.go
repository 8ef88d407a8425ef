package resp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"nemesis/clients"
)

// The protocol is RESP 2, in the few lines that it takes. A client library would keep a pool,
// greet the server with commands of its own, and know on its own account when to send
// something again; here nothing is sent but what an operation says, and it is known whether
// anything was.

// Error is an error that a server answered with.
type Error string

func (e Error) Error() string { return string(e) }

// Bounds of an answer.
const (
	mostReply   = 64 << 20 // bytes of one text
	mostParts   = 1 << 20  // elements of one list
	mostNesting = 16
	mostLine    = 64 << 10 // bytes of a line
)

// conn is one connection.
type conn struct {
	net.Conn
	reader *bufio.Reader
	out    []byte
}

// connect opens a connection.
func connect(ctx context.Context, address string, dialer *clients.Dialer) (*conn, error) {
	opened, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: opened, reader: bufio.NewReader(opened)}, nil
}

// exchange sends commands in one write and reads an answer for each, within the context's
// deadline. An answer is nil, a string, an int64, an Error, or a list of answers.
func (c *conn) exchange(ctx context.Context, commands ...[]string) ([]any, error) {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c.out = c.out[:0]
	for _, command := range commands {
		c.out = append(c.out, '*')
		c.out = strconv.AppendInt(c.out, int64(len(command)), 10)
		c.out = append(c.out, "\r\n"...)
		for _, word := range command {
			c.out = append(c.out, '$')
			c.out = strconv.AppendInt(c.out, int64(len(word)), 10)
			c.out = append(c.out, "\r\n"...)
			c.out = append(c.out, word...)
			c.out = append(c.out, "\r\n"...)
		}
	}
	if _, err := c.Write(c.out); err != nil {
		return nil, fmt.Errorf("send the command: %w", cause(ctx, err))
	}
	answers := make([]any, len(commands))
	for i := range commands {
		var err error
		if answers[i], err = c.answer(0); err != nil {
			return nil, fmt.Errorf("read the answer: %w", cause(ctx, err))
		}
	}
	if !stop() {
		return nil, ctx.Err() // the connection has a deadline that is over
	}
	return answers, nil
}

// cause is why an exchange ended: the operation's time, if that was up.
func cause(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the server closed the connection")
	}
	return err
}

// answer reads one answer.
func (c *conn) answer(depth int) (any, error) {
	line, err := c.line()
	if err != nil {
		return nil, err
	}
	strange := fmt.Errorf("%q is not the protocol of Redis", clients.Printable(line))
	if line == "" || depth > mostNesting {
		return nil, strange
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return Error(rest), nil
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return nil, strange
	}
	switch {
	case kind == ':':
		return n, nil
	case (kind == '$' || kind == '*') && n == -1:
		return nil, nil
	case kind == '$' && n >= 0 && n <= mostReply:
		text := make([]byte, n+2)
		if _, err := io.ReadFull(c.reader, text); err != nil {
			return nil, err
		}
		if string(text[n:]) != "\r\n" {
			return nil, strange
		}
		return string(text[:n]), nil
	case kind == '*' && n >= 0 && n <= mostParts:
		list := []any{}
		for range n {
			one, err := c.answer(depth + 1)
			if err != nil {
				return nil, err
			}
			list = append(list, one)
		}
		return list, nil
	}
	return nil, strange
}

// line reads a line without its end.
func (c *conn) line() (string, error) {
	var line []byte
	for {
		part, err := c.reader.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil && len(line) >= 2 && line[len(line)-2] == '\r':
			return string(line[:len(line)-2]), nil
		case err == nil, err == bufio.ErrBufferFull && len(line) > mostLine:
			return "", fmt.Errorf("%q is not the protocol of Redis", clients.Printable(string(line[:min(len(line), 100)])))
		case err != bufio.ErrBufferFull:
			return "", err
		}
	}
}
