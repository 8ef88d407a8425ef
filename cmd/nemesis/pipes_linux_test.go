package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nemesis/history"
)

// smallest is a campaign file that resolves.
const smallest = `
campaign: pipes
budget: {wall: 1m}
cluster: {nodes: "127.0.0.1:1"}
subjects: [{system: etcd}]
matrix: {workloads: [register], faults: [none]}
canaries: [{name: clean, system: etcd, workload: register, faults: none, expect: valid}]
`

// Whatever names a file to be read may name a pipe, as <(…) of a shell does, and nothing
// waits for what comes out of it.
func TestAPipeInThePlaceOfAnyInputIsRefused(t *testing.T) {
	const (
		isPipe = "is not a regular file; name a file, also in the place of <(…), which is a pipe"
		// Port 1 of this machine refuses: a file that holds up nobody is told of in passing.
		refused = "connection refused"
	)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", home+"/cache")
	t.Setenv("SSH_AUTH_SOCK", "")
	t.Setenv("VAGRANT_DOTFILE_PATH", "")
	at := func(name string) string {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fifo := func(name string) string {
		path := at(name)
		if err := pipe(path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text := func(name, content string) string {
		path := at(name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	look := func(flags ...string) []string {
		return append([]string{"nodes", "check", "--nodes", "127.0.0.1:1"}, flags...)
	}
	recorded := func(name string) history.Dir {
		dir := history.Dir(at(name))
		text(name+"/"+history.PlanFile, rightPlan)
		return dir
	}
	p := fifo("pipe")
	reads, writes, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writes.Close()
	defer reads.Close()
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"--nodes @file":                  {[]string{"nodes", "check", "--nodes", "@" + p}, p + " " + isPipe},
		"--nodes @inventory:group":       {[]string{"nodes", "check", "--nodes", "@" + p + ":db"}, isPipe},
		"--nodes vagrant, a machine":     {[]string{"nodes", "check", "--nodes", "vagrant", "--vagrant-dir", filepath.Dir(text("box/Vagrantfile", ""))}, fifo("box/.vagrant/machines/n1/libvirt/id") + " " + isPipe},
		"--ssh-config":                   {look("--ssh-config", p), p + " " + isPipe},
		"--ssh-config, an Include":       {look("--ssh-config", text("includes", "Include "+p+"\n")), isPipe},
		"--ssh-config, an identity":      {look("--ssh-config", text("identities", "IdentityFile "+p+"\n")), refused},
		"--ssh-config, a certificate":    {look("--ssh-config", text("certificates", "CertificateFile "+p+"\n")), refused},
		"--ssh-config, known hosts":      {look("--ssh-config", text("known", "UserKnownHostsFile "+p+"\n")), p + " " + isPipe},
		"--ssh-config, all known hosts":  {look("--ssh-config", text("global", "GlobalKnownHostsFile "+p+"\n")), p + " " + isPipe},
		"--known-hosts":                  {look("--known-hosts", p), p + " " + isPipe},
		"--ssh-key":                      {look("--ssh-key", p), "read key " + p + ": it " + isPipe},
		"--ssh-key, its certificate":     {look("--ssh-key", strings.TrimSuffix(fifo("id-cert.pub"), "-cert.pub")), "id: no such file"},
		"--agent-binary":                 {look("--agent-binary", p), "read --agent-binary: " + p + " is not a file"},
		"run --agent-binary":             {[]string{"run", "etcd", "--agent-binary", p}, "read --agent-binary: " + p + " is not a file"},
		"run --binary":                   {[]string{"run", "etcd", "--binary", p}, p + " is not a file"},
		"check FILE":                     {[]string{"check", p}, p + " " + isPipe},
		"check <(…)":                     {[]string{"check", fmt.Sprintf("/dev/fd/%d", reads.Fd())}, isPipe},
		"check --format":                 {[]string{"check", "--format", "jepsen-edn", p}, p + " " + isPipe},
		"check RUN, its plan":            {[]string{"check", filepath.Dir(fifo("planned/" + history.PlanFile))}, isPipe},
		"check RUN, its history":         {[]string{"check", string(recorded("checked"))}, fifo("checked/"+history.HistoryFile) + " " + isPipe},
		"report RUN":                     {[]string{"report", p}, p + " " + isPipe},
		"report RUN, its verdict":        {[]string{"report", string(recorded("reported"))}, fifo("reported/"+history.VerdictFile) + " " + isPipe},
		"replay RUN":                     {[]string{"replay", p}, p + " " + isPipe},
		"compare, a manifest":            {[]string{"compare", filepath.Dir(fifo("night/campaign.json")), home}, isPipe},
		"compare, a run":                 {[]string{"compare", string(recorded("compared")), home}, fifo("compared/"+history.VerdictFile) + " " + isPipe},
		"campaign run FILE":              {[]string{"campaign", "run", p}, p + " " + isPipe},
		"campaign run --archive":         {[]string{"campaign", "run", text("c.yaml", smallest), "--archive", filepath.Dir(fifo("archive/seeds.jsonl"))}, isPipe},
		"campaign run --out":             {[]string{"campaign", "run", text("d.yaml", smallest), "--out", filepath.Dir(fifo("begun/results.jsonl"))}, isPipe},
		"campaign run --subject":         {[]string{"campaign", "run", text("e.yaml", smallest), "--subject", "etcd@" + p}, isPipe},
		"campaign merge":                 {[]string{"campaign", "merge", filepath.Dir(fifo("shard/campaign.json"))}, isPipe},
		"the user's ssh configuration":   {look(), home + "/.ssh/config " + isPipe},
		"the user's known hosts":         {look("--ssh-config", "none"), home + "/.ssh/known_hosts " + isPipe},
		"the user's default private key": {look("--ssh-config", "none", "--known-hosts", text("nobody", "")), refused},
	} {
		t.Run(name, func(t *testing.T) {
			switch name {
			case "the user's ssh configuration":
				fifo(".ssh/config")
			case "the user's known hosts":
				fifo(".ssh/known_hosts")
			case "the user's default private key":
				fifo(".ssh/id_ed25519")
			}
			defer os.RemoveAll(at(".ssh"))
			type end struct {
				out  string
				code int
			}
			ended := make(chan end, 1)
			go func() {
				out, code := try(t, c.args...)
				ended <- end{out, code}
			}()
			select {
			case e := <-ended:
				if e.code != usageCode && e.code != 5 || !strings.Contains(strings.Join(strings.Fields(e.out), " "), c.says) {
					t.Errorf("exit status %d, want …%s… and it says\n%s", e.code, c.says, e.out)
				}
				if line := strings.TrimSpace(e.out); strings.Contains(c.says, isPipe) && name != "check RUN, its history" && strings.Contains(line, "\n") {
					t.Errorf("it takes more than a line:\n%s", line)
				}
			case <-time.After(patience):
				t.Fatal("it waits for the pipe")
			}
		})
	}
}
