package faultfs

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Client talks to the process that serves a disk. It keeps no connection; its methods are
// safe for concurrent use, and fail within a minute when nobody answers.
type Client struct{ Mount }

// answerTime bounds one request.
const answerTime = time.Minute

func (c Client) ask(q request) (answer, error) {
	var a answer
	path, done, err := socket(c.Home)
	if err != nil {
		return a, err
	}
	defer done()
	conn, err := net.DialTimeout("unix", path, answerTime)
	if err != nil {
		return a, fmt.Errorf("reach the process that serves the disk over %s: %w", c.Path, err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(answerTime))
	if err := json.NewEncoder(conn).Encode(q); err != nil {
		return a, err
	}
	if err := json.NewDecoder(bufio.NewReader(conn)).Decode(&a); err != nil {
		return a, fmt.Errorf("hear from the process that serves the disk over %s: %w", c.Path, err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("the disk over %s: %s", c.Path, a.Error)
	}
	return a, nil
}

// Served reports whether somebody answers for the disk.
func (c Client) Served() bool {
	if l, is := c.onLoop(); is {
		return l.mounted(c.Path)
	}
	_, err := c.ask(request{Do: "stats"})
	return err == nil
}

// Set puts a rule in force, in the place of one with the same ID.
func (c Client) Set(r Rule) error {
	if _, is := c.onLoop(); is {
		return errLoop
	}
	_, err := c.ask(request{Do: "set", Rule: r})
	return err
}

// Clear takes a rule back; one that is not there is taken back already.
func (c Client) Clear(id string) error {
	if _, is := c.onLoop(); is {
		return nil
	}
	_, err := c.ask(request{Do: "clear", ID: id})
	return err
}

// Stats reads what the disk counts; one on a loop device counts nothing.
func (c Client) Stats() (Stats, error) {
	if _, is := c.onLoop(); is {
		return Stats{}, nil
	}
	a, err := c.ask(request{Do: "stats"})
	return a.Stats, err
}

// WriteBack makes everything safe that is not, but what a sync lied about.
func (c Client) WriteBack() error {
	if _, is := c.onLoop(); is {
		dir, err := os.Open(c.Path)
		if err != nil {
			return err
		}
		defer dir.Close()
		return os.NewSyscallError("syncfs", unix.Syncfs(int(dir.Fd())))
	}
	_, err := c.ask(request{Do: "write-back"})
	return err
}

// Lose is a power loss. Nobody may have files open. On a loop device it is ext4 that decides
// what of it is lost.
func (c Client) Lose(l Loss) (Lost, error) {
	if on, is := c.onLoop(); is {
		return on.lose()
	}
	a, err := c.ask(request{Do: "lose", Loss: l})
	return a.Lost, err
}

// Start makes sure that the disk is mounted: self is the command that ends up in Serve. A
// mount that nobody serves any more is taken away first. log gets what the process says.
//
// Where FUSE is not to be had and a loop device is, that is mounted instead.
func (c Client) Start(self []string, log string) error {
	if l, is := c.onLoop(); is || Available() != nil && LoopAvailable() == nil {
		return l.start()
	}
	if _, err := c.ask(request{Do: "stats"}); err == nil && c.is() {
		return nil
	}
	if err := c.Stop(); err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(c.Path, 0o755), os.MkdirAll(c.Home, 0o700)); err != nil {
		return err
	}
	text, err := json.Marshal(c.Mount)
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	out, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		w.Close()
		return err
	}
	defer out.Close()
	cmd := exec.Command(self[0], append(self[1:len(self):len(self)], string(text))...)
	cmd.Stdout, cmd.Stderr = w, out
	cmd.Env = []string{"GOTRACEBACK=single"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it outlives us, as the server does
	err = cmd.Start()
	w.Close()
	if err != nil {
		return fmt.Errorf("start the process that serves the disk over %s: %w", c.Path, err)
	}
	go func() { _ = cmd.Wait() }()
	said, _ := bufio.NewReader(r).ReadString('\n')
	if said != ready {
		if said = strings.TrimSpace(said); said == "" {
			said = "it ended without a word; see " + log
		}
		return fmt.Errorf("put a disk over %s: %s", c.Path, said)
	}
	return nil
}

// is reports whether a FUSE file system is mounted over the directory, alive or dead.
func (c Client) is() bool {
	var st unix.Statfs_t
	err := unix.Statfs(c.Path, &st)
	return err == nil && st.Type == unix.FUSE_SUPER_MAGIC || errors.Is(err, unix.ENOTCONN)
}

// Stop takes the disk away, served or not, and leaves the files as they are. It is
// idempotent. Another file system that is mounted there stays.
func (c Client) Stop() error {
	if l, is := c.onLoop(); is {
		return l.stop()
	}
	a, err := c.ask(request{Do: "stop"})
	if err == nil && a.PID > 0 {
		// The mount goes before the process.
		for end := time.Now().Add(answerTime); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if _, err := os.Stat(filepath.Join(c.Home, socketName)); errors.Is(err, fs.ErrNotExist) {
				break
			}
		}
	}
	for range 16 { // mounts may lie above each other
		if !c.ours() {
			return nil
		}
		if err := unix.Unmount(c.Path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("take the disk over %s away: %w", c.Path, err)
		}
	}
	return fmt.Errorf("take the disk over %s away: it is still mounted", c.Path)
}

// ours reports whether a disk of this package is mounted over the directory.
func (c Client) ours() bool {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == escaped(c.Path) && strings.Contains(line, " fuse.nemesis-disk ") {
			return true
		}
	}
	return false
}

// escaped is a path as mountinfo has it.
func escaped(path string) string {
	return strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`).Replace(path)
}

// Available says, as a clause, why this process cannot mount a disk; nil when it can. It
// changes nothing.
func Available() error { return available("/dev/fuse") }

func available(device string) error {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("no file system of ours can be put below a server: open %s: %w; the kernel lacks FUSE, or does not let us have it", device, err)
	}
	unix.Close(fd)
	fd, err = unix.Fsopen("fuse", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("no file system of ours can be put below a server: mount FUSE: %w; it takes root, or a user namespace that may mount", err)
	}
	unix.Close(fd)
	return nil
}
