package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"nemesis/nodes/faultfs"
)

// diskWord makes this executable serve one disk (package faultfs).
const diskWord = "disk"

// diskClients are the disks below a server's data directories, whether or not they are
// mounted now: where they are follows from the server's spec, so the next agent finds them.
func (s *supervisor) diskClients(spec ProcessSpec) ([]faultfs.Client, error) {
	if !spec.Disk {
		return nil, nil
	}
	var clients []faultfs.Client
	for i, name := range spec.Data {
		local, err := s.files.file(name)
		if err != nil {
			return nil, fmt.Errorf("put a disk below %s: %w", spec.Name, err)
		}
		clients = append(clients, faultfs.Client{Mount: faultfs.Mount{
			Path: filepath.Join(s.files.dir, local),
			Home: s.files.own(filepath.Join("disks", spec.Name+"-"+strconv.Itoa(i))),
		}})
	}
	return clients, nil
}

// mountDisks puts disks below a server that is about to be started.
func (s *supervisor) mountDisks(spec ProcessSpec) error {
	clients, err := s.diskClients(spec)
	if err != nil {
		return err
	}
	if len(clients) > 0 && len(s.self) == 0 {
		return fmt.Errorf("put a disk below %s: this agent does not know the command that serves one", spec.Name)
	}
	for i, c := range clients {
		if err := s.files.mkdir(spec.Data[i], 0o755); err != nil {
			return fmt.Errorf("put a disk below %s: %w", spec.Name, err)
		}
		if err := os.MkdirAll(c.Home, 0o700); err != nil {
			return err
		}
		if err := c.Start(append(s.self[:len(s.self):len(s.self)], diskWord), filepath.Join(c.Home, "log")); err != nil {
			return err
		}
	}
	return nil
}

// unmountDisks takes the disks below a server away. Its files stay as they are.
func (s *supervisor) unmountDisks(spec ProcessSpec) error {
	clients, err := s.diskClients(spec)
	for _, c := range clients {
		if stopped := c.Stop(); stopped != nil {
			err = errors.Join(err, stopped) // the files of a loop device may still lie in its home
			continue
		}
		_ = os.RemoveAll(c.Home)
	}
	return err
}

// unmountEnded takes the disks of servers away that have ended for good. within restricts
// them to those below a directory; "" is all.
func (s *supervisor) unmountEnded(within string) error {
	s.mu.Lock()
	var specs []ProcessSpec
	for _, p := range s.procs {
		if p.Spec.Disk && p.instance.over() && len(p.downed) == 0 {
			specs = append(specs, p.Spec)
		}
	}
	s.mu.Unlock()
	var errs []error
	for _, spec := range specs {
		clients, err := s.diskClients(spec)
		below := within == ""
		for _, c := range clients {
			below = below || c.Path == within || strings.HasPrefix(c.Path, within+"/")
		}
		if errs = append(errs, err); below {
			errs = append(errs, s.unmountDisks(spec))
		}
	}
	return errors.Join(errs...)
}

// disks is Host.Disks.
type disks struct{ super *supervisor }

func (disks) Available() error { return faultfs.Available() }

func (disks) LosesPower() error { return faultfs.LosesPower() }

func (d disks) of(process string) ([]faultfs.Client, error) {
	d.super.mu.Lock()
	p := d.super.procs[process]
	var spec ProcessSpec
	if p != nil {
		spec = p.Spec
	}
	d.super.mu.Unlock()
	switch {
	case p == nil:
		return nil, fmt.Errorf("process %s was never started: %w", process, ErrNoDisk)
	case !spec.Disk:
		return nil, fmt.Errorf("%s was started without a disk of ours below its data", process)
	case len(spec.Data) == 0:
		return nil, fmt.Errorf("there is no disk below %s: %w", process, ErrNoDisk)
	}
	return d.super.diskClients(spec)
}

func (d disks) Set(process string, r faultfs.Rule) error {
	clients, err := d.of(process)
	for _, c := range clients {
		err = errors.Join(err, c.Set(r))
	}
	return err
}

func (d disks) Clear(process, id string) error {
	clients, err := d.of(process)
	if err != nil {
		return nil // there never was one
	}
	for _, c := range clients {
		// A disk that nobody serves holds no rule.
		if !c.Served() {
			continue
		}
		err = errors.Join(err, c.Clear(id))
	}
	return err
}

func (d disks) Stats(process string) (faultfs.Stats, error) {
	var sum faultfs.Stats
	clients, err := d.of(process)
	for _, c := range clients {
		one, failed := c.Stats()
		sum.Add(one)
		err = errors.Join(err, failed)
	}
	return sum, err
}

func (d disks) WriteBack(process string) error {
	clients, err := d.of(process)
	for _, c := range clients {
		err = errors.Join(err, c.WriteBack())
	}
	return err
}

func (d disks) Lose(process string, loss faultfs.Loss) (faultfs.Lost, error) {
	var sum faultfs.Lost
	clients, err := d.of(process)
	for _, c := range clients {
		one, failed := c.Lose(loss)
		sum.Add(one)
		err = errors.Join(err, failed)
	}
	return sum, err
}

// Revive is Processes.Revive.
func (s *supervisor) Revive(name string) error {
	p, err := s.find(name)
	if err != nil {
		return nil
	}
	defer p.acting.Unlock()
	s.mu.Lock()
	again := p.instance != nil && p.instance.over() && p.Wanted && len(p.downed) == 0
	spec := p.Spec
	s.mu.Unlock()
	if !again {
		return nil
	}
	return s.launch(p, spec, "")
}
