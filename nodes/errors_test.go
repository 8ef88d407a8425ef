package nodes

import (
	"strings"
	"testing"
)

func TestTheCauseIsNotSudosWarning(t *testing.T) {
	const warning = "sudo: unable to resolve host n1: Name or service not known\n"
	for stderr, want := range map[string]string{
		"":                             "",
		"a\nb\n":                       "b",
		warning:                        "",
		"it failed\n" + warning:        "it failed",
		warning + "sudo: a password\n": "sudo: a password",
	} {
		if got := LastLine(stderr); got != want {
			t.Errorf("%q: %q, want %q", stderr, got, want)
		}
	}
}

func TestAScriptIsNotQuotedInAMessage(t *testing.T) {
	err := &ExitError{Node: "n1", Argv: []string{"sh", "-c", "one\ntwo", "x", strings.Repeat("y", 300)}, Code: 2}
	if want := `run "sh -c … x …" on n1: exit status 2`; err.Error() != want {
		t.Errorf("%s\n%s", err, want)
	}
}
