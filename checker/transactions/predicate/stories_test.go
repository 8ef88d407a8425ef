package predicate

import (
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

// story is a small history: one transaction a line, which ends before the next begins unless at
// says otherwise.
type told struct {
	process int
	outcome history.Type
	value   string
	at      [2]int64 // call and return; none for one behind the other
}

func logOf(all []told) *history.Log {
	log := &history.Log{}
	for i, s := range all {
		o := history.Operation{Index: int64(2 * i), Completion: int64(2*i + 1), Process: s.process, F: history.FTransaction, Type: s.outcome,
			Call: int64(10 * i), Return: int64(10*i + 5), Input: []byte(s.value), Output: []byte(s.value)}
		if s.at != [2]int64{} {
			o.Call, o.Return = s.at[0], s.at[1]
		}
		if s.outcome == history.Info {
			o.Return = history.Never
		}
		o.End = o.Return
		log.Operations = append(log.Operations, o)
	}
	return log
}

const (
	whole = `["rp",{"group":"g","mod":1,"rest":0},`
	even  = `["rp",{"group":"g","mod":2,"rest":0},`

	ok, fail, info = history.OK, history.Fail, history.Info
)

func TestStories(t *testing.T) {
	for name, s := range map[string]struct {
		all  []told
		want string // classes and the models that they break
	}{
		"an insert that is seen":  {[]told{{0, ok, `[["insert","g.0",0]]`, [2]int64{}}, {1, ok, `[` + whole + `[["g.0",0]]]]`, [2]int64{}}}, ""},
		"a delete that is seen":   {[]told{{0, ok, `[["insert","g.0",0],["insert","g.1",1]]`, [2]int64{}}, {0, ok, `[["delete","g.0",null]]`, [2]int64{}}, {1, ok, `[` + whole + `[["g.1",1]]]]`, [2]int64{}}}, ""},
		"nothing at all":          {[]told{{1, ok, `[` + whole + `[]],["r","g.0",null]]`, [2]int64{}}}, ""},
		"a row that is no match":  {[]told{{0, ok, `[["insert","g.1",1]]`, [2]int64{}}, {1, ok, `[` + even + `[["g.1",1]]]]`, [2]int64{}}}, "garbage-read: integrity"},
		"a value from nowhere":    {[]told{{0, ok, `[["insert","g.1",1]]`, [2]int64{}}, {1, ok, `[["r","g.1",7]]`, [2]int64{}}}, "garbage-read: integrity"},
		"a row from nowhere":      {[]told{{1, ok, `[["r","g.1",7]]`, [2]int64{}}}, "garbage-read: integrity"},
		"a delete of nothing":     {[]told{{1, ok, `[["delete","g.1",null]]`, [2]int64{}}}, "garbage-read: integrity"},
		"a row twice":             {[]told{{0, ok, `[["insert","g.0",0]]`, [2]int64{}}, {1, ok, `[` + whole + `[["g.0",0],["g.0",0]]]]`, [2]int64{}}}, "duplicate-elements: read-uncommitted"},
		"a refused insert":        {[]told{{0, fail, `[["insert","g.0",0]]`, [2]int64{}}, {1, ok, `[` + whole + `[["g.0",0]]]]`, [2]int64{}}}, "G1a: read-committed"},
		"an insert of unknown":    {[]told{{0, info, `[["insert","g.0",0]]`, [2]int64{}}, {1, ok, `[` + whole + `[["g.0",0]]]]`, [2]int64{}}, {2, ok, `[` + whole + `[["g.0",0]]]]`, [2]int64{}}}, ""},
		"two deletes of one row":  {[]told{{0, ok, `[["insert","g.0",0]]`, [2]int64{}}, {1, ok, `[["delete","g.0",null]]`, [2]int64{}}, {2, ok, `[["delete","g.0",null]]`, [2]int64{}}}, "lost-update: cursor-stability, update-atomic"},
		"two phantoms":            {[]told{{0, ok, `[` + even + `[]],["insert","g.0",0]]`, [2]int64{0, 9}}, {1, ok, `[` + even + `[]],["insert","g.2",2]]`, [2]int64{1, 8}}}, "G2: serializable"},
		"a read and a phantom":    {[]told{{0, ok, `[["insert","g.0",0],["insert","g.1",1]]`, [2]int64{0, 9}}, {1, ok, `[["delete","g.0",null],` + `["r","g.2",null]]`, [2]int64{10, 19}}, {2, ok, `[["r","g.0",0],["insert","g.2",2]]`, [2]int64{11, 18}}}, "G2: serializable"},
		"two deletes across":      {[]told{{0, ok, `[["insert","g.0",0],["insert","g.1",1]]`, [2]int64{}}, {1, ok, `[` + whole + `[["g.0",0],["g.1",1]]],["delete","g.0",null]]`, [2]int64{10, 19}}, {2, ok, `[` + whole + `[["g.0",0],["g.1",1]]],["delete","g.1",null]]`, [2]int64{11, 18}}}, "G2-item: repeatable-read"},
		"an old read":             {[]told{{0, ok, `[["insert","g.0",0]]`, [2]int64{}}, {1, ok, `[` + whole + `[]]]`, [2]int64{}}}, "G-single-realtime: strong-snapshot-isolation"},
		"an old read of its own":  {[]told{{0, ok, `[["insert","g.0",0]]`, [2]int64{}}, {0, ok, `[` + whole + `[]]]`, [2]int64{}}}, "G-single-process: strong-session-snapshot-isolation"},
		"an own row that is lost": {[]told{{0, ok, `[["insert","g.0",0],` + whole + `[]]]`, [2]int64{}}}, "predicate-read-miss: read-atomic, repeatable-read"},
		"an own row that stays":   {[]told{{0, ok, `[["insert","g.0",0]]`, [2]int64{}}, {0, ok, `[["delete","g.0",null],["r","g.0",0]]`, [2]int64{}}}, "internal: read-atomic, repeatable-read"},
		"a phantom in one":        {[]told{{0, ok, `[["insert","g.0",0]]`, [2]int64{0, 9}}, {1, ok, `[` + whole + `[]],` + whole + `[["g.0",0]]]]`, [2]int64{1, 8}}}, "G-single: prefix, consistent-view, parallel-snapshot-isolation, fractured-read: read-atomic, consistent-view"},
	} {
		result := Checker().Check(t.Context(), logOf(s.all), checker.Budget{})
		var got []string
		for _, a := range result.Anomalies {
			got = append(got, a.Class+": "+history.Names(a.Breaks))
		}
		if strings.Join(got, ", ") != s.want && !sameParts(got, s.want) || (result.Outcome == checker.Valid) != (s.want == "") {
			t.Errorf("%s: got %q (%s: %s), want %q", name, strings.Join(got, ", "), result.Outcome, result.Summary, s.want)
		}
	}
}

// sameParts reports whether all that was found is wanted, whatever the order.
func sameParts(got []string, want string) bool {
	n := 0
	for _, one := range got {
		if !strings.Contains(want, one) {
			return false
		}
		n += len(one) + len(", ")
	}
	return n-len(", ") == len(want)
}

func TestCycleIsToldAsSentences(t *testing.T) {
	result := Checker().Check(t.Context(), logOf([]told{
		{0, ok, `[` + even + `[]],["insert","g.0",0]]`, [2]int64{0, 9}}, {1, ok, `[` + even + `[]],["insert","g.2",2]]`, [2]int64{1, 8}}}), checker.Budget{})
	a := result.Anomalies[0]
	var text []string
	for _, p := range a.Proof {
		text = append(text, p.Text)
	}
	for _, want := range []string{"T1 comes before T2, because T1 asked for row g.2 and did not find it, and T2 inserted it.", "T2 comes before T1, because T2 asked for row g.0 and did not find it, and T1 inserted it."} {
		if !strings.Contains(strings.Join(text, "\n"), want) {
			t.Errorf("%q is missing in\n%s", want, strings.Join(text, "\n"))
		}
	}
	if len(a.Cycle) != 2 || a.Cycle[0].Kind != "rw" {
		t.Errorf("the cycle is %+v", a.Cycle)
	}
	if want := "; the strongest that this history allows: strong-snapshot-isolation, repeatable-read"; !strings.Contains(result.Summary, want) {
		t.Errorf("the summary is %q, want %q in it", result.Summary, want)
	}
}

func TestWhatIsNoTableIsRefused(t *testing.T) {
	for name, value := range map[string]string{
		"a write":                    `[["w","g.0",1]]`,
		"an insert of no number":     `[["insert","g.0","x"]]`,
		"a predicate that divides 0": `[["rp",{"group":"g","mod":0,"rest":0},[]]]`,
		"rows that are none":         `[` + whole + `[["g.0"]]]]`,
		"a row inserted twice":       `[["insert","g.0",0],["insert","g.0",0]]`,
	} {
		result := Checker().Check(t.Context(), logOf([]told{{0, ok, value, [2]int64{}}}), checker.Budget{})
		if result.Outcome != checker.Harness || result.Summary == "" {
			t.Errorf("%s is %s: %s", name, result.Outcome, result.Summary)
		}
	}
}

// Rows of which nobody knows whether they were missed before their insert or behind their delete are
// counted, and accuse nobody.
func TestOpenRowsAreCounted(t *testing.T) {
	result := Checker().Check(t.Context(), logOf([]told{
		{0, ok, `[["insert","g.0",0]]`, [2]int64{0, 5}}, {1, ok, `[` + whole + `[]]]`, [2]int64{1, 8}}, {0, ok, `[["delete","g.0",null]]`, [2]int64{6, 9}}}), checker.Budget{})
	if result.Outcome != checker.Valid || !strings.Contains(result.Summary, "of 1 missed row nobody knows") || !strings.Contains(string(result.Details), `"open":1`) {
		t.Errorf("judged %s: %s (%s)", result.Outcome, result.Summary, result.Details)
	}
}
