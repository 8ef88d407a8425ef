package mariadb

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func member(t *testing.T, own string) *server {
	t.Helper()
	s := &server{Options: Options{
		Listen: netip.MustParseAddrPort(own + ":3306"), Dir: t.TempDir(),
		Members: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")},
	}}
	if err := os.Mkdir(s.data(), 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

// Two members that begin a cluster would make two of it.
func TestOneMemberBegins(t *testing.T) {
	first, second := member(t, "10.0.0.1"), member(t, "10.0.0.2")
	if !first.mayBegin(true) || second.mayBegin(true) {
		t.Error("at the first start the first member begins, and no other")
	}
	if first.mayBegin(false) {
		t.Error("a member that was killed before it wrote its state begins")
	}
	for state, want := range map[string]bool{"safe_to_bootstrap: 0\n": false, "seqno: -1\nsafe_to_bootstrap: 1\n": true, "": false} {
		if err := os.WriteFile(filepath.Join(second.data(), "grastate.dat"), []byte(state), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := second.mayBegin(false); got != want {
			t.Errorf("with the state %q it begins: %v", state, got)
		}
	}
}

func TestWhereTheDataEnds(t *testing.T) {
	for out, want := range map[string]string{
		"x\n2026 [Note] WSREP: Recovered position: 6f1c8f5e-cd2b-11f0-8a4e-4b1f6b1c2d3e:1234\ny\n": "6f1c8f5e-cd2b-11f0-8a4e-4b1f6b1c2d3e:1234",
		"WSREP: Recovered position: 00000000-0000-0000-0000-000000000000:-1":                       "",
		"nothing": "",
	} {
		if got := positionIn(out); got != want {
			t.Errorf("%q: %q, want %q", out, got, want)
		}
	}
}

func TestMembersKnowEachOtherAndTheUsersSettingsComeLast(t *testing.T) {
	s := member(t, "10.0.0.2")
	s.Settings = []string{"innodb-flush-log-at-trx-commit=0"}
	args := s.arguments("--wsrep-new-cluster")
	if !slices.Contains(args, "--wsrep-cluster-address=gcomm://10.0.0.1:4567,10.0.0.2:4567") {
		t.Errorf("the members are missing: %v", args)
	}
	given, ours := slices.Index(args, "--innodb-flush-log-at-trx-commit=0"), slices.Index(args, "--innodb-flush-log-at-trx-commit=1")
	if given < ours || ours < 0 {
		t.Errorf("the user's setting does not come last: %v", args)
	}
	s.Members = nil
	if all := strings.Join(s.arguments(), " "); strings.Contains(all, "wsrep") {
		t.Errorf("a server alone is a member: %s", all)
	}
}
