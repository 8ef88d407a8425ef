package history

import (
	"encoding/json"
	"fmt"
)

// A bank has accounts between which money is moved. Each operation is one transaction:
//
//	open      {"a0":10,"a1":10,…}                  → ok: all accounts are there; creates all of them with these balances where
//	                                                  there are none, and changes nothing where there are
//	transfer  {"from":"a0","to":"a1","amount":5}   → ok; a fail where the first has less than the amount, or is not there
//	balances  null                                 → ok the balances of all accounts that are there: {"a0":5,"a1":15,…}
//
// Foreign histories ask for the balances with read, and have no open.
const (
	FOpen     = "open"
	FTransfer = "transfer"
	FBalances = "balances"
)

// Transfer moves an amount from one account to another one.
type Transfer struct {
	From, To string
	Amount   int64
}

type transferJSON struct {
	From   json.RawMessage `json:"from"`
	To     json.RawMessage `json:"to"`
	Amount json.RawMessage `json:"amount"`
}

// Encode writes a transfer.
func (t *Transfer) Encode() json.RawMessage {
	return encode(transferJSON{EncodeText(t.From), EncodeText(t.To), EncodeInt(t.Amount)})
}

// DecodeTransfer reads a transfer. Accounts are texts or numbers.
func DecodeTransfer(value json.RawMessage) (Transfer, error) {
	var raw transferJSON
	if err := decode(value, "a transfer", &raw); err != nil {
		return Transfer{}, err
	}
	var t Transfer
	var err error
	if IsNull(raw.From) || IsNull(raw.To) {
		return t, fmt.Errorf("read a transfer: %s does not name two accounts", Quote(value))
	}
	if t.From, err = DecodeText(raw.From); err != nil {
		return t, fmt.Errorf("read a transfer: %w", err)
	}
	if t.To, err = DecodeText(raw.To); err != nil {
		return t, fmt.Errorf("read a transfer: %w", err)
	}
	if t.Amount, err = DecodeInt(raw.Amount); err != nil {
		return t, fmt.Errorf("read a transfer: %w", err)
	}
	return t, nil
}

// Balances are what accounts hold, by name, each as JSON: a whole number (EncodeInt), or
// whatever else the server said.
type Balances map[string]json.RawMessage

// Encode writes balances, ordered by account. What is no JSON becomes null.
func (b Balances) Encode() json.RawMessage {
	valid := make(Balances, len(b))
	for account, value := range b {
		if !json.Valid(value) {
			value = EncodeNull()
		}
		valid[account] = value
	}
	return encode(valid)
}

// DecodeBalances reads balances; nothing at all and null are none.
func DecodeBalances(value json.RawMessage) (Balances, error) {
	if IsNull(value) {
		return nil, nil
	}
	var b Balances
	if err := json.Unmarshal(value, &b); err != nil {
		return nil, fmt.Errorf("read balances: %s are none", Quote(value))
	}
	return b, nil
}
