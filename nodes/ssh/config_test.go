package ssh

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sample = `
# what vagrant and people write
Host db1
  HostName 10.0.0.11
  User vagrant
  Port 2222
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking no
  IdentityFile "/keys/with space/id"
  IdentitiesOnly yes

Host db2
  HostName %h.example.org
  IdentityFile ~/.ssh/%r-key
  IdentityFile /keys/second
  IdentityAgent ~/agent.sock
  HostKeyAlias second
  UserKnownHostsFile ~/kh1 ~/kh2

Host far
  ProxyJump bastion
Host near
  ProxyJump none
Host piped
  ProxyCommand nc %h %p
Host odd
  Port seventy
Host fresh
  StrictHostKeyChecking accept-new
  CertificateFile ~/.ssh/signed-cert.pub

Match host db4
  User matched

Host * !db4
  User anybody
`

func TestConnectionSettingsOfAHost(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "/run/agent")
	path := home + "/config"
	if err := os.WriteFile(path, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	global := []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
	known := append([]string{home + "/.ssh/known_hosts", home + "/.ssh/known_hosts2"}, global...)
	defaults := []string{home + "/.ssh/id_ed25519", home + "/.ssh/id_ecdsa", home + "/.ssh/id_rsa"}
	for name, c := range map[string]struct {
		host Host
		opt  Options
		want settings
	}{
		"everything from the file": {Host{HostName: "db1", Alias: true}, Options{},
			settings{name: "db1", hostName: "10.0.0.11", port: 2222, user: "vagrant", checkAs: "10.0.0.11:2222", keys: []string{"/keys/with space/id"},
				identitiesOnly: true, agentSocket: "/run/agent", knownHosts: append([]string{"/dev/null"}, global...)}},
		"what is written beside the host comes first": {Host{HostName: "db1", User: "me", Port: 22}, Options{User: "flag", Port: 99},
			settings{name: "db1", hostName: "10.0.0.11", port: 22, user: "me", checkAs: "10.0.0.11:22", keys: []string{"/keys/with space/id"},
				identitiesOnly: true, agentSocket: "/run/agent", knownHosts: append([]string{"/dev/null"}, global...)}},
		"flags come before the file": {Host{HostName: "db1"}, Options{User: "flag", Port: 99, Keys: []string{"k"}, KnownHosts: []string{"kh"}},
			settings{name: "db1", hostName: "10.0.0.11", port: 99, user: "flag", checkAs: "10.0.0.11:99", keys: []string{"k"}, keysNamed: true,
				identitiesOnly: true, agentSocket: "/run/agent", knownHosts: []string{"kh"}}},
		"paths and names are expanded": {Host{HostName: "db2"}, Options{},
			settings{name: "db2", hostName: "db2.example.org", port: 22, user: "anybody", checkAs: "second:22", keys: []string{home + "/.ssh/anybody-key", "/keys/second"},
				agentSocket: home + "/agent.sock", knownHosts: append([]string{home + "/kh1", home + "/kh2"}, global...)}},
		"a host that no block names": {Host{HostName: "10.9.9.9"}, Options{},
			settings{name: "10.9.9.9", hostName: "10.9.9.9", port: 22, user: "anybody", checkAs: "10.9.9.9:22", keys: defaults, agentSocket: "/run/agent", knownHosts: known}},
		"a Match block": {Host{HostName: "db4", Alias: true}, Options{},
			settings{name: "db4", hostName: "db4", port: 22, user: "matched", checkAs: "db4:22", keys: defaults, agentSocket: "/run/agent", knownHosts: known}},
		"no jump is no obstacle": {Host{HostName: "near"}, Options{},
			settings{name: "near", hostName: "near", port: 22, user: "anybody", checkAs: "near:22", keys: defaults, agentSocket: "/run/agent", knownHosts: known}},
		"a jump": {Host{HostName: "far"}, Options{},
			settings{name: "far", hostName: "far", port: 22, user: "anybody", checkAs: "far:22", keys: defaults, agentSocket: "/run/agent", knownHosts: known, jump: "bastion"}},
		"a jump by flag comes before the file's": {Host{HostName: "far"}, Options{Jump: "none"},
			settings{name: "far", hostName: "far", port: 22, user: "anybody", checkAs: "far:22", keys: defaults, agentSocket: "/run/agent", knownHosts: known}},
		"a jump takes the place of a command": {Host{HostName: "piped", Jump: "me@b:2200"}, Options{},
			settings{name: "piped", hostName: "piped", port: 22, user: "anybody", checkAs: "piped:22", keys: defaults, agentSocket: "/run/agent", knownHosts: known, jump: "me@b:2200"}},
		"new keys and certificates": {Host{HostName: "fresh"}, Options{},
			settings{name: "fresh", hostName: "fresh", port: 22, user: "anybody", checkAs: "fresh:22", keys: defaults, agentSocket: "/run/agent", knownHosts: known,
				acceptNew: true, certificates: []string{home + "/.ssh/signed-cert.pub"}}},
		"no file at all": {Host{HostName: "db1"}, Options{Config: "none", User: "u"},
			settings{name: "db1", hostName: "db1", port: 22, user: "u", checkAs: "db1:22", keys: defaults, agentSocket: "/run/agent", knownHosts: known}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.opt.Config == "" {
				c.opt.Config = path
			}
			got, err := settle(c.host, c.opt)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(settings{})); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigurationThatPreventsAConnectionIsRefused(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	save := func(content string) string {
		path := home + "/config"
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		content, host string
		alias, usage  bool
		says          string
	}{
		"a proxy command":  {sample, "piped", false, true, `^connect to piped: ssh_config says ProxyCommand nc %h %p, and nemesis starts no programs for that; write it as ProxyJump, or pass --ssh-jump$`},
		"a port in words":  {sample, "odd", false, true, `^read the port of odd in \S+/config: "seventy" is not a port \(1 to 65535\)$`},
		"an unknown alias": {sample, "db9", true, true, `^find ssh-config:db9: no Host block names it in \S+/config$`},
		"a criterion that nobody knows": {"Match tagged x\n  Port 1\n", "db1", false, true,
			`^connect to db1: read its ssh configuration: \S+/config:2: whether its port holds for db1 is not known: \S+/config:1: nemesis does not know Match tagged; --ssh-config none does without$`},
		"a variable that is not set": {"IdentityFile ${NEMESIS_NO_SUCH}/id\n", "db1", false, true,
			`^connect to db1: read its ssh configuration: the environment has no NEMESIS_NO_SUCH, which "\$\{NEMESIS_NO_SUCH\}/id" asks for; --ssh-config none does without$`},
		"a token that nobody knows":       {"IdentityFile ~/%z\n", "db1", false, true, `: nothing is known for %z in "\S+/%z"; --ssh-config none does without$`},
		"a quote that is left open":       {"Host db1\n  User \"me\n", "db1", false, true, `: \S+/config:2: a quote is never closed; --ssh-config none does without$`},
		"a name that no domain completes": {"CanonicalizeHostname yes\nCanonicalDomains example.invalid\nCanonicalizeFallbackLocal no\n", "db1", false, true, `: no address is known for db1 in any of CanonicalDomains \(example.invalid\), and CanonicalizeFallbackLocal is no; give it a HostName; --ssh-config none does without$`},
		"a name that a CNAME may change":  {"CanonicalizeHostname yes\nCanonicalizePermittedCNAMEs *:*.example.org\n", "db1", false, true, `: CanonicalizePermittedCNAMEs may give db1 another name, and nemesis does not follow CNAMEs; give it a HostName; --ssh-config none does without$`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := settle(Host{HostName: c.host, Alias: c.alias}, Options{Config: save(c.content)})
			if err == nil || strings.Contains(err.Error(), "\n") || !regexp.MustCompile(c.says).MatchString(err.Error()) {
				t.Errorf("got:  %v\nwant: %s", err, c.says)
			}
			var usage *UsageError
			if errors.As(err, &usage) != c.usage {
				t.Errorf("usage error: %v, want %v", !c.usage, c.usage)
			}
		})
	}
}

func TestAnAliasMayComeFromAnIncludedFile(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	for path, content := range map[string]string{
		"/config":   "Include " + home + "/included\n",
		"/included": "Host inner\n  HostName 10.0.0.1\n",
	} {
		if err := os.WriteFile(home+path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := settle(Host{HostName: "inner", Alias: true}, Options{Config: home + "/config", User: "u"})
	if err != nil || got.hostName != "10.0.0.1" {
		t.Errorf("got %s, %v", got.hostName, err)
	}
	if _, err := settle(Host{HostName: "inner"}, Options{Config: "none", Port: 70000}); err == nil || err.Error() != "connect to inner: --ssh-port 70000 is not a port (1 to 65535)" {
		t.Errorf("a port beyond all ports: %v", err)
	}
	if _, err := settle(Host{HostName: "other", Alias: true}, Options{Config: home + "/config"}); err == nil {
		t.Error("an alias that nobody names was found")
	}
}

// What nemesis cannot do is the trouble of the hosts that it is about, and of no other.
func TestALineAboutAnotherHostConcernsNobodyElse(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	path := home + "/config"
	for name, line := range map[string]string{
		"a criterion that nobody knows, and another that fails": "Match host other tagged x\n  Port 1",
		"and the other way round":                               "Match tagged x host other\n  Port 1",
		"one that says nothing of ours":                         "Match localnetwork 10.0.0.0/8\n  ForwardAgent yes",
		"one that says what was said":                           "Host *\n  Port 22\nMatch version 10\n  Port 1",
		"a port in words":                                       "Host other\n  Port seventy",
		"a command":                                             "Host other\n  ProxyCommand nc %h %p",
		"an open quote":                                         "Host other\n  User \"me",
		"an open quote about nothing of ours":                   "SendEnv \"LANG",
		"no such variable":                                      "Host other\n  IdentityFile ${NEMESIS_NO_SUCH}",
		"a keyword of the future":                               "Host *\n  FrobnicateAgent always",
		"a file that is not there":                              "Include /no/such/file",
		"a directory as a file":                                 "Host other\n  Include " + home,
		"a command that hangs, not asked":                       "Match host other exec \"sleep 1000\"\n  Port 1",
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(line+"\nHost db1\n  HostName 10.0.0.1\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := settle(Host{HostName: "db1"}, Options{Config: path, User: "u"})
			if err != nil || got.hostName != "10.0.0.1" || got.port != 22 {
				t.Errorf("%s:%d, %v", got.hostName, got.port, err)
			}
		})
	}
}

func TestAFileThatOthersMayWriteRunsNothing(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	path, ran := home+"/config", home+"/ran"
	if err := os.WriteFile(path, []byte("Match exec \"touch "+ran+"\"\n  Port 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := settle(Host{HostName: "db1"}, Options{Config: path, User: "u"})
	if err == nil || !strings.Contains(err.Error(), "Match exec runs nothing that others may write; take their right to write the file away") {
		t.Error(err)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("it was run")
	}
}
