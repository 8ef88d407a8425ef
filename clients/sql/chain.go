package sql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"nemesis/history"
)

// extend reads the greatest value of a chain, and inserts the next one with a stamp that the database assigns.
func (c *Client) extend(ctx context.Context, s Session, chain string) (json.RawMessage, error) {
	rows, err := c.query(ctx, s, c.dialect.HighestValue, args{"key": chain})
	if err != nil {
		return nil, err
	}
	row := history.Stamped{Value: 1}
	if highest, err := one(rows); err != nil {
		return nil, senseless(err)
	} else if highest != nil {
		if row.Value, err = whole(*highest); err != nil {
			return nil, err
		}
		row.Value++
	}
	if rows, err = c.query(ctx, s, c.dialect.InsertStamped, args{"key": chain, "value": row.Value}); err != nil {
		return nil, err
	}
	stamp, err := one(rows)
	if err == nil && stamp == nil {
		err = errors.New("the server answered an insert with no stamp")
	}
	if err != nil {
		return nil, senseless(err)
	}
	if row.Stamp, err = whole(*stamp); err != nil {
		return nil, err
	}
	return row.Encode(), nil
}

// chain are all rows of one: [[1,15],…].
func (c *Client) chain(ctx context.Context, s Session, chain string) (json.RawMessage, error) {
	rows, err := c.query(ctx, s, c.dialect.ListStamped, args{"key": chain})
	if err != nil {
		return nil, err
	}
	found := make([]history.Stamped, 0, len(rows))
	for _, row := range rows {
		if len(row) != 2 || row[0] == nil || row[1] == nil {
			return nil, senseless(fmt.Errorf("the server listed a row of %d columns, or NULL, where a value and a stamp belong", len(row)))
		}
		var one history.Stamped
		if one.Value, err = whole(*row[0]); err == nil {
			one.Stamp, err = whole(*row[1])
		}
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return history.EncodeChain(found), nil
}

// whole reads a number that the server answered.
func whole(text string) (int64, error) {
	n, err := history.DecodeInt(json.RawMessage(text))
	if err != nil {
		return 0, senseless(fmt.Errorf("the server answered %.100q where a number belongs", text))
	}
	return n, nil
}
