package kit

import (
	"strings"
	"testing"

	"nemesis/clients"
)

func TestTailKeepsTheEnd(t *testing.T) {
	end := tail{most: 10}
	for range 1000 {
		end.Write([]byte("abc"))
	}
	end.Write([]byte("the very end"))
	if got := string(end.content); !strings.HasSuffix(got, "very end") || len(got) > 40 {
		t.Errorf("kept %q", got)
	}
}

func TestLastLineIsTheLastThatSaysAnything(t *testing.T) {
	for log, want := range map[string]string{
		"":                           "",
		"one\ntwo\n\n \n":            "two",
		"\x1b[31mred\r\x00 \xff end": "\uFFFD[31mred \uFFFD \uFFFD end",
	} {
		if got := clients.Printable(lastLine([]byte(log))); got != want {
			t.Errorf("%q: got %q, want %q", log, got, want)
		}
	}
	if got := clients.Printable(strings.Repeat("x", 400)); len([]rune(got)) != 301 {
		t.Errorf("a long line is %d characters", len([]rune(got)))
	}
}
