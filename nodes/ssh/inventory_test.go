package ssh

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const iniInventory = `
# machines of the lab
jump.example.org ansible_user=gate

[db]
db[1:3]  ansible_port=2222   ; not a comment, and so a mistake elsewhere
db9 ansible_host=10.0.0.9 ansible_user=me # odd one out

[web]
web-[a:c:2].example.org:2200

[db:vars]
ansible_user = admin
ansible_ssh_private_key_file="/keys/with space/id"

[lab:children]
db
web

[lab:vars]
ansible_user=nobody
ansible_ssh_common_args='-o StrictHostKeyChecking=yes -o ProxyJump=gate@10.0.0.1:2200'
`

const yamlInventory = `---
all:
  vars:
    ansible_user: anybody
  hosts:
    first:
    v6: {ansible_host: "fd00::11"}
  children:
    db:
      hosts:
        db[01:02]:
          ansible_port: 2222
          packages: [a, b]
      vars:
        ansible_user: admin
      children:
        old:
          hosts:
            db9: &same
              ansible_ssh_host: 10.0.0.9
              ansible_user: me
    other:
      hosts:
        db01:
`

// reached is all that an inventory says of a host.
func reached(hosts []Host) []string {
	said := describe(hosts)
	for i, h := range hosts {
		for _, k := range h.Keys {
			said[i] += " key " + k
		}
		if h.Jump != "" {
			said[i] += " via " + h.Jump
		}
	}
	return said
}

func TestInventories(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"ini":      strings.Replace(iniInventory, "   ; not a comment, and so a mistake elsewhere", "", 1),
		"yaml":     yamlInventory,
		"no group": "n[8:10]\n",
		"one line": "n1 ansible_host=10.0.0.1\n",
		"json":     `{"all": {"hosts": {"n1": {"ansible_port": 23}}}}`,
	} {
		if err := os.WriteFile(dir+"/"+name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const labVia = " via gate@10.0.0.1:2200"
	db := []string{
		"db1 = admin@db1:2222 key /keys/with space/id" + labVia, "db2 = admin@db2:2222 key /keys/with space/id" + labVia,
		"db3 = admin@db3:2222 key /keys/with space/id" + labVia, "db9 = me@10.0.0.9 key /keys/with space/id" + labVia,
	}
	web := []string{"web-a.example.org = nobody@web-a.example.org:2200" + labVia, "web-c.example.org = nobody@web-c.example.org:2200" + labVia}
	for list, want := range map[string][]string{
		"ini":     append(append([]string{"jump.example.org = gate@jump.example.org"}, db...), web...),
		"ini:db":  db,
		"ini:web": web,
		"ini:lab": append(append([]string{}, db...), web...),
		"yaml": {"first = anybody@first", "v6 = anybody@fd00::11", "db01 = admin@db01:2222", "db02 = admin@db02:2222",
			"db9 = me@10.0.0.9"},
		"yaml:db":    {"db01 = admin@db01:2222", "db02 = admin@db02:2222", "db9 = me@10.0.0.9"},
		"yaml:other": {"db01 = admin@db01:2222"},
		"no group":   {"n8 = n8", "n9 = n9", "n10 = n10"},
		"one line":   {"n1 = 10.0.0.1"},
		"json":       {"n1 = n1:23"},
	} {
		hosts, err := Parse("@"+dir+"/"+list, Options{})
		if err != nil {
			t.Errorf("%s: %v", list, err)
			continue
		}
		if diff := cmp.Diff(want, reached(hosts)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", list, diff)
		}
	}
}

func TestInventoriesThatCannotBeMeant(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]string{
		"[db]\ndb1 x\n":                            `/i:2: "x" is not a variable; a line is a host and then name=value`,
		"[db]\ndb1 k='v\n":                         `/i:2: a quote is never closed`,
		"[db:hosts]\ndb1\n":                        `/i:1: [db:hosts]: a section is a group, group:vars or group:children`,
		"[db:vars]\nuser\n":                        `/i:2: "user" is not a variable; write name=value`,
		"[db]\nn[5:1]\n":                           `/i:2: "[5:1]" is not a range of up to 256 names; write it as n[1:5] or n[a:e]`,
		"[db]\nn[1:999]\n":                         `/i:2: "[1:999]" is not a range of up to 256 names; write it as n[1:5] or n[a:e]`,
		"[db]\nn[1:200]m[1:2]\n":                   `/i:2: "n[1:200]m[1:2]" stands for more than 256 hosts`,
		"[db]\nn[1:5:0]\n":                         `/i:2: "[1:5:0]" is not a range of up to 256 names; write it as n[1:5] or n[a:e]`,
		"[db]\nn1:ssh\n":                           `/i:2: "ssh" is not a port (1 to 65535)`,
		"[db]\nn1 ansible_port=x\n":                `/i: the port of n1: "x" is not a port (1 to 65535)`,
		"[db]\nn1 ansible_host=\"{{ ip }}\"\n":     `/i: ansible_host of n1 is a template that only Ansible can fill in; write its value`,
		"[db]\nn1 ansible_connection=local\n":      `/i: n1 is reached by ansible_connection=local, and nodes are reached by ssh alone`,
		"[db]\nn1 ansible_host=-oProxyCommand=x\n": `/i: "-oProxyCommand=x" is not a host name or address`,
		"[db]\n":                     `/i names no host`,
		"all:\n  hosts:\n    - n1\n": `/i:3: the hosts of all must be a mapping, as in "n1:"`,
		"all:\n  host:\n    n1:\n":   `/i:2: the group all has "host"; a group has hosts, vars and children`,
		"all:\n  hosts: {n1: {\n":    `/i: line 2: did not find expected node content`,
		"all:\n  children: &a\n    x:\n      children: *a\n": `/i:4: the group x is more than 32 groups deep`,
		"---\n": `/i names no host`,
	} {
		path := dir + "/i"
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Parse("@"+path, Options{})
		var usage *UsageError
		if !errors.As(err, &usage) || !strings.HasSuffix(err.Error(), want) || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%q:\n got %v\nwant %s", content, err, want)
		}
	}
	path := dir + "/i"
	if err := os.WriteFile(path, []byte("[db]\nn1\n[web]\nn2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse("@"+path+":dbs", Options{}); err == nil || !strings.HasSuffix(err.Error(), "it has no group dbs, but db, web") {
		t.Errorf("a group that is not there: %v", err)
	}
	if err := os.WriteFile(path, []byte("n1\nn2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse("@"+path+":db", Options{}); err == nil || !strings.HasSuffix(err.Error(), "it is a plain list, without a group db") {
		t.Errorf("a group of a plain list: %v", err)
	}
}

func TestAFileShowsItsForm(t *testing.T) {
	for content, want := range map[string]form{
		"":                            formList,
		"db1\ndb2\n":                  formList,
		"[fd00::1]:22\n[fd00::2]\n":   formList,
		"# [db]\ndb1:22, db2\n":       formList,
		"10.0.0.0/29\n":               formList,
		"\ufeff[db]\ndb1\n":           formINI,
		"db1\ndb[1:2]\n":              formINI,
		"db1\n\ndb2 ansible_port=1":   formINI,
		"# c\n\nall:\n  hosts:\n":     formYAML,
		"---\nall: {}\n":              formYAML,
		`{"all": {}}`:                 formYAML,
		"\"my group\":\n  hosts:\n":   formList, // not a group's name
		"ungrouped: # all\n hosts:\n": formYAML,
	} {
		if got := formOf(content); got != want {
			t.Errorf("%q: form %d, want %d", content, got, want)
		}
	}
}

func TestReadingAnInventoryNeverPanics(t *testing.T) {
	piece := rapid.SampledFrom([]string{"[", "]", "db", ":", "vars", "children", "\n", " ", "=", "'", "\"", "1", "a", "#", "-", "hosts", "all", "{", "}", "ansible_host", "&x", "*x", "  "})
	rapid.Check(t, func(t *rapid.T) {
		content := strings.Join(rapid.SliceOfN(piece, 0, 40).Draw(t, "pieces"), "")
		for _, f := range []form{formINI, formYAML} {
			hosts, err := inventory(f, []byte(content), "")
			if err == nil && len(hosts) > maxHosts {
				t.Fatalf("%d hosts", len(hosts))
			}
		}
	})
}
