package foreign

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"nemesis/history"
)

// hold checks what every reader owes, whatever the text is: one line of an error, or a
// history that a run could have recorded.
func hold(t *testing.T, format Format, text string) {
	for _, keys := range []Keys{KeysAuto, KeysYes, KeysNo} {
		log, err := readText(format, keys, text)
		if err != nil {
			if s := err.Error(); s == "" || strings.ContainsAny(s, "\n\r\x00\x1b") || len(s) > 500 || !utf8.ValidString(s) {
				t.Errorf("an odd error: %q", s)
			}
			continue
		}
		open := make(map[int]int64)
		last := int64(-1)
		for i := range log.Operations {
			o := &log.Operations[i]
			if i > 0 && o.Index == log.Operations[i-1].Index && o.F == history.FDequeue {
				if p := &log.Operations[i-1]; o.Call < p.Call || o.Return <= o.Call || o.Completion != p.Completion || o.Call < open[o.Process] {
					t.Errorf("operation %d is not of the drain of %d", i, i-1)
				}
				last, open[o.Process] = o.Call, o.Return
				continue // what one drain took
			}
			switch {
			case o.Call <= last:
				t.Errorf("operation %d is invoked at %d, not after %d", i, o.Call, last)
			case o.Return <= o.Call || o.Call < open[o.Process]:
				t.Errorf("operation %d of process %d lasts from %d to %d, its last to %d", i, o.Process, o.Call, o.Return, open[o.Process])
			case o.F == "" || !json.Valid(o.Input) || (o.Completion >= 0 && !json.Valid(o.Output)):
				t.Errorf("operation %d is %q %q %q", i, o.F, o.Input, o.Output)
			case (o.Type == history.Info) != (o.Return == history.Never):
				t.Errorf("operation %d ends in %s at %d", i, o.Type, o.Return)
			case o.Completion >= 0 && o.Completion <= o.Index:
				t.Errorf("operation %d has the indexes %d and %d", i, o.Index, o.Completion)
			}
			last = o.Call
			open[o.Process] = o.Return
		}
	}
}

func FuzzJepsenEDN(f *testing.F) {
	for _, seed := range []string{
		"[{:process 0, :type :invoke, :f :read, :value nil}\n {:process 0, :type :ok, :f :read, :value 4}]",
		`{:index 3 :time 17 :process 1, :type :invoke, :f :cas, :value [7 [1 2]]}{:process 1 :type :info :f :cas :value :timed-out :error "no"}`,
		`#jepsen.history.Op{:process 0 :type :invoke :f :txn :value [[:r 1 nil] [:append 2 3]]} ; end`,
		`{"process" 1 "type" "invoke" "f" "write" "value" #{1 2.5 "\u00e9\n" \a ##Inf 3/4 {nil true}}} #_#_ 1 2`,
		"{:process :nemesis :type :info :f :kill}", "(((", `{:value "`, "#:a{:b #c d}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) { hold(t, JepsenEDN, text) })
}

func FuzzJepsenLog(f *testing.F) {
	for _, seed := range []string{
		"INFO  jepsen.util - 4\t:invoke\t:cas\t[2 4]\nINFO  jepsen.util - 4\t:fail\t:cas\t[2 4]\n",
		"INFO  jepsen.util - 4\t:invoke\t:write\t1\nINFO  jepsen.util - 4\t:info\t:write\t:timed-out\n",
		"0\t:invoke\t:write\t1\n0\t:ok\t:write\t1\n:nemesis\t:info\t:start\tnil\n", "2026-01-02 03:04:05 7 :invoke :drain nil\n7 :ok :drain [1 2]",
		"INFO [x] jepsen worker 1 - jepsen.util 1\t:invoke\t:read\t[0 nil]\tindeterminate: \"x",
		"jepsen.util: :nemesis :info :start nil", "jepsen.util - 0",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) { hold(t, JepsenLog, text) })
}

func FuzzJepsenJSON(f *testing.F) {
	for _, seed := range []string{
		`[{"process":0,"type":"invoke","f":"read","value":null},{"process":0,"type":"ok","f":"read","value":1e3}]`,
		`{"index":3,"time":-1,"process":1,"type":"invoke","f":"cas","value":[7,[1,2]]} {"process":"nemesis","type":"info","f":"kill"}`,
		`{"process":0,"type":"invoke","f":"drain"}{"process":0,"type":"ok","f":"drain","value":[1,{"a":"\u00e9"}]}`,
		`{"a`, `[[`, `{"a":1 2}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) { hold(t, JepsenJSON, text); hold(t, "", text) })
}

func FuzzPorcupineKV(f *testing.F) {
	for _, seed := range []string{
		`{:process 0, :type :invoke, :f :append, :key "0", :value "x 0 0 y"}` + "\n" + `{:process 0, :type :ok, :f :append, :key "0", :value "x 0 0 y"}`,
		`{:process 1, :type :invoke, :f :get, :key "7", :value nil}`,
		`{:process 1, :type :invoke, :f :put, :key :k, :value 3}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) { hold(t, PorcupineKV, text) })
}
