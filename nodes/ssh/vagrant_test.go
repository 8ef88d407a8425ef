package ssh_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemesis/nodes/ssh"
)

// environment makes a directory with a Vagrantfile and machines, and a vagrant that
// answers with the given text and status.
func environment(t *testing.T, says string, status int, machines ...string) string {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh on this machine")
	}
	dir, bin := t.TempDir(), t.TempDir()
	write(t, dir+"/Vagrantfile", nil)
	for i, machine := range machines { // n1/libvirt
		files := filepath.Join(dir, ".vagrant/machines", machine)
		if err := os.MkdirAll(files, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, files+"/id", fmt.Appendf(nil, "id-%d", i))
	}
	write(t, bin+"/says", []byte(says))
	write(t, bin+"/vagrant", fmt.Appendf(nil, "#!%s\necho \"$VAGRANT_CWD: $*\" >%s/asked\ncat %s/says\n[ %d = 0 ] || { echo 'it is\n broken' >&2; exit %d; }\n", sh, bin, bin, status, status))
	if err := os.Chmod(bin+"/vagrant", 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("VAGRANT_DOTFILE_PATH", "")
	t.Cleanup(func() {
		if asked, err := os.ReadFile(bin + "/asked"); err == nil && !strings.HasPrefix(string(asked), dir+": ssh-config ") {
			t.Errorf("vagrant was asked: %s", asked)
		}
	})
	return dir
}

func TestVagrantsMachinesAreThoseThatWereMade(t *testing.T) {
	dir := environment(t, "", 0, "n10/libvirt", "n2/virtualbox", "n1/libvirt")
	if err := os.MkdirAll(dir+"/.vagrant/machines/n3/libvirt", 0o700); err != nil { // it was destroyed
		t.Fatal(err)
	}
	v, err := ssh.FindVagrant(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range v.Machines {
		got = append(got, m.Name+" "+m.Provider+" "+m.ID)
	}
	if diff := cmp.Diff([]string{"n1 libvirt id-2", "n2 virtualbox id-1", "n10 libvirt id-0"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	dir = environment(t, "", 0, "n1/libvirt", "n1/virtualbox")
	if _, err := ssh.FindVagrant(dir); err == nil || err.Error() != "find Vagrant's machines: two providers have made a n1; destroy one of them" {
		t.Errorf("one machine by two providers: %v", err)
	}
}

// Vagrant's own answer checks no host key. Ours remembers the first, for as long as
// the machine exists.
func TestAMachineOfVagrantIsReachedAndItsKeyRemembered(t *testing.T) {
	s := startServer(t)
	said := fmt.Sprintf("Host n1\n  HostName 127.0.0.1\n  User %s\n  Port %d\n  UserKnownHostsFile /dev/null\n  StrictHostKeyChecking no\n  IdentityFile %s\n  IdentitiesOnly yes\n  LogLevel FATAL\n\n",
		me(t), s.port, s.user.path)
	dir := environment(t, said, 0, "n1/libvirt")
	v, err := ssh.FindVagrant(dir)
	if err != nil {
		t.Fatal(err)
	}
	hosts, opt, err := v.Hosts(context.Background(), ssh.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(hosts) != 1 || hosts[0].Node.Name != "n1" || !hosts[0].Forwarded || !opt.Sudo {
		t.Fatalf("the hosts are %+v, with sudo %v", hosts, opt.Sudo)
	}
	conn, err := ssh.Dial(context.Background(), hosts[0], opt)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	known := dir + "/.vagrant/machines/n1/libvirt/nemesis_known_hosts"
	other := newKey(t, t.TempDir(), "other")
	content := string(read(t, known))
	if !strings.Contains(content, fmt.Sprintf("[127.0.0.1]:%d ssh-ed25519 ", s.port)) {
		t.Errorf("it is remembered as %s", content)
	}
	write(t, known, []byte(regexp.MustCompile(`AAAA\S+`).ReplaceAllString(content, strings.Fields(string(publicLine(other)))[1])))
	refused(t, hosts[0], opt, `^connect to n1 .*: its host key has changed`)
}

func TestMissingVagrantInformationIsAnError(t *testing.T) {
	for name, c := range map[string]struct {
		says   string
		status int
		want   string
	}{
		"it fails":                {"", 1, `^run vagrant ssh-config n1 in /\S+: it is broken$`},
		"it is silent of one":     {"Host n2\n  HostName 10.0.0.2\n", 0, `^read vagrant ssh-config: it does not say where n1 is; start it with: cd /\S+ && vagrant up n1$`},
		"it speaks nonsense":      {"Host n1\n  HostName\n", 0, `^read vagrant ssh-config: `},
		"what it says is hostile": {"Host n1\n  HostName \x1b[31mevil\n", 0, ``},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := ssh.FindVagrant(environment(t, c.says, c.status, "n1/libvirt"))
			if err != nil {
				t.Fatal(err)
			}
			hosts, opt, err := v.Hosts(t.Context(), ssh.Options{})
			if err == nil {
				_, err = ssh.NewCluster(t.Context(), hosts, opt)
			}
			if err == nil || !regexp.MustCompile(c.want).MatchString(err.Error()) || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// Two sshd on one machine are as two machines behind one translator: all addresses
// are the same, and so none is a node's own.
func TestForwardedNodesWithoutAnAddressOfTheirOwnAreRefused(t *testing.T) {
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no ip on this machine: install iproute2")
	}
	a, b := startServer(t), startServer(t)
	opt := configure(t, a.block(t, "a"), b.block(t, "b"))
	one, two := alias("a"), alias("b")
	one.Forwarded, two.Forwarded = true, true
	_, err := ssh.NewCluster(t.Context(), []ssh.Host{one, two}, opt)
	if err == nil || err.Error() != "find the address of a: it has none of its own; give its machine a network that it shares with the others and with this one" {
		t.Errorf("got %v", err)
	}
}
