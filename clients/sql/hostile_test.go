package sql

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"nemesis/clients"
	"nemesis/history"
)

// liar is a server that speaks PostgreSQL's protocol as far as it cares to.
type liar struct {
	address string
	// connections counts those that were opened, a cancel request's included.
	connections atomic.Int64
}

// lie serves: at decides what is answered to a statement; "" is as a server would, "hang" is nothing, "cut" ends the
// connection, and anything else is an error's SQLSTATE, or after "tag " a command tag.
func lie(t *testing.T, at func(statement string) string) *liar {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	l := &liar{address: listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.connections.Add(1)
			go l.serve(conn, at)
		}
	}()
	return l
}

func (l *liar) serve(conn net.Conn, at func(string) string) {
	defer conn.Close()
	b := pgproto3.NewBackend(conn, conn)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if b.Flush() != nil {
		return
	}
	statement, failed := "", false
	for {
		message, err := b.Receive()
		if err != nil {
			return
		}
		end := false
		switch m := message.(type) {
		case *pgproto3.Query:
			statement, end = m.String, true
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte(strings.Fields(m.String)[0])})
		case *pgproto3.Parse:
			statement, failed = m.Query, false
			b.Send(&pgproto3.ParseComplete{})
		case *pgproto3.Bind:
			b.Send(&pgproto3.BindComplete{})
		case *pgproto3.Describe:
			if strings.HasPrefix(statement, "SELECT") {
				b.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("value"), DataTypeOID: 25, DataTypeSize: -1}}})
			} else {
				b.Send(&pgproto3.NoData{})
			}
		case *pgproto3.Execute:
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte("INSERT 0 1")})
		case *pgproto3.Sync:
			end = true
		case *pgproto3.Terminate:
			return
		}
		if !end || failed {
			continue
		}
		switch answer := at(statement); {
		case answer == "hang":
			time.Sleep(time.Hour) // until the test is over
		case answer == "cut":
			return
		case strings.HasPrefix(answer, "tag "):
			b = pgproto3.NewBackend(conn, conn) // without what was about to be said
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte(answer[4:])})
		case answer != "":
			b = pgproto3.NewBackend(conn, conn)
			b.Send(&pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: answer, Message: "as the test wishes"})
		}
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'T'})
		if b.Flush() != nil {
			return
		}
	}
}

// invoke performs one transaction that appends, and waits for whatever the driver still does.
func (l *liar) invoke(t *testing.T) clients.Completion {
	t.Helper()
	table, err := Read(Config{Login: Login{Driver: PostgreSQL, User: "u"}, Isolation: "serializable", Workloads: map[string]map[string]Operation{
		"append": {history.FTransaction: {Append: "INSERT INTO lists (id, value) VALUES (:key, :value)", Read: "SELECT value FROM lists WHERE id = :key"}}}})
	if err != nil {
		t.Fatal(err)
	}
	client := table.Open("append", func(context.Context) (string, error) { return l.address, nil }, new(clients.Dialer))
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	done := client.Invoke(ctx, history.Event{F: history.FTransaction, Value: json.RawMessage(`[["append","k1",1]]`)})
	_ = client.Close()
	return done
}

// Errors as they come out of the official driver: the moment decides.
func TestOutcomesOverTheWire(t *testing.T) {
	for _, c := range []struct {
		at, answer string
		want       history.Type
		error      string
	}{
		{"", "", history.OK, ""},
		{"BEGIN", "cut", history.Fail, ""},
		{"BEGIN", "hang", history.Fail, ""},
		{"INSERT", "cut", history.Fail, ""},
		{"INSERT", "hang", history.Fail, ""},
		{"INSERT", "40001", history.Fail, "40001"},
		{"INSERT", "40003", history.Info, "40003"},
		{"COMMIT", "cut", history.Info, ""},
		{"COMMIT", "hang", history.Info, ""},
		{"COMMIT", "40001", history.Info, "40001"},
		{"COMMIT", "tag ROLLBACK", history.Info, "ROLLBACK"},
	} {
		t.Run(c.at+" "+c.answer, func(t *testing.T) {
			t.Parallel()
			l := lie(t, func(statement string) string {
				if c.at != "" && strings.HasPrefix(statement, c.at) {
					return c.answer
				}
				return ""
			})
			done := l.invoke(t)
			if done.Type != c.want || !strings.Contains(done.Error, c.error) || (done.Error == "") != (c.want == history.OK) {
				t.Errorf("%s: %s; want %s with %q", done.Type, done.Error, c.want, c.error)
			}
		})
	}
}

// The driver sends a cancel request behind a statement whose time is up, over a connection of its own. A commit that waits for a
// standby would take effect by that.
func TestNothingIsCancelledBehindAnOperation(t *testing.T) {
	l := lie(t, func(statement string) string {
		if statement == commit {
			return "hang"
		}
		return ""
	})
	s, err := connectPostgres(context.Background(), l.address, Login{Driver: PostgreSQL, User: "u"}, new(clients.Dialer))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := s.Exec(ctx, commit); err == nil {
		t.Error("a commit that is not answered has no error")
	}
	// Closed, the driver has done all that it does in the background. It may wait for the server to hang up.
	_ = s.conn.PgConn().Conn().Close()
	select {
	case <-s.conn.PgConn().CleanupDone():
	case <-time.After(time.Minute):
		t.Fatal("the driver does not come to an end")
	}
	if n := l.connections.Load(); n != 1 {
		t.Errorf("the server saw %d connections, want one", n)
	}
}
