package uniqueids

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/checker/internal/mutants"
	"nemesis/history"
)

type id struct {
	outcome history.Type
	f, key  string
	value   string
}

func logOf(all []id) *history.Log {
	log := &history.Log{}
	for i, one := range all {
		o := history.Operation{Index: int64(2 * i), Completion: int64(2*i + 1), Process: i, F: one.f, Key: one.key, Type: one.outcome, Call: int64(i), Return: int64(i), Output: json.RawMessage(one.value)}
		if o.Type == history.Info {
			o.Return = history.Never
		}
		log.Operations = append(log.Operations, o)
	}
	return log
}

type story struct {
	all  []id
	want checker.Outcome
	text string
}

func stories() map[string]story {
	const ok, fail, info, f = history.OK, history.Fail, history.Info, history.FGenerate
	return map[string]story{
		"all different":        {[]id{{ok, f, "", "1"}, {ok, f, "", "2"}, {ok, f, "", `"1"`}}, checker.Valid, "3 identifiers, each given out once"},
		"one twice":            {[]id{{ok, f, "", "1"}, {ok, f, "", "2"}, {ok, f, "", "1"}}, checker.Violation, "1 × duplicate-id"},
		"three times":          {[]id{{ok, f, "", "1"}, {ok, f, "", "1"}, {ok, f, "", "1"}}, checker.Violation, "2 × duplicate-id"},
		"of two generators":    {[]id{{ok, f, "a", "1"}, {ok, f, "b", "1"}}, checker.Valid, "2 identifiers"},
		"of unknown outcome":   {[]id{{ok, f, "", "1"}, {info, f, "", "1"}, {fail, f, "", "1"}}, checker.Valid, "1 identifier, each"},
		"no identifier":        {[]id{{ok, f, "", "null"}}, checker.Harness, "without an identifier"},
		"another operation":    {[]id{{ok, "read", "", "1"}}, checker.Harness, "knows generate only"},
		"two spellings":        {[]id{{ok, f, "", "[1, 2]"}, {ok, f, "", "[1,2]"}}, checker.Violation, "1 × duplicate-id"},
		"two that are twice":   {[]id{{ok, f, "", "1"}, {ok, f, "", "2"}, {ok, f, "", "2"}, {ok, f, "", "1"}}, checker.Violation, "2 × duplicate-id"},
		"one that was refused": {[]id{{fail, f, "", "1"}, {ok, f, "", "1"}}, checker.Valid, "1 identifier, each"},
	}
}

func tell(name string, s story) error {
	r := Checker().Check(context.Background(), logOf(s.all), checker.Budget{})
	if r.Outcome != s.want || !strings.Contains(r.Summary, s.text) {
		return fmt.Errorf("%s: judged %s: %s", name, r.Outcome, r.Summary)
	}
	if r.Outcome == checker.Violation && (len(r.Anomalies[0].Core) != 2 || !strings.HasPrefix(r.Anomalies[0].Sentence, "Clients ")) {
		return fmt.Errorf("%s: told %q", name, r.Anomalies[0].Sentence)
	}
	return nil
}

func TestIdentifiersAreGivenOutOnce(t *testing.T) {
	for name, s := range stories() {
		if err := tell(name, s); err != nil {
			t.Error(err)
		}
	}
}

// differs counts identifiers of random histories in the plainest way.
func differs(seed uint64, met map[string]int) error {
	r := rand.New(rand.NewPCG(seed, 5))
	var all []id
	given, twice := map[string]int{}, 0
	for range r.IntN(14) {
		one := id{[]history.Type{history.OK, history.OK, history.Fail, history.Info}[r.IntN(4)], history.FGenerate, []string{"", "a"}[r.IntN(2)], fmt.Sprint(r.IntN(5))}
		all = append(all, one)
		if one.outcome == history.OK {
			if given[one.key+" "+one.value]++; given[one.key+" "+one.value] > 1 {
				twice++
			}
		}
	}
	result := Checker().Check(context.Background(), logOf(all), checker.Budget{})
	found := 0
	for _, a := range result.Anomalies {
		found += a.Count
		if a.Core[0].Key != a.Core[1].Key || string(a.Core[0].Output) != string(a.Core[1].Output) || a.Core[0].Index == a.Core[1].Index {
			return fmt.Errorf("seed %d: %+v is no duplicate", seed, a.Core)
		}
	}
	met[fmt.Sprint(found)]++
	if found != twice || (result.Outcome == checker.Valid) != (twice == 0) {
		return fmt.Errorf("seed %d: %+v has %d duplicates, and found are %d (%s)", seed, all, twice, found, result.Summary)
	}
	return nil
}

func TestRandomIdentifiersAreCounted(t *testing.T) {
	met := map[string]int{}
	for seed := range uint64(5_000) {
		if err := differs(seed, met); err != nil {
			t.Fatal(err)
		}
	}
	if met["0"] < 500 || met["1"] < 500 || met["2"] < 100 {
		t.Errorf("too one-sided: %v", met)
	}
}

func TestEveryMutantIsCaught(t *testing.T) {
	var all mutants.List
	all.In("uniqueids.go",
		[3]string{"other operations are judged, too", "o.F != history.FGenerate", "false"},
		[3]string{"what was refused was given out", "o.Type != history.OK", "o.Type == history.Info"},
		[3]string{"what is unknown was given out", "o.Type != history.OK", "o.Type == history.Fail"},
		[3]string{"no identifier is one", "history.IsNull(o.Output)", "false"},
		[3]string{"all generators are one", "id{o.Key, string(canonical)}", "id{value: string(canonical)}"},
		[3]string{"spellings are identifiers", "id{o.Key, string(canonical)}", "id{o.Key, string(canonical[:0]) + string(o.Output)}"},
		[3]string{"nothing is given out twice", "before := given[this]; before != nil", "before := given[this]; before != nil && n < 0"},
		[3]string{"the second time is forgotten", "given[this] = o\n", "if n == 1 {\n\t\t\t\tgiven[this] = o\n\t\t\t}\n"},
		[3]string{"one proves itself", "return twice(before, o)", "return twice(o, o)"})
	mutants.Hunt(t, mutants.StoriesAndSeeds, all)
}
