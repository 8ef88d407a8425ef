package ssh

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nemesis/nodes"
)

// host is a parsed host in one word: name = user@hostname:port.
func describe(hosts []Host) []string {
	var all []string
	for _, h := range hosts {
		s := h.HostName
		if h.User != "" {
			s = h.User + "@" + s
		}
		if h.Port != 0 {
			s = hostPort(s, h.Port)
			if strings.Contains(h.HostName, ":") {
				s = strings.Replace(s, "["+h.User+"@", h.User+"@[", 1)
			}
		}
		if h.Alias {
			s += " (alias)"
		}
		all = append(all, h.Node.Name+" = "+s)
	}
	return all
}

func TestParse(t *testing.T) {
	dir := t.TempDir()
	file := dir + "/nodes"
	if err := os.WriteFile(file, []byte("# the cluster\nadmin@db1:2222\n\n  10.0.0.1, 10.0.0.2 # two of a kind\r\nssh-config:db3\n[fd00::1]:22\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for list, want := range map[string][]string{
		"db1":                           {"db1 = db1"},
		"db1,db2.example.org":           {"db1 = db1", "db2.example.org = db2.example.org"},
		" db1 , db2 ":                   {"db1 = db1", "db2 = db2"},
		"admin@db1:2222,db_2":           {"db1 = admin@db1:2222", "db_2 = db_2"},
		"10.0.0.1,root@10.0.0.2:22":     {"10.0.0.1 = 10.0.0.1", "10.0.0.2 = root@10.0.0.2:22"},
		"fd00::1,[fd00::2]":             {"fd00::1 = fd00::1", "fd00::2 = fd00::2"},
		"root@[fd00::1]:2222":           {"fd00::1 = root@[fd00::1]:2222"},
		"[fe80::1%eth0]:22":             {"fe80::1%eth0 = [fe80::1%eth0]:22"},
		"10.0.0.0/29":                   {"10.0.0.1 = 10.0.0.1", "10.0.0.2 = 10.0.0.2", "10.0.0.3 = 10.0.0.3", "10.0.0.4 = 10.0.0.4", "10.0.0.5 = 10.0.0.5", "10.0.0.6 = 10.0.0.6"},
		"10.0.0.5/30":                   {"10.0.0.5 = 10.0.0.5", "10.0.0.6 = 10.0.0.6"},
		"10.0.0.7/32":                   {"10.0.0.7 = 10.0.0.7"},
		"u@10.0.0.4/30:2222":            {"10.0.0.5 = u@10.0.0.5:2222", "10.0.0.6 = u@10.0.0.6:2222"},
		"10.0.0.11-10.0.0.13":           {"10.0.0.11 = 10.0.0.11", "10.0.0.12 = 10.0.0.12", "10.0.0.13 = 10.0.0.13"},
		"10.0.0.255-10.0.1.0":           {"10.0.0.255 = 10.0.0.255", "10.0.1.0 = 10.0.1.0"},
		"fd00::a-fd00::b":               {"fd00::a = fd00::a", "fd00::b = fd00::b"},
		"db-1-a":                        {"db-1-a = db-1-a"},
		"127.0.0.1:2201,127.0.0.1:2202": {"127.0.0.1:2201 = 127.0.0.1:2201", "127.0.0.1:2202 = 127.0.0.1:2202"},
		"ssh-config:a,b":                {"a = a (alias)", "b = b (alias)"},
		"db1,ssh-config:a,ssh-config:b": {"db1 = db1", "a = a (alias)", "b = b (alias)"},
		"@" + file:                      {"db1 = admin@db1:2222", "10.0.0.1 = 10.0.0.1", "10.0.0.2 = 10.0.0.2", "db3 = db3 (alias)", "fd00::1 = [fd00::1]:22"},
		"db0,@" + file + ",db9":         {"db0 = db0", "db1 = admin@db1:2222", "10.0.0.1 = 10.0.0.1", "10.0.0.2 = 10.0.0.2", "db3 = db3 (alias)", "fd00::1 = [fd00::1]:22", "db9 = db9"},
	} {
		hosts, err := Parse(list, Options{})
		if err != nil {
			t.Errorf("%s: %v", list, err)
			continue
		}
		if diff := cmp.Diff(want, describe(hosts)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", list, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	dir := t.TempDir()
	save := func(name, content string) string {
		if err := os.WriteFile(dir+"/"+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return "@" + dir + "/" + name
	}
	for list, want := range map[string]string{
		"":                             "no host is named; write host,host or @file",
		"  ":                           "no host is named; write host,host or @file",
		"db1,,db2":                     "a host is missing beside a comma",
		"db1,":                         "a host is missing beside a comma",
		"db1,db1":                      "db1 is named twice",
		"db1:22,db1:22":                "db1:22 is named twice",
		"10.0.0.1,10.0.0.0/30":         "10.0.0.1 is named twice",
		"fd00::1,fd00:0::1":            "fd00::1 is named twice",
		"@db1":                         "open db1: no such file or directory",
		"u@@db1":                       `"u@@db1": "u@" is not a user name`,
		"a b@db1":                      `"a b@db1": "a b" is not a user name`,
		"db1:0":                        `"db1:0": "0" is not a port (1 to 65535)`,
		"db1:ssh":                      `"db1:ssh": "ssh" is not a port (1 to 65535)`,
		"db1:65536":                    `"db1:65536": "65536" is not a port (1 to 65535)`,
		"[fd00::1":                     `"[fd00::1": the bracket is never closed`,
		"[10.0.0.1]:22":                `"[10.0.0.1]:22": "10.0.0.1" is not an IPv6 address`,
		"[fd00::1]22":                  `"[fd00::1]22": only a port can follow the bracket`,
		"10.0.0.300":                   `"10.0.0.300" is not an address`,
		"10.0.0":                       `"10.0.0" is not an address`,
		"fd00::xyz":                    `"fd00::xyz" is not a host name or address`,
		"-oProxyCommand=x":             `"-oProxyCommand=x" is not a host name or address`,
		"db 1":                         `"db 1" is not a host name or address`,
		"d\x1bb":                       `"d\x1bb" is not a host name or address`,
		"bücher":                       `"bücher" is not a host name or address`,
		"10.0.0.0/33":                  `"10.0.0.0/33" is not a network; write it as 10.0.0.0/29`,
		"db1/24":                       `"db1/24" is not a network; write it as 10.0.0.0/29`,
		"10.0.0.0/8":                   "10.0.0.1 to 10.255.255.254 are more than 256 hosts",
		"fd00::/64":                    "are more than 256 hosts",
		"10.0.0.9-10.0.0.1":            `"10.0.0.9-10.0.0.1" is not a range: the second address must come after the first`,
		"10.0.0.1-fd00::1":             `"10.0.0.1-fd00::1" is not a range: the second address must come after the first`,
		"10.0.0.11-15":                 `"10.0.0.11-15": a range ends with a whole address, as in 10.0.0.11-10.0.0.15`,
		"10.0.0.0/25,10.0.1.0/24":      "more than 256 hosts",
		"ssh-config:":                  "a host is missing beside a comma",
		"ssh-config:db*":               ` fits "db*"`,
		"ssh-config:!db1":              `"!db1" is neither the name nor a pattern of Host blocks`,
		save("bad", "db1\n\ndb 2\n"):   dir + `/bad:3: "db 2" is not a host name or address`,
		save("empty", "# nobody\n"):    dir + "/empty names no host",
		save("nested", "@elsewhere\n"): dir + `/nested:1: "@elsewhere": a file of hosts cannot name another`,
	} {
		_, err := Parse(list, Options{})
		var usage *UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%q: got %v, want a usage error", list, err)
			continue
		}
		if s := err.Error(); !strings.HasSuffix(s, want) || strings.ContainsAny(s, "\n\x1b") {
			t.Errorf("%q:\n got %s\nwant %s", list, s, want)
		}
	}
}

func TestAPatternStandsForTheHostBlocksThatFit(t *testing.T) {
	config := t.TempDir() + "/config"
	if err := os.WriteFile(config, []byte("Host db1 db2\n  User a\nHost web db3 !db9 db*\n  User b\nHost *\n  User c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hosts, err := Parse("ssh-config:db*,web", Options{Config: config})
	want := []string{"db1 = db1 (alias)", "db2 = db2 (alias)", "db3 = db3 (alias)", "web = web (alias)"}
	if diff := cmp.Diff(want, describe(hosts)); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestParseNeverPanicsAndNamesAreUnique(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.StringOfN(rapid.SampledFrom([]rune("ab1.:-/[]@,% 0029f")), 0, 30, -1).
			Filter(func(s string) bool {
				return !strings.HasPrefix(strings.TrimSpace(s), "@") && !strings.Contains(s, ",@") && !strings.Contains(s, " @")
			}).Draw(t, "list")
		hosts, err := Parse(list, Options{})
		if err != nil {
			return
		}
		names := map[string]bool{}
		for _, h := range hosts {
			if names[h.Node.Name] || h.Node.Name == "" || h.Node.Name != strings.TrimSpace(h.Node.Name) {
				t.Fatalf("%q: the name %q", list, h.Node.Name)
			}
			names[h.Node.Name] = true
		}
	})
}

func TestAClusterHasEachMachineOnce(t *testing.T) {
	opt := Options{Config: "none", User: "root"}
	hosts, err := Parse("127.0.0.1,[::1]:22,127.0.0.2:2222,127.0.0.1:2222", Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCluster(t.Context(), hosts, opt)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range c.Nodes() {
		got = append(got, n.Name+" at "+n.Address.String())
	}
	want := []string{"127.0.0.1 at 127.0.0.1", "::1 at ::1", "127.0.0.2 at 127.0.0.2", "127.0.0.1:2222 at 127.0.0.1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	if _, err := c.Connect(t.Context(), "n9"); err == nil || err.Error() != "connect to n9: the cluster has no such node" {
		t.Errorf("a node that is not there: %v", err)
	}

	hosts, _ = Parse("127.0.0.1,127.0.0.1:22", Options{})
	if _, err = NewCluster(t.Context(), hosts, opt); err == nil || err.Error() != "read nodes: 127.0.0.1 and 127.0.0.1:22 are both 127.0.0.1:22; name each node once" {
		t.Errorf("one machine by two names: %v", err)
	}
	_, err = NewCluster(t.Context(), []Host{{Node: nodes.Node{Name: "n1"}, HostName: "no-such-host.invalid"}}, opt)
	if err == nil || err.Error() != `look up n1: no address is known for "no-such-host.invalid"; check the spelling, /etc/hosts and DNS` {
		t.Errorf("a name without an address: %v", err)
	}
}
