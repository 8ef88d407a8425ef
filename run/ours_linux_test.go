package run_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/clients"
	"nemesis/history"
	"nemesis/nodes/agent"
)

// prompt is a toy that claims to answer within two seconds.
type prompt struct{ toy }

func (prompt) Claim(options map[string]string) history.Claim {
	claim := toy{}.Claim(options)
	claim.Bounds.Outage = history.Duration(2 * time.Second)
	return claim
}

// spent is a prompt toy whose clients find no descriptor left.
type spent struct{ prompt }

func (s spent) Deploy(install clients.Install, plan history.Plan, machines []*agent.Client) (clients.Deployment, error) {
	d, err := s.prompt.Deploy(install, plan, machines)
	return spentCluster{d.(toyCluster)}, err
}

type spentCluster struct{ toyCluster }

func (d spentCluster) Open(ctx context.Context, node string, dialer *clients.Dialer) (clients.Client, error) {
	began := time.Now()
	dialer.Connect = func(ctx context.Context, network, address string) (net.Conn, error) {
		if time.Since(began) < time.Second/4 {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("socket", syscall.EMFILE)}
	}
	client, err := d.toyCluster.Open(ctx, node, dialer)
	client.(*toyClient).http.DisableKeepAlives = true
	return client, err
}

// mute is a prompt toy whose servers fall silent a quarter of a second after they were
// asked first.
type mute struct{ prompt }

func (m mute) Deploy(install clients.Install, plan history.Plan, machines []*agent.Client) (clients.Deployment, error) {
	d, err := m.prompt.Deploy(install, plan, machines)
	for i := range d.(toyCluster) {
		d.(toyCluster)[i].Spec.Argv[1] = "toy-mute"
	}
	return d, err
}

// serveMute is the program of a mute server.
func serveMute(listen string) error {
	began := make(chan time.Time, 1)
	return http.ListenAndServe(listen, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := time.Now()
		select {
		case began <- at:
		default:
			at = <-began
			began <- at
		}
		if time.Since(at) > time.Second/4 {
			<-r.Context().Done()
			return
		}
		if r.URL.Query().Has("new") {
			w.WriteHeader(http.StatusServiceUnavailable)
		} // else nothing was written yet
	}))
}

// A run whose clients find no descriptor accuses nobody.
func TestClientsWithoutDescriptorsAreNoSilenceOfTheSystem(t *testing.T) {
	dir, verdict := runs(t.Context(), t, spent{}, nil)
	if verdict.Outcome != checker.Harness || verdict.ControlSide == nil || verdict.ControlSide.Operations == 0 ||
		!strings.Contains(verdict.Sentence, "socket: too many open files") || strings.Contains(verdict.Sentence, "\n") {
		t.Errorf("without descriptors it is %s: %s", verdict.Outcome, verdict.Sentence)
	}
	log, err := dir.Load()
	if err != nil {
		t.Fatal(err)
	}
	notes := 0
	for _, ev := range log.Events {
		if ev.Type == history.Note && strings.Contains(ev.Message, "too many open files") {
			notes++
		}
	}
	if notes != 1 {
		t.Errorf("it is noted %d times", notes)
	}
	for _, o := range log.Operations {
		if o.Cause == history.ControlSide && o.Type != history.Fail && o.F == history.FRead {
			t.Errorf("a read that was never sent ended as %s: %s", o.Type, o.Error)
		}
	}
}

// The same silence, of the servers, is a violation by the same checkers.
func TestServersThatFallSilentAreAViolation(t *testing.T) {
	_, verdict := runs(t.Context(), t, mute{}, nil)
	silent := slices.ContainsFunc(verdict.Results, func(r checker.Result) bool {
		return r.Checker == "liveness" && r.Outcome == checker.Violation
	})
	if verdict.Outcome != checker.Violation || !silent {
		t.Errorf("with mute servers it is %s: %s", verdict.Outcome, verdict.Sentence)
	}
}
