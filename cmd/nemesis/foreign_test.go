package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// written is a file with a text in it.
func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// edn writes operations one after another; each is "process f invoked answered".
func edn(ops ...string) string {
	var b strings.Builder
	for _, op := range ops {
		w := strings.SplitN(op, " ", 4)
		line := "{:process " + w[0] + ", :type :invoke, :f :" + w[1] + ", :value " + w[2] + "}\n"
		b.WriteString(line)
		b.WriteString(strings.Replace(strings.Replace(line, "invoke", "ok", 1), ":value "+w[2], ":value "+w[3], 1))
	}
	return b.String()
}

func TestHistoriesOfOtherTestersAreJudged(t *testing.T) {
	stale := edn("0 write 1 1", "0 write 2 2", "1 read nil 1")
	for _, tc := range []struct {
		name string
		text string
		args []string
		code int
		says string
	}{
		{"a stale read", stale, nil, 1, "Client 1 read 1 from the register at 0.005 s, although client 0's write of 2 had been acknowledged 1.0 ms earlier and nothing wrote 1 again."},
		{"a fresh read", edn("0 write 1 1", "1 read nil 1"), nil, 0, "No violation found in 2 operations (2 ok, 0 fail, 0 info)."},
		{"a register that begins with 0", edn("0 read nil 0"), []string{"--init", "0"}, 0, "No violation"},
		{"and one that does not", edn("0 read nil 0"), nil, 1, "although no client had ever asked for that value"},
		{"a nil that is a value", edn("0 write 1 1", "0 read nil nil"), nil, 1, "read null"},
		{"a nil that tells nothing", edn("0 write 1 1", "0 read nil nil"), []string{"--nil-reads-tell-nothing"}, 0, "No violation"},
		{"a plain register", stale, []string{"--model", "register"}, 1, "Client 1 read 1"},
		{"a set that forgets", edn("0 add 1 1", "0 add 2 2", "1 read nil #{1}"), []string{"--model", "set"}, 1, "from the set"},
		{"a set", edn("0 add 1 1", "0 add 2 2", "1 read nil #{2 1}"), []string{"--model", "set"}, 0, "No violation"},
		{"a mutex held twice", edn("0 acquire nil nil", "1 acquire nil nil"), []string{"--model", "mutex"}, 1, "mutex"},
		{"a queue out of order", edn("0 enqueue 1 1", "0 enqueue 2 2", "1 dequeue nil 2"), []string{"--model", "queue"}, 1, "queue"},
		{"a queue that keeps no order", edn("0 enqueue 1 1", "0 enqueue 2 2", "1 dequeue nil 2", "1 dequeue nil 1", "1 dequeue nil nil"), []string{"--model", "unordered-queue"}, 0, "No violation"},
		{"and gives one thing twice", edn("0 enqueue 1 1", "0 enqueue 2 2", "1 dequeue nil 2", "1 dequeue nil 2"), []string{"--model", "unordered-queue"}, 1, "queue"},
		{"a counter", edn("0 add 2 2", "0 add -1 -1", "1 read nil 1"), []string{"--model", "counter"}, 0, "No violation"},
		{"independent registers", edn("0 write [1,1] [1,1]", "0 write [2,5] [2,5]", "1 read [1,nil] [1,nil]"), nil, 1, "from 1"},
		{"an operation that nobody completed", "{:process 0 :type :invoke :f :write :value 1}", nil, 3, "The history proves nothing"},
		{"only the nemesis", "{:process :nemesis :type :info :f :kill}", nil, 3, "no operation succeeded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			args := append([]string{"check", "--format", "jepsen-edn"}, tc.args...)
			out, code := try(t, append(args, "--quiet", written(t, "history.edn", tc.text))...)
			if code != tc.code || !strings.Contains(out, tc.says) || strings.Count(out, "\n") != 1 {
				t.Errorf("exit status %d, says %q; want %d and %q on one line", code, out, tc.code, tc.says)
			}
			long, again := try(t, append(args, written(t, "history.edn", tc.text))...)
			if again != code || !strings.Contains(long, "history.edn") {
				t.Errorf("at length: exit status %d\n%s", again, long)
			}
			if code == 1 && (!strings.Contains(long, "cannot be explained") || !strings.Contains(long, "Rule broken") || strings.Contains(long, "fault was in force")) {
				t.Errorf("no proof, or one about faults that nobody knows:\n%s", long)
			}
		})
	}
}

func TestOtherFormatsAreJudged(t *testing.T) {
	log := "INFO  jepsen.core - Running test\nINFO  jepsen.util - 0\t:invoke\t:write\t3\nINFO  jepsen.util - 0\t:ok\t:write\t3\n" +
		"INFO  jepsen.util - 0\t:invoke\t:cas\t[3 4]\nINFO  jepsen.util - 0\t:fail\t:cas\t[3 4]\n"
	path := written(t, "jepsen.log", log)
	if out, code := try(t, "check", "--format", "jepsen-log", path); code != 0 {
		t.Errorf("a compare-and-set that failed for any reason: exit status %d\n%s", code, out)
	}
	if out, code := try(t, "check", "--format", "jepsen-log", "--failures-observe", path); code != 1 {
		t.Errorf("a compare-and-set that failed although the value was there: exit status %d\n%s", code, out)
	}
	kv := strings.ReplaceAll(`{:process 0, :type :invoke, :f :append, :key "a", :value "x"}
{:process 0, :type :ok, :f :append, :key "a", :value "x"}
{:process 1, :type :invoke, :f :get, :key "a", :value nil}
{:process 1, :type :ok, :f :get, :key "a", :value "GOT"}`, "GOT", "x")
	if out, code := try(t, "check", "--format", "porcupine-kv", written(t, "kv.txt", kv)); code != 0 {
		t.Errorf("exit status %d\n%s", code, out)
	}
	if out, code := try(t, "check", "--format", "porcupine-kv", written(t, "kv.txt", strings.ReplaceAll(kv, `"x"}`, `"y"}`)+"\n")); code != 0 {
		t.Errorf("exit status %d\n%s", code, out)
	}
	if out, code := try(t, "check", "--format", "porcupine-kv", written(t, "kv.txt", strings.Replace(kv, `:ok, :f :get, :key "a", :value "x"`, `:ok, :f :get, :key "a", :value ""`, 1))); code != 1 {
		t.Errorf("exit status %d\n%s", code, out)
	}
}

func TestMistakesWithForeignHistoriesGetOneLine(t *testing.T) {
	good := written(t, "history.edn", edn("0 write 1 1"))
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"unknown format":         {[]string{"--format", "csv", good}, `"csv" is not one of jepsen-edn, jepsen-log, porcupine-kv`},
		"unknown model":          {[]string{"--format", "jepsen-edn", "--model", "stack", good}, "cas-register, counter, kv, mutex, queue, register, set"},
		"a model for a run":      {[]string{"--model", "set", t.TempDir()}, "--model is for another tester's history, and "},
		"a log as EDN":           {[]string{"--format", "jepsen-edn", "testdata/foreign/history.txt"}, `line 1: "0" stands where an event such as {:process 0, :type :invoke, :f :read, :value nil} was expected; it looks like jepsen-log, not jepsen-edn`},
		"JSON as EDN":            {[]string{"--format", "jepsen-edn", written(t, "h.json", `{"process":0}`)}, "this is JSON, not EDN; say --format jepsen-json, or none"},
		"a log full of riddles":  {[]string{written(t, "h.log", "0 :invoke :write 1\nclient-1 :invoke :write 2\n0 :ok :write 1\n")}, `line 2: "client-1 :invoke :write 2" looks like an operation and cannot be read; --skip-unknown`},
		"no format at all":       {[]string{written(t, "h.txt", "hello\n")}, "no operation was found, and its format was not recognised; name it with --format: jepsen-edn, jepsen-log, porcupine-kv, jepsen-json"},
		"no file":                {[]string{"--format", "jepsen-edn", "/no/such/file"}, "/no/such/file"},
		"a directory":            {[]string{"--format", "jepsen-edn", t.TempDir()}, "is a directory; name a file"},
		"the wrong format":       {[]string{"--format", "jepsen-log", good}, "no operation was found"},
		"the wrong model":        {[]string{"--format", "jepsen-edn", "--model", "queue", good}, "a queue knows enqueue and dequeue"},
		"a bad initial value":    {[]string{"--format", "jepsen-edn", "--init", "[1", good}, "read --init"},
		"two initial values":     {[]string{"--format", "jepsen-edn", "--init", "1 2", good}, "more than one value"},
		"bad keys":               {[]string{"--format", "jepsen-edn", "--keys", "maybe", good}, `"maybe" is not one of auto, yes, no`},
		"keys that are none":     {[]string{"--format", "jepsen-edn", "--keys", "yes", good}, "a key and its value"},
		"bad memory":             {[]string{"--format", "jepsen-edn", "--checker-memory", "plenty", good}, `"plenty" is not a size`},
		"negative time":          {[]string{"--format", "jepsen-edn", "--checker-time", "-1s", good}, "--checker-time"},
		"a file that is cut off": {[]string{"--format", "jepsen-edn", written(t, "h.edn", "[{:process 0")}, "line 1: the file ends within a form"},
		"an impossible history":  {[]string{"--format", "jepsen-edn", written(t, "h.edn", "{:process 0 :type :ok :f :read}")}, "never invoked"},
	} {
		t.Run(name, func(t *testing.T) {
			out, code := try(t, append([]string{"check"}, tc.args...)...)
			if code != usageCode || !strings.Contains(out, tc.says) || strings.Count(strings.TrimSpace(out), "\n") != 0 {
				t.Errorf("exit status %d, says %q; want %d and one line with %q", code, out, usageCode, tc.says)
			}
		})
	}
}

// Inputs that failed once, from public reports: testdata/foreign, rewritten.
func TestDialectsOfOtherTestersAreJudged(t *testing.T) {
	for _, tc := range []struct {
		file string
		args []string
		code int
		says string
	}{
		{"float.edn", nil, 0, "Read as jepsen-edn: 4 events of clients."},
		{"ratio-text.edn", []string{"--keys", "no"}, 1, "although no client had ever asked for that value"},
		{"history.txt", nil, 1, "Read as jepsen-log: 4 events of clients."},
		{"stamped.log", nil, 1, "Read as jepsen-log: 4 events of clients, 1 of the nemesis, left out; 2 lines were not read, the first is line 1: \"2026-01-02 03:04:05,678 starting\"."},
		{"time-1.edn", nil, 0, "Read as jepsen-edn: 2 events of clients."},
		{"bom-crlf.edn", nil, 0, "Read as jepsen-edn: 2 events of clients."},
		{"init.json", []string{"--init", "1.0"}, 0, "No violation"},
		{"init.json", []string{"--init", "2"}, 1, "although no client had ever asked for that value"},
		{"hist.json", nil, 0, "Read as jepsen-json: 2 events of clients."},
		{"drain.edn", []string{"--model", "queue"}, 0, "No violation found in 5 operations (4 ok, 1 fail, 0 info)."},
		{"drain.edn", []string{"--model", "unordered-queue"}, 0, "No violation"},
		{"drain-order.edn", []string{"--model", "queue"}, 1, "queue"},
		{"drain-order.edn", []string{"--model", "unordered-queue"}, 0, "No violation"},
		{"drain-lost.edn", []string{"--model", "unordered-queue"}, 1, "queue"},
		{"drain-crashed.edn", []string{"--model", "unordered-queue"}, 0, "No violation"},
		{"key-old-new.edn", nil, 1, "from 7"},
		{"history.edn.gz", nil, 1, "Read as jepsen-edn: 6 events of clients, 1 of the nemesis, left out."},
	} {
		t.Run(tc.file+strings.Join(tc.args, ""), func(t *testing.T) {
			out, code := try(t, append(append([]string{"check"}, tc.args...), "testdata/foreign/"+tc.file)...)
			if code != tc.code || !strings.Contains(out, tc.says) {
				t.Errorf("exit status %d, want %d with %q:\n%s", code, tc.code, tc.says, out)
			}
		})
	}
}

func TestWhatWasNotReadIsToldAside(t *testing.T) {
	path := written(t, "h.log", "hello\n0 :invoke :write 1\nclient-1 :invoke :write 2\n0 :ok :write 1\n")
	out, code := try(t, "check", "--quiet", "--skip-unknown", path)
	if want := "Read as jepsen-log: 2 events of clients; 2 lines were not read, the first is line 1: \"hello\".\nvalid: "; code != 0 || !strings.HasPrefix(out, want) {
		t.Errorf("exit status %d\n%s", code, out)
	}
}

func TestMoreMemoryThanThereIsIsToldAndNotGiven(t *testing.T) {
	for memory, tells := range map[string]bool{"1000TiB": true, "64MiB": false} {
		out, code := try(t, "check", "--checker-memory", memory, "testdata/foreign/history.txt")
		first, _, _ := strings.Cut(out, "\n")
		if code == usageCode || strings.HasPrefix(first, "The checkers were given ") != tells {
			t.Errorf("with %s: exit status %d, and it says\n%s", memory, code, out)
		}
	}
}
