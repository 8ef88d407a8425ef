package compose

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemesis/clients/file"
)

var update = flag.Bool("update", false, "write testdata anew")

// sections are those of a system with registers.
func sections(artifact string, images ...string) Sections {
	return Sections{Doc: "a system", Artifact: artifact, Images: images, ArtifactSection: "artifacts:\n  " + artifact + ": {file: ./" + artifact + "}\n",
		Process: "    ports: {client: 5432}\n    command: '{{ bin \"" + artifact + "\" }} -D {{ data }}'\n",
		Client:  "client:\n  http:\n    workloads:\n      register:\n        read: {get: '/{{ .key }}'}\n        write: {put: '/{{ .key }}'}\n"}
}

// What is made of a compose file is a system's file without mistakes.
func TestSystemsOfComposeFiles(t *testing.T) {
	for name, s := range map[string]Sections{
		"replicas": sections("redis", "redis"), "cluster": sections("other", "other"), "database": sections("postgres", "postgres"),
	} {
		path := filepath.Join("testdata", name+".yaml")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		project, err := Read(path, text)
		if err != nil {
			t.Fatal(err)
		}
		made := project.System(s)
		if _, err := file.Parse(name, []byte(made)); err != nil {
			t.Errorf("%v\n%s", err, made)
		}
		golden := filepath.Join("testdata", name+".system.yaml")
		if *update {
			if err := os.WriteFile(golden, []byte(made), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), made); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for i, l := range project.Left() {
			if l.Line < 1 || strings.Contains(l.Text, "\n") || i > 0 && l.Line < project.Left()[i-1].Line {
				t.Errorf("%s: what was left is %+v", name, l)
			}
		}
	}
}

// Checks that run inside of a container become questions from outside, where they are known.
func TestChecksBecomeProbes(t *testing.T) {
	for command, want := range map[string]string{
		"redis-cli -h localhost -p 6379 ping":                "resp [ping]",
		"redis-cli --raw incr ping":                          "resp [incr ping]",
		"pg_isready -U postgres":                             "sql [SELECT 1]",
		"curl -f http://localhost:8080/health?x=1 || exit 1": "http []/health?x=1",
		"wget -q --spider localhost:80":                      "http []/",
		"nc -z localhost 5432":                               "port []",
		"curl https://localhost/":                            "",
		"my-check":                                           "",
		"|| exit 1":                                          "",
		"redis-cli -p":                                       "",
	} {
		got := ""
		if h := probeOf(split(command)); h != nil {
			got = h.String()
		}
		if got != want {
			t.Errorf("%s becomes %q, want %q", command, got, want)
		}
	}
}

func TestWhatIsNoComposeFileIsRefused(t *testing.T) {
	for text, want := range map[string]string{"": "it is no compose file", "a: [": "read x.yaml: ", "x: y": "it has no services", "- a": "it is no compose file", "services: {}": "it has no services"} {
		if _, err := Read("x.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Everything that a service may say and nodes cannot have is told at its line.
func TestWhatIsLeftIsToldByLines(t *testing.T) {
	project, err := Read("x.yaml", []byte(`services:
  a:
    image: ${IMAGE}
    ports: ["53:53/udp", "8000-8005"]
    privileged: true
    stop_signal: SIGUSR1
    environment: [SECRET]
    volumes: [./missing.conf:/etc/a.conf]
    deploy: {replicas: 3, resources: {}}
    healthcheck: {test: my-check}
secrets: {}
`))
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	for _, l := range project.Left() {
		lines = append(lines, l.Line)
	}
	slices.Sort(lines)
	if want := []int{2, 3, 4, 4, 5, 6, 7, 8, 9, 10, 11}; !slices.Equal(lines, want) {
		t.Errorf("told of the lines %v, want %v: %+v", lines, want, project.Left())
	}
	if project.groups[0].nodes() != 3 {
		t.Errorf("it runs on %d nodes", project.groups[0].nodes())
	}
}

// Arguments keep their words, whatever is quoted in them, and braces are no templates.
func TestWordsOfCommandsSurvive(t *testing.T) {
	project, err := Read("x.yaml", []byte("services:\n  a1: {image: x, command: [run, \"it's\", 'a \"b\" c', '{{ x }}', '']}\n  a2: {image: x, command: [run]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := file.Parse("x.yaml", []byte(strings.Replace(project.System(sections("other", "other")), "    command:", "    ports: {client: 80}\n    command:", 1)))
	if err != nil {
		t.Fatal(err)
	}
	trial, err := d.Trial()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := trial[0].Command[1:], []string{"it's", `a "b" c`, "{{ x }}", ""}; !slices.Equal(got, want) {
		t.Errorf("the command is %q, want %q", got, want)
	}
	if got := trial[1].Command[1:]; len(got) != 0 {
		t.Errorf("the command of the second is %q", got)
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"replicas", "cluster", "database"} {
		text, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("services: &a {b: *a}")
	f.Add("services: {a: {<<: &x {image: y}, ports: [{target: 1}], volumes: [{source: '.', target: /}], command: ['']}}")
	f.Fuzz(func(t *testing.T, text string) {
		project, err := Read("x.yaml", []byte(text))
		if err != nil {
			return
		}
		project.System(sections("redis", "redis"))
	})
}
