package sql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"nemesis/history"
)

// stated is an error with an SQLSTATE.
type stated struct{ state string }

func (e stated) Error() string { return "the server refused" }

// fake is a connection to a server that a test scripts: rows and errors by statement.
type fake struct {
	rows    map[string][][]*string
	changed map[string]int64
	errs    map[string]error
	dead    bool
	said    []string // every statement
	closed  bool
}

func (f *fake) Query(_ context.Context, statement string, _ ...any) ([][]*string, error) {
	f.said = append(f.said, statement)
	return f.rows[statement], f.errs[statement]
}

func (f *fake) Exec(_ context.Context, statement string, args ...any) (int64, error) {
	f.said = append(f.said, statement)
	if n, is := f.changed[statement]; is {
		return n, f.errs[statement]
	}
	return 1, f.errs[statement]
}

func (f *fake) Alive() bool  { return !f.dead }
func (f *fake) Close() error { f.closed = true; return nil }

var words = Dialect{
	Begin: "begin", Commit: "commit", Rollback: "rollback",
	ReadList:     func(table string) string { return "read " + table },
	AppendList:   func(table string) string { return "append " + table },
	ReadRegister: "get", WriteRegister: "put", CreateRegister: "create", SwapRegister: "swap",
	AddElement: "add", ListElements: "list",
	InsertRow: "insert", DeleteRow: "delete", ReadRow: "row", MatchRows: "match",
	NextOffset: "next", InsertEntry: "entry", PollEntries: "entries",
	HighestValue: "highest", InsertStamped: "stamp", ListStamped: "chain",
	CreateAccount: "account", ReadAccount: "balance", SetAccount: "pay", ListAccounts: "accounts",
	Code: func(err error) string {
		var s stated
		if errors.As(err, &s) {
			return s.state
		}
		return ""
	},
}

func clientOf(f *fake, work string, refused error) *Client {
	return New(words, history.Workload{Name: work}, func(context.Context) (Session, error) {
		if refused != nil {
			return nil, refused
		}
		return f, nil
	})
}

func rows(values ...string) [][]*string {
	var all [][]*string
	for _, v := range values {
		all = append(all, []*string{&v})
	}
	return all
}

// accounts are rows of two columns.
func accounts(values ...string) [][]*string {
	var all [][]*string
	for i := 0; i < len(values); i += 2 {
		all = append(all, []*string{&values[i], &values[i+1]})
	}
	return all
}

const (
	appends = `[["r","k1",null],["append","k1",3]]`
	reads   = `[["r","k1",null]]`
)

// When an error comes decides, its SQLSTATE only in two cases.
func TestErrorsAreSortedByTheirMoment(t *testing.T) {
	for _, c := range []struct {
		name, value, at string
		err             error
		want            history.Type
		reused          bool // the connection
	}{
		{"connection refused", appends, "connect", io.ErrUnexpectedEOF, history.Fail, false},
		{"BEGIN is not answered", appends, "begin", context.DeadlineExceeded, history.Fail, false},
		{"read is not answered", appends, "read nemesis_list", context.DeadlineExceeded, history.Fail, true},
		{"write is not answered", appends, "append nemesis_list", io.EOF, history.Fail, true},
		{"serialization failure of a statement", appends, "append nemesis_list", stated{"40001"}, history.Fail, true},
		{"deadlock", appends, "append nemesis_list", stated{"40P01"}, history.Fail, true},
		{"administrator's shutdown in the middle", appends, "append nemesis_list", stated{"57P01"}, history.Fail, true},
		{"statement's completion unknown", appends, "append nemesis_list", stated{"40003"}, history.Info, true},
		{"transaction's resolution unknown", appends, "append nemesis_list", stated{"08007"}, history.Info, true},
		{"COMMIT is not answered", appends, "commit", context.DeadlineExceeded, history.Info, false},
		{"connection lost at COMMIT", appends, "commit", io.EOF, history.Info, false},
		{"serialization failure at COMMIT", appends, "commit", stated{"40001"}, history.Info, false},
		{"refused COMMIT", appends, "commit", stated{"23505"}, history.Info, false},
		{"COMMIT of a transaction that only read", reads, "commit", stated{"40001"}, history.Fail, false},
		{"COMMIT of a read is not answered", reads, "commit", io.EOF, history.Fail, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{errs: map[string]error{c.at: c.err}, rows: map[string][][]*string{"read nemesis_list": rows("1,2")}}
			var refused error
			if c.at == "connect" {
				refused = c.err
			}
			client := clientOf(f, "append", refused)
			done := client.Invoke(context.Background(), history.Event{F: history.FTransaction, Value: json.RawMessage(c.value)})
			if done.Type != c.want || done.Error == "" || done.Value != nil {
				t.Errorf("%+v, want %s with an error and without a value", done, c.want)
			}
			if reused := client.session != nil; reused != c.reused || f.closed == reused && c.at != "connect" {
				t.Errorf("the connection is used again: %v, closed: %v", reused, f.closed)
			}
			commits := strings.Count(strings.Join(f.said, ";"), "commit")
			if c.at != "commit" && commits > 0 {
				t.Errorf("COMMIT was sent after an error: %v", f.said)
			}
		})
	}
}

func TestTransactionThatCannotBeRolledBackEndsItsConnection(t *testing.T) {
	for name, f := range map[string]*fake{
		"rollback fails":      {errs: map[string]error{"append nemesis_list": stated{"40001"}, "rollback": io.EOF}},
		"the driver gave up":  {errs: map[string]error{"append nemesis_list": context.DeadlineExceeded}, dead: true},
		"the answer is silly": {rows: map[string][][]*string{"read nemesis_list": rows("1", "2")}},
	} {
		client := clientOf(f, "append", nil)
		client.Invoke(context.Background(), history.Event{F: history.FTransaction, Value: json.RawMessage(appends)})
		if client.session != nil || !f.closed {
			t.Errorf("%s: the connection is still used", name)
		}
	}
}

// A senseless answer is never called a failure, not even of a read.
func TestSenselessAnswersLeaveTheOutcomeOpen(t *testing.T) {
	for _, list := range []string{"", "1,,2", "one", "01", "1, 2", "1.0", "null"} {
		f := &fake{rows: map[string][][]*string{"read nemesis_list": rows(list)}}
		done := clientOf(f, "append", nil).Invoke(context.Background(), history.Event{F: history.FTransaction, Value: json.RawMessage(reads)})
		if done.Type != history.Info || !strings.Contains(done.Error, "where a list was written") {
			t.Errorf("a list of %q: %+v", list, done)
		}
	}
	null := &fake{rows: map[string][][]*string{"read nemesis_list": {{nil}}, "list": {{nil}}}}
	for _, op := range []history.Event{{F: history.FTransaction, Value: json.RawMessage(reads)}, {F: history.FList}} {
		if done := clientOf(null, "append", nil).Invoke(context.Background(), op); done.Type != history.Info {
			t.Errorf("NULL: %+v", done)
		}
	}
}

func TestOperationsAreTransactions(t *testing.T) {
	for _, c := range []struct {
		work string
		op   history.Event
		fake fake
		said string
		want string
	}{
		{"append", history.Event{F: history.FTransaction, Value: json.RawMessage(`[["r","k1",null],["append","k2",3],["r","k9",null]]`)},
			fake{rows: map[string][][]*string{"read nemesis_list": rows("1,2")}},
			"begin;read nemesis_list;append nemesis_list;read nemesis_list;commit", `ok [["r","k1",[1,2]],["append","k2",3],["r","k9",[1,2]]]`},
		{"append", history.Event{F: history.FTransaction, Value: json.RawMessage(reads)}, fake{}, "begin;read nemesis_list;commit", `ok [["r","k1",[]]]`},
		{"rw-register", history.Event{F: history.FTransaction, Value: json.RawMessage(`[["w","k1",7],["r","k2",null]]`)},
			fake{rows: map[string][][]*string{"get": rows("5")}}, "begin;put;get;commit", `ok [["w","k1",7],["r","k2",5]]`},
		{"rw-register", history.Event{F: history.FTransaction, Value: json.RawMessage(`[["r","k2",null]]`)}, fake{}, "begin;get;commit", `ok [["r","k2",null]]`},
		{"register", history.Event{F: history.FRead, Key: "k1"}, fake{rows: map[string][][]*string{"get": rows("07")}}, "begin;get;commit", `ok "07"`},
		{"register", history.Event{F: history.FWrite, Key: "k1", Value: json.RawMessage("5")}, fake{}, "begin;put;commit", "ok "},
		{"register", history.Event{F: history.FCAS, Key: "k1", Value: json.RawMessage("[5,6]")}, fake{}, "begin;swap;commit", "ok "},
		{"register", history.Event{F: history.FCAS, Key: "k1", Value: json.RawMessage("[null,6]")}, fake{}, "begin;create;commit", "ok "},
		{"register", history.Event{F: history.FCAS, Key: "k1", Value: json.RawMessage("[5,6]")}, fake{changed: map[string]int64{"swap": 0}}, "begin;swap;commit", "fail "},
		{"set", history.Event{F: history.FAdd, Value: json.RawMessage("5")}, fake{}, "begin;add;commit", "ok "},
		{"bank", history.Event{F: history.FOpen, Value: json.RawMessage(`{"a1":10,"a0":10}`)}, fake{}, "begin;account;account;commit", "ok "},
		{"bank", history.Event{F: history.FTransfer, Value: json.RawMessage(`{"from":"a0","to":"a1","amount":5}`)},
			fake{rows: map[string][][]*string{"balance": rows("5")}}, "begin;balance;balance;pay;pay;commit", "ok "},
		{"bank", history.Event{F: history.FTransfer, Value: json.RawMessage(`{"from":"a0","to":"a1","amount":6}`)},
			fake{rows: map[string][][]*string{"balance": rows("5")}}, "begin;balance;balance;rollback", "fail "},
		{"bank", history.Event{F: history.FTransfer, Value: json.RawMessage(`{"from":"a0","to":"a1","amount":6}`)}, fake{}, "begin;balance;rollback", "fail "},
		{"bank", history.Event{F: history.FTransfer, Value: json.RawMessage(`{"from":"a0","to":"a1","amount":6}`)},
			fake{rows: map[string][][]*string{"balance": rows("much")}}, "begin;balance", "info "},
		{"bank", history.Event{F: history.FBalances}, fake{rows: map[string][][]*string{"accounts": accounts("a0", "5", "a1", "15")}},
			"begin;accounts;commit", `ok {"a0":5,"a1":15}`},
		{"predicate", history.Event{F: history.FTransaction, Value: json.RawMessage(`[["rp",{"group":"g3","mod":2,"rest":1},null],["insert","g3.7",7],["delete","g3.2",null],["r","g3.9",null]]`)},
			fake{rows: map[string][][]*string{"match": accounts("g3.1", "1", "g3.5", "5")}},
			"begin;match;insert;delete;row;commit", `ok [["rp",{"group":"g3","mod":2,"rest":1},[["g3.1",1],["g3.5",5]]],["insert","g3.7",7],["delete","g3.2",null],["r","g3.9",null]]`},
		{"predicate", history.Event{F: history.FTransaction, Value: json.RawMessage(`[["delete","g3.2",null]]`)}, fake{changed: map[string]int64{"delete": 0}},
			"begin;delete;rollback", "fail "},
		{"log", history.Event{F: history.FSend, Key: "k1", Value: json.RawMessage("7")}, fake{rows: map[string][][]*string{"next": rows("12")}}, "begin;next;entry;commit", "ok 12"},
		{"log", history.Event{F: history.FPoll, Key: "k1", Value: json.RawMessage("12")}, fake{rows: map[string][][]*string{"entries": accounts("13", "7", "15", "8")}},
			"begin;entries;commit", "ok [[13,7],[15,8]]"},
		{"log", history.Event{F: history.FTransaction, Value: json.RawMessage(`[["send","k1",9],["poll","k2",null]]`)}, fake{rows: map[string][][]*string{"next": rows("12"), "entries": accounts("13", "7")}},
			"begin;next;entry;entries;commit", `ok [["send","k1",[12,9]],["poll","k2",[[13,7]]]]`},
		{"log", history.Event{F: history.FPoll, Key: "k1", Value: json.RawMessage("null")}, fake{rows: map[string][][]*string{"entries": accounts("x", "7")}}, "begin;entries", "info "},
		{"log", history.Event{F: history.FSend, Key: "k1", Value: json.RawMessage("7")}, fake{}, "begin;next", "info "},
		{"monotonic", history.Event{F: history.FExtend, Key: "k1"}, fake{rows: map[string][][]*string{"highest": {{nil}}, "stamp": rows("90")}}, "begin;highest;stamp;commit", "ok [1,90]"},
		{"monotonic", history.Event{F: history.FExtend, Key: "k1"}, fake{rows: map[string][][]*string{"highest": rows("6"), "stamp": rows("90")}}, "begin;highest;stamp;commit", "ok [7,90]"},
		{"monotonic", history.Event{F: history.FExtend, Key: "k1"}, fake{rows: map[string][][]*string{"highest": rows("6")}}, "begin;highest;stamp", "info "},
		{"monotonic", history.Event{F: history.FChain, Key: "k1"}, fake{rows: map[string][][]*string{"chain": accounts("1", "90", "2", "95")}}, "begin;chain;commit", "ok [[1,90],[2,95]]"},
		{"set", history.Event{F: history.FList}, fake{rows: map[string][][]*string{"list": rows("1", "3", "2")}}, "begin;list;commit", "ok [1,3,2]"},
	} {
		f := c.fake
		done := clientOf(&f, c.work, nil).Invoke(context.Background(), c.op)
		if said := strings.Join(f.said, ";"); said != c.said {
			t.Errorf("%s %s: it said %s, want %s", c.op.F, c.op.Value, said, c.said)
		}
		if got := fmt.Sprintf("%s %s", done.Type, done.Value); got != c.want {
			t.Errorf("%s %s: %s (%s), want %s", c.op.F, c.op.Value, got, done.Error, c.want)
		}
	}
}

func TestOperationsOfOtherWorkloadsAreRefusedUnsent(t *testing.T) {
	for _, op := range []history.Event{
		{F: "dance"}, {F: history.FWrite, Value: json.RawMessage(`"five"`)}, {F: history.FCAS, Value: json.RawMessage(`[1]`)},
		{F: history.FTransaction, Value: json.RawMessage(`[["delete","k1",null]]`)}, {F: history.FTransaction}, {F: history.FAdd},
	} {
		f := &fake{}
		if done := clientOf(f, "append", nil).Invoke(context.Background(), op); done.Type != history.Fail || len(f.said) > 0 {
			t.Errorf("%s %s: %+v, and it said %v", op.F, op.Value, done, f.said)
		}
	}
}

// A file's send is one statement, which returns the offset.
func TestSendOfOneStatement(t *testing.T) {
	table, err := Read(Config{Login: Login{Driver: PostgreSQL, User: "u"}, Workloads: map[string]map[string]Operation{"log": {
		"send": {Send: "INSERT … :key :value RETURNING id"}, "poll": {Send: "SELECT … :key :after"}}}})
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{rows: map[string][][]*string{"INSERT … $1 $2 RETURNING id": rows("12"), "SELECT … $1 $2": accounts("12", "7")}}
	client := New(table.dialects["log"], history.Workload{Name: "log"}, func(context.Context) (Session, error) { return f, nil })
	for _, op := range []struct {
		op   history.Event
		want string
	}{
		{history.Event{F: history.FSend, Key: "k", Value: json.RawMessage("7")}, "ok 12"},
		{history.Event{F: history.FPoll, Key: "k", Value: json.RawMessage("null")}, "ok [[12,7]]"},
	} {
		if done := client.Invoke(t.Context(), op.op); fmt.Sprintf("%s %s", done.Type, done.Value) != op.want {
			t.Errorf("%s: %+v, want %s; it said %v", op.op.F, done, op.want, f.said)
		}
	}
}
