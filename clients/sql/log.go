package sql

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"nemesis/clients"
	"nemesis/history"
)

// A log is the rows of a table that name it. Their offsets are whole numbers from 1, which the database assigns within the
// transaction that sends: how is for the dialect to say, and what the workload log is about.

// entries is a transaction over logs: a send or a poll a part, in order.
func (c *Client) entries(value json.RawMessage) (transaction, error) {
	ops, err := history.DecodeTransaction(value)
	if err != nil || len(ops) == 0 {
		return transaction{}, fmt.Errorf("txn takes a list of operations, not %s", history.Quote(value))
	}
	var work transaction
	numbers := make([]int64, len(ops)) // what is sent, or behind what is polled
	for i, op := range ops {
		switch op.F {
		case history.MicroSend:
			work.writes = true
			numbers[i], err = argument(op.Value)
		case history.MicroPoll:
			numbers[i], err = behind(op.Value)
		default:
			err = fmt.Errorf("txn takes send and poll, not operation %d of %s", i+1, history.Quote(value))
		}
		if err != nil {
			return transaction{}, err
		}
	}
	work.do = func(ctx context.Context, s Session) (json.RawMessage, error) {
		results := slices.Clone(ops)
		for i, op := range ops {
			var err error
			if op.F == history.MicroPoll {
				results[i].Value, err = c.poll(ctx, s, op.KeyName(), numbers[i])
			} else if results[i].Value, err = c.send(ctx, s, op.KeyName(), numbers[i]); err == nil {
				results[i].Value = history.EncodeEntry(history.Entry{Offset: results[i].Value, Value: op.Value})
			}
			if err != nil {
				return nil, err
			}
		}
		return history.EncodeTransaction(results), nil
	}
	return work, nil
}

// behind is the offset at which a poll begins: 0 for the beginning.
func behind(value json.RawMessage) (int64, error) {
	if history.IsNull(value) {
		return 0, nil
	}
	n, err := history.DecodeInt(value)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("clients of SQL databases poll behind an offset or null, not %s", history.Quote(value))
	}
	return n, nil
}

// send appends an entry, and returns its offset.
func (c *Client) send(ctx context.Context, s Session, log string, value int64) (json.RawMessage, error) {
	statement, given := c.dialect.NextOffset, args{"key": log}
	if statement == "" {
		statement, given = c.dialect.InsertEntry, args{"key": log, "value": value}
	}
	rows, err := c.query(ctx, s, statement, given)
	if err != nil {
		return nil, err
	}
	next, err := one(rows)
	if err == nil && next == nil {
		err = fmt.Errorf("the server has no next offset for the log %.100q", log)
	}
	if err != nil {
		return nil, senseless(err)
	}
	offset, err := history.DecodeInt(json.RawMessage(*next))
	if err != nil || offset < 1 {
		return nil, senseless(fmt.Errorf("the server answered %.100q where an offset belongs", *next))
	}
	if c.dialect.NextOffset != "" {
		if _, err := c.exec(ctx, s, c.dialect.InsertEntry, args{"key": log, "offset": offset, "value": value}); err != nil {
			return nil, err
		}
	}
	return history.EncodeInt(offset), nil
}

// poll are the entries of a log behind an offset: [[15,7],…].
func (c *Client) poll(ctx context.Context, s Session, log string, after int64) (json.RawMessage, error) {
	rows, err := c.query(ctx, s, c.dialect.PollEntries, args{"key": log, "after": after})
	if err != nil {
		return nil, err
	}
	entries := make([]history.Entry, 0, len(rows))
	for _, row := range rows {
		if len(row) != 2 || row[0] == nil || row[1] == nil {
			return nil, senseless(fmt.Errorf("the server listed a row of %d columns, or NULL, where an offset and a value belong", len(row)))
		}
		offset, err := history.DecodeInt(json.RawMessage(*row[0]))
		if err != nil || offset < 1 {
			return nil, senseless(fmt.Errorf("the server answered %.100q where an offset belongs", *row[0]))
		}
		entries = append(entries, history.Entry{Offset: history.EncodeInt(offset), Value: clients.StoredInt(*row[1])})
	}
	return history.EncodeEntries(entries), nil
}
