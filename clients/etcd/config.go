package etcd

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"nemesis/nodes"
	"nemesis/nodes/agent"
)

const (
	clientPort = 2379
	peerPort   = 2380
)

// Places on a node, relative to the agent's directory.
const (
	home       = "etcd"
	executable = home + "/etcd"
	dataDir    = home + "/data"
	logFile    = home + "/etcd.log"
)

// role is what the servers are called.
const role = "etcd"

// cluster is what every member's command line follows from.
type cluster struct {
	members []nodes.Node
	// token keeps members of different runs apart: etcd refuses peers of a cluster
	// with another token.
	token   string
	options options
}

// url is where a member listens: plain HTTP at the node's own address.
func url(addr netip.Addr, port uint16) string {
	return "http://" + netip.AddrPortFrom(addr, port).String()
}

// process is how the agent starts the member on node. root is the agent's
// directory on the node.
//
// The same command line serves first starts and restarts. The --initial- flags
// speak only to a member without a log of its own, and "new" is safe even then:
// a member that lost its data after it had joined is told so by its peers ("has
// already been bootstrapped") and exits, instead of voting a second time in a term
// whose vote it forgot.
func (c cluster) process(node nodes.Node, root string) agent.ProcessSpec {
	var initial []string
	for _, m := range c.members {
		initial = append(initial, m.Name+"="+url(m.Address, peerPort))
	}
	under := func(place string) string { return path.Join(root, place) }
	client, peer := url(node.Address, clientPort), url(node.Address, peerPort)
	argv := []string{
		under(executable),
		"--name", node.Name,
		"--data-dir", under(dataDir),
		"--listen-client-urls", client,
		"--advertise-client-urls", client,
		"--listen-peer-urls", peer,
		"--initial-advertise-peer-urls", peer,
		"--initial-cluster", strings.Join(initial, ","),
		"--initial-cluster-state", "new",
		"--initial-cluster-token", c.token,
		"--heartbeat-interval", milliseconds(c.options.heartbeat),
		"--election-timeout", milliseconds(c.options.election),
		"--snapshot-count", strconv.Itoa(c.options.snapshotCount),
		// v3.4 logs through another library unless told, and every version asks
		// systemd for a journal unless told where to.
		"--logger", "zap",
		"--log-outputs", "stderr",
	}
	if c.options.compaction > 0 {
		argv = append(argv,
			"--auto-compaction-mode", "revision",
			"--auto-compaction-retention", strconv.Itoa(c.options.compaction))
	}
	if c.options.forgetful {
		argv = append(argv, "--unsafe-no-fsync")
	}
	argv = append(argv, c.options.args...)
	return agent.ProcessSpec{
		Name: role,
		Argv: argv,
		Dir:  under(home),
		Log:  under(logFile),
	}
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// memberName is what survives --initial-cluster, which etcd reads like the query of a URL.
var memberName = regexp.MustCompile(`^[A-Za-z0-9._:@\[\]-]+$`)

// check says why these members cannot form a cluster; etcd itself would say it
// less plainly, or find two nodes of one name to be one member.
func (c cluster) check() error {
	if len(c.members) == 0 {
		return fmt.Errorf("deploy etcd: there are no nodes")
	}
	names, addresses := map[string]bool{}, map[netip.Addr]string{}
	for _, m := range c.members {
		if !memberName.MatchString(m.Name) {
			return fmt.Errorf("deploy etcd: a member cannot be called %q; give the node a name of letters, digits and dots", m.Name)
		}
		if names[m.Name] {
			return fmt.Errorf("deploy etcd: two nodes are called %s; each needs a name of its own", m.Name)
		}
		names[m.Name] = true
		if !m.Address.IsValid() {
			return fmt.Errorf("deploy etcd: node %s has no address", m.Name)
		}
		if other, taken := addresses[m.Address]; taken {
			return fmt.Errorf("deploy etcd: nodes %s and %s share the address %v; each member needs ports %d and %d of its own", other, m.Name, m.Address, clientPort, peerPort)
		}
		addresses[m.Address] = m.Name
	}
	return nil
}
