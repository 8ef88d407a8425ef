//go:build linux

package main

import (
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"nemesis/history"
)

// step runs the script of a workflow's step as GitHub does, and returns what it said.
func (w workflow) step(t *testing.T, job, name, dir string, env ...string) (string, error) {
	t.Helper()
	for _, s := range w.Jobs[job].Steps {
		if s.Name != name {
			continue
		}
		cmd := exec.Command("bash", "-e", "-o", "pipefail", "-c", s.Run)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	t.Fatalf("the job %s has no step %q", job, name)
	return "", nil
}

// stub makes a script.
func stub(t *testing.T, path, script string) {
	t.Helper()
	put(t, path, "#!/usr/bin/env bash\n"+script)
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

// commit makes a directory a repository of what is in it.
func commit(t *testing.T, dir string) {
	t.Helper()
	for _, args := range [][]string{
		{"init", "-q"},
		{"add", "-A"},
		{"-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-q", "-m", "release"},
	} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Skipf("needs git: %v: %s", err, out)
		}
	}
}

// releasable is a repository with the release script and, unless it is to be all of nemesis
// as it is committed, a program that only says its version.
func releasable(t *testing.T, whole bool) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "nemesis")
	if whole {
		if out, err := exec.Command("git", "clone", "-q", "../..", dir).CombinedOutput(); err != nil {
			t.Skipf("needs git and a checkout: %s", out)
		}
		if err := os.RemoveAll(filepath.Join(dir, ".git")); err != nil {
			t.Fatal(err)
		}
	} else if err := os.CopyFS(dir, os.DirFS("testdata/release")); err != nil {
		t.Fatal(err)
	} else {
		put(t, filepath.Join(dir, "go.mod"), "module nemesis\n\ngo 1.26.0\n")
	}
	script, err := os.ReadFile("../../.ci/release")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, ".ci"), 0o755); err != nil {
		t.Fatal(err)
	}
	stub(t, filepath.Join(dir, ".ci", "release"), strings.TrimPrefix(string(script), "#!/usr/bin/env bash\n"))
	commit(t, dir)
	return dir
}

// The scripts of the release, run here for this machine's platform and a program that says
// its version: built twice in different directories, compared, and published by a stub.
// NEMESIS_RELEASE=1 builds nemesis for every platform, the second time without the cache.
func TestReleaseIsBuiltTwiceToTheSameBytes(t *testing.T) {
	t.Parallel()
	whole := os.Getenv("NEMESIS_RELEASE") == "1"
	w, dir := readWorkflow(t, "release.yml"), releasable(t, whole)
	env := []string{"TAG=v0.0.1-test", "TARGETS=" + runtime.GOOS + "/" + runtime.GOARCH}
	again := env
	names := []string{"nemesis-" + runtime.GOOS + "-" + runtime.GOARCH}
	if whole {
		env = env[:1]
		again = append(env[:1:1], "GOCACHE="+t.TempDir())
		names = []string{"nemesis-darwin-amd64", "nemesis-darwin-arm64", "nemesis-linux-amd64", "nemesis-linux-arm64"}
	}
	if said, err := w.step(t, "build", "Build", dir, env...); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	const second = "Build again, elsewhere and without the cache"
	if said, err := w.step(t, "build", second, dir, again...); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	sums, err := os.ReadFile(filepath.Join(dir, "dist", "SHA256SUMS"))
	if err != nil || strings.Count(string(sums), "\n") != len(names) {
		t.Errorf("%v: the sums are\n%s", err, sums)
	}
	for _, name := range names {
		if !strings.Contains(string(sums), "  "+name+"\n") {
			t.Errorf("%s is missing among\n%s", name, sums)
		}
		if !strings.Contains(name, "-linux-") {
			continue
		}
		file, err := elf.Open(filepath.Join(dir, "dist", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range file.Progs {
			if part.Type == elf.PT_INTERP {
				t.Errorf("%s is not static", name)
			}
		}
		file.Close()
	}
	var told history.Program
	out, err := exec.Command(filepath.Join(dir, "dist", "nemesis-"+runtime.GOOS+"-"+runtime.GOARCH), "version", "--json").Output()
	if err != nil || json.Unmarshal(out, &told) != nil {
		t.Fatalf("%v: %s", err, out)
	}
	head, _ := exec.Command("git", "-C", dir, "rev-parse", "HEAD").Output()
	if told.Version != "v0.0.1-test" || told.Commit != strings.TrimSpace(string(head)) || told.Modified {
		t.Errorf("it calls itself %+v; the commit is %s", told, head)
	}

	// Published is what was built, with the tag of that name; and nothing that was changed since.
	bin := t.TempDir()
	stub(t, filepath.Join(bin, "gh"), `echo "gh $*"`)
	path := "PATH=" + bin + ":" + os.Getenv("PATH")
	said, err := w.step(t, "publish", "Publish", dir, path, "TAG=v0.0.1-test", "GH_TOKEN=secret")
	if err != nil || !strings.Contains(said, "gh release create v0.0.1-test --verify-tag") || !strings.Contains(said, " dist/SHA256SUMS dist/"+names[0]) {
		t.Errorf("publishing: %v\n%s", err, said)
	}
	put(t, filepath.Join(dir, "dist", names[0]), "something else")
	if said, err := w.step(t, "publish", "Publish", dir, path, "TAG=v0.0.1-test"); err == nil || strings.Contains(said, "gh release") {
		t.Errorf("a damaged binary is published: %s", said)
	}
	if said, err := w.step(t, "build", second, dir, again...); err == nil {
		t.Errorf("two builds that differ pass:\n%s", said)
	}
}

func TestReleaseRefusesWhatItCannotName(t *testing.T) {
	dir := releasable(t, false)
	put(t, filepath.Join(dir, "go.mod"), "module nemesis\n")
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 64, "usage: .ci/release VERSION DIRECTORY"},
		{[]string{"soon", t.TempDir()}, 64, "soon is not a version such as v1.2.3"},
		{[]string{"v1.2.3", t.TempDir()}, 1, "there are changes that are not committed"},
	} {
		cmd := exec.Command(filepath.Join(dir, ".ci", "release"), tc.args...)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != tc.code || !strings.Contains(string(out), tc.says) {
			t.Errorf("%q: exit status %d, %s", tc.args, cmd.ProcessState.ExitCode(), out)
		}
	}
}

// The gate of pull requests is the developer's; a red one is a red job.
func TestPullRequestsRunTheGate(t *testing.T) {
	w, dir := readWorkflow(t, "ci.yml"), t.TempDir()
	env := []string{"HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1"}
	stub(t, filepath.Join(dir, ".ci", "run"), "echo the gate ran")
	if said, err := w.step(t, "gate", "Gate", dir, env...); err != nil || said != "the gate ran\n" {
		t.Errorf("%v: %s", err, said)
	}
	stub(t, filepath.Join(dir, ".ci", "run"), "exit 1")
	if said, err := w.step(t, "gate", "Gate", dir, env...); err == nil {
		t.Errorf("a gate that is red passes: %s", said)
	}
}
