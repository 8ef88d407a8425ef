package sql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"nemesis/clients"
)

// postgres is one connection of PostgreSQL's driver.
type postgres struct{ conn *pgx.Conn }

// commit ends a transaction, and is how PostgreSQL answers when it did.
const commit = "COMMIT"

// goodbye is how long a connection may take to say that it ends.
const goodbye = 100 * time.Millisecond

// connectPostgres opens one connection to one server.
//
// What differs from the driver's defaults, and why:
//
//   - The dialer opens one connection and no other. When an operation's time is up the driver
//     would open a second one in the background and ask the server to cancel the
//     statement: that is a request after the operation's end, and one that lets a commit which waits
//     for a synchronous standby take effect without it.
//   - Statements are not prepared: every operation is planned as if it were the first, and
//     nothing depends on what a connection did before.
//   - No TLS, no password file, no service file and no variables of the environment: the
//     configuration is the one written here.
func connectPostgres(ctx context.Context, address string, l Login, dialer *clients.Dialer) (*postgres, error) {
	config, err := pgx.ParseConfig("sslmode=disable passfile=/dev/null")
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		return nil, err
	}
	config.Host, config.Port, config.User, config.Database, config.Password = host, uint16(number), l.User, l.Database, l.Password
	config.Fallbacks, config.TLSConfig, config.ConnectTimeout = nil, nil, 0
	config.RuntimeParams = map[string]string{"application_name": "nemesis", "client_encoding": "UTF8"}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	dialed := false
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dialed {
			return nil, errSecond
		}
		dialed = true
		return dialer.DialContext(ctx, network, address)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, briefly(err)
	}
	return &postgres{conn}, nil
}

// Query runs a statement.
func (s *postgres) Query(ctx context.Context, statement string, args ...any) ([][]*string, error) {
	rows, err := s.conn.Query(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]*string, error) {
		columns := make([]*string, len(row.FieldDescriptions()))
		for i, raw := range row.RawValues() { // texts, as nothing is prepared
			if raw != nil {
				text := string(raw)
				columns[i] = &text
			}
		}
		return columns, nil
	})
}

// Exec runs a statement. A COMMIT that the server answers with ROLLBACK is an error.
func (s *postgres) Exec(ctx context.Context, statement string, args ...any) (int64, error) {
	tag, err := s.conn.Exec(ctx, statement, args...)
	if err == nil && statement == commit && tag.String() != commit {
		err = fmt.Errorf("the server answered COMMIT with %.40q", tag.String())
	}
	return tag.RowsAffected(), err
}

// Alive says whether the driver has given the connection up.
func (s *postgres) Alive() bool { return !s.conn.IsClosed() }

// Close says goodbye, if that is quickly done.
func (s *postgres) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	return s.conn.Close(ctx)
}

// postgresCode is the SQLSTATE that a server sent.
func postgresCode(err error) string {
	var told *pgconn.PgError
	if errors.As(err, &told) {
		return told.Code
	}
	return ""
}

// refused is an error of connecting with a short text.
type refused struct {
	text string
	error
}

func (r refused) Error() string { return r.text }
func (r refused) Unwrap() error { return r.error }

// briefly leaves out what the driver says of its configuration before the reason.
func briefly(err error) error {
	var failed *pgconn.ConnectError
	if errors.As(err, &failed) {
		if inner := errors.Unwrap(failed); inner != nil {
			return refused{"connect: " + strings.ReplaceAll(inner.Error(), "\n", " "), err}
		}
	}
	return err
}
