package file

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"nemesis/clients"
	"nemesis/clients/http"
	"nemesis/clients/nats"
	"nemesis/clients/resp"
	"nemesis/clients/sql"
)

// kind is one kind of clients that a file may describe.
type kind interface {
	// operations are those that it speaks, by workload.
	operations() map[string][]string
	// table checks it and makes ready what opens its clients. fill fills in templates.
	table(fill func(string) (string, error)) (opener, error)
}

// opener makes a client of a workload and a node. target tells where the server is whenever a connection is needed.
type opener func(workload, node string, target func(context.Context) (string, error), dialer *clients.Dialer) clients.Client

// kinds are those that the file describes, by their keys.
func (c *Client) kinds() map[string]kind {
	all := map[string]kind{}
	if c.RESP != nil {
		all["resp"] = c.RESP
	}
	if c.HTTP != nil {
		all["http"] = c.HTTP
	}
	if c.SQL != nil {
		all["sql"] = c.SQL
	}
	if c.NATS != nil {
		all["nats"] = c.NATS
	}
	if c.Program != nil {
		all["program"] = c.Program
	}
	if c.Executables != nil {
		all["executables"] = c.Executables
	}
	return all
}

// kindNames are the keys of all kinds there are.
func kindNames() []string { return []string{"resp", "http", "sql", "nats", "program", "executables"} }

// kind is the one that the file describes, with its key. It was checked that there is one.
func (c *Client) kind() (string, kind) {
	for name, one := range c.kinds() {
		return name, one
	}
	return "", nil
}

// operations are those that clients speak, by workload.
func (d *Definition) operations() map[string][]string {
	if _, one := d.Client.kind(); one != nil {
		return one.operations()
	}
	return nil
}

// names are the operations that a file describes by their names.
func names[T any](workloads map[string]map[string]T) map[string][]string {
	spoken := map[string][]string{}
	for work, all := range workloads {
		spoken[work] = slices.Sorted(maps.Keys(all))
	}
	return spoken
}

func (c *RESPClient) operations() map[string][]string { return names(c.Workloads) }

func (c *RESPClient) table(func(string) (string, error)) (opener, error) {
	t, err := resp.Read(resp.Config{Workloads: c.Workloads, Certain: c.Certain})
	if err != nil {
		return nil, err
	}
	return func(workload, node string, target func(context.Context) (string, error), dialer *clients.Dialer) clients.Client {
		return t.Open(workload, node, target, dialer)
	}, nil
}

func (c *HTTPClient) operations() map[string][]string { return names(c.Workloads) }

func (c *HTTPClient) table(func(string) (string, error)) (opener, error) {
	t, err := http.Read(http.Config{Workloads: c.Workloads, Certain: c.Certain})
	if err != nil {
		return nil, err
	}
	return func(workload, node string, target func(context.Context) (string, error), dialer *clients.Dialer) clients.Client {
		return t.Open(workload, node, target, dialer)
	}, nil
}

func (c *SQLClient) operations() map[string][]string { return names(c.Workloads) }

func (c *SQLClient) table(fill func(string) (string, error)) (opener, error) {
	login, err := c.login(fill)
	if err != nil {
		return nil, err
	}
	config := sql.Config{Login: login, Isolation: c.Isolation, Setup: slices.Clone(c.Setup), Workloads: c.Workloads}
	if config.Isolation, err = fill(c.Isolation); err != nil {
		return nil, err
	}
	for i := range config.Setup {
		if config.Setup[i], err = fill(config.Setup[i]); err != nil {
			return nil, err
		}
	}
	t, err := sql.Read(config)
	if err != nil {
		return nil, err
	}
	return func(workload, _ string, target func(context.Context) (string, error), dialer *clients.Dialer) clients.Client {
		return t.Open(workload, target, dialer)
	}, nil
}

// login is how to log in, with the templates filled in.
func (l SQLLogin) login(fill func(string) (string, error)) (sql.Login, error) {
	login := sql.Login{Driver: l.Driver, User: l.User, Password: l.Password, Database: l.Database}
	for _, text := range []*string{&login.Driver, &login.User, &login.Password, &login.Database} {
		var err error
		if *text, err = fill(*text); err != nil {
			return login, err
		}
	}
	return login, nil
}

func (c *NATSClient) operations() map[string][]string {
	spoken := map[string][]string{}
	for _, work := range c.Workloads {
		spoken[work] = nats.Operations(work)
	}
	return spoken
}

func (c *NATSClient) table(fill func(string) (string, error)) (opener, error) {
	config := nats.Config{User: c.User, Password: c.Password, Token: c.Token, Bucket: c.Bucket, Stream: c.Stream, Reads: c.Reads, Certain: c.Certain, Workloads: c.Workloads}
	storage, replicas := c.Storage, c.Replicas
	for _, text := range []*string{&config.User, &config.Password, &config.Token, &config.Reads, &storage, &replicas} {
		var err error
		if *text, err = fill(*text); err != nil {
			return nil, err
		}
	}
	if !slices.Contains([]string{"", "file", "memory"}, storage) {
		return nil, fmt.Errorf("storage: %q is none of file and memory", storage)
	}
	config.Memory = storage == "memory"
	if replicas != "" {
		var err error
		if config.Replicas, err = strconv.Atoi(replicas); err != nil {
			return nil, fmt.Errorf("replicas: %q is no number", replicas)
		}
	}
	t, err := nats.Read(config)
	if err != nil {
		return nil, err
	}
	return func(workload, node string, target func(context.Context) (string, error), dialer *clients.Dialer) clients.Client {
		return t.Open(workload, node, target, dialer)
	}, nil
}

func (c *ProgramClient) operations() map[string][]string { return c.Workloads }

// table checks the program; its clients are those of the deployment's pool.
func (c *ProgramClient) table(fill func(string) (string, error)) (opener, error) {
	switch {
	case c.Command.empty():
		return nil, errors.New("it has no command")
	case c.Clients < 0 || c.Clients > 64 || c.InFlight < 0 || c.InFlight > 4096:
		return nil, errors.New("clients are from 1 to 64, max_inflight from 1 to 4096")
	}
	for _, text := range append([]string{c.Command.Line}, c.Command.Args...) {
		if _, err := fill(text); err != nil {
			return nil, fmt.Errorf("command: %w", err)
		}
	}
	return nil, nil
}

// clientTable is the opener of the file's clients on a site; nil where they are a program.
func (s *site) clientTable() (opener, error) {
	name, one := s.definition.Client.kind()
	if one == nil {
		return nil, errors.New("the file has no client")
	}
	open, err := one.table(place{s, 0, s.definition.Processes[0].Name, s.definition.main()}.text)
	if err != nil {
		return nil, fmt.Errorf("client.%s: %s", name, strings.TrimPrefix(err.Error(), "client."))
	}
	return open, nil
}
