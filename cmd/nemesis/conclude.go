package main

import (
	"fmt"
	"io"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports"
	"nemesis/reports/visible"
)

// conclude writes the reports of a judged run, tells the verdict, and returns the
// exit status as an error. A report that cannot be written never hides the verdict.
func conclude(w io.Writer, dir history.Dir, verdict checker.Verdict, quiet bool) error {
	writing := reports.Write(string(dir))
	recorded, err := reports.Read(string(dir))
	if quiet || err != nil {
		fmt.Fprintf(w, "%s: %s\n", verdict.Outcome, visible.Text(verdict.Sentence))
	} else {
		recorded.Verdict = verdict // the file may be an earlier one, when the disk is full
		fmt.Fprintf(w, "\n%s\n", recorded.Text(terminalWidth()))
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
