package nemesis

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"nemesis/history"
)

// Sentence says what a step does, in words, without its time: "kill the leader's
// server". A step from a hostile plan is described as well as it can be.
func Sentence(step history.Step) string {
	fault, err := Find(step.Kind)
	if err != nil {
		return step.Kind + ", which is no fault"
	}
	return fault.Sentence(step)
}

// Describe prints a schedule as a numbered tree, one line per step, each with the
// moment it starts and how long it holds. It ends in a newline.
func Describe(steps []history.Step) string {
	if len(steps) == 0 {
		return "no faults\n"
	}
	var out strings.Builder
	noun := "faults"
	if len(steps) == 1 {
		noun = "fault"
	}
	fmt.Fprintf(&out, "%d %s\n", len(steps), noun)
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for i, step := range steps {
		branch := "├─"
		if i == len(steps)-1 {
			branch = "└─"
		}
		also := ""
		if t, err := ParseTrigger(step.When); err == nil {
			also = ", once " + t.String()
		}
		if step.While != 0 {
			also += fmt.Sprintf(", while %d is in force", step.While)
		}
		fmt.Fprintf(table, "%s %d\tat %s\tfor %s\t%s\t%s%s\n", branch, step.ID, seconds(step.At), held(step), step.Kind, Sentence(step), also)
	}
	table.Flush() // into memory: it cannot fail
	return out.String()
}

// held is how long a step holds, also in the units it was asked for.
func held(step history.Step) string {
	text := seconds(step.Hold)
	if said := inUnits(step.Said); said != "" {
		text += " (" + said + ")"
	}
	return text
}

// seconds is a duration of a plan with two decimals, so that columns line up.
func seconds(d history.Duration) string {
	return fmt.Sprintf("%.2fs", time.Duration(d).Seconds())
}
