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
	writing := writeReports(dir)
	plan, err := dir.Plan()
	if quiet || err != nil {
		fmt.Fprintf(w, "%s: %s\n", verdict.Outcome, visible.Text(verdict.Sentence))
	} else {
		told := reports.Run{Dir: string(dir), Plan: plan, Verdict: verdict}
		fmt.Fprintf(w, "\n%s\n", told.Text(terminalWidth()))
	}
	if writing != nil {
		fmt.Fprintln(w, "no report: "+oneLine(writing))
	} else {
		fmt.Fprintln(w, dir.Path(history.ReportFile))
	}
	return concluded(verdict, writing)
}

// concludeJSON is conclude with one JSON object.
func concludeJSON(w io.Writer, dir history.Dir, verdict checker.Verdict) error {
	told := struct {
		Directory string          `json:"directory"`
		Report    string          `json:"report,omitempty"`
		Problem   string          `json:"problem,omitempty"` // why there is no report
		Verdict   checker.Verdict `json:"verdict"`
	}{Directory: string(dir), Report: dir.Path(history.ReportFile), Verdict: verdict}
	writing := writeReports(dir)
	if writing != nil {
		told.Report, told.Problem = "", oneLine(writing)
	}
	if err := answer(w, "check", told); err != nil {
		return err
	}
	return concluded(verdict, writing)
}

// writeReports writes the reports of a run whose verdict was written.
func writeReports(dir history.Dir) error {
	err := reports.Write(string(dir))
	if _, missing := os.Stat(dir.Path(history.VerdictFile)); missing != nil {
		err = fmt.Errorf("the verdict could not be written either") // why is among its reasons
	}
	return err
}

// concluded is the exit status of a verdict whose reports were written, or not.
func concluded(verdict checker.Verdict, writing error) error {
	if writing != nil && verdict.Outcome == checker.Valid {
		return exitStatus(checker.Harness.ExitCode())
	}
	return statusOf(verdict.Outcome)
}
