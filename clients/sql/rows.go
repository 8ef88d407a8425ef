package sql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"nemesis/clients"
	"nemesis/history"
)

// errNoRow is why a transaction is rolled back that deletes a row which is not there. One that
// inserts a row which is there ends with the server's error.
var errNoRow = errors.New("the row to be deleted is not there")

// rows is a transaction over rows: one statement a part, in order.
func (c *Client) rows(value json.RawMessage) (transaction, error) {
	ops, err := history.DecodeTransaction(value)
	if err != nil || len(ops) == 0 {
		return transaction{}, fmt.Errorf("txn takes a list of operations, not %s", history.Quote(value))
	}
	var work transaction
	numbers, predicates := make([]int64, len(ops)), make([]history.Predicate, len(ops))
	for i, op := range ops {
		switch op.F {
		case history.MicroInsert:
			numbers[i], err = argument(op.Value)
		case history.MicroPredicate:
			predicates[i], err = history.DecodePredicate(op.Key)
		case history.MicroRead, history.MicroDelete:
		default:
			err = fmt.Errorf("txn takes insert, delete, r and rp, not operation %d of %s", i+1, history.Quote(value))
		}
		if err != nil {
			return transaction{}, err
		}
		work.writes = work.writes || op.F == history.MicroInsert || op.F == history.MicroDelete
	}
	work.do = func(ctx context.Context, s Session) (json.RawMessage, error) {
		results := slices.Clone(ops)
		for i, op := range ops {
			key := op.KeyName()
			var err error
			switch op.F {
			case history.MicroInsert:
				_, err = c.exec(ctx, s, c.dialect.InsertRow, args{"key": key, "group": history.RowGroup(key), "value": numbers[i]})
			case history.MicroDelete:
				var changed int64
				if changed, err = c.exec(ctx, s, c.dialect.DeleteRow, args{"key": key}); err == nil && changed == 0 {
					err = errNoRow
				}
			case history.MicroRead:
				results[i].Value, err = c.readOne(ctx, s, c.dialect.ReadRow, key)
			case history.MicroPredicate:
				results[i].Value, err = c.matching(ctx, s, predicates[i])
			}
			if err != nil {
				return nil, err
			}
		}
		return history.EncodeTransaction(results), nil
	}
	return work, nil
}

// matching are the rows that match a predicate: [["g3.1",1],…].
func (c *Client) matching(ctx context.Context, s Session, p history.Predicate) (json.RawMessage, error) {
	rows, err := c.query(ctx, s, c.dialect.MatchRows, args{"group": p.Group, "divisor": p.Mod, "rest": p.Rest})
	if err != nil {
		return nil, err
	}
	found := make([]json.RawMessage, 0, len(rows))
	for _, row := range rows {
		if len(row) != 2 || row[0] == nil || row[1] == nil {
			return nil, senseless(fmt.Errorf("the server listed a row of %d columns, or NULL, where a key and a value belong", len(row)))
		}
		found = append(found, history.EncodeElements([]json.RawMessage{history.EncodeText(*row[0]), clients.StoredInt(*row[1])}))
	}
	return history.EncodeElements(found), nil
}
