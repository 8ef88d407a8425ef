package sql

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log"
	"net"

	"github.com/go-sql-driver/mysql"

	"nemesis/clients"
)

// mysqlSession is one connection of MySQL's driver, held out of the pool that database/sql
// would make of it: nothing is sent twice, and nobody else uses it.
type mysqlSession struct {
	pool *sql.DB
	conn *sql.Conn
}

// connectMySQL opens one connection to one server.
//
// Arguments are put into the statement's text by the driver, so that a statement is one
// request. CLIENT_FOUND_ROWS is off: an update that changes nothing changes no row, and a
// compare-and-set never writes the value that is there.
func connectMySQL(ctx context.Context, address string, l Login, dialer *clients.Dialer) (*mysqlSession, error) {
	config := mysql.NewConfig()
	config.User, config.Passwd, config.Net, config.Addr, config.DBName = l.User, l.Password, "tcp", address, l.Database
	config.InterpolateParams, config.CheckConnLiveness = true, false
	config.Logger = log.New(io.Discard, "", 0) // the faults that we make are not worth a word on standard error
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, address)
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	s := &mysqlSession{pool: sql.OpenDB(connector)}
	s.pool.SetMaxOpenConns(1)
	if s.conn, err = s.pool.Conn(ctx); err != nil {
		s.pool.Close()
		return nil, err
	}
	return s, nil
}

// Query runs a statement.
func (s *mysqlSession) Query(ctx context.Context, statement string, args ...any) ([][]*string, error) {
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
func (s *mysqlSession) Exec(ctx context.Context, statement string, args ...any) (int64, error) {
	result, err := s.conn.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Alive: the driver tells a connection that it gave up only when it is asked for another
// statement, so ROLLBACK is what finds out.
func (s *mysqlSession) Alive() bool { return true }

// Close ends the connection.
func (s *mysqlSession) Close() error { return errors.Join(s.conn.Close(), s.pool.Close()) }

// mysqlCode is the SQLSTATE that a server sent.
func mysqlCode(err error) string {
	var told *mysql.MySQLError
	if errors.As(err, &told) && told.SQLState != [5]byte{} {
		return string(told.SQLState[:])
	}
	return ""
}

// mysqlNumber is the number of an error that a server sent; 0 for none.
func mysqlNumber(err error) uint16 {
	var told *mysql.MySQLError
	if errors.As(err, &told) {
		return told.Number
	}
	return 0
}
