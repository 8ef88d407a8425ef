package main

import (
	"fmt"
	"io"
	"os"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports"
	"nemesis/reports/visible"
)

// conclude writes the reports of a judged run, tells the verdict, and returns the
// exit status as an error. A report that cannot be written never hides the verdict.
func conclude(w io.Writer, dir history.Dir, verdict checker.Verdict, quiet bool) error {
	writing := reports.Write(string(dir))
	if _, err := os.Stat(dir.Path(history.VerdictFile)); err != nil {
		writing = fmt.Errorf("the verdict could not be written either") // why is among its reasons
	}
	plan, err := dir.Plan()
	if quiet || err != nil {
		fmt.Fprintf(w, "%s: %s\n", verdict.Outcome, visible.Text(verdict.Sentence))
	} else {
		told := reports.Run{Dir: string(dir), Plan: plan, Verdict: verdict}
		fmt.Fprintf(w, "\n%s\n", told.Text(terminalWidth()))
	}
	if writing != nil {
		fmt.Fprintln(w, "no report: "+oneLine(writing))
		if verdict.Outcome == checker.Valid {
			return exitStatus(checker.Harness.ExitCode())
		}
		return statusOf(verdict.Outcome)
	}
	fmt.Fprintln(w, dir.Path(history.ReportFile))
	return statusOf(verdict.Outcome)
}
