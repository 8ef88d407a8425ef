//go:build linux

package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"nemesis/campaign"
)

const workflows = "../../.github/workflows"

// workflow is what these tests need of a GitHub workflow.
type workflow struct {
	Permissions map[string]string
	Jobs        map[string]struct {
		Permissions map[string]string
		Env         map[string]string
		Steps       []struct{ Name, Uses, Run string }
	}
}

func readWorkflow(t *testing.T, name string) workflow {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(workflows, name))
	if err != nil {
		t.Fatal(err)
	}
	var w workflow
	if err := yaml.Unmarshal(text, &w); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWorkflowPassesActionlint(t *testing.T) {
	t.Parallel()
	const version = "v1.7.12"
	bin := t.TempDir()
	install := exec.Command("go", "install", "github.com/rhysd/actionlint/cmd/actionlint@"+version)
	install.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("needs actionlint %s, which cannot be built here: %s", version, oneLine(fmt.Errorf("%s", out)))
	}
	for _, tc := range []struct {
		file, name, old, new string
		passes               bool
	}{
		{"nightly.yml", "as it is", "", "", true},
		{"nightly.yml", "with a needless mistake", "needs: run", "needs: runs", false},
		{"ci.yml", "as it is", "", "", true},
		{"release.yml", "as it is", "", "", true},
	} {
		text, err := os.ReadFile(filepath.Join(workflows, tc.file))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), tc.file)
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), tc.old, tc.new, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		// shellcheck would be run where there is one, with other opinions on each machine.
		out, err := exec.Command(filepath.Join(bin, "actionlint"), "-no-color", "-shellcheck=", "-pyflakes=", path).CombinedOutput()
		if (err == nil) != tc.passes {
			t.Errorf("%s, %s: actionlint says %v\n%s", tc.file, tc.name, err, out)
		}
	}
}

func TestWorkflowHasNoMoreRightsThanItNeeds(t *testing.T) {
	// The one job of a workflow that may write. It runs no server under test and builds nothing that is
	// released.
	for file, writer := range map[string]string{"nightly.yml": "merge", "release.yml": "publish", "ci.yml": ""} {
		w := readWorkflow(t, file)
		if !maps.Equal(w.Permissions, map[string]string{"contents": "read"}) {
			t.Errorf("%s may %v", file, w.Permissions)
		}
		for name, job := range w.Jobs {
			if name != writer && job.Permissions != nil {
				t.Errorf("the job %s of %s may %v", name, file, job.Permissions)
			}
			for _, step := range job.Steps {
				if step.Uses != "" && !regexp.MustCompile(`^[\w-]+/[\w-]+@[0-9a-f]{40}$`).MatchString(step.Uses) {
					t.Errorf("%s is not pinned to a commit", step.Uses)
				}
				if strings.Contains(step.Run, "${{") {
					t.Errorf("the script of %q has an expression in its text, where a caller's words would be run", step.Name)
				}
			}
		}
	}
}

// The scripts of all jobs, run here: what the actions of GitHub would have brought is put
// in place, and the repository that the archive is pushed to is one in a directory.
func TestWorkflowStepsRunWithoutGitHub(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	server(t)
	nemesis := program(t)
	w := readWorkflow(t, "nightly.yml")
	dir := t.TempDir()
	small := `
campaign: small
budget: {wall: 10m, run: 2m, per-cell: 1}
cluster: {nodes: "local:1"}
subjects: [{system: etcd}]
matrix: {workloads: [set], faults: [none]}
run: {time-limit: 2s}
floors: {operations: 20}
canaries: [{name: clean, system: etcd, workload: register, expect: valid}]
`
	origin := filepath.Join(dir, "origin.git")
	if out, err := exec.Command("git", "init", "-q", "--bare", origin).CombinedOutput(); err != nil {
		t.Skipf("needs git: %v %s", err, out)
	}
	// The first push of every night fails, as when another night was faster or the network is away.
	refusal := filepath.Join(dir, "refusal")
	put(t, filepath.Join(origin, "hooks", "pre-receive"), "#!/bin/sh\nif rm "+refusal+" 2>&-; then exit 1; fi\n")
	if err := os.Chmod(filepath.Join(origin, "hooks", "pre-receive"), 0o755); err != nil {
		t.Fatal(err)
	}
	summary, output := filepath.Join(dir, "summary"), filepath.Join(dir, "output")
	steps := func(job, in string, env map[string]string) {
		t.Helper()
		all := []string{"HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GITHUB_STEP_SUMMARY=" + summary, "GITHUB_OUTPUT=" + output,
			"NIGHT=1.1", "DATA=" + origin, "TOKEN=secret", "SUBJECT=", "ARTIFACT=", "WALL=10m", "XDG_CACHE_HOME=" + cacheHome(t)}
		for name := range w.Jobs[job].Env {
			if !slices.ContainsFunc(all, func(s string) bool { return strings.HasPrefix(s, name+"=") }) && env[name] == "" {
				t.Errorf("the job %s sets %s, which this test does not", job, name)
			}
		}
		for name, value := range env {
			all = append(all, name+"="+value)
		}
		for _, step := range w.Jobs[job].Steps {
			switch {
			case step.Run == "", step.Name == "Allow local nodes": // that is about their machines
				continue
			case step.Name == "Build":
				if !strings.HasSuffix(strings.TrimSpace(step.Run), "-o nemesis-bin ./cmd/nemesis") {
					t.Errorf("the build is %q", step.Run)
				}
				if err := os.Symlink(nemesis, filepath.Join(in, "nemesis-bin")); err != nil {
					t.Fatal(err)
				}
				continue
			}
			cmd := exec.Command("bash", "-e", "-c", step.Run)
			cmd.Dir = in
			cmd.Env = append(append(os.Environ(), all...), "STATUS="+statusIn(output))
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			if err := cmd.Run(); err != nil {
				t.Fatalf("%s, step %q: %v\n%s", job, step.Name, err, said.String())
			}
		}
	}
	for night := range 2 { // the first finds no data, the second adds to it
		name := fmt.Sprintf("1.%d", night+1)
		merge := filepath.Join(dir, "merge"+name)
		for shard := 1; shard <= 2; shard++ {
			in := filepath.Join(dir, fmt.Sprintf("run%s-%d", name, shard))
			put(t, filepath.Join(in, "nightly.yaml"), small)
			steps("run", in, map[string]string{"SHARD": fmt.Sprintf("%d/2", shard), "NIGHT": name})
			if err := os.MkdirAll(filepath.Join(merge, "shards"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(in, "out"), filepath.Join(merge, "shards", fmt.Sprintf("shard-%d", shard))); err != nil {
				t.Fatal(err)
			}
		}
		put(t, refusal, "")
		steps("merge", merge, map[string]string{"NIGHT": name})
		if _, err := os.Stat(refusal); err == nil {
			t.Error("nothing was pushed")
		}
		_, results, err := campaign.ReadResults(filepath.Join(merge, "out"))
		if err != nil || len(results) != 2 {
			t.Errorf("the night has %d results: %v", len(results), err)
		}
	}
	if text, err := os.ReadFile(summary); err != nil || strings.Count(string(text), "# ✅ small 1.") != 6 {
		t.Errorf("the step summary: %v\n%s", err, text)
	}
	out, err := exec.Command("git", "-C", origin, "ls-tree", "-r", "--name-only", "nemesis-data").Output()
	if err != nil || !strings.Contains(string(out), "nights/1.1.json\nnights/1.2.json\nseeds.jsonl") {
		t.Errorf("the branch holds %q: %v", out, err)
	}
}

// Data that cannot be had is no data that there is not: the nights would replay nothing.
func TestWorkflowFailsWhenEarlierNightsCannotBeRead(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skipf("needs git: %v", err)
	}
	w, found := readWorkflow(t, "nightly.yml"), 0
	for job, name := range map[string]string{"run": "Look for earlier nights", "merge": "Get the data branch"} {
		for _, step := range w.Jobs[job].Steps {
			if step.Name != name {
				continue
			}
			found++
			dir := t.TempDir()
			cmd := exec.Command("bash", "-e", "-c", step.Run)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "HOME="+dir, "TOKEN=secret", "DATA="+filepath.Join(dir, "none"), "GITHUB_OUTPUT="+filepath.Join(dir, "output"))
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "::error::") {
				t.Errorf("%s: %v\n%s", name, err, out)
			}
		}
	}
	if found != 2 {
		t.Errorf("found %d of the 2 steps", found)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// cacheHome is where the server is, which another HOME would hide.
func cacheHome(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

// statusIn is what the step Merge put out.
func statusIn(path string) string {
	text, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.TrimPrefix(lines[len(lines)-1], "status=")
}
