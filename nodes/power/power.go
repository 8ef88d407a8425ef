// Package power pulls the plug of machines and puts it back. Only a machine of its
// own can lose its power: what its kernel has not written to the disk yet is lost,
// which no signal to a process does.
//
// Whoever runs the machines has a program for that, and a fault names nodes only:
//
//	power-off of n2 ─▶ nodes.Power ─┬─ Libvirt ─▶ virsh destroy nemesis-n2
//	                                ├─ Vagrant ─▶ vagrant halt --force n2
//	                                └─ Command ─▶ what the user gave, as in "ipmi n2 off"
//
// No shell is involved: a name is one argument, whatever it holds. An example:
//
//	plug, err := power.NewCommand("ipmitool -H {node}-bmc power off", "ipmitool -H {node}-bmc power on")
//	err = plug.Off(ctx, "n2")
package power

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"nemesis/nodes"
)

// Libvirt is the power of libvirt's domains, by virsh.
type Libvirt struct {
	// URI is the hypervisor; "" means qemu:///system.
	URI string
	// Domains are the names or identifiers of the nodes' domains.
	Domains map[string]string
}

// Off ends the domain as if its plug were pulled.
func (l Libvirt) Off(ctx context.Context, node string) error {
	return l.bring(ctx, node, "shut off", "destroy", "power off")
}

// On starts the domain.
func (l Libvirt) On(ctx context.Context, node string) error {
	return l.bring(ctx, node, "running", "start", "power on")
}

// bring makes a domain's state what it shall be, if it is not.
func (l Libvirt) bring(ctx context.Context, node, state, by, what string) error {
	domain, ok := l.Domains[node]
	if !ok {
		return fmt.Errorf("%s %s: no libvirt domain is known for it", what, node)
	}
	uri := l.URI
	if uri == "" {
		uri = "qemu:///system"
	}
	is, err := ask(ctx, what, node, "", "virsh", "--quiet", "--connect", uri, "domstate", "--domain", domain)
	if err != nil || strings.TrimSpace(is) == state {
		return err
	}
	_, err = ask(ctx, what, node, "", "virsh", "--quiet", "--connect", uri, by, "--domain", domain)
	return err
}

// Vagrant is the power of Vagrant's machines, whoever runs them.
type Vagrant struct {
	Dir string // of the Vagrantfile
}

// Off halts the machine by force.
func (v Vagrant) Off(ctx context.Context, node string) error {
	_, err := ask(ctx, "power off", node, v.Dir, "vagrant", "halt", "--force", node)
	return err
}

// On boots the machine and returns when one can log in to it.
func (v Vagrant) On(ctx context.Context, node string) error {
	_, err := ask(ctx, "power on", node, v.Dir, "vagrant", "up", "--no-provision", node)
	return err
}

// Either is one power for some of the nodes and another for the others.
type Either struct {
	Of   map[string]nodes.Power
	Else nodes.Power
}

func (e Either) of(node string) nodes.Power {
	if p, ok := e.Of[node]; ok {
		return p
	}
	return e.Else
}

// Off asks the node's own power.
func (e Either) Off(ctx context.Context, node string) error { return e.of(node).Off(ctx, node) }

// On asks the node's own power.
func (e Either) On(ctx context.Context, node string) error { return e.of(node).On(ctx, node) }

// Command is the power of machines by programs of the user's own.
type Command struct{ off, on []string }

// place is where the node's name goes in a command.
const place = "{node}"

// NewCommand takes two command lines, in which {node} stands for the node's name.
// They are split at blanks outside quotes, before the name is put in. Each must end
// with status 0 once the power is off, or on.
func NewCommand(off, on string) (*Command, error) {
	var c Command
	for _, line := range []struct {
		flag, text string
		words      *[]string
	}{{"--power-off", off, &c.off}, {"--power-on", on, &c.on}} {
		words, err := nodes.Words(line.text)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", line.flag, err)
		}
		if len(words) == 0 {
			return nil, fmt.Errorf("read %s: it is missing; --power-off and --power-on belong together", line.flag)
		}
		if !strings.Contains(line.text, place) {
			return nil, fmt.Errorf("read %s: it does not say whose power; write %s where the node's name belongs", line.flag, place)
		}
		*line.words = words
	}
	return &c, nil
}

// Off runs the user's command.
func (c *Command) Off(ctx context.Context, node string) error {
	return c.run(ctx, "power off", node, c.off)
}

// On runs the user's command.
func (c *Command) On(ctx context.Context, node string) error {
	return c.run(ctx, "power on", node, c.on)
}

func (c *Command) run(ctx context.Context, what, node string, words []string) error {
	argv := make([]string, len(words))
	for i, w := range words {
		argv[i] = strings.ReplaceAll(w, place, node)
	}
	_, err := ask(ctx, what, node, "", argv...)
	return err
}

// ask runs a program in dir and returns what it writes to standard output.
func ask(ctx context.Context, what, node, dir string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	// What it says is compared, so it must not be translated.
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if dir != "" {
		cmd.Env = append(cmd.Env, "VAGRANT_CWD="+dir)
	}
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	// A daemon that it leaves behind may hold its output for ever.
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return out.String(), nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	why := nodes.OneLine(complaint.String())
	if why != "" {
		why = ": " + why
	}
	return "", fmt.Errorf("%s %s with %q: %w%s", what, node, strings.Join(argv, " "), err, why)
}
