package gobuild

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// hello is a released module with a replace directive, which `go install` refuses.
var hello = map[string]string{
	"go.mod":        "module example.org/hello\n\ngo 1.21\n\nreplace example.org/other => ../other\n",
	"main.go":       "package main\n\nfunc main() { println(\"hello\") }\n",
	"broken/b.go":   "package main\n\nfunc main() { undefinedFunction() }\n",
	"lib/notcmd.go": "package lib\n",
}

// proxy serves one module at v1.0.0 from a directory, so that these tests need no
// network, and gives the go command a module cache of its own.
func proxy(t *testing.T, module string, files map[string]string) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command on PATH")
	}
	root := t.TempDir()
	dir := filepath.Join(root, module, "@v")
	must(t, os.MkdirAll(dir, 0o755))
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for name, content := range files {
		w, err := z.Create(module + "@v1.0.0/" + name)
		must(t, err)
		_, err = w.Write([]byte(content))
		must(t, err)
	}
	must(t, z.Close())
	for name, content := range map[string]string{
		"list": "v1.0.0\n", "v1.0.0.info": `{"Version":"v1.0.0"}`,
		"v1.0.0.mod": files["go.mod"], "v1.0.0.zip": archive.String(),
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	t.Setenv("GOPROXY", "file://"+root)
	t.Setenv("GOSUMDB", "off")
	t.Setenv("GOFLAGS", "-mod=vendor") // a user's habit that must not matter
	ownModuleCache(t)
}

func ownModuleCache(t *testing.T) {
	t.Setenv("GOMODCACHE", t.TempDir())
	t.Cleanup(func() {
		// The go command makes its module cache read-only.
		cmd := exec.Command("go", "clean", "-modcache")
		cmd.Env = append(os.Environ(), "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Logf("clean the module cache: %v: %s", err, out)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func helloCommand() Command {
	return Command{Name: "hello", Module: "example.org/hello", Version: "v1.0.0", Verify: says("hello")}
}

// says verifies an executable by running it.
func says(want string) func(context.Context, string) error {
	return func(ctx context.Context, path string) error {
		out, err := exec.CommandContext(ctx, path).CombinedOutput()
		if err == nil && strings.TrimSpace(string(out)) != want {
			err = errors.New("it says something else")
		}
		return err
	}
}

func TestFirstCallBuildsAndSecondNeedsNoGo(t *testing.T) {
	proxy(t, "example.org/hello", hello)
	cache := t.TempDir()
	var progress bytes.Buffer
	first, err := Build(t.Context(), helloCommand(), cache, &progress)
	must(t, err)
	if !strings.Contains(progress.String(), "hello v1.0.0: compiling") {
		t.Errorf("progress does not tell of compiling:\n%s", progress.String())
	}

	t.Setenv("PATH", "")
	progress.Reset()
	second, err := Build(t.Context(), helloCommand(), cache, &progress)
	must(t, err)
	if second != first || progress.Len() > 0 {
		t.Errorf("the second call gave %s after %s, and said %q", second, first, progress.String())
	}
	leftovers(t, cache)
}

func TestTwoBuildersCompileOnce(t *testing.T) {
	proxy(t, "example.org/hello", hello)
	cache := t.TempDir()
	var wg sync.WaitGroup
	progress := make([]bytes.Buffer, 3)
	for i := range progress {
		wg.Go(func() {
			if _, err := Build(t.Context(), helloCommand(), cache, &progress[i]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	compiled := 0
	for i := range progress {
		compiled += strings.Count(progress[i].String(), "compiling (")
	}
	if compiled != 1 {
		t.Errorf("compiled %d times", compiled)
	}
}

func TestDamagedCacheIsRebuilt(t *testing.T) {
	proxy(t, "example.org/hello", hello)
	cache := t.TempDir()
	path, err := Build(t.Context(), helloCommand(), cache, new(bytes.Buffer))
	must(t, err)
	must(t, os.WriteFile(path, []byte("torn"), 0o755))

	again, err := Build(t.Context(), helloCommand(), cache, new(bytes.Buffer))
	must(t, err)
	must(t, says("hello")(t.Context(), again))
}

func TestExecutableThatDoesNotRunIsNotCached(t *testing.T) {
	proxy(t, "example.org/hello", hello)
	cache := t.TempDir()
	c := helloCommand()
	c.Verify = says("good bye")
	_, err := Build(t.Context(), c, cache, new(bytes.Buffer))
	oneLine(t, err, "build hello v1.0.0: the new executable is of no use: it says something else")
	if found, _ := filepath.Glob(filepath.Join(cache, "nemesis", "servers", "*", "hello")); found != nil {
		t.Errorf("the cache holds %v", found)
	}
	leftovers(t, cache)
}

func TestFailuresAreOneLineWithTheLog(t *testing.T) {
	proxy(t, "example.org/hello", hello)
	tests := []struct {
		name    string
		command Command
		prepare func(t *testing.T)
		want    []string
		log     string
	}{{
		name:    "source that does not compile",
		command: Command{Name: "hello", Module: "example.org/hello", Package: "example.org/hello/broken", Version: "v1.0.0"},
		want:    []string{"go build failed (", "undefined: undefinedFunction", "take another version"},
		log:     "undefinedFunction",
	}, {
		name:    "version that does not exist",
		command: Command{Name: "hello", Module: "example.org/hello", Version: "v9.9.9"},
		want:    []string{"go get failed (", "v9.9.9"},
		log:     "v9.9.9",
	}, {
		name:    "no network",
		command: helloCommand(),
		prepare: func(t *testing.T) {
			// Nothing listens on port 1 of the loopback address.
			t.Setenv("GOPROXY", "http://127.0.0.1:1")
			ownModuleCache(t)
		},
		want: []string{"go get failed (", "the Go module proxy cannot be reached", "--binary"},
		log:  "127.0.0.1:1",
	}, {
		name:    "downloads forbidden",
		command: helloCommand(),
		prepare: func(t *testing.T) {
			t.Setenv("GOPROXY", "off")
			ownModuleCache(t)
		},
		want: []string{"go get failed (", "the Go module proxy cannot be reached", "--binary"},
		log:  "GOPROXY=off",
	}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.prepare != nil {
				test.prepare(t)
			}
			cache := t.TempDir()
			_, err := Build(t.Context(), test.command, cache, new(bytes.Buffer))
			oneLine(t, err, test.want...)
			_, logPath, _ := strings.Cut(err.Error(), "all it said is in ")
			log, err := os.ReadFile(logPath)
			must(t, err)
			if !strings.Contains(string(log), test.log) {
				t.Errorf("the log lacks %q:\n%s", test.log, log)
			}
			leftovers(t, cache)
		})
	}
}

func TestNoGoCommand(t *testing.T) {
	t.Setenv("PATH", "")
	_, err := Build(t.Context(), helloCommand(), t.TempDir(), new(bytes.Buffer))
	oneLine(t, err, "build hello v1.0.0: no go command on PATH", "--binary")
}

func TestInvalidVersionsAreRefused(t *testing.T) {
	for _, version := range []string{"", "latest", "1.2.3", "v1", "v1.2.3/../../x", "v1.2.3 -x", "-v1.2.3"} {
		c := helloCommand()
		c.Version = version
		_, err := Build(t.Context(), c, t.TempDir(), new(bytes.Buffer))
		oneLine(t, err, "is not a version")
	}
}

func TestNoHomeDirectory(t *testing.T) {
	t.Setenv("HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	_, err := Build(t.Context(), helloCommand(), "", new(bytes.Buffer))
	oneLine(t, err, "build hello v1.0.0: no cache directory", "set HOME")
}

func TestInterruptedBuildLeavesNothing(t *testing.T) {
	proxy(t, "example.org/hello", hello)
	cache := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Build(ctx, helloCommand(), cache, new(bytes.Buffer))
	oneLine(t, err, "go get was interrupted: context canceled")
	leftovers(t, cache)
}

// A build that is killed has no time to clean up. The next one does.
func TestWhatAKilledBuildLeftIsRemoved(t *testing.T) {
	proxy(t, "example.org/hello", hello)
	cache := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	Build(ctx, helloCommand(), cache, new(bytes.Buffer)) // makes the directory
	dirs, err := filepath.Glob(filepath.Join(cache, "nemesis", "servers", "*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("%q, %v", dirs, err)
	}
	must(t, os.MkdirAll(filepath.Join(dirs[0], "build-123", "of-the-dead"), 0o755))
	_, err = Build(ctx, helloCommand(), cache, new(bytes.Buffer))
	oneLine(t, err, "go get was interrupted: context canceled")
	leftovers(t, cache)
}

func TestWaitingForAnotherBuilderEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path, func() {})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = lock(ctx, path, cancel)
	oneLine(t, err, "gave up waiting for another build")
	unlock()
	unlock, err = lock(t.Context(), path, func() { t.Error("the lock is still held") })
	must(t, err)
	unlock()
}

func oneLine(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one with %q", parts)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

// leftovers checks that no build directory stayed behind.
func leftovers(t *testing.T, cache string) {
	t.Helper()
	if found, _ := filepath.Glob(filepath.Join(cache, "nemesis", "servers", "*", "build-*")); found != nil {
		t.Errorf("left behind: %v", found)
	}
}
