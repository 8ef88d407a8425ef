//go:build linux

package main

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/reports/visible"
)

// The attack on what nemesis promises of itself: that neither what is written in a file, nor
// the death of one of its own processes, nor a signal, nor what fails on the control side
// makes it panic, hang, take the machine's memory, leave something behind, or say valid or
// violation where nobody can know.
//
//	NEMESIS_ATTACK=1 go test ./cmd/nemesis -run 'TestAttack$' -timeout 0 -v
//
// Everything that is drawn follows from NEMESIS_ATTACK_SEED, which is printed. Each attack
// is a subtest, and one that finds something prints the command that repeats it alone.

const (
	attackVariable = "NEMESIS_ATTACK"
	attackSeed     = "NEMESIS_ATTACK_SEED"
)

// attack is one try. Its name is that of its subtest.
type attack struct {
	name string
	run  func(t *testing.T)
}

// attackKind is a row of the table.
type attackKind struct {
	name string
	// draw makes so many attacks, or as many as there are.
	draw func(t *testing.T, r *rand.Rand, n int) []attack
	// bulk is how many of them the whole attack tries, sample how many every test run does.
	bulk, sample int
}

func attackKinds() []attackKind {
	return []attackKind{
		{"damaged files", damagedFiles, 300, 12},
		{"hostile plans", hostilePlanFields, 160, 6},
		{"kill -9", kills, 25, 0},
		{"signals", signals, 1000, 0},
		{"control-side errors", troublesOfOurs, 1000, 0},
	}
}

func TestAttack(t *testing.T) {
	if os.Getenv(attackVariable) == "" {
		t.Skipf("tries some six hundred attacks, for an hour or two; set %s=1. TestAttackSample is a sample of them", attackVariable)
	}
	seed := uint64(1)
	if text := os.Getenv(attackSeed); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("read %s: %v", attackSeed, err)
		}
	}
	tryAttacks(t, seed, func(k attackKind) int { return k.bulk })
}

// A few of the attacks that need no cluster, in every test run.
func TestAttackSample(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the program some twenty times; run without -short")
	}
	tryAttacks(t, 1, func(k attackKind) int { return k.sample })
}

func tryAttacks(t *testing.T, seed uint64, count func(attackKind) int) {
	t.Logf("%s=%d", attackSeed, seed)
	var table strings.Builder
	for _, kind := range attackKinds() {
		n := count(kind)
		if n == 0 {
			continue
		}
		tried, held, skipped := 0, 0, 0
		t.Run(kind.name, func(t *testing.T) {
			h := fnv.New64()
			h.Write([]byte(kind.name))
			for _, a := range kind.draw(t, rand.New(rand.NewPCG(seed, h.Sum64())), n) {
				t.Run(a.name, func(t *testing.T) {
					defer func() {
						tried++
						switch {
						case t.Skipped():
							skipped++
						case t.Failed():
							t.Logf("repeat it with: %s=1 %s=%d go test ./cmd/nemesis -run '%s' -timeout 0 -v", attackVariable, attackSeed, seed, onlyTest(t.Name()))
						default:
							held++
						}
					}()
					a.run(t)
				})
			}
		})
		if tried == 0 {
			continue // -run named others
		}
		fmt.Fprintf(&table, "\n%-28s %5d tried %5d held", kind.name, tried, held)
		if skipped > 0 {
			fmt.Fprintf(&table, " %5d not possible here", skipped)
		}
	}
	t.Log(table.String())
}

// onlyTest is a pattern of go test's -run that selects one subtest.
func onlyTest(name string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = "^" + regexp.QuoteMeta(parts[i]) + "$"
	}
	return strings.Join(parts, "/")
}

var crashed = regexp.MustCompile(`panic: |goroutine \d+ \[|fatal error: |runtime error: |SIG[A-Z]+: `)

// misbehaviour is what is wrong with how a command ended, "" for nothing: another exit status
// than there are, what a crashed program says, what nobody sees, and more than a line about a
// mistake of the user's.
func misbehaviour(text string, code int) string {
	switch line := strings.TrimSuffix(text, "\n"); {
	case code != usageCode && (code < 0 || code > checker.Harness.ExitCode()):
		return "there is no such exit status"
	case crashed.MatchString(text):
		return "it crashed"
	case code == usageCode && (strings.Contains(line, "\n") || !strings.HasPrefix(line, "nemesis: ") || len(line) > 2*longestLine):
		return "a mistake is not told in one line"
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSuffix(line, "\n"); line != visible.Text(line) {
			return fmt.Sprintf("a line has characters that nobody sees: %q", shortened(line))
		}
	}
	return ""
}

func wantWellBehaved(t *testing.T, text string, code int) {
	t.Helper()
	if wrong := misbehaviour(text, code); wrong != "" {
		t.Errorf("%s; exit status %d:\n%s", wrong, code, shortened(text))
	}
}

func TestMisbehaviourIsSeen(t *testing.T) {
	for _, c := range []struct {
		text string
		code int
		bad  bool
	}{
		{"VALID store/x\n", 0, false},
		{"nemesis: read plan.json: timeLimit: it is negative\n", usageCode, false},
		{"killed", -1, true},
		{"", 6, true},
		{"panic: runtime error: index out of range\n\ngoroutine 1 [running]:\n", 2, true},
		{"SIGQUIT: quit\n", 2, true},
		{"fatal error: out of memory\n", 5, true},
		{"nemesis: one\ntwo\n", usageCode, true},
		{"Usage: nemesis\n", usageCode, true},
		{"nemesis: " + strings.Repeat("a", 3*longestLine), usageCode, true},
		{"VIOLATION of \x1b[2J\n", 1, true},
	} {
		if wrong := misbehaviour(c.text, c.code); (wrong != "") != c.bad {
			t.Errorf("%q with status %d: %q", shortened(c.text), c.code, wrong)
		}
	}
}

func shortened(text string) string {
	const most = 3000
	if len(text) <= most {
		return text
	}
	return text[:most/2] + "\n…\n" + text[len(text)-most/2:]
}

// keepEvidence copies a file that an attack made to where it survives the test, if the test
// failed.
func keepEvidence(t *testing.T, path string) {
	t.Helper()
	if !t.Failed() {
		return
	}
	to, err := os.MkdirTemp("", "nemesis-attack-")
	if err == nil {
		err = os.CopyFS(to, os.DirFS(filepath.Dir(path)))
	}
	t.Logf("the files are in %s (%v)", to, err)
}
