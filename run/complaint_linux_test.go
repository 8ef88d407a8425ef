package run_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"nemesis/checker"
	"nemesis/checker/refinement"
	"nemesis/checker/serverlog"
	"nemesis/clients"
	"nemesis/history"
	"nemesis/nodes/agent"
	"nemesis/reports"
	"nemesis/run"
)

// complaining is a toy whose servers print what clients send, and panic once while they
// answer, which net/http survives.
type complaining struct{ toy }

func (c complaining) Deploy(install clients.Install, plan history.Plan, machines []*agent.Client) (clients.Deployment, error) {
	d, err := c.toy.Deploy(install, plan, machines)
	for i := range d.(toyCluster) {
		d.(toyCluster)[i].Spec.Argv[1] = "toy-complaining"
	}
	return complainingCluster{d.(toyCluster)}, err
}

type complainingCluster struct{ toyCluster }

func (complainingCluster) LogPatterns() []history.LogPattern {
	return []history.LogPattern{{Class: "two-leaders", Expr: `toy: .+ leads too$`}}
}

// serveComplaining is its program.
func serveComplaining(listen, first string) error {
	var once sync.Once
	fmt.Fprintf(os.Stderr, "toy: %s leads too\n", listen)
	return toyServe(listen, first, func(r *http.Request) {
		fmt.Fprintf(os.Stderr, "client says panic: %s\n", r.URL)
		once.Do(func() { panic("the toy is broken") })
	})
}

// What servers print of themselves is a finding, in the run and when it is checked later.
func TestServersThatSayThatTheyAreBrokenAreAViolation(t *testing.T) {
	dir, verdict := runs(t.Context(), t, complaining{}, nil)
	again, err := run.Rejudge(t.Context(), dir, refinement.Specifications(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []checker.Verdict{verdict, again} {
		i := slices.IndexFunc(v.Results, func(r checker.Result) bool { return r.Checker == serverlog.Name })
		if i < 0 || v.Outcome != checker.Violation {
			t.Fatalf("it is %s: %s", v.Outcome, v.Sentence)
		}
		var got []string
		for _, a := range v.Results[i].Anomalies {
			got = append(got, fmt.Sprintf("%s×%d", a.Class, a.Count))
		}
		if nodes := len(v.Results[i].Anomalies); nodes != 2 || !strings.HasPrefix(got[0], "two-leaders×") || !strings.HasPrefix(got[1], "panic×") {
			t.Errorf("found %v", got)
		}
		if sentence := v.Results[i].Anomalies[1].Sentence; !strings.HasPrefix(sentence, "The log of register on n") || !strings.Contains(sentence, "the toy is broken") {
			t.Errorf("says %s", sentence)
		}
	}
	if err := reports.Write(string(dir)); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(dir.Path(history.ReportFile))
	if err != nil || !strings.Contains(string(page), "the toy is broken") {
		t.Errorf("the report does not tell of it (%v)", err)
	}
}
