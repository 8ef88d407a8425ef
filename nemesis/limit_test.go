package nemesis

import (
	"strings"
	"testing"
	"time"

	"nemesis/history"
)

func TestReadingLimits(t *testing.T) {
	for _, c := range []struct {
		fault Fault
		value string
		want  []string
	}{
		{cpuLimit(), "2%, 150%", []string{"leave the server on n2 2 % of a core", "leave the server on n2 150 % of a core"}},
		{memoryLimit(), "2MB,kill", []string{"leave the server on n2 2 MB more memory than it has", "let the kernel kill the server on n2 for want of memory"}},
		{fileLimit(), "0,8", []string{"let the server on n2 open 0 more files than it has", "let the server on n2 open 8 more files than it has"}},
		{threadLimit(), "0,4", []string{"let the server on n2 have 0 more threads than it has", "let the server on n2 have 4 more threads than it has"}},
	} {
		name := c.fault.Info().Name
		opt := Options{Faults: []string{name}, Nodes: named(3), TimeLimit: time.Minute, Settings: map[string]string{name: c.value}}
		steps, err := Schedule(dice(1), opt)
		if err != nil {
			t.Fatal(err)
		}
		drawn := map[string]bool{}
		for _, step := range steps {
			if err := c.fault.Check(step); err != nil {
				t.Error(err)
			}
			step.Target, step.Nodes = "one", []string{"n2"}
			drawn[Sentence(step)] = true
		}
		for _, want := range c.want {
			if !drawn[want] {
				t.Errorf("%s: not drawn: %q of %v", name, want, drawn)
			}
		}
		for _, value := range []string{"", "much", "-1", "0.5%", "NaN%", "0MB", "2000MB", "kill,", "1e9"} {
			if value == "" {
				continue
			}
			opt.Settings[name] = value
			if _, err := Schedule(dice(1), opt); err == nil || !strings.HasPrefix(err.Error(), "read --"+name+": ") {
				t.Errorf("%s %s: got %v", name, value, err)
			}
		}
		opt.Faults, opt.Settings[name] = []string{"kill"}, c.value
		if _, err := Schedule(dice(1), opt); err == nil || !strings.Contains(err.Error(), "add "+name+" to --faults") {
			t.Errorf("got %v", err)
		}
	}
}

func TestLimitsThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		fault        Fault
		params, want string
	}{
		{cpuLimit(), ``, "it does not say what is left"},
		{cpuLimit(), `{"cores":0.001}`, "0.001 cores are not from 0.01 to 10"},
		{memoryLimit(), `{"room":5}`, "5 bytes are not from 1 MB to 1 GB"},
		{memoryLimit(), `{"room":2000000,"kill":true}`, "the kernel kills a server only if it has 16 MiB left or more"},
		{fileLimit(), `{"room":-1}`, "-1 more are not from 0 to 1000000"},
		{threadLimit(), `{"threads":1}`, `its parameters cannot be read: json: unknown field "threads"`},
	} {
		step := history.Step{ID: 1, Kind: c.fault.Info().Name, Target: "one", Nodes: []string{"n2"}, Params: []byte(c.params)}
		want := "resolve step 1: a " + step.Kind + " cannot be done: " + c.want
		if _, _, err := Resolve(step, three()); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if Sentence(step) == "" {
			t.Error("it has no description")
		}
	}
}
