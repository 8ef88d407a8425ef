// Package gobuild turns a released Go module into a server's executable, once.
//
// Many systems under test are Go programs whose modules anybody can fetch, so
// the shortest way to an honest binary is to compile the tagged source. `go
// install module@version` refuses modules with replace directives, which most
// servers have; a throw-away module that merely requires the tag has no such
// trouble. Build makes that module in a temporary directory, lets the go command
// resolve and compile, asks the caller whether the result runs, and renames it
// into the user's cache, where the next Build finds it:
//
//	path, err := gobuild.Build(ctx, gobuild.Command{
//		Name:    "etcd",
//		Module:  "go.etcd.io/etcd/server/v3",
//		Version: "v3.6.16",
//	}, "", os.Stderr)
//
// A file in the cache is whole and was seen to run, or is not there: the rename
// is atomic, and a lock lets a second builder wait for the first one's result
// instead of compiling the same thing on the same two cores.
package gobuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"nemesis/clients/cache"
)

// TargetOS is what commands are built for: nodes run Linux, whatever the control node runs.
const TargetOS = "linux"

// Command is one main package of one released module.
type Command struct {
	// Name is the executable's file name, and how messages call it.
	Name string
	// Module is the module path, Version a tag or pseudo-version of it. A tag that
	// the module system knows under a pseudo-version only is resolved by the proxy.
	Module  string
	Version string
	// Package is the main package's import path; "" means that it is Module.
	Package string
	// Verify runs or inspects a finished executable and says why it is unusable.
	// It is asked before a new file enters the cache, and again each time the cache
	// has one. Nil accepts everything.
	Verify func(ctx context.Context, path string) error
}

var versionForm = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]*)?$`)

// Build returns the path of the command's executable for Linux on this machine's
// architecture, building it when the cache has none. cacheDir "" means
// os.UserCacheDir. Progress goes to w, one line each. It is safe to call at the
// same time from several goroutines and processes. An error is one line; when
// the go command failed, it names the file that has everything it said.
func Build(ctx context.Context, c Command, cacheDir string, w io.Writer) (string, error) {
	if !versionForm.MatchString(c.Version) {
		return "", fmt.Errorf("build %s: %q is not a version; write one like v1.2.3", c.Name, c.Version)
	}
	dir, err := cache.Dir(cacheDir, fmt.Sprintf("%s-%s-%s-%s", c.Name, c.Version, TargetOS, runtime.GOARCH))
	if err != nil {
		return "", fmt.Errorf("build %s %s: %w", c.Name, c.Version, err)
	}
	b := builder{Command: c, dir: dir, w: w}
	path, err := b.build(ctx)
	if err != nil {
		return "", fmt.Errorf("build %s %s: %w", c.Name, c.Version, err)
	}
	return path, nil
}

type builder struct {
	Command
	dir string // in the cache; holds the executable, the lock and the last log
	w   io.Writer
}

func (b *builder) build(ctx context.Context) (string, error) {
	path := filepath.Join(b.dir, b.Name)
	// The common case takes no lock: a file at path is whole.
	if b.cached(ctx, path) {
		return path, nil
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(b.dir, "lock"), func() {
		b.say("another process is building it; waiting")
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if b.cached(ctx, path) {
		return path, nil
	}
	return path, b.compile(ctx, path)
}

// cached reports whether path holds a usable executable. One that exists but does
// not run (a cache copied from another machine) counts as absent and is built anew.
func (b *builder) cached(ctx context.Context, path string) bool {
	if _, err := os.Stat(path); err != nil {
		return false
	}
	if err := b.verify(ctx, path); err != nil {
		b.say("the cached file is of no use (%v)", err)
		return false
	}
	return true
}

func (b *builder) verify(ctx context.Context, path string) error {
	if b.Verify == nil {
		return nil
	}
	return b.Verify(ctx, path)
}

// workPrefix begins the names of directories in which something is built.
const workPrefix = "build-"

func (b *builder) compile(ctx context.Context, path string) error {
	goCommand, err := exec.LookPath("go")
	if err != nil {
		return errors.New("no go command on PATH; install Go, or give an executable with --binary")
	}
	// Whoever made these was killed: only the holder of the lock has one.
	abandoned, _ := filepath.Glob(filepath.Join(b.dir, workPrefix+"*"))
	for _, dir := range abandoned {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove what a killed build left: %w", err)
		}
	}
	work, err := os.MkdirTemp(b.dir, workPrefix)
	if err != nil {
		return fmt.Errorf("make a build directory: %w", err)
	}
	defer os.RemoveAll(work)

	// The go line is the oldest that prunes the module graph; the go command raises
	// it to what the required modules ask for.
	module := "module throwaway\n\ngo 1.21\n"
	if err := os.WriteFile(filepath.Join(work, "go.mod"), []byte(module), 0o644); err != nil {
		return fmt.Errorf("write the throw-away module: %w", err)
	}
	logPath := filepath.Join(b.dir, "build.log")
	log, err := os.Create(logPath)
	if err != nil {
		return fmt.Errorf("make the build log: %w", err)
	}
	defer log.Close()

	main := b.Package
	if main == "" {
		main = b.Module
	}
	built := filepath.Join(work, "built")
	g := goRun{command: goCommand, dir: work, log: log}
	b.say("not in the cache; fetching its modules")
	if err := b.patiently("fetching", func() error {
		return g.run(ctx, "get", b.Module+"@"+b.Version)
	}); err != nil {
		return err
	}
	b.say("compiling (a minute or so, three when nothing is cached)")
	// Without symbol tables the file that goes to every node is a third smaller;
	// stack traces do not need them.
	if err := b.patiently("compiling", func() error {
		return g.run(ctx, "build", "-ldflags=-s -w", "-o", built, main)
	}); err != nil {
		return err
	}
	if err := b.verify(ctx, built); err != nil {
		return fmt.Errorf("the new executable is of no use: %w", err)
	}
	if err := os.Rename(built, path); err != nil {
		return fmt.Errorf("move it into the cache: %w", err)
	}
	b.say("built")
	return nil
}

func (b *builder) say(format string, args ...any) {
	fmt.Fprintf(b.w, "%s %s: %s\n", b.Name, b.Version, fmt.Sprintf(format, args...))
}

// patiently runs f and says every now and then that it still runs.
func (b *builder) patiently(doing string, f func() error) error {
	const every = 20 * time.Second
	done := make(chan error, 1)
	go func() { done <- f() }()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for waited := every; ; waited += every {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			b.say("still %s after %s", doing, waited)
		}
	}
}

// goRun runs the go command inside the throw-away module.
type goRun struct {
	command, dir string
	log          *os.File
}

func (g goRun) run(ctx context.Context, args ...string) error {
	start, err := g.log.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("write the build log: %w", err)
	}
	cmd := exec.CommandContext(ctx, g.command, args...)
	cmd.Dir = g.dir
	cmd.Stdout, cmd.Stderr = g.log, g.log
	// The last value of a variable wins. The user's GOFLAGS might say -mod=vendor, a
	// GOWORK would make the throw-away module foreign, and cgo would tie the
	// executable to the control node's C library.
	cmd.Env = append(os.Environ(),
		"GO111MODULE=on", "GOFLAGS=-mod=mod", "GOWORK=off",
		"CGO_ENABLED=0", "GOOS="+TargetOS, "GOARCH="+runtime.GOARCH)
	ownGroup(cmd)
	err = cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("go %s was interrupted: %w", args[0], context.Cause(ctx))
	}
	output, _ := readFrom(g.log.Name(), start)
	return goFailed(args[0], output, err, g.log.Name())
}

func readFrom(path string, offset int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	const most = 1 << 20
	content, err := io.ReadAll(io.NewSectionReader(f, offset, most))
	return string(content), err
}

// goFailed makes one line of a failed go command's output.
func goFailed(verb, output string, err error, logPath string) error {
	reason := lastLine(output)
	if reason == "" {
		reason = err.Error()
	}
	var advice string
	switch {
	case saysOneOf(output, "dial tcp", "no such host", "network is unreachable", "connection refused",
		"i/o timeout", "TLS handshake timeout", "module lookup disabled", "connect: "):
		advice = "the Go module proxy cannot be reached; connect to the network for this once, or give an executable with --binary"
	case saysOneOf(output, "403 Forbidden", "404 Not Found", "410 Gone", "unknown revision", "invalid version"):
		advice = "the Go module proxy does not have this version; take another, or give an executable with --binary"
	case saysOneOf(output, "no space left on device"):
		advice = "make room on the disk"
	default:
		advice = "take another version, or give an executable with --binary"
	}
	return fmt.Errorf("go %s failed (%s): %s; all it said is in %s", verb, reason, advice, logPath)
}

func saysOneOf(output string, phrases ...string) bool {
	for _, p := range phrases {
		if strings.Contains(output, p) {
			return true
		}
	}
	return false
}

// lastLine is the last line that says something, shortened. The go command
// indents what a proxy answered below the line that says which request failed;
// the latter is the one worth quoting.
func lastLine(output string) string {
	lines := strings.Split(strings.TrimRight(output, "\n"), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		line := lines[i]
		if strings.TrimSpace(line) == "" || (strings.HasPrefix(line, "\t") && i > 0) {
			continue
		}
		const most = 300
		if len(line) > most {
			line = line[:most] + "…"
		}
		return strings.ToValidUTF8(strings.TrimSpace(line), "?")
	}
	return ""
}

// lock takes an exclusive lock on the file at path, which stays. waiting is called
// once when somebody else holds it. The kernel drops the lock of a process that dies.
func lock(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the cache's lock: %w", err)
	}
	for first := true; ; first = false {
		ok, err := tryLock(f)
		if err != nil {
			f.Close()
			return nil, &fs.PathError{Op: "lock", Path: path, Err: err}
		}
		if ok {
			return func() { f.Close() }, nil
		}
		if first {
			waiting()
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("gave up waiting for another build: %w", context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}
