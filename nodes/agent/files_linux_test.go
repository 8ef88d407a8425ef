package agent_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

func itoa(n int) string { return strconv.Itoa(n) }

func sorted(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestNoPathLeadsOutOfTheAgentsDirectory(t *testing.T) {
	t.Parallel()
	dir := agenttest.Dir(t)
	c := agenttest.Connect(t, dir)
	ctx := context.Background()
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	// What a server under test may have planted.
	for link, target := range map[string]string{"to-dir": outside, "to-file": secret, "to-root": "/", "up": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{
		"../secret", "a/../../secret", secret, "/etc/passwd", "to-dir/secret", "to-dir/new", "up/new", "to-root/tmp/new",
		"agent/ledger.json", "agent", "./agent/lock", dir + "/agent/lock", dir + "/../x", "\x00", "",
	} {
		attempts := map[string]error{
			"write":    c.WriteFile(ctx, path, []byte("x"), 0o600),
			"upload":   c.Upload(ctx, secret, path, 0o600),
			"download": c.Download(ctx, path, &bytes.Buffer{}),
		}
		_, attempts["log"] = c.StartProcess(ctx, agent.ProcessSpec{Name: "x", Argv: []string{"true"}, Log: path})
		if path == "" { // the default log
			delete(attempts, "log")
		}
		if path != "" {
			_, attempts["dir"] = c.StartProcess(ctx, agent.ProcessSpec{Name: "x", Argv: []string{"true"}, Dir: path})
			attempts["mkdir"] = c.MakeDir(ctx, path)
		}
		if !strings.HasPrefix(path, "to-") && !strings.HasPrefix(path, "up") { // removing a link is no escape
			attempts["remove"] = c.RemoveAll(ctx, path)
		} else if strings.Contains(path, "/") {
			attempts["remove"] = c.RemoveAll(ctx, path)
		}
		for what, err := range attempts {
			if err == nil {
				t.Errorf("%s %q succeeded", what, path)
			}
		}
	}
	if err := c.Download(ctx, "to-file", &bytes.Buffer{}); err == nil {
		t.Error("a link was followed out of the directory")
	}
	if text, err := os.ReadFile(secret); err != nil || string(text) != "secret" {
		t.Errorf("%q, %v", text, err)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside there is now %v, %v", entries, err)
	}
	// Replacing a planted link replaces the link.
	if err := c.WriteFile(ctx, "to-file", []byte("ours"), 0o600); err != nil {
		t.Error(err)
	}
	if text, _ := os.ReadFile(secret); string(text) != "secret" {
		t.Error("a file was written through a link")
	}
}

func TestFilesGoUpAndDown(t *testing.T) {
	dir := agenttest.Dir(t)
	c := agenttest.Connect(t, dir)
	ctx := context.Background()
	for _, size := range []int{0, 1, 512 << 10, 512<<10 + 1, 3 << 20} {
		content := make([]byte, size)
		rand.New(rand.NewSource(int64(size))).Read(content)
		local := filepath.Join(t.TempDir(), "local")
		if err := os.WriteFile(local, content, 0o600); err != nil {
			t.Fatal(err)
		}
		// Relative, absolute, and through the other way of sending.
		paths := []string{"etcd/bin/etcd-" + itoa(size), dir + "/etcd/abs-" + itoa(size)}
		for _, path := range paths {
			if err := c.Upload(ctx, local, path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.WriteFile(ctx, "written", content, 0o640); err != nil {
			t.Fatal(err)
		}
		for _, path := range append(paths, "written") {
			var got bytes.Buffer
			if err := c.Download(ctx, path, &got); err != nil || !bytes.Equal(got.Bytes(), content) {
				t.Errorf("%s came back with %d of %d bytes, %v", path, got.Len(), size, err)
			}
		}
		if info, err := os.Stat(filepath.Join(dir, paths[0])); err != nil || info.Mode() != 0o755 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
	if err := c.RemoveAll(ctx, "etcd"); err != nil || there(filepath.Join(dir, "etcd")) {
		t.Errorf("remove: %v", err)
	}
	if err := c.RemoveAll(ctx, "etcd"); err != nil {
		t.Errorf("remove what is not there: %v", err)
	}
}

func TestStoredContentIsVerifiedBeforeItIsUsed(t *testing.T) {
	dir := agenttest.Dir(t)
	c := agenttest.Connect(t, dir)
	ctx := context.Background()
	local := filepath.Join(t.TempDir(), "local")
	if err := os.WriteFile(local, []byte("the real server"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Upload(ctx, local, "server", 0o755); err != nil {
		t.Fatal(err)
	}
	stored, err := filepath.Glob(filepath.Join(dir, "agent/contents/*"))
	if err != nil || len(stored) != 1 {
		t.Fatalf("%v, %v", stored, err)
	}
	if err := os.WriteFile(stored[0], []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Upload(ctx, local, "again", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "again"), stored[0]} {
		if text, err := os.ReadFile(path); err != nil || string(text) != "the real server" {
			t.Errorf("%s holds %q, %v", path, text, err)
		}
	}
}

func TestOfALongLogTheBeginningAndTheEndAreKept(t *testing.T) {
	t.Parallel()
	c := agenttest.Connect(t, agenttest.Dir(t))
	ctx := context.Background()
	const whole = agent.LogBeginning + agent.LogEnd
	for _, size := range []int64{0, 1, agent.LogBeginning, whole - 1, whole, whole + 1, whole + 3<<20} {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(i / 7919)
		}
		if err := os.WriteFile(filepath.Join(c.Dir(), "log"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		left, err := c.DownloadLog(ctx, "log", &got)
		if err != nil || left != max(0, size-whole) {
			t.Fatalf("of %d bytes left out %d: %v", size, left, err)
		}
		want := content
		if left > 0 {
			want = slices.Concat(content[:agent.LogBeginning], fmt.Appendf(nil, "\n[nemesis left out %d bytes of this log here]\n", left), content[size-agent.LogEnd:])
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("of %d bytes got %d, want %d, or other ones", size, got.Len(), len(want))
		}
	}
}
