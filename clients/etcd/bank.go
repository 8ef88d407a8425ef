package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"nemesis/clients"
	"nemesis/history"
)

// An account is one key below one prefix that holds a decimal integer. All are opened by one
// transaction, and read by one range at one revision. A transfer reads two of them and writes both
// on condition that neither changed since.

const bankPrefix = "nemesis/bank/"

func (c *client) openAccounts(ctx context.Context, value json.RawMessage) clients.Completion {
	balances, err := history.DecodeBalances(value)
	if err != nil || len(balances) == 0 {
		return failed("open takes the accounts with their balances, not " + history.Quote(value))
	}
	var absent []clientv3.Cmp
	var puts []clientv3.Op
	for account, balance := range balances {
		n, err := argument(balance)
		if err != nil {
			return failed(err.Error())
		}
		absent = append(absent, clientv3.Compare(clientv3.ModRevision(bankPrefix+account), "=", 0))
		puts = append(puts, clientv3.OpPut(bankPrefix+account, text(n)))
	}
	resp, ended := c.mutate(ctx, clientv3.OpTxn(absent, puts, nil))
	if ended != nil {
		return *ended
	}
	// Otherwise they are there: nobody opens only some.
	return clients.Completion{Type: history.OK, Version: resp.Txn().Header.GetRevision()}
}

// overdrawn is the error of a transfer from an account that has less than the amount.
const overdrawn = "the account has less than that"

func (c *client) transfer(ctx context.Context, value json.RawMessage) clients.Completion {
	t, err := history.DecodeTransfer(value)
	if err != nil || t.From == t.To || t.Amount < 0 {
		return failed("transfer takes two accounts and an amount, not " + history.Quote(value))
	}
	keys := []string{bankPrefix + t.From, bankPrefix + t.To}
	resp, err := c.conn.Do(ctx, clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpGet(keys[0]), clientv3.OpGet(keys[1])}, nil))
	if err != nil {
		return failed(brief(err)) // nothing was written yet
	}
	answers := resp.Txn().Responses
	if len(answers) != len(keys) {
		return unsure(fmt.Sprintf("the server answered %d of %d reads", len(answers), len(keys)))
	}
	var held [2]int64
	var unchanged []clientv3.Cmp
	for i, key := range keys {
		kv, err := single(answers[i].GetResponseRange().GetKvs(), key)
		if err != nil {
			return unsure(err.Error())
		}
		if kv == nil {
			return failed("there is no such account")
		}
		if held[i], err = history.DecodeInt(kv.Value); err != nil {
			return unsure(fmt.Sprintf("the server answered %.100q where an integer was written", kv.Value))
		}
		unchanged = append(unchanged, clientv3.Compare(clientv3.ModRevision(key), "=", kv.ModRevision))
	}
	if held[0] < t.Amount {
		return failed(overdrawn)
	}
	done, ended := c.mutate(ctx, clientv3.OpTxn(unchanged, []clientv3.Op{
		clientv3.OpPut(keys[0], text(held[0]-t.Amount)), clientv3.OpPut(keys[1], text(held[1]+t.Amount))}, nil))
	if ended != nil {
		return *ended
	}
	version := done.Txn().Header.GetRevision()
	if !done.Txn().Succeeded {
		return clients.Completion{Type: history.Fail, Error: lostRace, Version: version}
	}
	return clients.Completion{Type: history.OK, Version: version}
}

func (c *client) balances(ctx context.Context) clients.Completion {
	resp, err := c.conn.Get(ctx, bankPrefix, append(slices.Clip(c.reading), clientv3.WithPrefix())...)
	if err != nil {
		return failed(brief(err))
	}
	balances := history.Balances{}
	for _, kv := range resp.Kvs {
		account, ours := strings.CutPrefix(string(kv.Key), bankPrefix)
		if !ours {
			return unsure(fmt.Sprintf("the server listed %.100q, which is not below %s", kv.Key, bankPrefix))
		}
		balances[account] = clients.StoredInt(string(kv.Value))
	}
	return clients.Completion{Type: history.OK, Value: balances.Encode(), Version: resp.Header.GetRevision()}
}
