package effects

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// ServiceKind is Service's kind.
const ServiceKind = "clock.service"

// Service stops whatever keeps the machine's clock right, so that a change of the
// clock stays: time services and the guest agents that set a virtual machine's clock
// from its host's. Undoing it starts those again that ran.
type Service struct {
	ID string `json:"id"`
}

// timeServices are the names of what sets clocks, as distributions call it. Some name
// the same service; stopping it twice does no harm.
func timeServices() []string {
	return []string{
		"systemd-timesyncd", "chrony", "chronyd", "ntp", "ntpd", "ntpsec", "openntpd",
		"qemu-guest-agent", "virtualbox-guest-utils", "vboxadd-service", "vboxservice", "open-vm-tools", "vmtoolsd",
	}
}

// Kind is ServiceKind.
func (s *Service) Kind() string { return ServiceKind }

// String is the effect in one line.
func (s *Service) String() string { return s.ID + ": the machine's time services" }

// Check wants the same machine as Machine does: without that, nobody needs this.
func (s *Service) Check(*agent.Host) error { return machineOurs() }

// Apply stops the services that run. One that cannot be stopped is an error.
func (s *Service) Apply(h *agent.Host) error {
	if err := checkID(ServiceKind, s.ID); err != nil {
		return err
	}
	return quiet{commands{}, noteOf(h, ServiceKind, s.ID)}.stop(timeServices())
}

// Undo starts the services that ran.
func (s *Service) Undo(h *agent.Host) error {
	if checkID(ServiceKind, s.ID) != nil {
		return nil // it was refused, so it never acted
	}
	return quiet{commands{}, noteOf(h, ServiceKind, s.ID)}.start()
}

// Probe asks each service whether it runs.
func (s *Service) Probe(h *agent.Host) (history.Evidence, error) {
	if err := checkID(ServiceKind, s.ID); err != nil {
		return history.Evidence{}, err
	}
	return quiet{commands{}, noteOf(h, ServiceKind, s.ID)}.probe(timeServices(), h.InForce(s))
}

// services is a machine's service manager.
type services interface {
	runs(name string) bool
	stop(name string) error
	start(name string) error
}

// quiet keeps services stopped, and the note of those that ran.
type quiet struct {
	services services
	note     note
}

func (q quiet) stop(names []string) error {
	var stopped []string
	if _, err := q.note.read(&stopped); err != nil {
		return err
	}
	var running []string
	for _, name := range names {
		if q.services.runs(name) {
			running = append(running, name)
		}
	}
	// All that ever ran, before any of it is stopped: a second Apply finds them stopped.
	if err := q.note.write(append(stopped, running...)); err != nil {
		return err
	}
	for _, name := range running {
		if err := q.services.stop(name); err != nil {
			return fmt.Errorf("stop the time service %s: %w", name, err)
		}
	}
	return nil
}

func (q quiet) start() error {
	var stopped []string
	if there, err := q.note.read(&stopped); err != nil || !there {
		return err
	}
	var failed error
	for _, name := range stopped {
		if q.services.runs(name) {
			continue
		}
		if err := q.services.start(name); err != nil {
			failed = errors.Join(failed, fmt.Errorf("start the time service %s again: %w", name, err))
		}
	}
	if failed != nil {
		return failed
	}
	return q.note.remove()
}

func (q quiet) probe(names []string, inForce bool) (history.Evidence, error) {
	var stopped, running []string
	if _, err := q.note.read(&stopped); err != nil {
		return history.Evidence{}, err
	}
	for _, name := range names {
		if q.services.runs(name) {
			running = append(running, name)
		}
	}
	list := strings.Join(running, " ")
	switch {
	case inForce && len(running) > 0:
		return history.Evidence{Summary: "still running: " + list}, nil
	case inForce && len(stopped) == 0:
		return history.Evidence{Confirmed: true, Summary: "no time service ran"}, nil
	case inForce:
		return history.Evidence{Confirmed: true, Summary: "stopped: " + strings.Join(stopped, " ")}, nil
	case len(stopped) > 0:
		return history.Evidence{Summary: "not started again: " + strings.Join(stopped, " ")}, nil
	case len(running) == 0:
		list = "none, as before"
	}
	return history.Evidence{Confirmed: true, Summary: "running: " + list}, nil
}

// commands asks systemd, or the service command where there is no systemd. On a
// machine with neither, nothing runs that we could stop.
type commands struct{}

// serviceTime bounds one command of a service manager.
const serviceTime = 15 * time.Second

func (c commands) runs(name string) bool {
	if systemd() {
		return command("systemctl", "is-active", "--quiet", name+".service") == nil
	}
	return command("service", name, "status") == nil
}

func (c commands) stop(name string) error {
	if systemd() {
		return command("systemctl", "stop", name+".service")
	}
	return command("service", name, "stop")
}

func (c commands) start(name string) error {
	if systemd() {
		return command("systemctl", "start", name+".service")
	}
	return command("service", name, "start")
}

// systemd runs the machine; the directory is what sd_booted(3) looks for.
func systemd() bool {
	info, err := os.Lstat("/run/systemd/system")
	return err == nil && info.IsDir()
}

// command runs one; its error ends in what it said.
func command(argv ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), serviceTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if text := strings.Join(strings.Fields(string(out)), " "); err != nil && text != "" {
		return fmt.Errorf("%w: %.200s", err, text)
	}
	return err
}
