package mariadb

import (
	"context"
	"fmt"
	"net/netip"
	"path"
	"strings"

	"nemesis/clients"
	"nemesis/clients/sql"
	"nemesis/history"
	"nemesis/nodes/agent"
	"nemesis/servers/mariadb"
)

// clientPort is MariaDB's own.
const clientPort = 3306

// Places on a node, relative to the agent's directory.
const (
	home       = "mariadb"
	dataDir    = home + "/data"
	logFile    = home + "/mariadb.log"
	schemaFile = home + "/schema.sql"
)

// role is what the servers are called.
const role = "mariadb"

// deployment is one server, or one cluster.
type deployment struct {
	work       history.Workload
	options    options
	components []clients.Component
	addresses  map[string]string
}

var (
	_ clients.Deployment = (*deployment)(nil)
	_ clients.Prober     = (*deployment)(nil)
	_ clients.LogReader  = (*deployment)(nil)
)

func newDeployment(o options, plan history.Plan, machines []*agent.Client) (*deployment, error) {
	if len(machines) == 0 {
		return nil, fmt.Errorf("deploy mariadb: there are no nodes")
	}
	if len(machines) > 1 && !o.galera {
		return nil, fmt.Errorf("deploy mariadb: there are %d nodes, and a server alone needs one; give --nodes local:1, or --set galera=on", len(machines))
	}
	d := &deployment{work: plan.Workload, options: o, addresses: map[string]string{}}
	var members []string
	for _, m := range machines {
		members = append(members, m.Node().Address.String())
	}
	for _, m := range machines {
		node := m.Node()
		at := netip.AddrPortFrom(node.Address, clientPort)
		d.addresses[node.Name] = at.String()
		under := func(place string) string { return path.Join(m.Dir(), place) }
		c := clients.Component{
			Node: node.Name, Role: role, Data: []string{dataDir}, ClientPort: clientPort,
			Files: []clients.File{{Path: schemaFile, Content: []byte(schema()), Mode: 0o644}},
			Spec: agent.ProcessSpec{Name: role, Dir: home, Log: logFile, NotRoot: true, Argv: []string{
				agent.OwnExecutable, "server", "mariadb", "--listen", at.String(), "--dir", under(dataDir), "--schema", under(schemaFile)}},
		}
		if o.galera {
			c.PeerPort = mariadb.GroupPort
			c.Spec.Argv = append(c.Spec.Argv, "--members", strings.Join(members, ","))
		}
		for _, s := range o.settings {
			c.Spec.Argv = append(c.Spec.Argv, "--setting", s)
		}
		d.components = append(d.components, c)
	}
	return d, nil
}

// login is how clients log in.
func login() sql.Login {
	return sql.Login{Driver: sql.MySQL, User: mariadb.User, Database: mariadb.Database}
}

// setup gives a session's transactions the options' level.
func setup(o options) []string {
	snapshots := map[bool]string{false: "0", true: "1"}[o.snapshots]
	all := []string{"SET SESSION TRANSACTION ISOLATION LEVEL " + o.level(), "SET SESSION innodb_snapshot_isolation = " + snapshots}
	if o.syncWait > 0 {
		all = append(all, fmt.Sprintf("SET SESSION wsrep_sync_wait = %d", o.syncWait))
	}
	return all
}

// Components are one server on each node.
func (d *deployment) Components() []clients.Component { return d.components }

// Open makes a client of the server on a node.
func (d *deployment) Open(_ context.Context, node string, dialer *clients.Dialer) (clients.Client, error) {
	address := d.addresses[node]
	if address == "" {
		return nil, fmt.Errorf("find the MariaDB server on %q: there is no such node in the cluster", node)
	}
	return sql.New(dialect(), d.work, func(ctx context.Context) (sql.Session, error) {
		return login().Connect(ctx, address, dialer, setup(d.options)...)
	}), nil
}

// Probe reads from the clients' table; a member that is not of the cluster's majority refuses.
func (d *deployment) Probe(ctx context.Context, c clients.Component) error {
	s, err := login().Connect(ctx, d.addresses[c.Node], new(clients.Dialer), setup(d.options)...)
	if err != nil {
		return fmt.Errorf("accepts no connections (%w)", err)
	}
	defer s.Close()
	if _, err := s.Query(ctx, "SELECT count(*) FROM "+sql.ListTable); err != nil {
		return fmt.Errorf("does not answer reads (%w)", err)
	}
	return nil
}

// LastWords are the last line in the log that says what went wrong.
func (d *deployment) LastWords(log []byte) string {
	return sql.LastWords(log, func(line string) bool {
		return strings.Contains(line, "[ERROR]") && !strings.Contains(line, "Aborting") || strings.HasPrefix(line, "nemesis:")
	})
}
