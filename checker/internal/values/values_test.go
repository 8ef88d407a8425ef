package values

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEqualValuesShareANumber(t *testing.T) {
	var table Table
	var got []int32
	for _, v := range []string{"7", `"7"`, " 7", "null", "", `[1, 2]`, "[1,2]", "7.0", "999999999", "999999999", "70", "-7", "1000000000", "1000000000"} {
		id, err := table.Number([]byte(v))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, id)
	}
	want := []int32{0, 1, 0, 2, 2, 3, 3, 4, 5, 5, 6, 7, 8, 8}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestValuesAreNumberedByWhatTheyAre(t *testing.T) {
	for _, same := range [][]string{
		{"1e3", "1000.0", "1000.00", "10E2"}, {"0", "-0", " 0"}, {"-0.0", "0.0"}, {`"a"`, `"\u0061"`}, {`{"a":1,"b":[2]}`, `{"b": [2], "a": 1}`},
	} {
		var table Table
		for _, v := range append(same, same...) {
			if id, err := table.Number([]byte(v)); err != nil || id != 0 {
				t.Errorf("%s is number %d (%v), not that of %s", v, id, err, same[0])
			}
		}
	}
	var table Table
	for i, v := range []string{"1000", "1000.0", `"1000"`, `[1000]`, `{"a":1000}`, `{"#{}":[1000]}`} {
		if id, err := table.Number([]byte(v)); err != nil || int(id) != i {
			t.Errorf("%s is number %d (%v), want %d", v, id, err, i)
		}
	}
}

func TestNumberSurvivesGrowthOfTheDirectIndex(t *testing.T) {
	var table Table
	first, _ := table.Number([]byte("500"))
	for i := range 200 {
		if _, err := table.Number([]byte(json.Number(string(rune('0' + i%10))))); err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(i)
		_, _ = table.Number(b)
	}
	if again, _ := table.Number([]byte("500")); again != first {
		t.Errorf("500 is number %d, then %d", first, again)
	}
}
