package process

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFailuresAreToldByTheLineThatSaysSo(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"echo all well", ""},
		{"echo start; echo '  ERROR: relation exists'; echo more", "ERROR: relation exists"},
		{"echo nothing to say; exit 3", "exit status 3"},
		{"cat; echo; exit 1", "FATAL: from the input"},
	} {
		_, err := Run(context.Background(), "/bin/sh", []string{"-c", c.script}, nil, "FATAL: from the input", "ERROR:", "FATAL:")
		if (err == nil) != (c.want == "") || err != nil && !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.script, err, c.want)
		}
	}
}

func TestStoppedByItsSignalOrToldHowItEnded(t *testing.T) {
	p, err := Start("/bin/sleep", []string{"1000"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.Over() {
		t.Error("it has ended already")
	}
	began := time.Now()
	p.Stop(syscall.SIGTERM)
	if !p.Over() || time.Since(began) > patience {
		t.Error("it did not end by its signal")
	}
	p, err = Start("/bin/sh", []string{"-c", "exit 7"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Failure("the server"); !strings.Contains(err.Error(), "the server ended: exit status 7") {
		t.Error(err)
	}
	if _, err := Start("/nowhere/program", nil, nil); err == nil {
		t.Error("a program that is not there was started")
	}
}
