package history

import (
	"strings"
	"testing"
)

func TestFieldsThatNoPlanHasAreRefusedWithTheNearestName(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"right":                    {`{"schema": 2, "system": {"options": {"any": "name"}}, "schedule": [{"params": {"any": [{"thing": 1}]}}]}`, ""},
		"misspelt":                 {`{"schema": 2, "sead": 1}`, `there is no field "sead"; did you mean seed?`},
		"another case":             {`{"schema": 2, "Seed": 1}`, `there is no field "Seed"; did you mean seed?`},
		"deep down":                {`{"schema": 2, "schedule": [{}, {"links": [{"form": "a"}]}]}`, `there is no field "schedule[1].links[0].form"`},
		"near nothing":             {`{"schema": 2, "colour": 1}`, `there is no field "colour"`},
		"twice":                    {`{"schema": 2, "seed": 1, "seed": 2}`, "seed is there twice; leave one"},
		"an option twice":          {`{"schema": 2, "system": {"options": {"a": "1", "a": "2"}}}`, "system.options.a is there twice; leave one"},
		"the old form":             {`{"schema": 1, "bounds": {"clockRate": 0.1}, "schedule": [{"id": 1, "period": "1s", "clock": {"of": "wall"}, "packets": null}]}`, ""},
		"the old form's in a new":  {`{"schema": 2, "bounds": {}}`, `there is no field "bounds"`},
		"misspelt in the old form": {`{"schema": 1, "schedule": [{"perod": "1s"}]}`, `there is no field "schedule[0].perod"`},
		"a name of control codes":  {`{"schema": 2, "a\nb": 1}`, `there is no field "a\nb"`},
	} {
		_, err := readPlan([]byte(tc.text))
		if err == nil && tc.want != "" || err != nil && (tc.want == "" || !strings.HasPrefix(err.Error(), tc.want)) {
			t.Errorf("%s:\ngot  %v\nwant %s", name, err, tc.want)
		}
	}
}
