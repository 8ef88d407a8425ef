package ironrsl

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"nemesis/clients"
	"nemesis/clients/iron"
	"nemesis/history"
)

// resendEvery is after which a client sends its request again, to every server: the liveness theorem of IronRSL is about such
// clients.
const resendEvery = 200 * time.Millisecond

// client is one endpoint. Its requests have numbers that only grow, however many clients have had its endpoint before: so
// they begin with the time.
type client struct {
	wire    string
	servers int
	resend  time.Duration
	network iron.Network
	opened  error // why there is no network
	seq     uint64
}

// Invoke performs one operation:
//
//	increment  null → the new value
//	read       register  null → int or null
//	write      register  int
func (c *client) Invoke(ctx context.Context, op history.Event) clients.Completion {
	if c.opened != nil {
		return clients.Completion{Type: history.Fail, Error: clients.Printable(c.opened.Error()), Cause: clients.CauseOfNoClient(c.opened)}
	}
	switch op.F {
	case history.FIncrement:
		return c.do(ctx, increment, false, func(result []byte) (clients.Completion, error) {
			n, err := counted(c.wire, result)
			return clients.Done(history.EncodeInt(int64(n))), err
		})
	case history.FRead:
		return c.do(ctx, get(op.Key), true, func(result []byte) (clients.Completion, error) {
			value, there, err := got(result)
			if !there {
				return clients.Done(history.EncodeNull()), err
			}
			return clients.Done(clients.StoredInt(value)), err
		})
	case history.FWrite:
		n, err := history.DecodeInt(op.Value)
		if err != nil {
			return declined(fmt.Sprintf("ironrsl's clients write integers, not %s", history.Quote(op.Value)))
		}
		return c.do(ctx, set(op.Key, strconv.FormatInt(n, 10)), false, func(result []byte) (clients.Completion, error) {
			return clients.Done(nil), wasSet(result)
		})
	}
	return declined("ironrsl has no operation " + strconv.Quote(op.F))
}

// do sends a request to every server, again and again, until one answers it.
func (c *client) do(ctx context.Context, op []byte, reads bool, take func([]byte) (clients.Completion, error)) clients.Completion {
	c.seq++
	message := request(c.wire, c.seq, op)
	sent, why := false, errors.New("no server answered")
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, c.resend)
		for i := range c.servers {
			left, err := c.network.Send(within, i, message)
			sent = sent || left
			if err != nil && within.Err() == nil {
				why = fmt.Errorf("server %d: %w", i+1, err)
			}
		}
		for within.Err() == nil {
			from, answer, err := c.network.Receive(within)
			var seq uint64
			var result []byte
			if err == nil {
				seq, result, err = reply(c.wire, answer)
			}
			if err == nil && seq != c.seq {
				continue // of an earlier request, or of none
			}
			var done clients.Completion
			if err == nil {
				done, err = take(result)
			}
			switch {
			case err == nil:
				cancel()
				return done
			case within.Err() == nil:
				why = fmt.Errorf("server %d: %w", from+1, err)
			}
		}
		cancel()
	}
	end := clients.Unsure(why)
	if !sent || reads {
		end.Type = history.Fail
	}
	return end
}

func declined(why string) clients.Completion {
	return clients.Completion{Type: history.Fail, Error: clients.Printable(why), Cause: history.Declined}
}

// Close gives the endpoint up.
func (c *client) Close() error {
	if c.network == nil {
		return nil
	}
	return c.network.Close()
}
