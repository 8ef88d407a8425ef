package foreign

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDrainsBecomeDequeues(t *testing.T) {
	event := func(process int, kind, f, value string) string {
		return fmt.Sprintf("{:process %d :type :%s :f :%s :value %s}\n", process, kind, f, value)
	}
	in := event(0, "invoke", "enqueue", "1") + event(0, "ok", "enqueue", "1") + event(0, "invoke", "enqueue", "2") + event(0, "ok", "enqueue", "2")
	begun := []string{"0-1 p0 enqueue ok 1->1 0-1000000", "2-3 p0 enqueue ok 2->2 2000000-3000000"}
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"alone: one after another", event(1, "invoke", "drain", "nil") + event(1, "ok", "drain", "[2 1]"),
			[]string{"4-5 p1 dequeue ok null->2 4000000-4000001", "4-5 p1 dequeue ok null->1 4000002-4000003"}},
		{"with others: at any time", event(1, "invoke", "drain", "nil") + event(2, "invoke", "dequeue", "nil") + event(1, "ok", "drain", "(2 1)") + event(2, "fail", "dequeue", ":empty"),
			[]string{"4-6 p1 dequeue ok null->2 4000000-6000000", "4-6 p3 dequeue ok null->1 4000000-6000000", `5-7 p2 dequeue fail null->":empty" 5000000-7000000`}},
		{"the nemesis is nobody's rival", event(1, "invoke", "drain", "nil") + "{:process :nemesis :type :info :f :stop}" + event(1, "ok", "drain", "#{2}"),
			[]string{"4-6 p1 dequeue ok null->2 4000000-4000001"}},
		{"of nothing", event(1, "invoke", "drain", "nil") + event(1, "ok", "drain", "[]"), nil},
		{"failed", event(1, "invoke", "drain", "nil") + event(1, "fail", "drain", "nil"), nil},
		{"of unknown outcome: all that is left", event(1, "invoke", "dequeue", "nil") + event(1, "ok", "dequeue", "2") + event(1, "invoke", "drain", "nil") + event(1, "info", "drain", ":timeout") + event(2, "invoke", "drain", "nil"),
			[]string{"4-5 p1 dequeue ok null->2 4000000-5000000", "6-7 p1 dequeue info null-> 6000000-never"}},
		{"at once", "{:time 7 :process 1 :type :invoke :f :drain} {:time 7 :process 1 :type :ok :f :drain :value [2 1]}",
			[]string{"4-5 p1 dequeue ok null->2 3000001-3000002", "4-5 p1 dequeue ok null->1 3000003-3000004"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			log, err := readText(JepsenEDN, KeysAuto, in+c.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(append(begun[:2:2], c.want...), lines(log)); diff != "" {
				t.Error(diff)
			}
		})
	}
	keyed := strings.NewReplacer(":value 1", ":value [:q 1]", ":value 2", ":value [:q 2]").Replace(in) + event(1, "invoke", "drain", "[:q nil]") + event(1, "ok", "drain", "[:q [1 2]]")
	log, err := readText(JepsenEDN, KeysAuto, keyed)
	if err != nil || len(log.Operations) != 4 || log.Operations[3].Key != ":q" || string(log.Operations[3].Output) != "2" {
		t.Errorf("of one of many queues: %v %v", err, log)
	}
	if _, err := readText(JepsenEDN, KeysAuto, in+event(1, "invoke", "drain", "nil")+event(1, "ok", "drain", "7")); err == nil || !strings.Contains(err.Error(), `line 5: the drain is completed with "7"; a list of elements was expected`) {
		t.Errorf("of no list: %v", err)
	}
}

func TestFormatsAreRecognised(t *testing.T) {
	for text, want := range map[string]Format{
		"":                                   JepsenEDN,
		"{:process 0":                        JepsenEDN,
		"; a comment\n [\n{:process 0":       JepsenEDN,
		"[]":                                 JepsenEDN,
		"({:process 0":                       JepsenEDN,
		"#jepsen.history.Op{:index 0":        JepsenEDN,
		`{"process" 1 "type" "invoke"`:       JepsenEDN,
		`{"f" :read`:                         JepsenEDN,
		`{"process": 1`:                      JepsenJSON,
		`[ {"a\"b":"c"`:                      JepsenJSON,
		`{"value":null`:                      JepsenJSON,
		"0\t:invoke\t:read\tnil":             JepsenLog,
		"[2026-01-02 03:04:05] INFO 0":       JepsenLog,
		"INFO  jepsen.util - 0\t:invoke\t:r": JepsenLog,
		`{:process 0, :type :invoke, :f :get, :key "0", :value nil}`: PorcupineKV,
		`{:process 0, :type :invoke, :f :get, :value nil}`:           JepsenEDN,
		`{:process 0, :type :invoke, :f :getter, :key 1}`:            JepsenEDN,
	} {
		if got := recognise([]byte(text)); got != want {
			t.Errorf("%q is recognised as %s, want %s", text, got, want)
		}
	}
}

func TestLinesThatAreNoEventsAreCounted(t *testing.T) {
	read := func(text string, skip bool) (*History, error) {
		return Read(strings.NewReader(text), Options{SkipUnknown: skip})
	}
	h, err := read("hello\n\n:nemesis\t:info\t:start\tnil\n0\t:invoke\t:write\t1\n{:process 1, :type :ok, :f :read}\n0\t:ok\t:write\t1\r\nbye\n", false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(History{Log: h.Log, Format: JepsenLog, Events: 2, Nemesis: 1, Skipped: Skipped{Lines: 3, First: "hello", FirstLine: 1}}, *h); diff != "" {
		t.Error(diff)
	}
	for name, c := range map[string]struct{ text, says string }{
		"a process with a name":   {"0 :invoke :read nil\nw1 :invoke :read nil\nw2 :ok :read 2\n", `line 2: "w1 :invoke :read nil" looks like an operation and cannot be read (there are 2 such lines); --skip-unknown judges the history without such lines`},
		"half an operation":       {"0 :invoke :read nil\n1 :invoke :read [1\n", `line 2: the file ends within a form; it was cut off; --skip-unknown leaves such lines out`},
		"two styles":              {"INFO jepsen.util - 0 :invoke :read nil\n0 :ok :read 2\n", `line 2: "0 :ok :read 2" looks like an operation and cannot be read; --skip-unknown`},
		"two styles, other order": {"0 :invoke :read nil\nINFO jepsen.util - 0 :ok :read 2\n", `line 2: "INFO jepsen.util - 0 :ok :read 2" looks like an operation`},
	} {
		if _, err := read(c.text, false); err == nil || !strings.HasPrefix(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		h, err := read(c.text, true)
		if err != nil || len(h.Log.Operations) != 1 || h.Skipped.Operations == 0 {
			t.Errorf("%s, skipped: %v %+v", name, err, h)
		}
	}
}
