package sql

import (
	"slices"
	"strings"
	"testing"

	"nemesis/history"
)

// Names become places, and nothing else does.
func TestNamesOfAStatementBecomePlaces(t *testing.T) {
	for _, c := range []struct {
		statement, dollars, questions, names string
	}{
		{"SELECT value FROM t WHERE id = :key", "SELECT value FROM t WHERE id = $1", "SELECT value FROM t WHERE id = ?", "key"},
		{"UPDATE t SET v = :to, w = :to WHERE id = :key", "UPDATE t SET v = $1, w = $1 WHERE id = $2", "UPDATE t SET v = ?, w = ? WHERE id = ?", "to to key"},
		{"SELECT :value::bigint", "SELECT $1::bigint", "SELECT ?::bigint", "value"},
		{"SELECT ':key', \":key\", `:key`, a[1:2] -- :key\n, :key", "SELECT ':key', \":key\", `:key`, a[1:2] -- :key\n, $1", "SELECT ':key', \":key\", `:key`, a[1:2] -- :key\n, ?", "key"},
		{"/* :a */ $$ :b $$ :key", "/* :a */ $$ :b $$ $1", "/* :a */ $$ :b $$ ?", "key"},
		{"SELECT 'it''s :key' || :key", "SELECT 'it''s :key' || $1", "SELECT 'it''s :key' || ?", "key"},
		{"SELECT ':key", "SELECT ':key", "SELECT ':key", ""},
		{"SELECT :", "SELECT :", "SELECT :", ""},
	} {
		dollars, questions := bind(c.statement, Dollars), bind(c.statement, Questions)
		if dollars.text != c.dollars || questions.text != c.questions || strings.Join(questions.names, " ") != c.names {
			t.Errorf("%q: %q, %q, %v", c.statement, dollars.text, questions.text, questions.names)
		}
		once := slices.Clone(questions.names)
		slices.Sort(once)
		if got := slices.Sorted(slices.Values(dollars.names)); !slices.Equal(got, slices.Compact(once)) {
			t.Errorf("%q: the names are %v", c.statement, got)
		}
	}
}

// What is wrong with statements is said when the file is read.
func TestStatementsAreChecked(t *testing.T) {
	login := Login{Driver: PostgreSQL}
	one := func(work, f string, o Operation) map[string]map[string]Operation {
		return map[string]map[string]Operation{work: {f: o}}
	}
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"driver":            {Config{Login: Login{Driver: "oracle"}}, `driver: "oracle" is none of postgres and mysql`},
		"isolation":         {Config{Login: login, Isolation: "snapshot"}, `isolation: "snapshot" is none of`},
		"no statement":      {Config{Login: login, Workloads: one("register", history.FRead, Operation{})}, "register.read: send: the statement is missing"},
		"unknown name":      {Config{Login: login, Workloads: one("register", history.FRead, Operation{Send: "SELECT :id"})}, "there is no :id; there are key"},
		"no names":          {Config{Login: login, Workloads: one("bank", history.FBalances, Operation{Send: "SELECT :id"})}, "there is no :id; there are no names"},
		"wrong part":        {Config{Login: login, Workloads: one("register", history.FRead, Operation{Send: "SELECT 1", Match: "SELECT 1"})}, "match: it has no such statement; it needs send"},
		"half a transfer":   {Config{Login: login, Workloads: one("bank", history.FTransfer, Operation{Read: "SELECT 1"})}, "bank.transfer: write: the statement is missing"},
		"not one of SQL's":  {Config{Login: login, Workloads: one("lock", history.FAcquire, Operation{Send: "SELECT 1"})}, "cannot perform it"},
		"transaction's own": {Config{Login: login, Workloads: one("append", history.FTransaction, Operation{Send: "SELECT 1"})}, "it needs append and read"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(c.config)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v; want %s", err, c.want)
			}
		})
	}
}
