// Package resp is a client of servers that speak RESP, the protocol of Redis, made from data:
// which commands each operation sends, and what their answers mean.
//
// One client has one connection and repeats nothing. What it is told decides what happened:
//
//   - an answer that the operation names as ok happened, one that it names as fail did not;
//   - an error that one of the patterns in certain matches says that nothing happened;
//   - a request of which no byte left this process did not happen;
//   - everything else is unknown, unless the operation only looks.
//
// Transactions are sent as begin, one command a part, and commit, in one write. The answer of
// commit is a list with one answer a part, as EXEC gives it; nil is a transaction that was
// given up.
package resp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nemesis/clients"
	"nemesis/clients/operands"
	"nemesis/history"
)

// Operation is how one operation is sent and its answer read.
type Operation struct {
	Send  []string `yaml:"send" doc:"the command and its arguments; {{ .key }}, {{ .value }}, {{ .from }}, {{ .to }} and {{ .after }} stand for what the operation holds"`
	Value string   `yaml:"value" doc:"how the answer, or each element of a list, is read: int (default), text, json, none, or entries (what XRANGE answers)"`
	OK    []string `yaml:"ok" doc:"answers that mean it happened; default any that is no error"`
	Fail  []string `yaml:"fail" doc:"answers that mean it certainly did not happen"`
	Nil   string   `yaml:"nil" doc:"what no value (nil) means: null (nothing is there), ok or fail; default null of what only looks, else unknown"`

	Begin  []string `yaml:"begin" doc:"of a transaction: the command before its parts, such as [MULTI]"`
	Append []string `yaml:"append" doc:"of a transaction: the command that appends .value to the list .key"`
	Read   []string `yaml:"read" doc:"of a transaction: the command that reads .key"`
	Write  []string `yaml:"write" doc:"of a transaction: the command that writes .value to .key"`
	Commit []string `yaml:"commit" doc:"of a transaction: the command after its parts, such as [EXEC]"`
}

// Config is a client as data. Workloads maps the name of a workload to its operations by
// their names, such as register to read, write and cas.
type Config struct {
	Workloads map[string]map[string]Operation
	Certain   []string
}

// Table is a Config that was checked and is ready to be used by many clients at once.
type Table struct {
	operations map[string]map[string]*operation
	certain    []*regexp.Regexp
}

// operation is an Operation that was read.
type operation struct {
	Operation
	send, begin, append, read, write, commit []operands.Template
}

// Read checks a configuration. The error says where it is wrong, as a path such as
// register.cas.send.
func Read(c Config) (*Table, error) {
	t := &Table{operations: map[string]map[string]*operation{}}
	var err error
	if t.certain, err = Patterns(c.Certain); err != nil {
		return nil, err
	}
	for _, work := range slices.Sorted(maps.Keys(c.Workloads)) {
		if work == predicate {
			return nil, fmt.Errorf("%s: rows cannot be read by predicate with commands; speak it by a program", work)
		}
		t.operations[work] = map[string]*operation{}
		for _, f := range slices.Sorted(maps.Keys(c.Workloads[work])) {
			o, err := readOperation(f, c.Workloads[work][f])
			if err != nil {
				return nil, fmt.Errorf("%s.%s: %w", work, f, err)
			}
			t.operations[work][f] = o
		}
	}
	return t, nil
}

// predicate is the workload whose transactions have parts that no command can send.
const predicate = "predicate"

// Patterns compiles the patterns of errors that are certain.
func Patterns(texts []string) ([]*regexp.Regexp, error) {
	var all []*regexp.Regexp
	for _, text := range texts {
		r, err := regexp.Compile(text)
		if err != nil {
			return nil, fmt.Errorf("certain: %q is no regular expression (%w)", text, err)
		}
		all = append(all, r)
	}
	return all, nil
}

func readOperation(f string, o Operation) (*operation, error) {
	r := &operation{Operation: o}
	for _, part := range []struct {
		name string
		text []string
		into *[]operands.Template
	}{{"send", o.Send, &r.send}, {"begin", o.Begin, &r.begin}, {"append", o.Append, &r.append},
		{"read", o.Read, &r.read}, {"write", o.Write, &r.write}, {"commit", o.Commit, &r.commit}} {
		for _, text := range part.text {
			t, err := operands.Parse(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", part.name, err)
			}
			*part.into = append(*part.into, t)
		}
	}
	transaction := f == history.FTransaction
	switch {
	case transaction && (len(o.Begin) == 0 || len(o.Commit) == 0 || len(o.Read) == 0 || len(o.Append)+len(o.Write) == 0):
		return nil, errors.New("a transaction needs begin, read, append or write, and commit")
	case transaction && len(o.Send) > 0:
		return nil, errors.New("send: a transaction has begin, its parts and commit in its place; leave it out")
	case !transaction && len(o.Send) == 0:
		return nil, errors.New("send: it is missing; give the command and its arguments")
	}
	if err := operands.CheckKind(o.Value); err != nil && o.Value != entries {
		return nil, fmt.Errorf("value: %w", err)
	}
	if !slices.Contains([]string{"", "null", "ok", "fail"}, o.Nil) {
		return nil, fmt.Errorf("nil: %q is none of null, ok and fail", o.Nil)
	}
	return r, nil
}

// fill makes a command of templates.
func fill(templates []operands.Template, values operands.Values) ([]string, error) {
	args := make([]string, len(templates))
	for i, t := range templates {
		text, err := t.Fill(values)
		if err != nil {
			return nil, err
		}
		args[i] = text
	}
	return args, nil
}

// text is an answer as one text: the elements of a list separated by blanks.
func text(reply any) string {
	switch r := reply.(type) {
	case nil:
		return ""
	case string:
		return r
	case int64:
		return strconv.FormatInt(r, 10)
	case []any:
		var all []string
		for _, one := range r {
			all = append(all, text(one))
		}
		return strings.Join(all, " ")
	case Error:
		return r.Error()
	}
	return fmt.Sprint(reply)
}

// entries is the kind of value of an answer that lists entries of a stream: of each its identifier, and a list of its fields, by
// their names, of which the last one is the value.
const entries = "entries"

// value reads an answer as a value of the history: a list as an array.
func (o *operation) value(reply any) (json.RawMessage, error) {
	switch o.Value {
	case operands.None:
		return nil, nil
	case entries:
		return readEntries(reply)
	}
	list, is := reply.([]any)
	if !is {
		return operands.ReadValue(o.Value, text(reply))
	}
	values := []json.RawMessage{}
	for _, one := range list {
		v, err := operands.ReadValue(o.Value, text(one))
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return operands.List(values), nil
}

// readEntries reads what XRANGE answers, [[id, [name, value, …]], …], as entries of a log. An identifier is an offset, its digits
// a number.
func readEntries(reply any) (json.RawMessage, error) {
	list, is := reply.([]any)
	if !is {
		return nil, fmt.Errorf("answered %s where a list of entries belongs", text(reply))
	}
	found := make([]history.Entry, 0, len(list))
	for _, one := range list {
		parts, _ := one.([]any)
		var fields []any
		if len(parts) == 2 {
			fields, _ = parts[1].([]any)
		}
		if len(fields) < 2 || len(fields)%2 == 1 {
			return nil, fmt.Errorf("answered %s where an entry with its fields belongs", text(one))
		}
		e := history.Entry{Offset: clients.StoredInt(text(parts[0])), Value: clients.StoredInt(text(fields[len(fields)-1]))}
		if _, err := history.DecodeOffset(e.Offset); err != nil {
			return nil, fmt.Errorf("read an entry: %w", err)
		}
		found = append(found, e)
	}
	return history.EncodeEntries(found), nil
}

// Ask sends one command to a server and returns the answer as one text, over a connection
// of its own. It is how probes ask.
func Ask(ctx context.Context, address string, command []string) (string, error) {
	c, err := connect(ctx, address, new(clients.Dialer))
	if err != nil {
		return "", err
	}
	defer c.Close()
	answers, err := c.exchange(ctx, command)
	if err != nil {
		return "", err
	}
	if told, is := answers[0].(Error); is {
		return "", told
	}
	return text(answers[0]), nil
}
