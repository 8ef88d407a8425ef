package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"nemesis/nodes"
	"nemesis/nodes/local"
	"nemesis/nodes/power"
	"nemesis/nodes/ssh"
	"nemesis/run"
)

// cluster is nodes.Cluster, short for the signatures here.
type cluster = nodes.Cluster

// clusterFlags are --nodes and how to reach them.
type clusterFlags struct {
	spec       string
	vagrantDir string // of the Vagrantfile, "" to look for it
	ssh        ssh.Options
	password   string // file with it, "" for none
	off, on    string // the user's own commands for power
}

func (c *clusterFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&c.spec, "nodes", "local:5", `the nodes: local:5 | host,host | user@host:port,… | @file or Ansible inventory | CIDR or range | ssh-config:PATTERN,… | vagrant`)
	flags.StringVar(&c.vagrantDir, "vagrant-dir", "", "directory of the Vagrantfile for --nodes vagrant (default: $VAGRANT_CWD, ./vagrant or .)")
	flags.StringVar(&c.ssh.User, "ssh-user", "", "user on the nodes (default: as ~/.ssh/config says, or yours)")
	flags.StringSliceVar(&c.ssh.Keys, "ssh-key", nil, "private key file, with its certificate beside it if there is one (default: agent, ~/.ssh/config, ~/.ssh/id_*)")
	flags.StringVar(&c.password, "ssh-password-file", "", "file whose first line is the password for nodes that take no key (default: the program of SSH_ASKPASS, where SSH_ASKPASS_REQUIRE is force or prefer)")
	flags.IntVar(&c.ssh.Port, "ssh-port", 0, "port of the nodes' SSH servers (default 22)")
	flags.StringVar(&c.ssh.Jump, "ssh-jump", "", "jump hosts to log in through, as ProxyJump has them (default: as ~/.ssh/config says)")
	flags.StringVar(&c.ssh.Config, "ssh-config", "", "ssh configuration file, or none (default ~/.ssh/config)")
	flags.StringSliceVar(&c.ssh.KnownHosts, "known-hosts", nil, "file with the nodes' host keys (default ~/.ssh/known_hosts)")
	flags.BoolVar(&c.ssh.InsecureHostKeys, "insecure-host-keys", false, "accept any host key; gives up knowing that the machine which gets the agent and runs its commands is the one you named")
	flags.StringVar(&c.off, "power-off", "", "command that takes the power of {node}'s machine away (default for Vagrant's machines: virsh or vagrant)")
	flags.StringVar(&c.on, "power-on", "", "command that gives the power back to {node}'s machine")
	flags.BoolVar(&c.ssh.Sudo, "sudo", false, "act as root on the nodes through sudo -n")
}

// local is the number of local nodes asked for, 0 for remote ones.
func (c clusterFlags) local() int {
	n, err := c.localNodes()
	if err != nil {
		return 0
	}
	return n
}

func (c clusterFlags) localNodes() (int, error) {
	number, isLocal := strings.CutPrefix(c.spec, "local:")
	if !isLocal && c.spec != "local" {
		return 0, nil
	}
	if c.spec == "local" {
		number = "5"
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > local.MaxNodes {
		return 0, &run.UsageError{Err: fmt.Errorf("read --nodes %s: local:N takes a number of nodes from 1 to %d", c.spec, local.MaxNodes)}
	}
	return n, nil
}

// names are the nodes' names, found without talking to anybody.
func (c clusterFlags) names() ([]string, error) {
	n, err := c.localNodes()
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range n {
		names = append(names, "n"+strconv.Itoa(i+1))
	}
	if n > 0 {
		return names, nil
	}
	if c.spec == vagrant {
		machines, err := c.machines()
		for _, m := range machines.Machines {
			names = append(names, m.Name)
		}
		return names, err
	}
	hosts, err := ssh.Parse(c.spec, c.ssh)
	if err != nil {
		return nil, err
	}
	for _, h := range hosts {
		names = append(names, h.Node.Name)
	}
	return names, nil
}

// vagrant is the --nodes of Vagrant's machines.
const vagrant = "vagrant"

func (c clusterFlags) machines() (ssh.Vagrant, error) {
	dir, err := ssh.VagrantDir(c.vagrantDir)
	if err != nil {
		return ssh.Vagrant{}, err
	}
	return ssh.FindVagrant(dir)
}

// agentBinary says what is wrong with the file given for the nodes.
func agentBinary(path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return &run.UsageError{Err: fmt.Errorf("read --agent-binary: %w", err)}
	case !info.Mode().IsRegular():
		return &run.UsageError{Err: fmt.Errorf("read --agent-binary: %s is not a file", path)}
	}
	return nil
}

// possible says why this machine cannot have the local cluster that is asked for.
func (c clusterFlags) possible(ctx context.Context) error {
	if c.local() == 0 {
		return nil
	}
	return local.Check(ctx)
}

// givePassword lets nodes be logged in to by a password, where the user gives one.
func (c *clusterFlags) givePassword() (err error) {
	program, required := os.Getenv("SSH_ASKPASS"), os.Getenv("SSH_ASKPASS_REQUIRE")
	switch {
	case c.password != "":
		c.ssh.Password, err = ssh.PasswordFile(c.password)
	case program != "" && (required == "force" || required == "prefer"):
		c.ssh.Password = ssh.AskPass(program)
	}
	return err
}

func (c clusterFlags) remote(ctx context.Context) (cluster, error) {
	if err := c.givePassword(); err != nil {
		return nil, err
	}
	if c.spec != vagrant {
		hosts, err := ssh.Parse(c.spec, c.ssh)
		if err != nil {
			return nil, err
		}
		return ssh.NewCluster(ctx, hosts, c.ssh)
	}
	machines, err := c.machines()
	if err != nil {
		return nil, err
	}
	hosts, opt, err := machines.Hosts(ctx, c.ssh)
	if err != nil {
		return nil, err
	}
	return ssh.NewCluster(ctx, hosts, opt)
}

// withPower is the cluster of Vagrant's machines once all have their power: of one that is off
// Vagrant cannot say where it is. Why is what it said.
func (c clusterFlags) withPower(ctx context.Context, powerSwitch nodes.Power, why error) (cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, nodesDeadline/2)
	defer cancel()
	names, err := c.names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := powerSwitch.On(ctx, name); err != nil {
			return nil, fmt.Errorf("%w; nor could its power be turned on: %w", why, err)
		}
	}
	for {
		remote, err := c.remote(ctx)
		if err == nil {
			return remote, nil
		}
		if ctx.Err() == nil {
			why = err
		}
		select {
		case <-ctx.Done():
			return nil, why
		case <-time.After(time.Second):
		}
	}
}

// power is who can turn the nodes' machines off and on; nil when nobody can.
func (c clusterFlags) power() (nodes.Power, error) {
	switch {
	case c.off != "" || c.on != "":
		if c.local() > 0 {
			return nil, &run.UsageError{Err: fmt.Errorf("read --power-off: local nodes are no machines, and have no power of their own")}
		}
		powerSwitch, err := power.NewCommand(c.off, c.on)
		if err != nil {
			return nil, &run.UsageError{Err: err}
		}
		return powerSwitch, nil
	case c.spec == vagrant:
		machines, err := c.machines()
		if err != nil {
			return nil, err
		}
		return power.OfVagrant(machines), nil
	}
	return nil, nil
}

func newLocal(ctx context.Context, n int) (cluster, error) {
	return local.New(ctx, local.Options{N: n})
}
