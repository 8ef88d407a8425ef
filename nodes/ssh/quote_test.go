package ssh

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestCommandsAsTheLoginShellSeesThem(t *testing.T) {
	for _, c := range []struct {
		mark string
		argv []string
		want string
	}{
		{"", []string{"uname", "-r"}, `uname -r`},
		{"", []string{"echo", "", "two words", "a'b", `a\b`, "é\n"}, `echo '' two\ words a\'b a\\0134b \\0303\\0251\\0012`},
		{"RUN=1", []string{"true"}, `env RUN\=1 true`},
	} {
		const begin = `exec /bin/sh -c echo\ \"\$0\"\;echo\ \"\$0\"\>\&2\;for\ a\ do\ shift\;a\=\$\(printf\ \%bx\ \"\$a\"\)\;set\ --\ \"\$\@\"\ \"\$\{a\%x\}\"\;done\;exec\ \"\$\@\" hello `
		if got, err := command("hello", c.mark, c.argv); err != nil || got != begin+c.want {
			t.Errorf("%q\n got %s, %v\nwant %s", c.argv, got, err, c.want)
		}
	}
}

func TestCommandsThatNoShellCouldCarryAreRefused(t *testing.T) {
	for want, argv := range map[string][]string{
		"no program is named": {},
		`a program cannot be called "-c": the login shell would take it for an option of exec`: {"-c"},
		`a program cannot be called "A=b": env would take it for a variable`:                   {"A=b"},
		"argument 1 holds a NUL byte, which no program can be given":                           {"echo", "a\x00"},
	} {
		if _, err := command("hello", "", argv); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", argv, err, want)
		}
	}
}

// Whatever the arguments, each shell on this machine passes them on unread.
func TestAnyArgumentSurvivesAnyShell(t *testing.T) {
	var shells []string
	for _, name := range []string{"sh", "dash", "bash", "zsh", "ksh", "mksh", "fish", "csh", "tcsh"} {
		if path, err := exec.LookPath(name); err == nil {
			shells = append(shells, path)
		}
	}
	if len(shells) == 0 {
		t.Skip("no shell on this machine")
	}
	argument := rapid.OneOf(
		rapid.StringOfN(rapid.SampledFrom([]rune("ab '\"\\$`|&;<>(){}[]*?!#~=%-\n\t\r")), 0, 20, -1),
		rapid.StringOfN(rapid.Rune(), 0, 20, -1),
		rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "bytes")) }),
	).Filter(func(s string) bool { return !strings.Contains(s, "\x00") })
	rapid.Check(t, func(t *rapid.T) {
		args := rapid.SliceOfN(argument, 1, 8).Draw(t, "args")
		shell := rapid.SampledFrom(shells).Draw(t, "shell")
		text, err := command("hello", "", append([]string{"printf", `%s\0`}, args...))
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(shell, "-c", text).Output()
		if err != nil {
			t.Fatalf("%s -c %s: %v", shell, text, err)
		}
		if diff := cmp.Diff(args, strings.Split(strings.TrimPrefix(strings.TrimSuffix(string(out), "\x00"), "hello\n"), "\x00")); diff != "" {
			t.Fatalf("%s -c %s (-sent +arrived):\n%s", shell, text, diff)
		}
	})
}
