package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nemesis/clients"
)

// Login is how a client logs in to a server.
type Login struct {
	// Driver is one of Drivers: whose protocol the server speaks.
	Driver string
	// User, Password and Database are what the server knows the client by; "" for none.
	User, Password, Database string
}

// The drivers that there are.
const (
	PostgreSQL = "postgres"
	MySQL      = "mysql"
)

// Drivers are the names of the drivers: that of PostgreSQL (pgx), and that of MySQL and MariaDB
// (go-sql-driver/mysql).
func Drivers() []string { return []string{PostgreSQL, MySQL} }

// Connect opens one connection to the server at an address, by the dialer of the process, and runs the
// statements of setup on it. It sends nothing twice, asks for no encryption, and reads no file and no
// variable of the environment.
func (l Login) Connect(ctx context.Context, address string, dialer *clients.Dialer, setup ...string) (Session, error) {
	var s Session
	var err error
	switch l.Driver {
	case PostgreSQL:
		s, err = connectPostgres(ctx, address, l, dialer)
	case MySQL:
		s, err = connectMySQL(ctx, address, l, dialer)
	default:
		err = l.check()
	}
	if err != nil {
		return nil, err
	}
	for _, statement := range setup {
		if _, err := s.Exec(ctx, statement); err != nil && !onlyReads(err) {
			s.Close()
			return nil, fmt.Errorf("set up the session: %w", err)
		}
	}
	return s, nil
}

// check says what is wrong with a login.
func (l Login) check() error {
	if !slices.Contains(Drivers(), l.Driver) {
		return fmt.Errorf("driver: %q is none of %s", l.Driver, strings.Join(Drivers(), " and "))
	}
	return nil
}

// Code is the SQLSTATE that a server sent with an error; "" for none.
func Code(err error) string {
	if code := postgresCode(err); code != "" {
		return code
	}
	return mysqlCode(err)
}

// onlyReads: the server refused a statement since it only serves reads, for which it needs no setup:
// SQLSTATE 25006 of PostgreSQL, and the errors of a server with read_only of MySQL.
func onlyReads(err error) bool {
	return Code(err) == "25006" || slices.Contains([]uint16{1290, 1836}, mysqlNumber(err))
}

// begins are the statements that begin a transaction at a level of isolation; "" is the server's own.
func (l Login) begin(level string) string {
	if l.Driver == MySQL {
		return "START TRANSACTION" // the level is the session's
	}
	if level == "" {
		return "BEGIN"
	}
	return "BEGIN ISOLATION LEVEL " + LevelName(level)
}

// setLevel are the statements that set the level of isolation of a session.
func (l Login) setLevel(level string) []string {
	if l.Driver == MySQL && level != "" {
		return []string{"SET SESSION TRANSACTION ISOLATION LEVEL " + LevelName(level)}
	}
	return nil
}

// Ask sends one statement to a server over a connection of its own, and returns the first row of what it answered,
// columns separated by blanks. It is how probes ask.
func (l Login) Ask(ctx context.Context, address, statement string) (string, error) {
	s, err := l.Connect(ctx, address, new(clients.Dialer))
	if err != nil {
		return "", err
	}
	defer s.Close()
	rows, err := s.Query(ctx, statement)
	if err != nil || len(rows) == 0 {
		return "", err
	}
	var columns []string
	for _, c := range rows[0] {
		if c != nil {
			columns = append(columns, *c)
		}
	}
	return strings.Join(columns, " "), nil
}

var errSecond = errors.New("this client opens no second connection")
