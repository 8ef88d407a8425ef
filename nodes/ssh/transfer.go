package ssh

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/pkg/sftp"
)

// inFlight is how many 32 KiB requests of one file are under way at a time:
// enough to fill a link of 1 Gbit/s at a round trip of 15 ms.
const inFlight = 64

// transferSessions are the sessions that a transfer takes: SFTP, and the program
// that hashes. Taking both at once keeps many transfers from waiting for each
// other's second one for ever.
const transferSessions = 2

// Upload writes beside the target and renames, so that nobody ever sees, or
// runs, half a file; the hash is read back before the rename.
func (c *conn) Upload(ctx context.Context, content io.Reader, target string, mode uint32) error {
	what := "upload " + shown(target)
	f, err := c.files(ctx)
	if err != nil {
		return c.failed(what, err)
	}
	defer f.close()
	if err := f.put(content, target, fs.FileMode(mode).Perm()); err != nil {
		return c.failed(what, f.prefer(err))
	}
	return nil
}

// Download copies a file. One that does not change meanwhile is verified by its
// hash; one that grows, such as a log, is copied at least as far as it went at
// the start.
func (c *conn) Download(ctx context.Context, source string, w io.Writer) error {
	what := "download " + shown(source)
	f, err := c.files(ctx)
	if err != nil {
		return c.failed(what, err)
	}
	defer f.close()
	if err := f.get(source, w); err != nil {
		return c.failed(what, f.prefer(err))
	}
	return nil
}

// files is an SFTP session for one transfer. Each has its own, so that a
// cancelled one can be torn down without harm to others.
type files struct {
	*sftp.Client
	ctx   context.Context
	conn  *conn
	close func()
}

func (c *conn) files(ctx context.Context) (*files, error) {
	free, err := c.take(ctx, transferSessions)
	if err != nil {
		return nil, err
	}
	return c.open(ctx, free)
}

// open opens a session that has been taken, and gives it back if it cannot.
func (c *conn) open(ctx context.Context, free func()) (*files, error) {
	session, err := c.session(ctx)
	if err != nil {
		free()
		return nil, err
	}
	in, _ := session.StdinPipe() // these two fail only after the start
	out, _ := session.StdoutPipe()

	// The pipes in between are what the context can cut: a channel of a node
	// that hangs could be neither read, written nor closed.
	fromServer, toClient := io.Pipe()
	fromClient, toServer := io.Pipe()
	cut := func(err error) {
		toClient.CloseWithError(err)
		fromClient.CloseWithError(err)
		go session.Close()
	}
	stop := context.AfterFunc(ctx, func() { cut(ctx.Err()) })

	hungUp := make(chan struct{}) // the server's half of the channel has ended
	type opened struct {
		client *sftp.Client
		err    error
	}
	done := make(chan opened, 1)
	go func() {
		if err := session.RequestSubsystem("sftp"); err != nil {
			close(hungUp)
			done <- opened{err: err}
			return
		}
		go func() {
			_, err := io.Copy(toClient, out)
			toClient.CloseWithError(err)
			io.Copy(io.Discard, out) // what is left when the context has cut the pipe
			close(hungUp)
		}()
		go func() {
			_, err := io.Copy(in, fromClient)
			fromClient.CloseWithError(err)
			in.Close()
		}()
		client, err := sftp.NewClientPipe(fromServer, toServer,
			sftp.UseConcurrentWrites(true), sftp.MaxConcurrentRequestsPerFile(inFlight))
		done <- opened{client, err}
	}()
	release := func() {
		<-hungUp // sshd counts the session until then
		session.Close()
		free()
	}
	var o opened
	select {
	case o = <-done:
	case <-ctx.Done():
		o.err = ctx.Err()
	}
	if o.err != nil {
		stop()
		cut(o.err)
		go release()
		if ctx.Err() != nil || c.isLost() {
			return nil, o.err
		}
		return nil, because(o.err, "its sshd offers no SFTP; add \"Subsystem sftp internal-sftp\" to its sshd_config")
	}
	return &files{o.client, ctx, c, func() {
		stop()
		toServer.Close() // its end of file is the server's cue to go
		go release()
	}}, nil
}

// prefer tells a cancellation apart from what it made SFTP say.
func (f *files) prefer(err error) error {
	if f.ctx.Err() != nil {
		return f.ctx.Err()
	}
	return err
}

func (f *files) put(content io.Reader, target string, mode fs.FileMode) error {
	dir := path.Dir(target)
	if err := f.MkdirAll(dir); err != nil {
		return fmt.Errorf("make directory %s: %w", shown(dir), plain(err))
	}
	if info, err := f.Stat(target); err == nil && info.IsDir() {
		return errors.New("a directory of that name is in the way")
	}
	part := path.Join(dir, "."+path.Base(target)+".part-"+rand.Text()[:8])
	want, size, err := f.write(content, part, mode)
	if err == nil {
		err = f.verify(part, want, size)
	}
	if err == nil {
		err = f.rename(part, target)
	}
	if err != nil {
		f.Remove(part)
	}
	return err
}

// write makes a new file, and returns the hash and size of what was to be in it.
func (f *files) write(content io.Reader, part string, mode fs.FileMode) (hash.Hash, int64, error) {
	file, err := f.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, 0, f.full(part, fmt.Errorf("create %s: %w", shown(part), plain(err)))
	}
	defer file.Close()
	sum := sha256.New()
	from := &source{Reader: content}
	size, err := file.ReadFromWithConcurrency(io.TeeReader(from, sum), inFlight)
	switch {
	case from.err != nil:
		return nil, 0, fmt.Errorf("read what is to be uploaded: %w", from.err)
	case err != nil:
		return nil, 0, f.full(part, fmt.Errorf("write: %w", plain(err)))
	}
	if err := file.Chmod(mode); err != nil {
		return nil, 0, fmt.Errorf("set mode %04o: %w", mode, plain(err))
	}
	if _, ok := f.HasExtension("fsync@openssh.com"); ok {
		if err := file.Sync(); err != nil {
			return nil, 0, f.full(part, fmt.Errorf("sync: %w", plain(err)))
		}
	}
	// Some file systems say only now that there was no room.
	if err := file.Close(); err != nil {
		return nil, 0, f.full(part, fmt.Errorf("close: %w", plain(err)))
	}
	return sum, size, nil
}

// full puts a full disk in the place of SFTP's "failure", which is all that
// the protocol can say of it.
func (f *files) full(part string, err error) error {
	var status *sftp.StatusError
	if !errors.As(err, &status) || status.Code != uint32(sftp.ErrSSHFxFailure) {
		return err
	}
	dir := path.Dir(part)
	disk, statErr := f.StatVFS(dir)
	switch {
	case statErr != nil:
		return err
	case disk.Bavail == 0:
		return because(err, "the disk that holds %s is full (0 of %d MiB free); make room there", shown(dir), disk.TotalSpace()>>20)
	case disk.Files > 0 && disk.Favail == 0:
		return because(err, "the disk that holds %s has no inode left (0 of %d free); make room there", shown(dir), disk.Files)
	}
	return err
}

func (f *files) verify(part string, want hash.Hash, size int64) error {
	got, err := f.hash(part)
	if err != nil {
		return fmt.Errorf("read back: %w", plain(err))
	}
	if wanted := hex.EncodeToString(want.Sum(nil)); got != wanted {
		return fmt.Errorf("read back: sha256 of the %d bytes is %s there, but should be %s; suspect its disk", size, got, wanted)
	}
	return nil
}

// hash has the node hash the file itself when it can, which halves the traffic.
func (f *files) hash(name string) (string, error) {
	if got, err := f.hashThere(name); err == nil {
		return got, nil
	}
	if f.ctx.Err() != nil {
		return "", f.ctx.Err()
	}
	file, err := f.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := file.WriteTo(sum); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func (f *files) hashThere(name string) (string, error) {
	out, err := f.conn.run(f.ctx, 0, nil, &program{argv: []string{"sha256sum", "--", name}})
	if err != nil {
		return "", err
	}
	// A name with a backslash or newline makes it put a backslash in front.
	if len(out) > 0 && out[0] == '\\' {
		out = out[1:]
	}
	if len(out) < 2*sha256.Size {
		return "", errors.New("sha256sum printed no hash")
	}
	got := string(out[:2*sha256.Size])
	if _, err := hex.DecodeString(got); err != nil {
		return "", errors.New("sha256sum printed no hash")
	}
	return got, nil
}

func (f *files) rename(part, target string) error {
	err := f.PosixRename(part, target)
	if _, ok := f.HasExtension("posix-rename@openssh.com"); !ok {
		// The protocol's own rename refuses to replace a file.
		if err = f.Remove(target); err == nil || errors.Is(err, fs.ErrNotExist) {
			err = f.Rename(part, target)
		}
	}
	if err != nil {
		return fmt.Errorf("rename %s into place: %w", shown(part), plain(err))
	}
	return nil
}

func (f *files) get(name string, w io.Writer) error {
	file, err := f.Open(name)
	if err != nil {
		return plain(err)
	}
	defer file.Close()
	before, err := file.Stat()
	if err != nil {
		return plain(err)
	}
	if before.IsDir() {
		return errors.New("it is a directory")
	}
	sum := sha256.New()
	n, err := file.WriteTo(io.MultiWriter(w, sum))
	if err != nil {
		return plain(err)
	}
	if n < before.Size() {
		return fmt.Errorf("it shrank from %d bytes to %d while it was read", before.Size(), n)
	}
	after, err := f.Stat(name)
	if err != nil || after.Size() != n || !after.ModTime().Equal(before.ModTime()) {
		return nil // it changes: there is no one content to compare with
	}
	got, err := f.hash(name)
	if err != nil {
		return fmt.Errorf("verify: %w", plain(err))
	}
	if again, err := f.Stat(name); err != nil || again.Size() != n || !again.ModTime().Equal(before.ModTime()) {
		return nil
	}
	if arrived := hex.EncodeToString(sum.Sum(nil)); got != arrived {
		return fmt.Errorf("verify: sha256 of the %d bytes is %s there, but %s arrived", n, got, arrived)
	}
	return nil
}

// plain takes the protocol's words out of an error.
func plain(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return because(err, "no such file or directory")
	case errors.Is(err, fs.ErrPermission):
		return because(err, "permission denied; check who owns it, and the user name (--ssh-user)")
	}
	return err
}
