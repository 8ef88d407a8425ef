package sql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nemesis/clients"
	"nemesis/history"
)

// Operation is the statements of one operation. Most have one, which stands for itself (read: SELECT …). What an
// operation holds is named in them with a colon, such as :key, and is sent beside the statement.
type Operation struct {
	Send   string `yaml:"send" alone:"true" doc:"the statement; :key, :value, :from, :to and :after stand for what the operation holds"`
	Read   string `yaml:"read" doc:"of a transaction or transfer, or of extend: the statement that reads :key"`
	Write  string `yaml:"write" doc:"of a transaction or transfer, or of extend: the statement that writes :value to :key"`
	Append string `yaml:"append" doc:"of a transaction: the statement that appends :value to the list :key"`
	Insert string `yaml:"insert" doc:"of the workload predicate: the statement that inserts the row :key with :group and :value"`
	Delete string `yaml:"delete" doc:"of the workload predicate: the statement that deletes the row :key"`
	Match  string `yaml:"match" doc:"of the workload predicate: the statement that lists key and value of the rows of :group whose value has the remainder :rest when it is divided by :divisor"`
}

// Config is a client as data. Workloads maps the name of a workload to its operations by
// their names, such as register to read, write and cas.
type Config struct {
	Login Login
	// Isolation is the level of every transaction, such as read-committed; "" is the server's own.
	Isolation string
	// Setup are the statements that every connection begins with.
	Setup     []string
	Workloads map[string]map[string]Operation
}

// Table is a Config that was checked and is ready to be used by many clients at once.
type Table struct {
	config   Config
	dialects map[string]Dialect
	// setups are held while a connection to an address is set up, so that two do not make one table at once.
	setups locks
}

// levels are the levels of isolation that SQL knows.
func levels() []string {
	return []string{"read-uncommitted", "read-committed", "repeatable-read", "serializable"}
}

// Read checks a configuration. The error says where it is wrong, as a path such as register.cas.
func Read(c Config) (*Table, error) {
	t := &Table{config: c, dialects: map[string]Dialect{}, setups: locks{held: map[string]chan struct{}{}}}
	if err := c.Login.check(); err != nil {
		return nil, err
	}
	if c.Isolation != "" && !slices.Contains(levels(), c.Isolation) {
		return nil, fmt.Errorf("isolation: %q is none of %s", c.Isolation, strings.Join(levels(), ", "))
	}
	for _, work := range slices.Sorted(maps.Keys(c.Workloads)) {
		d := Dialect{Begin: c.Login.begin(c.Isolation), Commit: commit, Rollback: "ROLLBACK", Code: Code, ListRows: true}
		if c.Login.Driver == MySQL {
			d.Places = Questions
		}
		for _, f := range slices.Sorted(maps.Keys(c.Workloads[work])) {
			if err := d.take(work, f, c.Workloads[work][f]); err != nil {
				return nil, fmt.Errorf("%s.%s: %w", work, f, err)
			}
		}
		t.dialects[work] = d
	}
	return t, nil
}

// part is one statement of an operation.
type part struct {
	name, text string
	into       *string
	// names are those that it may have.
	names []string
}

// take fills in the statements of an operation.
func (d *Dialect) take(work, f string, o Operation) error {
	var appends, reads string
	parts := map[string]part{}
	need := func(name, text string, into *string, names ...string) {
		parts[name] = part{name, text, into, names}
	}
	switch f {
	case history.FRead:
		need("send", o.Send, &d.ReadRegister, "key")
	case history.FWrite:
		need("send", o.Send, &d.WriteRegister, "key", "value")
	case history.FCAS:
		need("send", o.Send, &d.SwapRegister, "key", "from", "to")
	case history.FAdd, history.FEnqueue:
		need("send", o.Send, &d.AddElement, "key", "value")
	case history.FList:
		need("send", o.Send, &d.ListElements, "key")
	case history.FDequeue:
		need("send", o.Send, &d.Take, "key")
	case history.FIncrement, history.FGenerate:
		need("send", o.Send, &d.Next, "key")
	case history.FSend:
		need("send", o.Send, &d.InsertEntry, "key", "value")
	case history.FPoll:
		need("send", o.Send, &d.PollEntries, "key", "after")
	case history.FExtend:
		need("read", o.Read, &d.HighestValue, "key")
		need("write", o.Write, &d.InsertStamped, "key", "value")
	case history.FChain:
		need("send", o.Send, &d.ListStamped, "key")
	case history.FOpen:
		need("send", o.Send, &d.CreateAccount, "key", "value")
	case history.FBalances:
		need("send", o.Send, &d.ListAccounts)
	case history.FTransfer:
		need("read", o.Read, &d.ReadAccount, "key")
		need("write", o.Write, &d.SetAccount, "key", "value")
	case history.FTransaction:
		switch work {
		case "append":
			need("append", o.Append, &appends, "key", "value")
			need("read", o.Read, &reads, "key")
		case "log":
			need("append", o.Append, &d.InsertEntry, "key", "value")
			need("read", o.Read, &d.PollEntries, "key", "after")
		case "predicate":
			need("insert", o.Insert, &d.InsertRow, "key", "group", "value")
			need("delete", o.Delete, &d.DeleteRow, "key")
			need("read", o.Read, &d.ReadRow, "key")
			need("match", o.Match, &d.MatchRows, "group", "divisor", "rest")
		default:
			need("read", o.Read, &d.ReadRegister, "key")
			need("write", o.Write, &d.WriteRegister, "key", "value")
		}
	default:
		return errors.New("clients of SQL databases cannot perform it")
	}
	for _, given := range []part{{name: "send", text: o.Send}, {name: "read", text: o.Read}, {name: "write", text: o.Write}, {name: "append", text: o.Append},
		{name: "insert", text: o.Insert}, {name: "delete", text: o.Delete}, {name: "match", text: o.Match}} {
		if _, known := parts[given.name]; given.text != "" && !known {
			return fmt.Errorf("%s: it has no such statement; it needs %s", given.name, strings.Join(slices.Sorted(maps.Keys(parts)), " and "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if err := parts[name].check(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		*parts[name].into = parts[name].text
	}
	if appends != "" {
		d.AppendList = func(string) string { return appends }
		d.ReadList = func(string) string { return reads }
	}
	return nil
}

func (p part) check() error {
	if strings.TrimSpace(p.text) == "" {
		return errors.New("the statement is missing")
	}
	for _, name := range bind(p.text, Dollars).names {
		if !slices.Contains(p.names, name) {
			return fmt.Errorf("there is no :%s; there are %s", name, cmp.Or(strings.Join(p.names, ", "), "no names"))
		}
	}
	return nil
}

// Open makes a client for a workload. target tells where the server is whenever a connection
// is needed.
func (t *Table) Open(workload string, target func(context.Context) (string, error), dialer *clients.Dialer) *Client {
	return New(t.dialects[workload], history.Workload{Name: workload}, func(ctx context.Context) (Session, error) {
		address, err := target(ctx)
		if err != nil {
			return nil, err
		}
		if len(t.config.Setup) > 0 {
			free, err := t.setups.hold(ctx, address)
			if err != nil {
				return nil, err
			}
			defer free()
		}
		return t.config.Login.Connect(ctx, address, dialer, slices.Concat(t.config.Login.setLevel(t.config.Isolation), t.config.Setup)...)
	})
}
