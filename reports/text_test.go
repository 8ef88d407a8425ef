package reports

import (
	"encoding/json"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/junit"
	"nemesis/reports/junit/junittest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

var fixtures = []string{"stale-read", "lost-element", "valid", "vacuous", "harness", "lease", "lock", "exceeded"}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (go test -update writes it anew):\n%s", path, diff)
	}
}

func TestTextTellsEachRun(t *testing.T) {
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) { golden(t, name+".txt", fixture(t, name, false).Text(100)+"\n") })
	}
}

func TestTextFitsItsWidth(t *testing.T) {
	for _, width := range []int{40, 60, 80, 100} {
		for _, name := range fixtures {
			text, commands, _ := strings.Cut(fixture(t, name, false).Text(width), "\nRun it again:")
			if commands == "" {
				t.Errorf("%s: no commands at the end", name)
			}
			for _, line := range strings.Split(text, "\n") {
				// A word is never broken: it must stay fit for copying.
				if len([]rune(line)) > width && strings.Contains(strings.TrimSpace(line), " ") {
					t.Errorf("%s at %d: %q", name, width, line)
				}
			}
		}
	}
}

func TestWrappedTextKeepsEveryWord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(rapid.StringMatching(`[a-z]{1,12}`)).Draw(t, "words")
		w := &text{width: rapid.IntRange(40, 100).Draw(t, "width")}
		w.line("  ", "%s", strings.Join(words, " "))
		if got := strings.Fields(w.b.String()); !cmp.Equal(got, words) && len(words) > 0 {
			t.Fatalf("%q became %q", words, w.b.String())
		}
	})
}

func TestJUnitOfEachRun(t *testing.T) {
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			got, err := fixture(t, name, false).JUnit()
			if err != nil {
				t.Fatal(err)
			}
			junittest.Check(t, got)
			golden(t, name+".xml", string(got))
		})
	}
}

// What a CI makes of each verdict: only valid may be green, only a broken claim
// is the system's failure.
func TestJUnitIsGreenForValidOnly(t *testing.T) {
	for _, c := range []struct {
		outcome          checker.Outcome
		failures, errors int
	}{
		{checker.Valid, 0, 0}, {checker.Violation, 1, 0}, {checker.Unknown, 0, 1},
		{checker.Vacuous, 0, 1}, {checker.Exceeded, 0, 1}, {checker.Harness, 0, 1},
		{"of a later version", 0, 1},
	} {
		r := &Run{Plan: plan(), Verdict: verdict(c.outcome, "x")}
		text, err := r.JUnit()
		if err != nil {
			t.Fatal(err)
		}
		var s junit.Suites
		if err := xml.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
		if s.Failures != c.failures || s.Errors != c.errors || s.Suites[0].Failures != c.failures || s.Tests != 1 {
			t.Errorf("%s: %d failures and %d errors in %d tests, want %d and %d", c.outcome, s.Failures, s.Errors, s.Tests, c.failures, c.errors)
		}
	}
}

func TestTheNameOfATestStaysFromSeedToSeed(t *testing.T) {
	a, b := fixture(t, "valid", false), fixture(t, "stale-read", false)
	b.Plan.Seed, b.Dir = 99, "store/other"
	if a.caseName() != b.caseName() {
		t.Errorf("%q and %q", a.caseName(), b.caseName())
	}
	b.Plan.System.Options["reads"] = "linearizable"
	if a.caseName() == b.caseName() {
		t.Errorf("two configurations are both called %q", a.caseName())
	}
}

func TestOperationText(t *testing.T) {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	for _, c := range []struct {
		op   history.Operation
		want string
	}{
		{history.Operation{F: "write", Input: raw("9"), Output: raw("9"), Type: history.OK}, "write 9"},
		{history.Operation{F: "read", Input: raw("null"), Output: raw("7"), Type: history.OK}, "read → 7"},
		{history.Operation{F: "read", Output: raw("null"), Type: history.OK}, "read → null"},
		{history.Operation{F: "read", Type: history.Info}, "read"},
		{history.Operation{F: "cas", Input: raw("[3,4]"), Type: history.Fail}, "cas 3 → 4"},
		{history.Operation{F: "cas", Input: raw("[3]"), Type: history.Fail}, "cas [3]"},
		{history.Operation{F: "add", Input: raw(`"a b"`), Type: history.OK}, `add "a b"`},
		{history.Operation{F: "txn", Input: raw(`[["append","k3",7],["r","k4",null]]`), Type: history.Info}, "append k3 7, r k4"},
		{history.Operation{F: "txn", Input: raw(`[["r","k4",null]]`), Output: raw(`[["r","k4",[1,2]]]`), Type: history.OK}, "r k4 → [1,2]"},
		{history.Operation{F: "txn", Input: raw(`{"no":"list"}`), Type: history.OK}, `txn {"no":"list"}`},
		{history.Operation{F: "read", Output: raw(`{"#{}":[":a"]}`), Type: history.OK}, `read → {"#{}":[":a"]}`},
		{history.Operation{F: "write", Input: raw(`{":a":1}`), Type: history.OK}, `write {":a":1}`},
		{history.Operation{F: "odd", Input: raw("not json\x1b"), Type: history.OK}, "odd not json⟨U+001B⟩"},
	} {
		if got := operationText(c.op, shortValue); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestLengthsAndNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{formatDuration(0), "0 ns"}, {formatDuration(999), "999 ns"}, {formatDuration(1500), "1.5 µs"}, {formatDuration(150_000), "150 µs"}, {formatDuration(3_200_000), "3.2 ms"},
		{formatDuration(412_000_000), "412 ms"}, {formatDuration(1_794_000_000), "1.79 s"}, {formatDuration(-2_000_000), "-2 ms"}, {formatDuration(3_600_000_000_000), "1h0m0s"},
		{number(0), "0"}, {number(999), "999"}, {number(1000), "1,000"}, {number(-1234567), "-1,234,567"},
		{count(1, "fault"), "1 fault"}, {count(2, "fault"), "2 faults"},
		{formatTime(7_203_000_000), "7.203 s"},
		{quote("store/a-b_c.d"), "store/a-b_c.d"}, {quote("it's $(rm)"), `'it'\''s $(rm)'`}, {quote(""), "''"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestJUnitTimestampHasWholeSeconds(t *testing.T) {
	for start, want := range map[string]string{
		"2026-11-22T02:00:00.123456789Z": ` timestamp="2026-11-22T02:00:00">`,
		"2026-11-22T02:00:00+02:00":      ` timestamp="2026-11-22T00:00:00">`,
		"yesterday":                      ` time="30.000">`, // none at all
	} {
		r := fixture(t, "valid", false)
		r.Verdict.Start = start
		text, err := r.JUnit()
		if err != nil {
			t.Fatal(err)
		}
		junittest.Check(t, text)
		if _, suite, _ := strings.Cut(string(text), "<testsuite "); !strings.Contains(strings.SplitAfterN(suite, "\n", 2)[0], want) {
			t.Errorf("%s: no%s in\n%s", start, want, text)
		}
	}
}
