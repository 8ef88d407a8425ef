package run

import (
	"context"
	"errors"
	"regexp"
	"testing"
	"testing/synctest"
	"time"
)

// growing is a log that gets longer each time it is read.
type growing struct {
	parts []string
	text  string
	// fails is at which reading, from 1, nobody answers.
	fails, reads int
}

func (g *growing) ReadPart(_ context.Context, _ string, offset int64) ([]byte, int64, error) {
	if g.reads++; g.reads == g.fails {
		return nil, 0, errors.New("cut off")
	}
	if len(g.parts) > 0 {
		if g.parts[0] == "begun anew" {
			g.text = ""
		} else {
			g.text += g.parts[0]
		}
		g.parts = g.parts[1:]
	}
	return []byte(g.text[min(int(offset), len(g.text)):]), int64(len(g.text)), nil
}

func TestLinesOfLogsAreWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		log    growing
		wanted int64
		want   string
	}{
		"a new one":                   {growing{parts: []string{"it leads 1\n", "it leads 2\n"}}, 1, `db on n1 logged: it leads 2`},
		"none that was there":         {growing{parts: []string{"it leads\n", "else\n"}}, 1, ""},
		"one in parts":                {growing{parts: []string{"", "it le", "ads", " 3", "\n"}}, 1, `db on n1 logged: it leads 3`},
		"one whose end is missing":    {growing{parts: []string{"", "it leads"}}, 1, ""},
		"the second":                  {growing{parts: []string{"", "it leads 4\n", "it leads 5\nmore\n"}}, 2, `db on n1 logged: it leads 5`},
		"after the log is begun anew": {growing{parts: []string{"much that is old\n", "begun anew", "it leads 6\n"}}, 1, `db on n1 logged: it leads 6`},
		"after nobody answered":       {growing{fails: 2, parts: []string{"", "it leads 7\n"}}, 1, `db on n1 logged: it leads 7`},
		"hostile":                     {growing{parts: []string{"", "it leads \x1b[31m\n"}}, 1, `db on n1 logged: it leads \x1b[31m`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				got, err := matched(ctx, []*tail{{machine: &c.log, node: "n1", server: "db", offset: -1}}, regexp.MustCompile("it leads"), c.wanted)
				if got != c.want || (err == nil) != (c.want != "") {
					t.Errorf("%q, %v", got, err)
				}
			})
		})
	}
}
