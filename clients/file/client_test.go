package file

import (
	"slices"
	"strings"
	"testing"
)

const database = `
system: db
options: {level: {default: read-committed, values: [read-committed, serializable]}}
processes:
  db:
    ports: {client: 5432}
    command: postgres
    readiness_probe: {sql: SELECT 1}
    leader_probe: {sql: {send: SELECT pg_is_in_recovery(), user: "{{ self }}", driver: postgres}, match: '^f {{ self }}'}
client:
  sql:
    driver: postgres
    user: nemesis
    password: '{{ secret "clients" }}'
    isolation: '{{ option "level" }}'
    setup: ['CREATE TABLE IF NOT EXISTS {{ workload }} (id int)']
    workloads:
      register:
        read: SELECT value FROM r WHERE id = :key
        write: {send: 'UPDATE r SET value = :value WHERE id = :key'}
      bank:
        open: INSERT INTO a VALUES (:key, :value)
        transfer: {read: SELECT b FROM a WHERE id = :key, write: UPDATE a SET b = :value WHERE id = :key}
        balances: SELECT id, b FROM a
`

const broker = `
system: broker
options: {reads: {default: direct}, replicas: {default: "3"}}
processes:
  broker: {ports: {client: 4222}, command: broker, leader_probe: {http_get: {path: /}, match: 'leader: {{ self }}$'}}
client:
  nats: {replicas: '{{ option "replicas" }}', reads: '{{ option "reads" }}', workloads: [register, queue]}
`

// Each kind of client says which workloads it speaks, and with which operations.
func TestWhatClientsOfAKindSpeak(t *testing.T) {
	for name, c := range map[string]struct{ text, workload, operations string }{
		"sql":  {database, "bank", "balances open transfer"},
		"nats": {broker, "queue", "enqueue dequeue"},
	} {
		d, err := Parse("x.yaml", []byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.Join(d.operations()[c.workload], " "); got != c.operations {
			t.Errorf("%s: %s has %q", name, c.workload, got)
		}
	}
}

// A probe asks as clients log in, where it does not say itself how.
func TestAProbeLogsInAsClientsDo(t *testing.T) {
	d, err := Parse("x.yaml", []byte(database))
	if err != nil {
		t.Fatal(err)
	}
	p := place{d.trial(), 1, "db", d.main()}
	login, statement, err := p.question(*d.main().Ready.SQL)
	if err != nil || login.User != "nemesis" || login.Password == "" || statement != "SELECT 1" {
		t.Errorf("%+v, %q, %v", login, statement, err)
	}
	login, _, err = p.question(*d.main().Leader.SQL)
	if err != nil || login.User != "n2" || login.Password != "" {
		t.Errorf("%+v, %v", login, err)
	}
	if match, err := p.pattern(d.main().Leader.Match); err != nil || match.String() != "^f n2" {
		t.Errorf("%v, %v", match, err)
	}
}

// What is wrong with clients is told when the file is read.
func TestMistakesOfClients(t *testing.T) {
	for name, c := range map[string]struct{ text, old, new, want string }{
		"no driver":         {database, "    driver: postgres\n    user", "    user", `x.yaml:11:3: client.sql: driver: "" is none of postgres and mysql`},
		"no such name":      {database, "id = :key\n        write", "id = :id\n        write", "client.sql: register.read: send: there is no :id; there are key"},
		"an operation more": {database, "        open:", "        opens: SELECT 1\n        open:", "there is no key"},
		"no such level":     {database, "values: [read-committed, serializable]", "values: [read-committed, snapshot]", `isolation: "snapshot" is none of`},
		"a probe's pattern": {database, "'^f {{ self }}'", "'{{ self }}('", "match: error parsing regexp"},
		"a probe's option":  {database, "'^f {{ self }}'", "'{{ option \"x\" }}'", `there is no option "x"`},
		"nobody to ask":     {broker, "leader_probe: {http_get: {path: /}", "leader_probe: {sql: SELECT 1", "it needs a driver, one of postgres and mysql"},
		"no such reads":     {broker, "default: direct", "default: all", `reads: "all" is none of direct and leader`},
		"no number":         {broker, `default: "3"`, "default: three", `replicas: "three" is no number`},
		"no such storage":   {broker, "nats: {", "nats: {storage: tape, ", `storage: "tape" is none of file and memory`},
		"unknown workload":  {broker, "[register, queue]", "[register, lock]", `do not speak "lock"`},
		"two kinds":         {broker, "client:\n", "client:\n  program: {command: x, workloads: {register: [read, write]}}\n", "it needs one of resp, http, sql, nats, program, executables, and has 2"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(c.text, c.old) {
				t.Fatalf("the file has no %q", c.old)
			}
			_, err := Parse("x.yaml", []byte(strings.Replace(c.text, c.old, c.new, 1)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("told %v\nwant %s", err, c.want)
			}
		})
	}
}

// A statement may stand alone, and the schema says so.
func TestSchemaOfWhatMayStandAlone(t *testing.T) {
	s := Schema()
	client := s["properties"].(map[string]any)["client"].(map[string]any)["properties"].(map[string]any)
	for _, name := range kindNames() {
		if client[name] == nil {
			t.Errorf("the schema lacks clients of the kind %s", name)
		}
	}
	workloads := client["sql"].(map[string]any)["properties"].(map[string]any)["workloads"].(map[string]any)
	operation := workloads["additionalProperties"].(map[string]any)["additionalProperties"].(map[string]any)
	choices, is := operation["anyOf"].([]map[string]any)
	if !is || len(choices) != 2 || !slices.Contains([]string{"object"}, choices[1]["type"].(string)) {
		t.Errorf("an operation is %v", operation)
	}
}
