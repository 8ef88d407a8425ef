package postgres

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// dial connects to a server as its administrator.
func dial(ctx context.Context, address string, replication bool) (*pgconn.PgConn, error) {
	config, err := pgconn.ParseConfig("sslmode=disable passfile=/dev/null")
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
	config.Host, config.Port, config.User, config.Database = host, uint16(number), administrator, Database
	config.Fallbacks, config.TLSConfig = nil, nil
	config.RuntimeParams = map[string]string{"application_name": "supervisor"}
	if replication {
		config.RuntimeParams["replication"] = "true"
	}
	return pgconn.ConnectConfig(ctx, config)
}

// copyFrom makes a directory of a primary's data, with as much of its log as that takes, by the
// protocol that pg_basebackup speaks (PostgreSQL 15 and newer).
func copyFrom(ctx context.Context, address, into string) error {
	conn, err := dial(ctx, address, true)
	if err != nil {
		return fmt.Errorf("copy the primary's data: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// A deadline of the context ends the reading below.
	stop := context.AfterFunc(ctx, func() { conn.Conn().Close() })
	defer stop()
	conn.Frontend().Send(&pgproto3.Query{String: "BASE_BACKUP (LABEL 'nemesis', CHECKPOINT 'fast', WAL true, MANIFEST 'no')"})
	if err := conn.Frontend().Flush(); err != nil {
		return fmt.Errorf("copy the primary's data: %w", err)
	}
	if err := os.MkdirAll(into, 0o700); err != nil {
		return err
	}
	read, write := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := writeTree(read, into)
		read.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // or the sender would wait for us
		written <- err
	}()
	sent := receive(conn, write)
	write.CloseWithError(sent) // nil is the end
	if err := errors.Join(sent, <-written); err != nil {
		return fmt.Errorf("copy the primary's data: %w", err)
	}
	return nil
}

// receive writes the archive that a backup consists of to w.
func receive(conn *pgconn.PgConn, w io.Writer) error {
	archives := 0
	for {
		message, err := conn.Frontend().Receive()
		if err != nil {
			return err
		}
		switch m := message.(type) {
		case *pgproto3.ErrorResponse:
			return pgconn.ErrorResponseToPgError(m)
		case *pgproto3.ReadyForQuery:
			if archives != 1 {
				return fmt.Errorf("the primary sent %d archives instead of one", archives)
			}
			return nil
		case *pgproto3.CopyData:
			switch {
			case len(m.Data) == 0:
				return errors.New("the primary sent an empty message")
			case m.Data[0] == 'n':
				archives++
			case m.Data[0] == 'd':
				if _, err := w.Write(m.Data[1:]); err != nil {
					return err
				}
			}
		}
	}
}

// writeTree writes a tar stream's files below a directory.
func writeTree(r io.Reader, into string) error {
	root, err := os.OpenRoot(into)
	if err != nil {
		return err
	}
	defer root.Close()
	files := tar.NewReader(r)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, r) // what pads the archive
			return err
		}
		if err != nil {
			return err
		}
		name := path.Clean(header.Name)
		switch header.Typeflag {
		case tar.TypeDir:
			if err := root.MkdirAll(name, 0o700); err != nil {
				return err
			}
		case tar.TypeReg:
			if err := writeFile(root, name, files, fs.FileMode(0o600)); err != nil {
				return err
			}
		default:
			return fmt.Errorf("the primary's data has %q, which is neither a file nor a directory", name)
		}
	}
}

// query returns the only value of a statement's only row; "" for NULL and for no row.
func query(ctx context.Context, address, statement string) (string, error) {
	conn, err := dial(ctx, address, false)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	results, err := conn.Exec(ctx, statement).ReadAll()
	if err != nil {
		return "", err
	}
	if len(results) == 0 || len(results[0].Rows) == 0 || len(results[0].Rows[0]) == 0 {
		return "", nil
	}
	return string(bytes.TrimSpace(results[0].Rows[0][0])), nil
}
