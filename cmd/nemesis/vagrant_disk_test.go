//go:build linux

package main

import (
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

// mounts are the disks of ours that are mounted on a machine, and loop devices in use.
func (v virtual) mounts(t *testing.T, node string) string {
	t.Helper()
	out, err := v.sh(t, node, "grep -c ' fuse.nemesis-disk \\| /dev/loop[0-9]* ' /proc/mounts; sudo -n losetup --list --noheadings | grep -c nemesis; true")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(out), " ")
}

// Disks of ours below a server on a machine fail, are slow and lose power, and are gone
// after the run.
func TestDisksOfMachinesAreOurs(t *testing.T) {
	v := virtualMachines(t, 1)
	o := v.run(t, "--faults", "power-loss,disk", "--power-loss", "recent:1s,all@sync:3", "--disk", "delay:50ms/op=sync,error:EINTR/op=list", "--time-limit", "20s", "--seed", "1")
	o.want(t, 0)
	wantFaults(t, o.verdict(t), "power-loss", "disk")
	if left := v.mounts(t, v.names[0]); left != "0 0" {
		t.Errorf("left of disks and loop devices: %s", left)
	}
}

// Without FUSE a loop device loses power, and the run says so.
func TestDisksOfMachinesWithoutFUSELosePower(t *testing.T) {
	v := virtualMachines(t, 1)
	node := v.names[0]
	if out, err := v.sh(t, node, "sudo -n mv /dev/fuse /dev/fuse.hidden"); err != nil {
		t.Fatalf("hide FUSE: %v: %s", err, out)
	}
	defer v.sh(t, node, "sudo -n mv /dev/fuse.hidden /dev/fuse")
	o := v.run(t, "--faults", "power-loss", "--power-loss", "recent:1s", "--set", "unsafe-no-fsync=on", "--time-limit", "40s", "--seed", "1")
	o.want(t, checker.Violation.ExitCode())
	wantFaults(t, o.verdict(t), "power-loss")
	log, err := history.Load(o.dir.Path(history.HistoryFile))
	if err != nil {
		t.Fatal(err)
	}
	said := false
	for _, ev := range log.Events {
		said = said || ev.Type == history.Note && ev.Node == node && strings.Contains(ev.Message, "loop devices with ext4, which lose power at once and do nothing else")
	}
	if !said {
		t.Error("no note says that a loop device stands in for FUSE")
	}
	if left := v.mounts(t, node); left != "0 0" {
		t.Errorf("left of disks and loop devices: %s", left)
	}
}
