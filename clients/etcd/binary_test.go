package etcd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"nemesis/history"
)

func TestWhichModuleAVersionIsIn(t *testing.T) {
	const server, root = "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd"
	for version, want := range map[string]string{
		"v3.6.16":        server,
		"v3.5.0":         server,
		"v3.10.1":        server,
		"v3.8.0-alpha.0": server,
		"v3.4.37":        root,
		"v0.5.0-alpha.5.0.20200910180754-dd1b699fc489": root,
	} {
		if got, err := moduleOf(version); err != nil || got != want {
			t.Errorf("%s is in %q (%v), want %s", version, got, err, want)
		}
	}
	for _, version := range []string{"v3.3.27", "v2.3.8", "v4.0.0", "latest", "", "v3", "v3.6", "v3.6.16; rm", "v0.5.0-alpha.5"} {
		if got, err := moduleOf(version); err == nil {
			t.Errorf("%q is in %q, want an error", version, got)
		}
	}
}

func TestVersionThatAServerSays(t *testing.T) {
	tests := []struct{ name, output, want, err string }{
		{"a release", "etcd Version: 3.6.16\nGit SHA: abc\nGo Version: go1.26\n", "v3.6.16", ""},
		{"an alpha", "etcd Version: 3.8.0-alpha.0\n", "v3.8.0-alpha.0", ""},
		{"too old", "etcd Version: 3.3.27\n", "", "is version 3.3.27"},
		{"something else", "true (GNU coreutils) 9.7\n", "", "does not say an etcd version"},
		{"nothing", "", "", "does not say an etcd version"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := versionIn(test.output)
			if got != test.want || (err == nil) != (test.err == "") || (err != nil && err.Error() != test.err) {
				t.Errorf("got %q and %v", got, err)
			}
		})
	}
}

func TestUselessBinaryIsRefused(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs a Linux executable to give")
	}
	other, err := exec.LookPath("true")
	if err != nil {
		t.Skip("there is no true command to give instead of etcd")
	}
	dir := t.TempDir()
	script, plain := filepath.Join(dir, "script"), filepath.Join(dir, "plain")
	for path, mode := range map[string]os.FileMode{script: 0o755, plain: 0o644} {
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho etcd Version: 3.6.16\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file or directory",
		dir:                        "is not an executable file",
		plain:                      "is not an executable file",
		script:                     "is not a Linux executable",
		other:                      "does not say an etcd version",
	} {
		_, err := System{}.Prepare(t.Context(), history.System{Binary: path}, new(bytes.Buffer))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("giving %s: got %v, want one line with %q", filepath.Base(path), err, want)
		}
	}
}
