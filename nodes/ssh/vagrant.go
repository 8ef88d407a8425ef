package ssh

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nemesis/nodes"
)

// Vagrant is the machines that Vagrant has made for one Vagrantfile. Machines that
// are defined there and were never made are not among them.
type Vagrant struct {
	// Dir is where the Vagrantfile is.
	Dir      string
	Machines []VagrantMachine // n2 before n10
}

// VagrantMachine is what Vagrant's files say of one machine.
type VagrantMachine struct {
	// Name is the machine's in the Vagrantfile, and the node's.
	Name string
	// Provider runs it: libvirt, virtualbox. ID is the provider's name for it.
	Provider, ID string
	// files is where Vagrant keeps what it knows of the machine, as long as it exists.
	files string
}

// VagrantDir finds the directory of a Vagrantfile: the one that is given, else
// VAGRANT_CWD's, else vagrant below the working directory, else the working
// directory itself.
func VagrantDir(given string) (string, error) {
	candidates := []string{given}
	if given == "" {
		candidates = []string{os.Getenv("VAGRANT_CWD")}
		if candidates[0] == "" {
			candidates = []string{"vagrant", "."}
		}
	}
	for _, dir := range candidates {
		if _, err := os.Stat(filepath.Join(dir, "Vagrantfile")); err == nil {
			return filepath.Abs(dir)
		}
	}
	return "", &UsageError{fmt.Sprintf("read nodes \"vagrant\": no Vagrantfile is in %s; name its directory with --vagrant-dir", strings.Join(candidates, " or "))}
}

// FindVagrant lists the machines that were made for the Vagrantfile in dir. It
// reads files and runs nothing.
func FindVagrant(dir string) (Vagrant, error) {
	v := Vagrant{Dir: dir}
	state := os.Getenv("VAGRANT_DOTFILE_PATH")
	if state == "" {
		state = ".vagrant"
	}
	if !filepath.IsAbs(state) {
		state = filepath.Join(dir, state)
	}
	found, _ := filepath.Glob(filepath.Join(state, "machines", "*", "*", "id")) // the pattern is good
	for _, path := range found {
		id, err := readFile(path)
		if err != nil {
			return v, fmt.Errorf("find Vagrant's machines: %w", err)
		}
		files := filepath.Dir(path)
		m := VagrantMachine{Name: filepath.Base(filepath.Dir(files)), Provider: filepath.Base(files), ID: strings.TrimSpace(string(id)), files: files}
		if slices.ContainsFunc(v.Machines, func(o VagrantMachine) bool { return o.Name == m.Name }) {
			return v, fmt.Errorf("find Vagrant's machines: two providers have made a %s; destroy one of them", m.Name)
		}
		v.Machines = append(v.Machines, m)
	}
	if len(v.Machines) == 0 {
		return v, fmt.Errorf("find Vagrant's machines: none was made yet; make them with: cd %s && vagrant up", shown(dir))
	}
	slices.SortFunc(v.Machines, func(a, b VagrantMachine) int {
		return cmp.Or(len(a.Name)-len(b.Name), strings.Compare(a.Name, b.Name))
	})
	return v, nil
}

// slowLogin is how long an emulated machine may take to log somebody in.
const slowLogin = time.Minute

// Hosts asks Vagrant how to log in to the machines. The options are those that were
// given, with Vagrant's configuration in place of files.
//
// Vagrant checks no host keys. Here the key that a machine shows first is
// remembered among Vagrant's own files of that machine, and they end with it: a
// machine that is made anew may have another key, and no other machine may.
func (v Vagrant) Hosts(ctx context.Context, opt Options) ([]Host, Options, error) {
	var names []string
	var ours strings.Builder
	for _, m := range v.Machines {
		names = append(names, m.Name)
		fmt.Fprintf(&ours, "Host %s\n  UserKnownHostsFile \"%s\"\n  StrictHostKeyChecking accept-new\n", m.Name, strings.ReplaceAll(filepath.Join(m.files, "nemesis_known_hosts"), "%", "%%"))
	}
	said, err := askVagrant(ctx, v.Dir, append([]string{"ssh-config"}, names...)...)
	if err != nil {
		return nil, opt, err
	}
	opt.ConfigText, opt.ConfigName = ours.String()+said, "vagrant ssh-config" // the first value of a keyword counts
	opt.Sudo = true                                                           // a box without it is none
	opt.Timeout = or(opt.Timeout, slowLogin)
	files, err := readConfig(opt, "")
	if err != nil {
		return nil, opt, err
	}
	var hosts []Host
	for _, name := range names {
		about, err := files.find(hostQuery{name: name})
		if err != nil {
			return nil, opt, fmt.Errorf("read vagrant ssh-config: %w", err)
		}
		at := about.one("hostname")
		if at == "" {
			return nil, opt, fmt.Errorf("read vagrant ssh-config: it does not say where %s is; start it with: cd %s && vagrant up %s", name, shown(v.Dir), name)
		}
		addr, err := netip.ParseAddr(at)
		hosts = append(hosts, Host{Node: nodes.Node{Name: name}, HostName: name, Forwarded: err == nil && addr.IsLoopback()})
	}
	return hosts, opt, nil
}

// askVagrant runs vagrant for the Vagrantfile in dir and returns what it says.
func askVagrant(ctx context.Context, dir string, args ...string) (string, error) {
	program, err := exec.LookPath("vagrant")
	if err != nil {
		return "", errors.New("find Vagrant's machines: vagrant is not installed here")
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "VAGRANT_CWD="+dir)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		why := nodes.OneLine(complaint.String())
		if why == "" {
			why = err.Error()
		}
		return "", because(err, "run vagrant %s in %s: %s", strings.Join(args, " "), dir, why)
	}
	return out.String(), nil
}
