package file

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nemesis/history"
)

// whole is a file with something of everything.
const whole = `
system: store
doc: a store
version: v1
nodes: 3
options:
  sync: {default: "yes", values: ["yes", "no"], doc: write to the disk}
artifacts:
  server: {file: server}
processes:
  data:
    ports: {client: 6379, peer: 7000}
    files:
      conf: |
        listen {{ addr self }}:{{ port "client" }}
        {{ range peers }}peer {{ addr . }}:{{ port "data" "peer" }}
        {{ end }}sync {{ option "sync" }}
    command: '{{ bin "server" }} --config {{ file "conf" }} --data "{{ data }}"'
    environment: {NAME: "{{ self }}"}
    readiness_probe: {resp: [PING], match: PONG}
    leader_probe: {http_get: {path: /leader, port: peer}, match: 'term (?P<term>\d+)'}
  watch:
    nodes: first
    ports: [8000]
    command: [watch, "{{ . | include \"name\" \"eth0\" | attr \"address\" }}"]
    depends_on: {data: {condition: process_healthy}}
    shutdown: {signal: INT}
client:
  resp:
    certain: [^BUSY]
    workloads:
      register:
        read: {send: [GET, "{{ .key }}"]}
        write: {send: [SET, "{{ .key }}", "{{ .value }}"], ok: OK}
      set:
        add: {send: [SADD, s, "{{ .value }}"]}
        list: {send: [SMEMBERS, s]}
log_patterns:
  - {class: corruption, match: 'CORRUPT: '}
claims:
  - {workload: register, options: {sync: "yes"}, model: linearizable, source: {sentence: "It is.", address: "https://example.com"}, assumptions: {crash-recovery: they come back}, recovery: 10s}
  - {model: serializable, workload: set, source: It says so.}
`

func TestEverythingThatAFileSaysIsRead(t *testing.T) {
	d, err := Parse("dir/store.yaml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	s := New(d)
	p := place{d.trial(), 1, "data", d.Processes.Find("data")}
	words, err := p.words(p.process.Command)
	if err != nil {
		t.Fatal(err)
	}
	want := "/var/lib/nemesis/artifacts/server/server|--config|/var/lib/nemesis/data/conf|--data|/var/lib/nemesis/data/data"
	if got := strings.Join(words, "|"); got != want {
		t.Errorf("the command is %s, want %s", got, want)
	}
	conf, err := p.text(p.process.Files["conf"])
	if err != nil {
		t.Fatal(err)
	}
	if want := "listen 192.168.57.12:6379\npeer 192.168.57.11:7000\npeer 192.168.57.13:7000\nsync yes\n"; conf != want {
		t.Errorf("the file is %q, want %q", conf, want)
	}
	watch := place{d.trial(), 0, "watch", d.Processes.Find("watch")}
	if words, err := watch.words(watch.process.Command); err != nil || strings.Join(words, " ") != "watch 192.168.57.11" {
		t.Errorf("the command is %q, %v", words, err)
	}
	if got := strings.Join(s.Workloads(), " "); got != "register set" {
		t.Errorf("it has the workloads %s", got)
	}
	if got := s.Without("register"); len(got) != 1 || got[0] != history.FCAS {
		t.Errorf("without %v, want cas", got)
	}
	if c := s.ClaimOf("register", map[string]string{"sync": "yes"}); c.Model != history.Linearizable || c.Sources[0].Address == "" || c.Bounds.Recovery == 0 || !c.Assumes(history.CrashRecovery) {
		t.Errorf("it claims %+v of registers", c)
	}
	if c := s.ClaimOf("register", map[string]string{"sync": "no"}); c.Model != "" || len(c.Notes) != 1 {
		t.Errorf("it claims %+v of registers without syncing", c)
	}
	if c := s.ClaimOf("set", nil); c.Model != history.Serializable {
		t.Errorf("it claims %+v of sets", c)
	}
	roles := s.Roles([]string{"a", "b", "c"}, nil)
	if len(roles) != 2 || len(roles[0].Nodes) != 3 || len(roles[1].Nodes) != 1 || roles[1].Nodes[0] != "a" {
		t.Errorf("its roles are %v", roles)
	}
	if got := termIn(regexp.MustCompile(d.Processes.Find("data").Leader.Match), "I lead in term 7"); got != 7 {
		t.Errorf("the term is %d", got)
	}
}

func TestAMistakeIsToldWithItsPlaceAndTheNearestName(t *testing.T) {
	for name, test := range map[string]struct{ old, new, want string }{
		"unknown key":            {"doc: a store", "docs: a store", `store.yaml:3:1: there is no key "docs" here; did you mean doc?`},
		"unknown key within":     {"ports: [8000]", "port: [8000]", `store.yaml:24:5: there is no key "port" in processes.watch; did you mean ports?`},
		"twice":                  {"doc: a store", "doc: a\ndoc: b", `store.yaml:4:1: the key "doc" is there twice, first in line 3; leave one`},
		"without a value":        {"doc: a store", "doc:", `store.yaml:3:1: doc has no value; fill it in or remove it`},
		"no number":              {"nodes: 3", "nodes: three", `store.yaml:5:8: nodes: "three" is not a whole number`},
		"a list for a mapping":   {"options:\n  sync: {default: \"yes\", values: [\"yes\", \"no\"], doc: write to the disk}", "options: [a]", `store.yaml:6:10: options must be a mapping of keys to values, not a list`},
		"a port of two":          {"[8000]", "['80:8000']", `is not a port from 1 to 65535; nodes have addresses of their own`},
		"no such option":         {`option "sync"`, `option "synch"`, `processes.data.files.conf: 3:17: executing "t" at <option "synch">: error calling option: there is no option "synch"; there are sync`},
		"no such artifact":       {`bin "server"`, `bin "serve"`, `there is no artifact "serve"; there are server`},
		"no such node":           {`include \"name\" \"eth0\" | attr \"address\"`, `attr \"colour\"`, `processes.watch.command`},
		"no such port":           {`port "client"`, `port "clients"`, `the process data has no port "clients"`},
		"a helper of this host":  {"NAME: \"{{ self }}\"", "NAME: \"{{ GetPrivateIPs }}\"", `GetPrivateIPs looks at the machine that nemesis runs on`},
		"no such operation":      {"        list: ", "        lists: ", `there is no key "lists" in client.resp.workloads.set; did you mean list?`},
		"an operation too few":   {"        list: {send: [SMEMBERS, s]}\n", "", `client.resp.workloads.set: the operation list is missing; the workload needs add, list`},
		"no such workload":       {"      register:\n        read", "      registers:\n        read", `there is no key "registers" in client.resp.workloads; did you mean register?`},
		"no such operand":        {`[SET, "{{ .key }}"`, `[SET, "{{ .keys }}"`, `map has no entry for key "keys"`},
		"no such process":        {"{data: {condition: process_healthy}}", "[date]", `processes.watch.depends_on: there is no process "date"`},
		"no such condition":      {"process_healthy", "process_completed", `processes.watch.depends_on.data.condition: "process_completed" is none of`},
		"a port of both":         {"[8000]", "[7000]", `processes.watch.ports: the port 7000 is also one of data, on the same node`},
		"no such model":          {"linearizable", "linear-ish", `claims: claim 1: find model "linear-ish"`},
		"no such option claimed": {"options: {sync", "options: {snc", `claims: claim 1: there is no option "snc"`},
		"a comment":              {"doc: a store", "doc: a store\n#", ""},
		"a path that leaves":     {"      conf: |", "      ../conf: |", `"../conf" is no path inside the process' own directory`},
		"a signal of none":       {"signal: INT", "signal: KILL", `processes.watch.shutdown.signal: "KILL" is none of TERM, INT, QUIT, HUP`},
		"a bad pattern":          {"match: PONG", "match: '('", `processes.data.readiness_probe.match: error parsing regexp`},
		"two documents":          {"system: store", "system: a\n---\nsystem: b", "it holds more than one document; leave one"},
		"no client":              {"client:\n  resp:", "client:\n  rest:", `there is no key "rest" in client; did you mean resp?`},
		"a name with a slash":    {"system: store", "system: a/b", `system: a system needs a name of letters, digits, dots and dashes, not "a/b"`},
		"a template without end": {`listen {{ addr self }}`, `{{ range 1000000000000 }}{{ end }}`, "does not end within 5s"},
		"an output without end":  {`listen {{ addr self }}`, "{{ range 1000000000000 }}" + strings.Repeat("x", 10_000) + "{{ end }}", "it makes more than 16777216 bytes"},
		"a reserved name":        {"  watch:\n", "  agent:\n", "a process needs a name of letters, digits, dots and dashes, other than agent and artifacts"},
		"a class without name":   {"{class: corruption", "{class: ''", `log_patterns: pattern 1: a class is a name`},
		"a pattern of all lines": {"'CORRUPT: '", "'.*'", `log_patterns: pattern 1: ".*" is no regular expression, or fits every line`},
		"an origin of two":       {"{file: server}", "{file: server, go: x}", "artifacts.server: it has file and go; leave one"},
		"a url without checksum": {"{file: server}", "{url: 'https://example.com/x'}", "a url needs the sha256 of what is downloaded"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(whole, test.old) {
				t.Fatalf("the file has no %q", test.old)
			}
			_, err := Parse("store.yaml", []byte(strings.Replace(whole, test.old, test.new, 1)))
			switch {
			case test.want == "":
				if err != nil {
					t.Error(err)
				}
			case err == nil:
				t.Errorf("no mistake was told, want %s", test.want)
			case !strings.Contains(err.Error(), test.want):
				t.Errorf("told %s\nwant %s", err, test.want)
			}
		})
	}
}

// No text makes Parse panic, or take long.
func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Add(ofItsOwn)
	f.Add(database)
	f.Add(broker)
	for _, pattern := range []string{"../../examples/*.yaml", "../../examples/*/*.yaml", "../../systems/new/*/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	f.Add("a: &a [*a]")
	f.Add("system: x\nprocesses: {a: {command: '{{ range nodes }}{{ end }}'}}")
	f.Add("x: &a [a,a,a,a,a,a,a,a,a]\ny: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nclaims: &c [*b,*b,*b,*b,*b,*b,*b]")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseWith("x.yaml", []byte(text), Held(nil))
		if (d == nil) == (err == nil) {
			t.Error("neither a system nor a mistake, or both")
		}
	})
}

func TestADirectoryIsAnArtifactAndSoIsAFile(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"server": 0o755, "tree/bin/run": 0o755, "tree/lib/a.txt": 0o644} {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.Replace(whole, "server: {file: server}", "server: {file: server}\n  tree: {file: tree, binary: bin/run}\n  none: {file: tree}", 1)
	d, err := Parse(filepath.Join(dir, "x.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = New(d).Prepare(t.Context(), history.System{Version: "v1"}, os.Stderr); err == nil || !strings.Contains(err.Error(), "get the artifact none: the directory has no none; name its executable with binary") {
		t.Errorf("a directory without the executable: %v", err)
	}
	d.Artifacts = d.Artifacts[:2]
	install, err := New(d).Prepare(t.Context(), history.System{Version: "v1"}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	on := &deployment{site: d.trial()}
	files, err := on.artifacts(install, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range files {
		paths = append(paths, f.Path)
	}
	if got, want := strings.Join(paths, " "), "artifacts/server/server artifacts/tree/bin/run artifacts/tree/lib/a.txt"; got != want {
		t.Errorf("the files are %s, want %s", got, want)
	}
	if on.binaries["tree"] != "tree/bin/run" {
		t.Errorf("the executable is %s", on.binaries["tree"])
	}
}

func TestAnArchiveStaysInItsDirectoryAndKeepsItsChecksum(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"../out", "/abs", "a/../../out"} {
		at := filepath.Join(dir, "evil.tar.gz")
		writeArchive(t, at, name)
		work := t.TempDir()
		err := unpack(at, work)
		if _, statErr := os.Stat(filepath.Join(work, "..", "out")); statErr == nil || err == nil && name != "/abs" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
