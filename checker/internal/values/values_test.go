package values

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
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

func TestANumberGivenEarlyIsFoundOnceTheDirectIndexReachesIt(t *testing.T) {
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

func TestEachAgreesWithTheJSONDecoder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.OneOf(
			rapid.StringMatching(`\[[0-9, ]{0,12}\]`),
			rapid.StringMatching(`\[("[a-c,]"|[0-9]{1,3}|null|\[1,2\])?(,("[a-c,]"|[0-9]{1,3}|null)){0,4}\]`),
			rapid.Just("null"),
		).Draw(t, "raw")
		var want []json.RawMessage
		wantErr := json.Unmarshal([]byte(raw), &want) != nil
		var got []json.RawMessage
		gotErr := Each(json.RawMessage(raw), func(b []byte) error {
			got = append(got, append([]byte(nil), b...))
			return nil
		}) != nil
		// Leading zeros are not JSON, but harmless: the fast path may take them.
		if wantErr && !gotErr {
			return
		}
		if diff := cmp.Diff(len(want), len(got)); diff != "" || wantErr != gotErr {
			t.Fatalf("%s: %s (errors %v, %v)", raw, diff, wantErr, gotErr)
		}
		for i := range want {
			if string(want[i]) != string(got[i]) {
				t.Fatalf("%s: element %d is %s, not %s", raw, i, got[i], want[i])
			}
		}
	})
}
