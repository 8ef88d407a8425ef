package mariadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/go-sql-driver/mysql"

	"nemesis/clients"
	"nemesis/servers/mariadb"
)

// session is one connection of the official driver, held out of the pool that database/sql
// would make of it: nothing is sent twice, and nobody else uses it.
type session struct {
	pool *sql.DB
	conn *sql.Conn
}

// connect opens one connection to one server, whose transactions have the options' level.
//
// Arguments are put into the statement's text by the driver, so that a statement is one
// request. CLIENT_FOUND_ROWS is off: an update that changes nothing changes no row, and a
// compare-and-set never writes the value that is there.
func connect(ctx context.Context, address string, o options, dialer *clients.Dialer) (*session, error) {
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr, config.DBName = mariadb.User, "tcp", address, mariadb.Database
	config.InterpolateParams, config.CheckConnLiveness = true, false
	config.Logger = log.New(io.Discard, "", 0) // the faults that we make are not worth a word on standard error
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, address)
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	s := &session{pool: sql.OpenDB(connector)}
	s.pool.SetMaxOpenConns(1)
	if s.conn, err = s.pool.Conn(ctx); err != nil {
		s.pool.Close()
		return nil, err
	}
	setup := []string{"SET SESSION TRANSACTION ISOLATION LEVEL " + o.level(), fmt.Sprintf("SET SESSION innodb_snapshot_isolation = %d", btoi(o.snapshots))}
	if o.syncWait > 0 {
		setup = append(setup, fmt.Sprintf("SET SESSION wsrep_sync_wait = %d", o.syncWait))
	}
	for _, statement := range setup {
		if _, err := s.conn.ExecContext(ctx, statement); err != nil {
			s.Close()
			return nil, fmt.Errorf("set up the session: %w", err)
		}
	}
	return s, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Query runs a statement.
func (s *session) Query(ctx context.Context, statement string, args ...any) ([][]*string, error) {
	rows, err := s.conn.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var all [][]*string
	for rows.Next() {
		columns, places := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range columns {
			places[i] = &columns[i]
		}
		if err := rows.Scan(places...); err != nil {
			return nil, err
		}
		row := make([]*string, len(names))
		for i, c := range columns {
			if c.Valid {
				row[i] = &c.String
			}
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// Exec runs a statement.
func (s *session) Exec(ctx context.Context, statement string, args ...any) (int64, error) {
	result, err := s.conn.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Alive: the driver tells a connection that it gave up only when it is asked for another
// statement, so ROLLBACK is what finds out.
func (s *session) Alive() bool { return true }

// Close ends the connection.
func (s *session) Close() error { return errors.Join(s.conn.Close(), s.pool.Close()) }

// code is the SQLSTATE that a server sent.
func code(err error) string {
	var told *mysql.MySQLError
	if errors.As(err, &told) && told.SQLState != [5]byte{} {
		return string(told.SQLState[:])
	}
	return ""
}
