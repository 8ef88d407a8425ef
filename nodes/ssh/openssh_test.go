package ssh

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// asOpenSSH is what the ssh command makes of a file, in the words of settings: what -G
// prints, and the key files that -v names, in which everything is put in.
func asOpenSSH(t *testing.T, program, file, host string) (want settings, global []string, command string) {
	t.Helper()
	out, err := exec.Command(program, "-G", "-F", file, host).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh -G refuses the file: %v\n%s", err, out)
	}
	want.name = host
	var identities []string
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "hostname":
			want.hostName = value
		case "port":
			fmt.Sscan(value, &want.port)
		case "user":
			want.user = value
		case "proxyjump":
			want.jump = value
		case "proxycommand":
			command = value
		case "identityfile":
			identities = append(identities, value)
		case "identitiesonly":
			want.identitiesOnly = value == "yes"
		case "stricthostkeychecking":
			want.acceptNew = value == "accept-new"
		case "hostkeyalias":
			want.checkAs = net.JoinHostPort(value, "22")
		case "userknownhostsfile":
			want.knownHosts = strings.Fields(value)
		case "globalknownhostsfile":
			global = strings.Fields(value)
		case "knownhostscommand":
			if want.keysCommand = value; value == "none" {
				want.keysCommand = ""
			}
		case "revokedhostkeys":
			if want.revoked = value; value == "none" {
				want.revoked = ""
			}
		}
	}
	if want.checkAs == "" {
		want.checkAs = want.address()
	}
	home := os.Getenv("HOME")
	if slices.Contains(identities, "~/.ssh/id_rsa") && slices.Contains(identities, "~/.ssh/id_ecdsa") {
		for _, kind := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			want.keys = append(want.keys, filepath.Join(home, ".ssh", kind))
		}
	} else {
		// The name of the key's host is needed; the connection is not.
		out, _ := exec.Command(program, "-v", "-F", file, "-o", "ProxyCommand=/bin/false", host).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if _, path, is := strings.Cut(line, "identity file "); is {
				if path, _, is = strings.Cut(path, " type "); is && !strings.HasSuffix(path, "-cert") {
					want.keys = append(want.keys, path)
				}
			}
		}
	}
	return want, global, command
}

// conforms holds settle to the ssh command for one file and host.
func conforms(t *testing.T, program, content, host string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	want, global, command := asOpenSSH(t, program, path, host)
	got, err := settle(Host{HostName: host}, Options{Config: path})
	if command != "" && command != "none" {
		if err == nil || !strings.Contains(err.Error(), "ssh_config says ProxyCommand "+command) {
			t.Errorf("%s: ssh has the ProxyCommand %s; we say %v\n%s", host, command, err, content)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v\n%s", host, err, content)
		return
	}
	home := os.Getenv("HOME")
	// What ssh fills in later, when it needs it.
	if want.jump, err = expandTokens(want.jump, map[byte]string{'h': want.hostName, 'n': host, 'p': fmt.Sprint(want.port), 'r': want.user}, false); err != nil {
		t.Fatal(err)
	}
	tokens := tokensOf(got, home, fmt.Sprint(got.port), host)
	for i, path := range want.knownHosts {
		if want.knownHosts[i], err = expandPath(path, tokens); err != nil {
			t.Fatal(err)
		}
	}
	if want.revoked, err = expandPath(want.revoked, tokens); err != nil {
		t.Fatal(err)
	}
	want.knownHosts = slices.DeleteFunc(append(want.knownHosts, global...), func(s string) bool { return s == "none" })
	got.agentSocket, got.certificates = "", nil // no other program tells
	if len(got.knownHosts) == 0 {
		got.knownHosts, want.knownHosts = nil, nil
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(settings{})); diff != "" {
		t.Errorf("%s (-ssh +nemesis):\n%s\nof\n%s", host, diff, content)
	}
}

func sshProgram(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("ssh")
	if err != nil {
		t.Skip("no ssh command on this machine to compare with")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", me.HomeDir) // which the ssh command asks nobody about
	t.Setenv("NEMESIS_TEST_DIR", "/some where")
	return program
}

// What documentation and public reports have.
func TestConfigurationIsReadAsOpenSSHReadsIt(t *testing.T) {
	program := sshProgram(t)
	included := t.TempDir()
	for name, content := range map[string]string{
		"one.conf": "Host db1\n  User included\nHost *\n  Port 77\n", "two.conf": "HostName 10.0.0.2\nMatch host 10.0.0.2\n  Port 78\n", "with blank.conf": "User blank\n",
	} {
		if err := os.WriteFile(filepath.Join(included, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{
		"nothing":                          "",
		"match exec":                       "Match exec \"/bin/true %h\"\n    ForwardAgent no\n\nHost db1\n    HostName 10.77.0.11\n    User root\n",
		"match final":                      "Match final all\n    ForwardX11Trusted yes\nHost db1\n    HostName 10.77.0.11\n    User root\n",
		"identity files":                   "Host db1\n  HostName 10.77.0.11\n  User root\n  IdentityFile ~/.ssh/id_%u_%l\n  IdentityFile ${HOME}/.ssh/id_ed25519\n IdentitiesOnly yes\n",
		"all tokens":                       "Host db1\n  HostName %h.example.org\n  Port 2222\n  User u\n  HostKeyAlias ali\n  ProxyJump none\n  IdentityFile %%/%C/%d/%h/%i/%k/%L/%l/%n/%p/%r/%u\n",
		"a quoted variable":                "IdentityFile \"${NEMESIS_TEST_DIR}/id one\"\n",
		"a tilde and a user":               "IdentityFile ~root/.ssh/id\n",
		"no identity":                      "IdentityFile none\n",
		"twice the same identity":          "IdentityFile /a\nIdentityFile /a\nHost db1\nIdentityFile /b\nIdentityFile /a\n",
		"an equals sign":                   "Host=db1\nUser=me\nPort = 2200\nHostName=\"10.0.0.9\"\n",
		"keywords in capitals":             "HOST db1\n  hostname 10.0.0.9\n  USER me\n",
		"a comment behind":                 "Host db1 # mine\n  User me # not you\n  Port 2200 #3\n",
		"quoted patterns":                  "Host \"db1\" 'db2'\n  User quoted\n",
		"an escaped quote":                 "User a\\\"b\n",
		"windows":                          "Host db1\r\n  User me\r\n  Port 2200\r\n",
		"tabs":                             "Host\tdb1\n\tUser\tme\n",
		"a denied pattern":                 "Host * !db1\n  User other\nHost *\n  User any\n",
		"a denied pattern first":           "Host !db1 *\n  User other\nHost *\n  User any\n",
		"denied alone":                     "Host !db2\n  User other\nHost *\n  Port 2\n",
		"question marks":                   "Host d?? web-?\n  User three\n",
		"stars inside":                     "Host d*1 w*b*-*1\n  User stars\n",
		"the first value counts":           "Host db*\n  User first\nHost db1\n  User second\n  Port 3\n",
		"before any block":                 "User global\nHost db1\n  User late\n",
		"match host after a name":          "Host db1\n  HostName 10.0.0.1\nMatch host 10.0.0.1\n  User byname\nMatch host db1\n  Port 9\n",
		"match originalhost":               "Host db1\n  HostName 10.0.0.1\nMatch originalhost db1\n  User byname\n",
		"match in capitals":                "Match HOST DB1\n  User caps\n",
		"match not host":                   "Match !host db1\n  User others\n",
		"match not originalhost, host":     "Match !originalhost db1 host *\n  User others\n",
		"match a list":                     "Match host db1,web-*\n  User listed\n",
		"match a list with one denied":     "Match host *,!db1\n  User listed\n",
		"match user":                       "User alice\nMatch user alice,bob\n  Port 5\n",
		"match user before":                "Match user alice\n  Port 5\nHost *\n  User alice\n",
		"match localuser":                  "Match localuser root,nobody-else\n  Port 6\n",
		"match all":                        "Match all\n  User everyone\n",
		"match exec false":                 "Match exec false\n  Port 5\n",
		"match not exec":                   "Match !exec \"exit 3\"\n  Port 5\n",
		"match exec with tokens":           "Host *\n  HostName %h.x\nMatch exec \"test %h = db1.x -a %n = db1 -a %p = 22\"\n  Port 5\n",
		"match host and exec":              "Match host db1 exec \"test %h = db1\"\n  Port 5\n",
		"match exec with equals":           "Match exec=\"true\"\n  Port 5\n",
		"match exec with a percent":        "Match exec \"test a%%b = 'a%%b'\"\n  Port 5\n",
		"match final sees the name":        "Match final host 10.0.0.1\n  User late\nHost db1\n  HostName 10.0.0.1\n",
		"match final comes last":           "Match final all\n  Port 9\nHost db1\n  Port 8\n",
		"match not final":                  "Match !final all\n  Port 9\n",
		"match final host":                 "Match final host db*\n  ProxyJump b\nHost *\n  User u\n",
		"match canonical without":          "Match canonical all\n  Port 9\n",
		"match canonical with":             "CanonicalizeHostname yes\nMatch canonical all\n  Port 9\n",
		"a final that nobody needs":        "Host nobody\nMatch final host nobody\n  Port 9\n",
		"identities in two passes":         "IdentityFile /a\nMatch final all\n  IdentityFile /b\nHost db1\n IdentityFile /c\n",
		"names in a final pass":            "Host db1\n  HostName db1.example.org\nHost *.example.org\n  User canon\nMatch final\n  Port 4\n",
		"include":                          "Include " + included + "/one.conf\n",
		"include what is not there":        "Include " + included + "/none.conf\nUser me\n",
		"include many":                     "Include " + included + "/*o*.conf\n",
		"include two":                      "Include " + included + "/one.conf " + included + "/two.conf\n",
		"include quoted":                   "Include \"" + included + "/with blank.conf\"\nUser me\n",
		"include with an escaped blank":    "Include " + included + "/with\\ blank.conf\nUser me\n",
		"include in a block":               "Host db1\n  Include " + included + "/two.conf\n  User behind\nHost *\n  Port 3\n",
		"include in a block that is not":   "Host other\n  Include " + included + "/one.conf\n  User behind\n",
		"include ends no block":            "Host db1\n  Include " + included + "/one.conf\n  HostKeyAlias kept\n",
		"a jump":                           "Host db*\n  ProxyJump me@bastion:2222,second\n",
		"no jump":                          "Host db1\n  ProxyJump none\nHost *\n  ProxyJump bastion\n",
		"a command":                        "ProxyCommand ssh -W %h:%p \"a b\"\n",
		"no command":                       "ProxyCommand none\nProxyJump b\n",
		"a jump before a command":          "ProxyJump b\nProxyCommand nc %h %p\n",
		"a command before a jump":          "ProxyCommand nc %h %p\nProxyJump b\n",
		"no jump before a command":         "ProxyJump none\nProxyCommand nc %h %p\n",
		"known hosts":                      "UserKnownHostsFile ~/kh1 \"/kh2\" /kh3\n",
		"no known hosts":                   "UserKnownHostsFile none\n",
		"known hosts by host":              "UserKnownHostsFile /kh/%h.%n.%k\n",
		"an alias for the key":             "Host db*\n  HostKeyAlias cluster\n  Port 2200\n",
		"accept-new":                       "StrictHostKeyChecking accept-new\n",
		"strict off":                       "StrictHostKeyChecking off\n",
		"identities only, true":            "IdentitiesOnly true\nIdentityFile /a\n",
		"vagrant":                          "Host db1\n  HostName 127.0.0.1\n  User vagrant\n  Port 2222\n  UserKnownHostsFile /dev/null\n  StrictHostKeyChecking no\n  PasswordAuthentication no\n  IdentityFile \"/keys/with space/id\"\n  IdentitiesOnly yes\n  LogLevel FATAL\n",
		"a name in capitals":               "HostName DB1.Example.ORG\n",
		"a percent in a name":              "Host db1\n  HostName a%%b\n",
		"an IPv6 address":                  "Host db1\n  HostName fd00::1\n",
		"jumps with tokens":                "Host db*\n  HostName %h.example.org\n  Port 2200\n  User me\n  ProxyJump %r@gate.%n:2200,%h-gate\n",
		"a percent in a jump":              "ProxyJump a%%b\n",
		"a jump as an address":             "ProxyJump ssh://me@bastion:2222\n",
		"a jump to an IPv6 address":        "ProxyJump me@[fd00::1]:2222\n",
		"a jump for all but the bastion":   "Host * !web-1\n  ProxyJump web-1\n",
		"all jumps in a final pass":        "Match final host *.example.org\n  ProxyJump gate\nHost db1\n  HostName db1.example.org\n",
		"many known hosts":                 "UserKnownHostsFile ~/a ~/b ~/c ~root/d\nUserKnownHostsFile ~/e\n",
		"known hosts of the system":        "GlobalKnownHostsFile /a /b\n",
		"no known hosts of the system":     "GlobalKnownHostsFile none\n",
		"nothing is put in for the system": "GlobalKnownHostsFile ~/g/%h ${HOME}/g\n",
		"known hosts from the environment": "UserKnownHostsFile ${HOME}/kh\n",
		"known hosts in a block of hosts":  "Host db1\n  UserKnownHostsFile /only/db1\n  GlobalKnownHostsFile /all/db1\n",
		"no known hosts at all":            "UserKnownHostsFile none\nGlobalKnownHostsFile none\n",
		"all tokens of known hosts":        "Host *\n  HostName %h.x\n  User u\n  HostKeyAlias ali\n  UserKnownHostsFile /%C/%d/%h/%i/%k/%L/%l/%n/%p/%r/%u\n",
		"a command for known hosts":        "Host db1\n  KnownHostsCommand /bin/echo %H %t \"a b\"\n",
		"no command for known hosts":       "KnownHostsCommand none\n",
		"revoked keys":                     "RevokedHostKeys ~/revoked/%h\n",
		"no revoked keys":                  "RevokedHostKeys none\nHost db1\n  RevokedHostKeys /later\n",
		"certificates":                     "Host db1\n  CertificateFile ~/c1-cert.pub\n  CertificateFile /c2-cert.pub\n  IdentityFile /a\n",
		"a canonical name that is none":    "CanonicalizeHostname yes\nCanonicalDomains example.invalid other.invalid\n",
		"canonical, always":                "CanonicalizeHostname always\nCanonicalDomains example.invalid\nProxyJump gate\nMatch canonical all\n  Port 9\n",
		"canonical, with a jump":           "CanonicalizeHostname yes\nCanonicalDomains example.invalid\nProxyJump gate\nMatch canonical host db1\n  Port 9\n",
		"canonical, with a command":        "CanonicalizeHostname yes\nCanonicalDomains example.invalid\nProxyCommand nc %h %p\n",
		"canonical, no domains":            "CanonicalizeHostname true\nCanonicalDomains none\nMatch canonical\n  Port 9\n",
		"canonical, enough dots":           "CanonicalizeHostname yes\nCanonicalDomains example.invalid\nCanonicalizeMaxDots 0\nHost *\n  HostName a.b.c\nHost a.b.*\n  Port 9\n",
		"canonical, an address":            "CanonicalizeHostname yes\nCanonicalDomains example.invalid\nCanonicalizeFallbackLocal no\nHost *\n  HostName 10.0.0.7\nHost 10.*\n  Port 9\n",
		"canonical, switched off":          "CanonicalizeHostname no\nCanonicalDomains example.invalid\nMatch canonical all\n  Port 9\n",
		"canonical and final":              "CanonicalizeHostname yes\nMatch final all\n  Port 8\nMatch canonical all\n  User c\n",
		"canonical, identities":            "CanonicalizeHostname yes\nIdentityFile /a\nMatch canonical all\n  IdentityFile /b\n",
		"not canonical":                    "Match !canonical all\n  Port 9\n",
		"canonical in a block":             "Host db1\n  CanonicalizeHostname yes\nMatch canonical all\n  Port 9\n",
		"identity agents":                  "IdentityAgent ~/sock\nHost db1\n  IdentityAgent none\n",
		"identities by block":              "Host db1\n  IdentityFile ~/.ssh/db_%n\nHost *\n  IdentityFile ~/.ssh/all_%r\n  IdentitiesOnly yes\n",
		"nothing that matters":             "Host *\n  ServerAliveInterval 30\n  SendEnv LANG LC_*\n  Compression yes\n",
		"one block, many lines of nothing": "Host db1\n\n\n# c\n   # c\n\n  User me\n",
	} {
		t.Run(name, func(t *testing.T) {
			for _, host := range []string{"db1", "web-1"} {
				conforms(t, program, content, host)
			}
		})
	}
}

// Files that are put together at random.
func TestRandomConfigurationsAreReadAsOpenSSHReadsThem(t *testing.T) {
	program := sshProgram(t)
	r := rand.New(rand.NewPCG(11, 29))
	pick := func(all ...string) string { return all[r.IntN(len(all))] }
	patterns := func(separator string) string {
		var all []string
		for range 1 + r.IntN(3) {
			all = append(all, pick("", "", "", "!")+pick("db1", "db2", "db*", "*", "10.0.0.1", "*.example.org", "d?1", "alice"))
		}
		return strings.Join(all, separator)
	}
	for range 60 {
		var b strings.Builder
		for range 3 + r.IntN(12) {
			switch r.IntN(8) {
			case 0, 1:
				fmt.Fprintf(&b, "Host %s\n", patterns(" "))
			case 2:
				b.WriteString("Match")
				for range 1 + r.IntN(2) {
					c := pick("host", "originalhost", "user", "localuser", "exec", "final")
					b.WriteString(" " + pick("", "", "!") + c)
					switch c {
					case "exec":
						b.WriteString(` "` + pick("true", "false", "test %h = db1", "test %r = alice", "test %p = 22") + `"`)
					case "final":
					default:
						b.WriteString(" " + patterns(","))
					}
				}
				b.WriteString("\n")
			default:
				b.WriteString("  " + pick("User alice", "User bob", "Port 2222", "Port=77", "HostName 10.0.0.1", "HostName %h.example.org", "IdentityFile /k/%h-%r-%p",
					"IdentityFile ~/a", "ProxyJump bastion", "ProxyJump none", "HostKeyAlias ali", "UserKnownHostsFile /kh ~/kh", "IdentitiesOnly yes", "StrictHostKeyChecking accept-new",
					"ForwardAgent yes", "# nothing") + "\n")
			}
		}
		for _, host := range []string{"db1", "db2", "10.0.0.1"} {
			conforms(t, program, b.String(), host)
		}
	}
}
