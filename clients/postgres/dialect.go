package postgres

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"nemesis/clients/sql"
)

// dialect is PostgreSQL's SQL for these options.
func dialect(o options) sql.Dialect {
	d := sql.Dialect{
		Begin:    "BEGIN ISOLATION LEVEL " + o.level(),
		Commit:   "COMMIT",
		Rollback: "ROLLBACK",
		ReadList: func(table string) string {
			return "SELECT value FROM " + table + " WHERE id = :key" + pause(o.readDelay)
		},
		AppendList:     upsert,
		ReadRegister:   "SELECT value FROM nemesis_register WHERE id = :key",
		WriteRegister:  "INSERT INTO nemesis_register (id, value) VALUES (:key, :value) ON CONFLICT (id) DO UPDATE SET value = EXCLUDED.value",
		CreateRegister: "INSERT INTO nemesis_register (id, value) VALUES (:key, :value) ON CONFLICT (id) DO NOTHING",
		SwapRegister:   "UPDATE nemesis_register SET value = :to WHERE id = :key AND value = :from",
		AddElement:     "INSERT INTO nemesis_element (name, element) VALUES (:key, :value)",
		ListElements:   "SELECT element FROM nemesis_element WHERE name = :key",
		CreateAccount:  "INSERT INTO nemesis_account (id, balance) VALUES (:key, :value) ON CONFLICT (id) DO NOTHING",
		InsertRow:      "INSERT INTO nemesis_row (id, grp, value) VALUES (:key, :group, :value)",
		DeleteRow:      "DELETE FROM nemesis_row WHERE id = :key",
		ReadRow:        "SELECT value FROM nemesis_row WHERE id = :key",
		MatchRows:      "SELECT id, value FROM nemesis_row WHERE grp = :group AND mod(value, :divisor::bigint) = :rest::bigint",
		NextOffset:     "INSERT INTO nemesis_head AS t (id, next) VALUES (:key, 1) ON CONFLICT (id) DO UPDATE SET next = t.next + 1 RETURNING next",
		InsertEntry:    "INSERT INTO nemesis_entry (log, id, value) VALUES (:key, :offset, :value)",
		PollEntries:    "SELECT id, value FROM nemesis_entry WHERE log = :key AND id > :after ORDER BY id",
		HighestValue:   "SELECT max(value) FROM nemesis_chain WHERE name = :key",
		InsertStamped:  "INSERT INTO nemesis_chain (name, value, stamp) VALUES (:key, :value, " + o.stamp() + ") RETURNING stamp",
		ListStamped:    "SELECT value, stamp FROM nemesis_chain WHERE name = :key",
		ReadAccount:    "SELECT balance FROM nemesis_account WHERE id = :key",
		SetAccount:     "UPDATE nemesis_account SET balance = :value WHERE id = :key",
		ListAccounts:   "SELECT id, balance FROM nemesis_account",
		Code:           sql.Code,
	}
	if o.offsets == sequence {
		d.NextOffset = "SELECT nextval('nemesis_offset')"
	}
	if o.tables > 0 {
		d.Table = func(key string) string { return listTable(numberOf(key, o.tables)) }
	}
	return d
}

// stamp is the expression of a stamp: a number, or microseconds.
func (o options) stamp() string {
	switch o.stamps {
	case atBegin:
		return "(extract(epoch FROM now()) * 1000000)::bigint"
	case byClock:
		return "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
	}
	return "nextval('nemesis_stamp')"
}

// pause makes a statement wait after its start, and before it looks at any table: a condition that concerns no row is
// evaluated once, before the scan that it guards.
func pause(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf(" AND (SELECT pg_sleep(%g)) IS NOT NULL", d.Seconds())
}

// upsert appends to a list, which is made where it is missing.
func upsert(table string) string {
	return fmt.Sprintf("INSERT INTO %[1]s AS t (id, value) VALUES (:key, :value) ON CONFLICT (id) DO UPDATE SET value = t.value || ',' || EXCLUDED.value", table)
}

// listTable is the n-th of many tables for lists.
func listTable(n int) string { return fmt.Sprintf("%s_%d", sql.ListTable, n) }

// numberOf chooses one of n tables for a key. Keys of workloads end in numbers, one more for each new key; those that are
// used at the same time are to be in different tables.
func numberOf(key string, n int) int {
	number := 0
	if _, err := fmt.Sscanf(strings.TrimLeft(key, "abcdefghijklmnopqrstuvwxyz"), "%d", &number); err == nil && number >= 0 {
		return number % n
	}
	h := fnv.New32a()
	h.Write([]byte(key))
	return int(h.Sum32() % uint32(n))
}

// schema makes the tables, a statement a line: that is how the server's single-user mode reads them.
func schema(o options) string {
	lines := []string{
		"CREATE TABLE nemesis_register (id text PRIMARY KEY, value bigint NOT NULL);",
		"CREATE TABLE nemesis_element (name text NOT NULL, element bigint NOT NULL);",
		"CREATE TABLE nemesis_account (id text PRIMARY KEY, balance bigint NOT NULL);",
		"CREATE TABLE nemesis_row (id text PRIMARY KEY, grp text NOT NULL, value bigint NOT NULL);",
		"CREATE TABLE nemesis_head (id text PRIMARY KEY, next bigint NOT NULL);",
		"CREATE TABLE nemesis_entry (log text, id bigint, value bigint NOT NULL, PRIMARY KEY (log, id));",
		"CREATE SEQUENCE nemesis_offset;",
		"CREATE TABLE nemesis_chain (name text NOT NULL, value bigint NOT NULL, stamp bigint NOT NULL);",
		"CREATE INDEX ON nemesis_chain (name, value);",
		"CREATE SEQUENCE nemesis_stamp;",
		"CREATE INDEX ON nemesis_row (grp);",
		"CREATE INDEX ON nemesis_element (name);",
		createList(sql.ListTable) + ";",
	}
	if o.tables > 0 {
		lines = append(lines, fmt.Sprintf("DO $$BEGIN FOR n IN 0..%d LOOP EXECUTE '%s'; END LOOP; END$$;",
			o.tables-1, strings.Replace(createList(sql.ListTable+"_"), sql.ListTable+"_", sql.ListTable+"_' || n || '", 1)))
	}
	return strings.Join(lines, "\n") + "\n"
}

func createList(table string) string {
	return "CREATE TABLE " + table + " (id text PRIMARY KEY, value text NOT NULL)"
}
