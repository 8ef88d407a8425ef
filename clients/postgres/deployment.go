package postgres

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
)

// clientPort is PostgreSQL's own.
const clientPort = 5432

// Places on a node, relative to the agent's directory.
const (
	home       = "postgres"
	dataDir    = home + "/data"
	logFile    = home + "/postgres.log"
	archive    = home + "/programs.tgz"
	schemaFile = home + "/schema.sql"
)

// role is what the servers are called.
const role = "postgres"

// deployment is one cluster.
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

func newDeployment(install clients.Install, o options, plan history.Plan, machines []*agent.Client) (*deployment, error) {
	if len(machines) != 1 {
		return nil, fmt.Errorf("deploy postgres: there are %d nodes, and a server without replication is one; give --nodes local:1", len(machines))
	}
	d := &deployment{work: plan.Workload, options: o, addresses: map[string]string{}}
	for _, m := range machines {
		node := m.Node()
		at := netip.AddrPortFrom(node.Address, clientPort)
		d.addresses[node.Name] = at.String()
		d.components = append(d.components, component(install, o, at, m))
	}
	return d, nil
}

// component is the server of one node.
func component(install clients.Install, o options, at netip.AddrPort, m *agent.Client) clients.Component {
	under := func(place string) string { return path.Join(m.Dir(), place) }
	c := clients.Component{
		Node: m.Node().Name, Role: role, Data: []string{dataDir}, ClientPort: clientPort,
		Files: []clients.File{{Path: schemaFile, Content: []byte(schema(o)), Mode: 0o644}},
		Spec:  agent.ProcessSpec{Name: role, Dir: home, Log: logFile, NotRoot: true},
	}
	c.Spec.Argv = []string{agent.OwnExecutable, "server", "postgres", "--listen", at.String(), "--dir", under(dataDir), "--schema", under(schemaFile)}
	if file := install.Files[programs]; file != "" {
		c.Files = append(c.Files, clients.File{Path: archive, From: file, Mode: 0o644})
		// By its version, so that what another run has unpacked is used again or left alone.
		c.Spec.Argv = append(c.Spec.Argv, "--archive", under(archive), "--unpacked", under(home+"/"+install.Version))
	}
	for _, s := range o.settings {
		c.Spec.Argv = append(c.Spec.Argv, "--setting", s)
	}
	return c
}

// Components are one server.
func (d *deployment) Components() []clients.Component { return d.components }

// Open makes a client of the server.
func (d *deployment) Open(_ context.Context, node string, dialer *clients.Dialer) (clients.Client, error) {
	address := d.addresses[node]
	if address == "" {
		return nil, fmt.Errorf("find the PostgreSQL server on %q: there is no such node in the cluster", node)
	}
	return sql.New(dialect(d.options), d.work, func(ctx context.Context) (sql.Session, error) {
		s, err := connect(ctx, address, dialer)
		if err != nil {
			return nil, brief(err)
		}
		return s, nil
	}), nil
}

// Probe reads from the clients' table.
func (d *deployment) Probe(ctx context.Context, c clients.Component) error {
	s, err := connect(ctx, d.addresses[c.Node], new(clients.Dialer))
	if err != nil {
		return fmt.Errorf("accepts no connections (%w)", brief(err))
	}
	defer s.Close()
	if _, err := s.Query(ctx, "SELECT count(*) FROM "+sql.ListTable); err != nil {
		return fmt.Errorf("does not answer reads (%w)", err)
	}
	return nil
}

// LastWords are the last line in the log that says what went wrong: after a failure the
// server still tells of every process that it ends.
func (d *deployment) LastWords(log []byte) string {
	last, worst := "", ""
	for line := range strings.Lines(string(log)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		last = line
		for _, word := range []string{"FATAL:", "PANIC:", "nemesis:"} {
			if strings.Contains(line, word) {
				worst = line
			}
		}
	}
	if worst != "" {
		return worst
	}
	return last
}
