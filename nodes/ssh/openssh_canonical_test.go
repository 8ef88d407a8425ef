package ssh

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The names that DNS knows are the test's own here; the conformance test has those that it
// does not know.
func TestNamesAreCompletedByTheFirstDomainThatKnowsThem(t *testing.T) {
	home := t.TempDir()
	known := []string{"db1.b.example", "db1.c.example", "x.y.b.example", "anchored."}
	for name, c := range map[string]struct {
		config  string
		host    string
		relayed bool
		want    string // the host name that is looked up in the end
		port    string
		asked   []string
		says    string // of an error
	}{
		"the first that knows it": {"CanonicalizeHostname yes\nCanonicalDomains a.example b.example c.example\nHost *.b.example\n  Port 7\n", "db1", false,
			"db1.b.example", "7", []string{"db1.a.example", "db1.b.example"}, ""},
		"blocks of the first pass hold too": {"Host db1\n  Port 5\nHost *.b.example\n  Port 7\nHost *\n  CanonicalizeHostname yes\n  CanonicalDomains b.example\n", "db1", false,
			"db1.b.example", "5", []string{"db1.b.example"}, ""},
		"none knows it": {"CanonicalizeHostname yes\nCanonicalDomains a.example\n", "db9", false, "db9", "", []string{"db9.a.example"}, ""},
		"none may stay": {"CanonicalizeHostname yes\nCanonicalDomains a.example\nCanonicalizeFallbackLocal no\n", "db9", false, "", "", []string{"db9.a.example"},
			"no address is known for db9 in any of CanonicalDomains (a.example)"},
		"too many dots":   {"CanonicalizeHostname yes\nCanonicalDomains b.example\n", "x.y.z", false, "x.y.z", "", nil, ""},
		"as many dots":    {"CanonicalizeHostname yes\nCanonicalDomains b.example\n", "x.y", false, "x.y.b.example", "", []string{"x.y.b.example"}, ""},
		"anchored":        {"CanonicalizeHostname yes\nCanonicalDomains b.example\n", "anchored.", false, "anchored", "", []string{"anchored."}, ""},
		"an address":      {"CanonicalizeHostname yes\nCanonicalDomains b.example\nCanonicalizeMaxDots 9\n", "10.0.0.1", false, "10.0.0.1", "", nil, ""},
		"through a jump":  {"CanonicalizeHostname yes\nCanonicalDomains b.example\nProxyJump gate\n", "db1", false, "db1", "", nil, ""},
		"by --ssh-jump":   {"CanonicalizeHostname yes\nCanonicalDomains b.example\n", "db1", true, "db1", "", nil, ""},
		"always":          {"CanonicalizeHostname always\nCanonicalDomains b.example\nProxyJump gate\n", "db1", false, "db1.b.example", "", []string{"db1.b.example"}, ""},
		"what a HostName": {"CanonicalizeHostname yes\nCanonicalDomains b.example\nHost nick\n  HostName db1\n", "nick", false, "db1.b.example", "", []string{"db1.b.example"}, ""},
		"CNAMEs":          {"CanonicalizeHostname yes\nCanonicalizePermittedCNAMEs *:*\n", "db1", false, "", "", nil, "CanonicalizePermittedCNAMEs may give db1 another name"},
		"CNAMEs of others": {"Host other\n  CanonicalizeHostname yes\n  CanonicalizePermittedCNAMEs *:*\nHost *\n  CanonicalizeHostname yes\n  CanonicalDomains b.example\n", "db1", false,
			"db1.b.example", "", []string{"db1.b.example"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := home + "/config"
			if err := os.WriteFile(path, []byte(c.config), 0o600); err != nil {
				t.Fatal(err)
			}
			files, err := readConfig(Options{Config: path}, home)
			if err != nil {
				t.Fatal(err)
			}
			var asked []string
			said, err := files.find(hostQuery{name: c.host, home: home, relayed: c.relayed, resolves: func(host string) bool {
				asked = append(asked, host)
				return slices.Contains(known, host)
			}})
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("says %v, want %s", err, c.says)
				}
			} else if err != nil || said.one("hostname") != c.want || said.one("port") != c.port {
				t.Errorf("host %q, port %q, %v; want %q and %q", said.one("hostname"), said.one("port"), err, c.want, c.port)
			}
			if !slices.Equal(asked, c.asked) {
				t.Errorf("DNS was asked for %q, want %q", asked, c.asked)
			}
		})
	}
}

func TestTheJumpTokenIsTheLastHostAlone(t *testing.T) {
	for jump, want := range map[string]string{"": "", "bastion": "bastion", "me@bastion:2222": "bastion", "first,me@second:22": "second", "me@[fd00::1]:22": "fd00::1"} {
		if got := tokensOf(settings{jump: jump}, "", "22", "")['j']; got != want {
			t.Errorf("%%j of %q is %q, want %q", jump, got, want)
		}
	}
}
