package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"

	"nemesis/nodes/cgroup"
)

// A server's control group has two parts. Its own processes are in serverPart. What the
// agent starts for the server's sake, as a load on its CPU, is in besidePart: it shares
// every limit that is set on the group, and no pause, kill or stop of the server meets it.
const (
	serverPart = "server"
	besidePart = "beside"
)

// groups are the control groups of one agent's directory.
type groups struct {
	root *cgroup.Group // nil when there is none
	why  string        // why there is none
	name string        // of groups in other hierarchies, which limit
}

// openGroups makes the agent's own control group, unless it is told not to.
func openGroups(dir string, none bool) groups {
	if none {
		return groups{why: "the agent was told to use none"}
	}
	g, err := cgroup.Make(groupName(dir))
	if err != nil {
		return groups{why: firstLine(err.Error())}
	}
	return groups{root: g, name: groupName(dir)}
}

// groupName differs between directories, and between machines that share one hierarchy,
// as containers may: their processes are in namespaces of their own.
func groupName(dir string) string {
	h := sha256.New()
	for _, namespace := range []string{"pid", "mnt"} {
		link, _ := os.Readlink("/proc/self/ns/" + namespace)
		fmt.Fprintln(h, link)
	}
	fmt.Fprintln(h, dir)
	return "nemesis-" + hex.EncodeToString(h.Sum(nil))[:16]
}

// of makes the control group of a server, with its parts; nil when there is none.
func (g groups) of(name string) (*serverGroup, error) {
	if g.root == nil {
		return nil, nil
	}
	whole, err := g.root.Below(name)
	if err != nil {
		return nil, err
	}
	return partsOf(whole)
}

func partsOf(whole *cgroup.Group) (out *serverGroup, err error) {
	out = &serverGroup{whole: whole}
	if out.server, err = whole.Below(serverPart); err != nil {
		return nil, err
	}
	if out.beside, err = whole.Below(besidePart); err != nil {
		return nil, err
	}
	return out, nil
}

// serverGroup is the control group of one server.
type serverGroup struct{ whole, server, beside *cgroup.Group }

// openServerGroup opens the one that an earlier agent made; nil when it is gone, with all
// its processes.
func openServerGroup(dir string) *serverGroup {
	whole, err := cgroup.Open(dir)
	if err != nil {
		return nil
	}
	group, err := partsOf(whole)
	if err != nil {
		return nil
	}
	return group
}

// sweep removes the groups that hold nothing any more.
func (g groups) sweep() {
	if g.root == nil {
		return
	}
	if pids, err := g.root.PIDs(); err != nil || len(pids) > 0 {
		return
	}
	_ = g.root.Remove()
	for _, controller := range cgroup.Controllers() {
		if limiting := cgroup.OpenLimiting(controller, g.name); limiting != nil {
			_ = limiting.Remove()
		}
	}
}
