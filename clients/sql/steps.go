package sql

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"nemesis/history"
)

// step is a part of a transaction.
type step struct {
	f, key string
	n      int64
}

// steps is a transaction over lists, or over registers: one statement a part, in order.
func (c *Client) steps(value json.RawMessage) (transaction, error) {
	raw, err := history.DecodeTransaction(value)
	if err != nil || len(raw) == 0 {
		return transaction{}, fmt.Errorf("txn takes a list of operations, not %s", history.Quote(value))
	}
	var work transaction
	steps := make([]step, len(raw))
	for i, r := range raw {
		s := step{f: r.F, key: r.KeyName()}
		switch r.F {
		case history.MicroRead:
		case history.MicroAppend, history.MicroWrite:
			work.writes = true
			if s.n, err = argument(r.Value); err != nil {
				return transaction{}, err
			}
		default:
			return transaction{}, fmt.Errorf(`txn takes ["r",key,null], ["w",key,number] and ["append",key,number], not operation %d of %s`, i+1, history.Quote(value))
		}
		steps[i] = s
	}
	lists := c.work == "append"
	work.do = func(ctx context.Context, s Session) (json.RawMessage, error) {
		results := make([]history.MicroOp, len(steps))
		for i, step := range steps {
			results[i] = history.MicroOp{F: step.f, Key: history.EncodeText(step.key), Value: history.EncodeInt(step.n)}
			var err error
			switch {
			case step.f == history.MicroAppend:
				_, err = c.exec(ctx, s, c.dialect.AppendList(c.table(step.key)), args{"key": step.key, "value": text(step.n)})
			case step.f == history.MicroWrite:
				_, err = c.exec(ctx, s, c.dialect.WriteRegister, args{"key": step.key, "value": step.n})
			case lists:
				results[i].Value, err = c.readList(ctx, s, step.key)
			default:
				results[i].Value, err = c.readRegister(ctx, s, step.key)
			}
			if err != nil {
				return nil, err
			}
		}
		return history.EncodeTransaction(results), nil
	}
	return work, nil
}

// table is where a list is kept.
func (c *Client) table(key string) string {
	if c.dialect.Table == nil {
		return ListTable
	}
	return c.dialect.Table(key)
}

// ListTable is the table of all lists, where there is one.
const ListTable = "nemesis_list"

func (c *Client) readList(ctx context.Context, s Session, key string) (json.RawMessage, error) {
	rows, err := c.query(ctx, s, c.dialect.ReadList(c.table(key)), args{"key": key})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return history.EncodeInts(nil), nil
	}
	if c.dialect.ListRows {
		return readRows(rows)
	}
	value, err := one(rows)
	if err != nil || value == nil {
		return nil, senseless(fmt.Errorf("the server answered a read of the list %q with %d rows, or NULL", key, len(rows)))
	}
	list, err := readElements(*value)
	if err != nil {
		return nil, senseless(err)
	}
	return history.EncodeInts(list), nil
}

// readRows reads a list that is a text with commas, an array ({1,2} or [1, 2]), or a row for each element.
func readRows(rows [][]*string) (json.RawMessage, error) {
	var list []int64
	for _, row := range rows {
		if len(row) != 1 {
			return nil, senseless(fmt.Errorf("the server answered a read of a list with rows of %d columns", len(row)))
		}
		if row[0] == nil {
			continue
		}
		for _, part := range strings.FieldsFunc(*row[0], func(r rune) bool { return strings.ContainsRune("{}[], ", r) }) {
			n, err := history.DecodeInt(json.RawMessage(part))
			if err != nil {
				return nil, senseless(fmt.Errorf("the server answered %.100q where a list of numbers belongs", *row[0]))
			}
			list = append(list, n)
		}
	}
	return history.EncodeInts(list), nil
}

// readElements reads a list as its appends have written it.
func readElements(value string) ([]int64, error) {
	var list []int64
	for _, part := range strings.Split(value, ",") {
		n, err := history.DecodeInt(json.RawMessage(part))
		if err != nil || text(n) != part {
			return nil, fmt.Errorf("the server answered %.100q where a list was written", value)
		}
		list = append(list, n)
	}
	return list, nil
}
