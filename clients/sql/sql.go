// Package sql is what clients of all SQL databases have in common: how the operations of
// the workloads are put into transactions, and how a transaction's end is sorted.
//
// A Client is one logical process with one connection, which it opens when it first needs
// it and again after it broke. What differs between databases is a Dialect (the texts of
// the statements) and a Session (the official driver's connection). Every operation,
// however small, is one explicit transaction
//
//	BEGIN … statements … COMMIT
//
// and is sent once: nothing is retried. So there is one moment that decides how an error
// is to be read, the moment at which COMMIT is handed to the connection; certainty.go says
// why.
//
//	client := sql.New(dialect, connect, plan.Workload)
//	done := client.Invoke(ctx, history.Event{F: "txn", Value: json.RawMessage(`[["r","k1",null],["append","k1",1]]`)})
package sql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"nemesis/clients"
	"nemesis/clients/operands"
	"nemesis/history"
)

// Session is one connection of a driver. It is used by one goroutine at a time.
type Session interface {
	// Query runs a statement and returns its rows; what is NULL is nil.
	Query(ctx context.Context, statement string, args ...any) ([][]*string, error)
	// Exec runs a statement and says how many rows it changed.
	Exec(ctx context.Context, statement string, args ...any) (int64, error)
	// Alive says whether it can be used for another transaction after ROLLBACK.
	Alive() bool
	// Close ends the connection; nothing more is sent to the server but its goodbye.
	Close() error
}

// Dialect is one database's texts. A statement names the arguments that stand in brackets behind its name with a colon,
// such as :key, each as often as it likes. A client needs the statements of its workload.
type Dialect struct {
	// Places are how arguments are sent.
	Places                  Places
	Begin, Commit, Rollback string
	// Table is how the name of the table for a key's list is made of the key; nil is one table for all.
	Table func(key string) string
	// ReadList (key), and AppendList (key, value): to a text with commas, made where it is missing.
	ReadList, AppendList func(table string) string
	// ListRows: a list may also be read as several rows, or as an array.
	ListRows bool
	// ReadRegister (key), WriteRegister (key, value), CreateRegister (key, value) that changes nothing
	// where there is one, and SwapRegister (key, from, to).
	ReadRegister, WriteRegister, CreateRegister, SwapRegister string
	// AddElement (key, value) and ListElements (key).
	AddElement, ListElements string
	// Next, which returns a value, and changes what it reads: an increment, or a new identifier.
	Next string
	// Take takes an element out of a queue and returns it.
	Take string
	// CreateAccount (key, value) that changes nothing where there is one, ReadAccount (key), SetAccount (key, value), and
	// ListAccounts, which are rows of an account and a balance.
	CreateAccount, ReadAccount, SetAccount, ListAccounts string
	// InsertRow (key, group, value), DeleteRow (key), ReadRow (key), and MatchRows (group, divisor, rest), which are rows
	// of a key and a value.
	InsertRow, DeleteRow, ReadRow, MatchRows string
	// NextOffset (key) is a row with the offset of the log's next entry, InsertEntry (key, offset, value), and PollEntries (key, after),
	// which are rows of an offset and a value, in order of the offsets. Without NextOffset, InsertEntry (key, value) returns the offset.
	NextOffset, InsertEntry, PollEntries string
	// HighestValue (key) is a row with the greatest value of a chain, or NULL, InsertStamped (key, value) inserts one and returns its
	// stamp, and ListStamped (key) are rows of a value and a stamp.
	HighestValue, InsertStamped, ListStamped string
	// Code finds the SQLSTATE in an error; "" where the server did not send this error.
	Code func(error) string
}

// Client is one logical process.
type Client struct {
	dialect Dialect
	connect func(context.Context) (Session, error)
	work    string
	session Session // nil while there is no connection
	// bound are the statements that were used, by their texts.
	bound map[string]bound
}

var _ clients.Client = (*Client)(nil)

// New makes a client that connects when it is first used. connect is to open one
// connection, by the dialer of the process.
func New(d Dialect, work history.Workload, connect func(context.Context) (Session, error)) *Client {
	return &Client{dialect: d, connect: connect, work: work.Name, bound: map[string]bound{}}
}

// bind finds the places and the arguments of a statement.
func (c *Client) bind(statement string, given args) (text string, values []any, err error) {
	b, is := c.bound[statement]
	if !is {
		b = bind(statement, c.dialect.Places)
		c.bound[statement] = b
	}
	values, err = b.values(given)
	return b.text, values, err
}

func (c *Client) exec(ctx context.Context, s Session, statement string, given args) (int64, error) {
	text, values, err := c.bind(statement, given)
	if err != nil {
		return 0, err
	}
	return s.Exec(ctx, text, values...)
}

func (c *Client) query(ctx context.Context, s Session, statement string, given args) ([][]*string, error) {
	text, values, err := c.bind(statement, given)
	if err != nil {
		return nil, err
	}
	return s.Query(ctx, text, values...)
}

// Invoke performs one operation:
//
//	read   register   null → int or null
//	write  register   int
//	cas    register   [expected, new]; expected null means absent
//	txn    append     [["r",key,null],["append",key,int],…] → the same with lists read
//	txn    others     [["r",key,null],["w",key,int],…] → the same with registers read
//	txn    predicate  [["rp",{…},null],["insert",key,int],["delete",key,null],["r",key,null],…] → the same with what was read
//	add    set        int
//	list   set        null → [int,…], unordered
//	add    counter    1; read counter null → int
//	increment, generate   null → the value
//	enqueue, dequeue      an element, which the second returns; null where there is none
//	send   log        int → its offset
//	poll   log        offset or null → [[offset,int],…]
//	txn    log        [["send",key,int],["poll",key,offset or null],…] → the same with [offset,int], and with what was polled
//	extend, chain         null → [int,int], and [[int,int],…]
//	open, transfer, balances of the workload bank
func (c *Client) Invoke(ctx context.Context, op history.Event) clients.Completion {
	work, err := c.operation(op)
	if err != nil {
		return clients.Failed(err)
	}
	done, lost := c.transact(ctx, work)
	if done.Type == history.Fail && lost {
		rest(ctx)
	}
	return done
}

// Close ends the connection.
func (c *Client) Close() error {
	if c.session == nil {
		return nil
	}
	err := c.session.Close()
	c.session = nil
	return err
}

// rest keeps a client that lost its connection from filling the history with failures: a dead server refuses in
// microseconds.
func rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
}

// transaction is what an operation does between BEGIN and COMMIT.
type transaction struct {
	// writes: it may change something.
	writes bool
	// do returns the operation's value. An error ends the transaction without COMMIT.
	do func(ctx context.Context, s Session) (json.RawMessage, error)
}

// errMismatch is the error of a compare-and-set that saw another value than it expected. The
// transaction was committed, so this is an observation.
var errMismatch = errors.New("mismatch")

func (c *Client) operation(op history.Event) (transaction, error) {
	switch op.F {
	case history.FTransaction:
		switch c.work {
		case "predicate":
			return c.rows(op.Value)
		case "log":
			return c.entries(op.Value)
		}
		return c.steps(op.Value)
	case history.FRead:
		return transaction{do: func(ctx context.Context, s Session) (json.RawMessage, error) {
			value, err := c.readRegister(ctx, s, op.Key)
			if err == nil && history.IsNull(value) {
				value = operands.Nothing(c.work, op.F)
			}
			return value, err
		}}, nil
	case history.FWrite:
		n, err := argument(op.Value)
		return transaction{writes: true, do: func(ctx context.Context, s Session) (json.RawMessage, error) {
			_, err := c.exec(ctx, s, c.dialect.WriteRegister, args{"key": op.Key, "value": n})
			return nil, err
		}}, err
	case history.FCAS:
		return c.compareAndSet(op.Key, op.Value)
	case history.FAdd, history.FEnqueue:
		n, err := argument(op.Value)
		return transaction{writes: true, do: func(ctx context.Context, s Session) (json.RawMessage, error) {
			_, err := c.exec(ctx, s, c.dialect.AddElement, args{"key": op.Key, "value": n})
			return nil, err
		}}, err
	case history.FIncrement, history.FGenerate:
		return transaction{writes: true, do: func(ctx context.Context, s Session) (json.RawMessage, error) {
			value, err := c.readOne(ctx, s, c.dialect.Next, op.Key)
			if err == nil && history.IsNull(value) {
				err = senseless(fmt.Errorf("the server answered %s with nothing, or NULL", op.F))
			}
			return value, err
		}}, nil
	case history.FDequeue:
		return transaction{writes: true, do: func(ctx context.Context, s Session) (json.RawMessage, error) {
			return c.readOne(ctx, s, c.dialect.Take, op.Key)
		}}, nil
	case history.FList:
		return transaction{do: func(ctx context.Context, s Session) (json.RawMessage, error) {
			return c.elements(ctx, s, op.Key)
		}}, nil
	case history.FSend:
		n, err := argument(op.Value)
		return transaction{writes: true, do: func(ctx context.Context, s Session) (json.RawMessage, error) {
			return c.send(ctx, s, op.Key, n)
		}}, err
	case history.FPoll:
		after, err := behind(op.Value)
		return transaction{do: func(ctx context.Context, s Session) (json.RawMessage, error) {
			return c.poll(ctx, s, op.Key, after)
		}}, err
	case history.FExtend:
		return transaction{writes: true, do: func(ctx context.Context, s Session) (json.RawMessage, error) {
			return c.extend(ctx, s, op.Key)
		}}, nil
	case history.FChain:
		return transaction{do: func(ctx context.Context, s Session) (json.RawMessage, error) {
			return c.chain(ctx, s, op.Key)
		}}, nil
	case history.FOpen:
		return c.openAccounts(op.Value)
	case history.FTransfer:
		return c.transfer(op.Value)
	case history.FBalances:
		return transaction{do: c.balances}, nil
	}
	return transaction{}, fmt.Errorf("clients of SQL databases cannot perform %q", op.F)
}

// argument reads an integer that the workload wants written.
func argument(value json.RawMessage) (int64, error) {
	n, err := history.DecodeInt(value)
	if err != nil {
		return 0, fmt.Errorf("clients of SQL databases write integers, not %s", history.Quote(value))
	}
	return n, nil
}

// one is the only column of the only row; nil where there is no row, or NULL.
func one(rows [][]*string) (*string, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	if len(rows) > 1 || len(rows[0]) != 1 {
		return nil, fmt.Errorf("the server answered a read of one row with %d", len(rows))
	}
	return rows[0][0], nil
}

func (c *Client) readRegister(ctx context.Context, s Session, key string) (json.RawMessage, error) {
	return c.readOne(ctx, s, c.dialect.ReadRegister, key)
}

// readOne reads the integer of one row; null where there is none.
func (c *Client) readOne(ctx context.Context, s Session, statement, key string) (json.RawMessage, error) {
	rows, err := c.query(ctx, s, statement, args{"key": key})
	if err != nil {
		return nil, err
	}
	value, err := one(rows)
	if err != nil || value == nil {
		return history.EncodeNull(), senseless(err)
	}
	return clients.StoredInt(*value), nil
}

func (c *Client) compareAndSet(key string, value json.RawMessage) (transaction, error) {
	cas, err := history.DecodeCompareAndSet(value)
	if err != nil {
		return transaction{}, fmt.Errorf("cas takes [expected, new], not %s", history.Quote(value))
	}
	next, err := argument(cas.New)
	if err != nil {
		return transaction{}, err
	}
	statement, given := c.dialect.CreateRegister, args{"key": key, "value": next}
	if !history.IsNull(cas.Expected) {
		expected, err := argument(cas.Expected)
		if err != nil {
			return transaction{}, err
		}
		statement, given = c.dialect.SwapRegister, args{"key": key, "from": expected, "to": next}
	}
	if statement == "" {
		return transaction{}, errors.New("there is no statement for a compare-and-set of what is not there")
	}
	return transaction{writes: true, do: func(ctx context.Context, s Session) (json.RawMessage, error) {
		changed, err := c.exec(ctx, s, statement, given)
		if err == nil && changed == 0 {
			err = errMismatch
		}
		return nil, err
	}}, nil
}

func (c *Client) elements(ctx context.Context, s Session, key string) (json.RawMessage, error) {
	rows, err := c.query(ctx, s, c.dialect.ListElements, args{"key": key})
	if err != nil {
		return nil, err
	}
	elements := make([]json.RawMessage, 0, len(rows))
	for _, row := range rows {
		if len(row) != 1 || row[0] == nil {
			return nil, senseless(fmt.Errorf("the server listed a row of %d columns, or NULL, where an element belongs", len(row)))
		}
		elements = append(elements, clients.StoredInt(*row[0]))
	}
	return history.EncodeElements(elements), nil
}

func text(n int64) string { return strconv.FormatInt(n, 10) }
