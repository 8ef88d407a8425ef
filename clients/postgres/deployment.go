package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"nemesis/clients"
	"nemesis/clients/sql"
	"nemesis/history"
	"nemesis/nodes/agent"
	"nemesis/servers/postgres"
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
	// names are the nodes, in the order of their numbers as members.
	names []string
	// patience is how long to wait for an answer.
	patience time.Duration
	views    clients.Views
	web      *http.Client
}

var (
	_ clients.Deployment = (*deployment)(nil)
	_ clients.Prober     = (*deployment)(nil)
	_ clients.LogReader  = (*deployment)(nil)
	_ clients.Leading    = (*deployment)(nil)
)

func newDeployment(install clients.Install, o options, plan history.Plan, machines []*agent.Client) (*deployment, error) {
	switch {
	case len(machines) != 1 && o.replication == "none":
		return nil, fmt.Errorf("deploy postgres: there are %d nodes, and a server without replication is one; give --nodes local:1, or --set replication=sync", len(machines))
	case len(machines) < 2 && o.replication != "none":
		return nil, fmt.Errorf("deploy postgres: replication takes at least two nodes, three to survive the loss of one; give --nodes local:3")
	case o.replication != "none" && tooOld(install.Version):
		return nil, fmt.Errorf("deploy postgres %s: members copy data as PostgreSQL 15 and newer do it; give --version 15 or a newer one", install.Version)
	}
	d := &deployment{
		work: plan.Workload, options: o, addresses: map[string]string{}, patience: plan.Patience(time.Second),
		web: &http.Client{Transport: &http.Transport{}}, // no proxy from the environment: nodes are reached directly
	}
	var members []string
	for _, m := range machines {
		node := m.Node()
		d.names = append(d.names, node.Name)
		members = append(members, node.Name+"="+node.Address.String())
	}
	for _, m := range machines {
		node := m.Node()
		at := netip.AddrPortFrom(node.Address, clientPort)
		d.addresses[node.Name] = at.String()
		c := component(install, o, at, m)
		if o.replication != "none" {
			c.PeerPort = postgres.PeerPort
			c.Spec.Argv = append(c.Spec.Argv, "--replication", o.replication, "--members", strings.Join(members, ","),
				"--failover", o.failover.String(), "--seed", strconv.FormatUint(uint64(plan.Seed), 10))
		}
		d.components = append(d.components, c)
	}
	return d, nil
}

// login is how clients log in.
func login() sql.Login {
	return sql.Login{Driver: sql.PostgreSQL, User: postgres.User, Database: postgres.Database}
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

// Open makes a client of the server on a node, or in a cluster of the primary, which it looks for
// from that node on: standbys let no client in.
func (d *deployment) Open(_ context.Context, node string, dialer *clients.Dialer) (clients.Client, error) {
	first := slices.Index(d.names, node)
	if first < 0 {
		return nil, fmt.Errorf("find the PostgreSQL server on %q: there is no such node in the cluster", node)
	}
	return sql.New(dialect(d.options), d.work, func(ctx context.Context) (sql.Session, error) {
		var err error
		for i := range d.names {
			var s sql.Session
			if s, err = d.attempt(ctx, d.names[(first+i)%len(d.names)], dialer); err == nil {
				return s, nil
			}
			if ctx.Err() != nil {
				break
			}
		}
		return nil, err
	}), nil
}

// attempt connects to one server. Where there are several, it is not waited for as long as the operation may take.
func (d *deployment) attempt(ctx context.Context, node string, dialer *clients.Dialer) (sql.Session, error) {
	if len(d.names) > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.patience)
		defer cancel()
	}
	return login().Connect(ctx, d.addresses[node], dialer)
}

// Probe asks a server alone to read from the clients' table, and a member whether it lets clients in or follows a primary.
func (d *deployment) Probe(ctx context.Context, c clients.Component) error {
	if d.options.replication != "none" {
		s, err := d.standing(ctx, c.Node)
		switch {
		case err != nil:
			return fmt.Errorf("does not say how it stands (%w)", err)
		case s.Primary == "":
			return errors.New("knows of no primary")
		case !s.Serves:
			return fmt.Errorf("neither serves clients nor follows %s yet", clients.Printable(s.Primary))
		}
		return nil
	}
	s, err := login().Connect(ctx, d.addresses[c.Node], new(clients.Dialer))
	if err != nil {
		return fmt.Errorf("accepts no connections (%w)", err)
	}
	defer s.Close()
	if _, err := s.Query(ctx, "SELECT count(*) FROM "+sql.ListTable); err != nil {
		return fmt.Errorf("does not answer reads (%w)", err)
	}
	return nil
}

// standing asks a member how it stands.
func (d *deployment) standing(ctx context.Context, node string) (postgres.Standing, error) {
	var s postgres.Standing
	host, _, err := net.SplitHostPort(d.addresses[node])
	if err != nil {
		return s, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, strconv.Itoa(postgres.PeerPort))+"/standing", nil)
	if err != nil {
		return s, err
	}
	response, err := d.web.Do(request)
	if err != nil {
		return s, err
	}
	defer response.Body.Close()
	return s, json.NewDecoder(io.LimitReader(response.Body, 1<<16)).Decode(&s)
}

// Leads asks all members at once. A server alone leads nobody.
func (d *deployment) Leads(ctx context.Context) ([]history.Lead, error) {
	if d.options.replication == "none" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	return d.views.Leads(ctx, len(d.names), func(ctx context.Context, i int) *clients.View {
		s, err := d.standing(ctx, d.names[i])
		if err != nil {
			return nil
		}
		return &clients.View{Node: d.names[i], ID: uint64(i + 1), Term: s.Term, Leader: uint64(slices.Index(d.names, s.Primary) + 1)}
	}), nil
}

// tooOld reports whether a published version is older than 15. What is installed is not known here.
func tooOld(version string) bool {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n < 15
}

// Close ends our own connections.
func (d *deployment) Close() error {
	d.web.CloseIdleConnections()
	return nil
}

// LastWords are the last line in the log that says what went wrong: after a failure the
// server still tells of every process that it ends.
func (d *deployment) LastWords(log []byte) string {
	return sql.LastWords(log, func(line string) bool {
		return slices.ContainsFunc([]string{"FATAL:", "PANIC:", "nemesis:"}, func(word string) bool { return strings.Contains(line, word) })
	})
}
