package foreign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nemesis/history"
)

func readText(format Format, keys Keys, text string) (*history.Log, error) {
	h, err := Read(strings.NewReader(text), Options{Format: format, Keys: keys})
	if err != nil {
		return nil, err
	}
	return h.Log, nil
}

// lines shows operations as one line each.
func lines(log *history.Log) []string {
	var s []string
	for _, o := range log.Operations {
		ret := "never"
		if o.Return != history.Never {
			ret = fmt.Sprint(o.Return)
		}
		line := fmt.Sprintf("%d-%d p%d %s %s %s->%s %d-%s", o.Index, o.Completion, o.Process, o.F, o.Type, o.Input, o.Output, o.Call, ret)
		if o.Key != "" {
			line += " key " + o.Key
		}
		if o.Error != "" {
			line += " error " + o.Error
		}
		s = append(s, line)
	}
	return s
}

func TestJepsenHistoriesInAllTheirSpellings(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"maps one after another", `
			{:process 0, :type :invoke, :f :write, :value 3}
			{:process 0, :type :ok, :f :write, :value 3}`,
			[]string{"0-1 p0 write ok 3->3 0-1000000"}},
		{"one vector, with comments and the nemesis", `
			[{:process 0, :type :invoke, :f :read, :value nil} ; now
			 {:process :nemesis, :type :info, :f :kill, :value {"n1" :killed}}
			 #_ {:process 9 :type :what}
			 {:process 0, :type :ok, :f :read, :value 4}]`,
			[]string{"0-2 p0 read ok null->4 0-2000000"}},
		{"a list", `({:process 0, :type :invoke, :f :read} {:process 0, :type :fail, :f :read})`,
			[]string{"0-1 p0 read fail null->null 0-1000000"}},
		{"texts instead of keywords", `{"process" 1 "type" "invoke" "f" "acquire"} {"process" 1 "type" "ok" "f" "acquire" "value" nil}`,
			[]string{"0-1 p1 acquire ok null->null 0-1000000"}},
		{"records with index and time", `
			#jepsen.history.Op{:index 10, :time 5000, :type :invoke, :process 2, :f :cas, :value [1 2]}
			#jepsen.history.Op{:index 12, :time 7000, :type :info, :process 2, :f :cas, :value [1 2], :error [:timeout "n1"]}`,
			[]string{`10-12 p2 cas info [1,2]->[1,2] 5000-never error [":timeout","n1"]`}},
		{"an operation that never completed", `{:process 0, :type :invoke, :f :add, :value 1}`,
			[]string{"0--1 p0 add info 1-> 0-never"}},
		{"independent keys", `
			{:process 0, :type :invoke, :f :cas, :value [7 [1 2]]}
			{:process 1, :type :invoke, :f :read, :value ["x y" nil]}
			{:process 1, :type :ok, :f :read, :value ["x y" 5]}
			{:process 0, :type :info, :f :cas, :value :timed-out}`,
			[]string{`0-3 p0 cas info [1,2]->":timed-out" 0-never key 7`, "1-2 p1 read ok null->5 1000000-2000000 key x y"}},
		{"compare-and-sets alone are no keys", `{:process 0, :type :invoke, :f :cas, :value [1 2]} {:process 0, :type :ok, :f :cas, :value [1 2]}`,
			[]string{"0-1 p0 cas ok [1,2]->[1,2] 0-1000000"}},
		{"a key of its own", `{:process 0, :type :invoke, :f :get, :key "a", :value nil} {:process 0, :type :ok, :f :get, :key "a", :value "x"}`,
			[]string{`0-1 p0 get ok null->"x" 0-1000000 key a`}},
		{"times that contradict the order of the file", `
			{:process 0, :time 50, :type :invoke, :f :read}
			{:process 1, :time 40, :type :invoke, :f :read}
			{:process 0, :time 50, :type :ok, :f :read, :value 1}
			{:process 1, :time 90, :type :ok, :f :read, :value 1}`,
			[]string{"0-2 p0 read ok null->1 50-52", "1-3 p1 read ok null->1 51-90"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			log, err := readText(JepsenEDN, KeysAuto, c.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, lines(log)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDifferentEDNFormsBecomeDifferentValues(t *testing.T) {
	seen := make(map[string]string)
	for edn, want := range map[string]string{
		`nil`: `null`, `true`: `true`, `7`: `7`, `-7`: `-7`, `1.50`: `1.5`, `1e3`: `1000.0`, `1e400`: `"##Inf"`, `1000`: `1000`, `"1/2"`: `{"#text":"1/2"}`, `":a"`: `{"#text":":a"}`, `"1M"`: `{"#text":"1M"}`, `1M`: `"1M"`,
		`12345678901234567890123N`: `12345678901234567890123`, `1/2`: `"1/2"`, `##NaN`: `"##NaN"`, `2.5M`: `"2.5M"`,
		`"a"`: `"a"`, `:a`: `":a"`, `a`: `"'a"`, `\b`: `"\\b"`, `\newline`: `"\\\n"`, `\u0041`: `"\\A"`,
		`"q\"\\\n\t\u00e9\ud83d\ude00"`: `"q\"\\\n\té😀"`,
		`[1 [2 nil] ()]`:                `[1,[2,null],[]]`, `#{10 3}`: `{"#{}":[3,10]}`, `[3 10]`: `[3,10]`,
		`{:b 1, "c" 2, 3 4}`: `{"3":4,"c":2,":b":1}`, `{"3" 4}`: `{"\"3\"":4}`,
		`#inst "2026-01-02"`: `{"#inst":"2026-01-02T00:00:00Z"}`, `#foo.Bar{:x 1}`: `{"#foo.Bar":{":x":1}}`, `#:ns{:y 1}`: `{":ns/y":1}`,
	} {
		log, err := readText(JepsenEDN, KeysNo, "{:process 0 :type :invoke :f :write :value "+edn+"}")
		if err != nil {
			t.Errorf("%s: %v", edn, err)
			continue
		}
		got := string(log.Operations[0].Input)
		if got != want || !json.Valid([]byte(got)) {
			t.Errorf("%s became %s, want %s", edn, got, want)
		}
		if other, taken := seen[got]; taken {
			t.Errorf("%s and %s both became %s", edn, other, got)
		}
		seen[got] = edn
	}
	for edn, want := range map[string]string{
		`+7`: `7`, `-0`: `0`, `007`: `7`, `7N`: `7`, `#{:b "c" 3 :a}`: `{"#{}":[3,"c",":a",":b"]}`,
		`{:b #{{:y 1 :x 2} [1]} :a nil}`: `{":a":null,":b":{"#{}":[[1],{":x":2,":y":1}]}}`,
		`{:a nil :b #{[1] {:x 2 :y 1}}}`: `{":a":null,":b":{"#{}":[[1],{":x":2,":y":1}]}}`,
	} {
		log, err := readText(JepsenEDN, KeysNo, "{:process 0 :type :invoke :f :write :value "+edn+"}")
		if err != nil || string(log.Operations[0].Input) != want {
			t.Errorf("%s: %v %v", edn, log, err)
		}
	}
}

func TestMalformedHistoriesGetOneLineWithItsNumber(t *testing.T) {
	const first = "{:process 0, :type :invoke, :f :read, :value nil}\n"
	for _, c := range []struct {
		name   string
		format Format
		text   string
		says   string
	}{
		{"nothing", JepsenEDN, "", "no operation was found"},
		{"a file that is cut off", JepsenEDN, first + "{:process 0, :type", "line 2: the file ends within a form"},
		{"a vector that is cut off", JepsenEDN, "[" + first, `line 2: the file ends before the ']' that closes its events`},
		{"a string without end", JepsenEDN, first + "{:process \"0\n\n", "line 2: a string that begins here has no end"},
		{"half a map", JepsenEDN, first + "{:process 0, :type}", "line 2: a map has a key without a value"},
		{"a bracket too many", JepsenEDN, first + "]", `line 2: ']' closes nothing`},
		{"a map that ends like a vector", JepsenEDN, first + "{:process 0]", `line 2: ']' closes nothing`},
		{"another program's file", JepsenEDN, "\x7fELF\x01", `line 1: "\x7fELF" is no EDN`},
		{"JSON", JepsenEDN, `{"process": 0}`, `this is JSON, not EDN; say --format jepsen-json`},
		{"JSON in the middle", JepsenEDN, first + `{"process": 0}`, `line 2: a colon stands alone`},
		{"a key twice", JepsenEDN, first + `{:value {:a 1 :b 2 :a 3}}`, `line 2: a map has the key ":a" twice`},
		{"division by zero", JepsenEDN, `{:value 1/0}`, `line 1: "1/0" divides by zero`},
		{"half a character", JepsenEDN, `{:value "\ud83d"}`, `line 1: a string holds the escape \ud83d, which is half a character`},
		{"a number that is none of three", JepsenEDN, `{:value ##Nan}`, `line 1: "##Nan" is no EDN`},
		{"UTF-16 that was cut off", JepsenEDN, "\xff\xfe{\x00:", "the file is UTF-16 and ends within a character"},
		{"Jepsen's own store", JepsenEDN, "JEPSEN\x00\x00", "this is Jepsen's binary store; name the history.edn"},
		{"JSON without colons", JepsenJSON, `{"process" 0}`, `line 1: the member "process" has no value; a colon was expected`},
		{"JSON without commas", JepsenJSON, `{"process":0 "type":"ok"}`, `line 1: '"' stands where a comma or '}' was expected`},
		{"EDN where JSON was said", JepsenJSON, first, `line 1: ':' stands where the name of a member was expected`},
		{"JSON that is cut off", JepsenJSON, `[{"process":0,`, "line 1: the file ends within a form"},
		{"a number of JSON", JepsenJSON, `{"process":01}`, `line 1: "01" starts like a number but is none`},
		{"a word of JSON", JepsenJSON, `{"process":nil}`, `line 1: "nil" is no JSON`},
		{"no time", JepsenJSON, `{"process":0,"type":"ok","f":"read","time":-2}`, `line 1: the :time is "-2"; a whole number from 0`},
		{"a number", JepsenEDN, first + "12", `line 2: "12" stands where an event such as`},
		{"an odd number", JepsenEDN, "{:value 1x}", `line 1: "1x" starts like a number but is none`},
		{"an endless number", JepsenEDN, "{:value " + strings.Repeat("9", 500) + "}", "line 1: a number has 500 digits"},
		{"an odd escape", JepsenEDN, `{:value "\q"}`, `line 1: a string holds the unknown escape \"q"`},
		{"an odd character", JepsenEDN, `{:value \abc}`, `line 1: \"abc" is no character`},
		{"a nest", JepsenEDN, strings.Repeat("{:a ", 200), "line 1: forms are nested deeper than 100"},
		{"a nest of discards", JepsenEDN, strings.Repeat("#_", 200), "line 1: forms are nested deeper than 100"},
		{"no process", JepsenEDN, first + "{:type :ok :f :read}", "line 2: the event has no :process"},
		{"a process with a name", JepsenEDN, `{:process :client-1 :type :ok :f :read}`, `line 1: the :process is ":client-1"; a client's number or :nemesis was expected`},
		{"no type", JepsenEDN, `{:process 1 :f :read}`, "line 1: the :type is missing; one of :invoke, :ok, :fail and :info"},
		{"an odd type", JepsenEDN, `{:process 1 :type :done :f :read}`, `line 1: the :type is ":done"`},
		{"no function", JepsenEDN, `{:process 1 :type :ok :f nil}`, `line 1: the :f is "nil"`},
		{"an odd time", JepsenEDN, `{:process 1 :type :ok :f :read :time -5}`, `line 1: the :time is "-5"; a whole number from 0`},
		{"an odd index", JepsenEDN, `{:process 1 :type :ok :f :read :index "1"}`, `line 1: the :index is "\"1\""`},
		{"a completion of nothing", JepsenEDN, "{:process 0, :type :ok, :f :read, :value 1}", "line 1: process 0 completes an operation that it never invoked"},
		{"two open operations", JepsenEDN, first + first, "line 2: process 0 invokes an operation while that of line 1 is open"},
		{"a process used again", JepsenEDN, first + "{:process 0, :type :info, :f :read}\n" + first, "line 3: process 0 invokes an operation although the outcome of that of line 2 is unknown"},
		{"another operation completed", JepsenEDN, first + "{:process 0, :type :ok, :f :write}", `line 2: process 0 completes "write ", but line 1 invoked "read "`},
		{"indexes in disorder", JepsenEDN, "{:index 5 :process 0 :type :invoke :f :read}\n{:index 5 :process 0 :type :ok :f :read}", "line 2: the :index 5 does not follow 5"},
		{"time that goes back", JepsenEDN, "{:time 5 :process 0 :type :invoke :f :read}\n{:time 4 :process 0 :type :ok :f :read}", "line 2: the :time of process 0 goes back from 5 to 4"},
		{"a foreign function", PorcupineKV, `{:process 1 :type :invoke :f :cas :key "k"}`, `line 1: the :f is "cas"; one of :get, :put and :append`},
		{"a failure", PorcupineKV, `{:process 1 :type :fail :f :get :key "k"}`, "line 1: the :type is :fail; :invoke or :ok was expected"},
		{"no key", PorcupineKV, `{:process 1 :type :invoke :f :get}`, "line 1: the event has no :key"},
		{"a number as value", PorcupineKV, `{:process 1 :type :invoke :f :put :key "k" :value 1}`, `line 1: the :value is "1"; a text or nil`},
		{"a nemesis", PorcupineKV, `{:process :nemesis :type :invoke :f :get :key "k"}`, "line 1: the :process is :nemesis"},
		{"a log without operations", JepsenLog, "INFO  jepsen.core - Everything looks good!\n", "no operation was found"},
		{"a line that is cut off", JepsenLog, "INFO  jepsen.util - 0\t:invoke\t:read\tnil\nINFO  jepsen.util - 0\t:inv", `line 2: "0\t:inv" begins like an operation`},
		{"a line that is cut off early", JepsenLog, "INFO  jepsen.util - 0\t:invoke\t:read\tnil\nINFO  jepsen.util - 0", `line 2: "0" begins like an operation`},
		{"half a value", JepsenLog, "INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2", "line 1: the file ends within a form"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log, err := readText(c.format, KeysAuto, c.text)
			if err == nil {
				t.Fatalf("read as %q", lines(log))
			}
			if !strings.HasPrefix(err.Error(), c.says) || strings.ContainsAny(err.Error(), "\n\r\x1b") {
				t.Errorf("says %q, want %q", err, c.says)
			}
		})
	}
	for text, says := range map[string]string{
		"{:process 0 :type :invoke :f :read :value [1 nil]}\n{:process 1 :type :invoke :f :read :value 3}": `line 2: the value is "3"; a key and its value`,
		"{:process 0 :type :invoke :f :read :value [1 nil]}\n{:process 0 :type :ok :f :read :value [2 5]}": `line 1: the operation on key "1" is completed with "[2,5]"`,
	} {
		if _, err := readText(JepsenEDN, KeysYes, text); err == nil || !strings.HasPrefix(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if log, err := readText(JepsenEDN, KeysAuto, "{:process :nemesis, :type :info, :f :kill}"); err != nil || len(log.Operations) != 0 {
		t.Errorf("a run without clients: %v %v", log, err)
	}
	if _, err := readText("csv", KeysAuto, ""); err == nil || !strings.Contains(err.Error(), "jepsen-edn, jepsen-log, porcupine-kv") {
		t.Error(err)
	}
	if _, err := readText(JepsenEDN, "perhaps", ""); err == nil || !strings.Contains(err.Error(), "auto, yes, no") {
		t.Error(err)
	}
}

func TestLogsOfOldAndNewJepsens(t *testing.T) {
	log, err := readText(JepsenLog, KeysAuto, strings.Join([]string{
		"INFO  jepsen.core - Running test",
		"INFO  jepsen.util - 5 nodes are up",
		"INFO  jepsen.util - 4\t:invoke\t:write\t3",
		"INFO  jepsen.util - :nemesis\t:info\t:start\tnil",
		"INFO [2026-01-02 03:04:05,678] jepsen worker 7 - jepsen.util 7\t:invoke\t:cas\t[0 1]",
		"2026-01-02 03:04:05{GMT}\tINFO\t[jepsen worker 7] jepsen.util: 7\t:info\t:cas\t[0 1]\t:timeout",
		"INFO  jepsen.util - 4\t:info\t:write\t:timed-out",
		"INFO  jepsen.util - 8\t:invoke\t:read\tnil",
		"INFO  jepsen.util - 8\t:ok\t:read\t3",
		"INFO  jepsen.util - 9\t:invoke\t:read\tnil",
		"INFO  jepsen.util - 9\t:fail\t:read\tnil\tconnection refused: \\",
	}, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"0-4 p4 write info 3->null 0-never error timed-out",
		"2-3 p7 cas info [0,1]->[0,1] 2000000-never error timeout",
		"5-6 p8 read ok null->3 5000000-6000000",
		"7-8 p9 read fail null->null 7000000-8000000 error connection",
	}
	if diff := cmp.Diff(want, lines(log)); diff != "" {
		t.Error(diff)
	}
}

// endless repeats a text for ever.
type endless string

func (e endless) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		n += copy(b[n:], e)
	}
	return n, nil
}

func TestOversizedEventIsRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("reads some 100 MB, one byte after another")
	}
	for name, text := range map[string]string{"text": "x", "list": "1 ", "space": "   "} {
		start := map[string]string{"text": `{:value "`, "list": "{:value [", "space": "{"}[name]
		_, err := Read(io.MultiReader(strings.NewReader(start), endless(text)), Options{Format: JepsenEDN})
		if err == nil || !strings.Contains(err.Error(), "one event is longer than") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := Read(endless("x"), Options{Format: JepsenLog})
	if err == nil || !strings.Contains(err.Error(), "the line is longer than") {
		t.Error(err)
	}
}

// TestWhatIsWrittenIsRead draws histories, writes them in a random spelling and
// reads them back.
func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keyed := rapid.Bool().Draw(t, "keyed")
		indexed := rapid.Bool().Draw(t, "indexed")
		var text strings.Builder
		var want []string
		type open struct{ line, index int }
		process, index := 0, 0
		clients := map[int]int{} // client → process
		pending := map[int]open{}
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			client := rapid.IntRange(0, 3).Draw(t, "client")
			at, busy := pending[client]
			kind := "invoke"
			if !busy {
				clients[client] = process
				process++
				at = open{len(want), index}
				want = append(want, "")
				pending[client] = at
			} else {
				kind = rapid.SampledFrom([]string{"ok", "fail", "info"}).Draw(t, "kind")
				delete(pending, client)
			}
			value := fmt.Sprint(at.line)
			if keyed {
				value = fmt.Sprintf("[%d %s]", client, value)
			}
			fields := []string{fmt.Sprintf(":process %d", clients[client]), ":f :write", ":type :" + kind, ":value " + value}
			if indexed {
				fields = append(fields, fmt.Sprintf(":index %d", index))
			}
			fields = rapid.Permutation(fields).Draw(t, "order")
			fmt.Fprintf(&text, "{%s}%s", strings.Join(fields, rapid.SampledFrom([]string{", ", " ", "\n"}).Draw(t, "gap")),
				rapid.SampledFrom([]string{"\n", "", ",;c\n", "#_{1 2}"}).Draw(t, "end"))
			key := ""
			if keyed {
				key = fmt.Sprintf(" key %d", client)
			}
			completion, output, ret := -1, "", "never"
			if kind != "invoke" {
				completion, output = index, fmt.Sprint(at.line)
				if kind != "info" {
					ret = fmt.Sprint(index * 1e6)
				}
			} else {
				kind = "info"
			}
			want[at.line] = fmt.Sprintf("%d-%d p%d write %s %d->%s %d-%s%s", at.index, completion, clients[client], kind, at.line, output, at.index*1e6, ret, key)
			index++
		}
		log, err := readText(JepsenEDN, KeysAuto, text.String())
		if err != nil {
			t.Fatalf("%v in\n%s", err, text.String())
		}
		if diff := cmp.Diff(want, lines(log)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestReadingEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.edn")
	if err := os.WriteFile(path, []byte("{:process 0, :type :invoke, :f :read}"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Load(ctx, path, Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
