package sql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"nemesis/clients"
	"nemesis/history"
)

// A transfer reads both accounts, computes what they hold afterwards and writes that. So it is
// the level of isolation that keeps two transfers apart, and not the arithmetic of UPDATE.

func (c *Client) openAccounts(value json.RawMessage) (transaction, error) {
	balances, err := history.DecodeBalances(value)
	if err != nil || len(balances) == 0 {
		return transaction{}, fmt.Errorf("open takes the accounts with their balances, not %s", history.Quote(value))
	}
	held := map[string]int64{}
	for account, balance := range balances {
		if held[account], err = argument(balance); err != nil {
			return transaction{}, err
		}
	}
	return transaction{writes: true, do: func(ctx context.Context, s Session) (json.RawMessage, error) {
		for _, account := range slices.Sorted(maps.Keys(held)) { // in one order, so that openers wait for each other once
			if _, err := c.exec(ctx, s, c.dialect.CreateAccount, args{"key": account, "value": held[account]}); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}}, nil
}

// errOverdrawn and errNoAccount are why a transfer does not happen; it is rolled back.
var (
	errOverdrawn = errors.New("the account has less than that")
	errNoAccount = errors.New("there is no such account")
)

func (c *Client) transfer(value json.RawMessage) (transaction, error) {
	t, err := history.DecodeTransfer(value)
	if err != nil || t.From == t.To || t.Amount < 0 {
		return transaction{}, fmt.Errorf("transfer takes two accounts and an amount, not %s", history.Quote(value))
	}
	return transaction{writes: true, do: func(ctx context.Context, s Session) (json.RawMessage, error) {
		var held [2]int64
		for i, account := range []string{t.From, t.To} {
			rows, err := c.query(ctx, s, c.dialect.ReadAccount, args{"key": account})
			if err != nil {
				return nil, err
			}
			balance, err := one(rows)
			switch {
			case err != nil:
				return nil, senseless(err)
			case balance == nil:
				return nil, errNoAccount
			}
			if held[i], err = history.DecodeInt(json.RawMessage(*balance)); err != nil {
				return nil, senseless(fmt.Errorf("the server answered %.100q where a balance was written", *balance))
			}
		}
		if held[0] < t.Amount {
			return nil, errOverdrawn
		}
		_, err := c.exec(ctx, s, c.dialect.SetAccount, args{"key": t.From, "value": held[0] - t.Amount})
		if err == nil {
			_, err = c.exec(ctx, s, c.dialect.SetAccount, args{"key": t.To, "value": held[1] + t.Amount})
		}
		return nil, err
	}}, nil
}

func (c *Client) balances(ctx context.Context, s Session) (json.RawMessage, error) {
	rows, err := c.query(ctx, s, c.dialect.ListAccounts, nil)
	if err != nil {
		return nil, err
	}
	balances := history.Balances{}
	for _, row := range rows {
		if len(row) != 2 || row[0] == nil || row[1] == nil {
			return nil, senseless(fmt.Errorf("the server listed a row of %d columns, or NULL, where an account belongs", len(row)))
		}
		balances[*row[0]] = clients.StoredInt(*row[1])
	}
	return balances.Encode(), nil
}
