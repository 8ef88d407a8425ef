package file

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"nemesis/clients"
	"nemesis/clients/resp"
	"nemesis/clients/sql"
)

const (
	// askTimeout is how long one process may take to say where to connect.
	askTimeout = 500 * time.Millisecond
	// mostAnswer bounds what a probe reads, in bytes.
	mostAnswer = 1 << 20
)

// ask asks a process once and returns what it said. The error says what is to be said after
// "the server runs and". ready: the process is waited for, so that its log counts.
func (d *deployment) ask(ctx context.Context, p place, probe *Probe, ready bool) (string, error) {
	for i := range probe.All {
		if _, err := d.ask(ctx, p, &probe.All[i], ready); err != nil {
			return "", err
		}
	}
	said, err := d.askOne(ctx, p, probe, ready)
	if err != nil || probe.Match == "" {
		return said, err
	}
	match, err := p.pattern(probe.Match)
	if err != nil {
		return "", err
	}
	if !match.MatchString(said) {
		return "", fmt.Errorf("answers %s, which does not match %q", quoted(said), match)
	}
	return said, nil
}

// pattern is a regular expression whose templates are filled in.
func (p place) pattern(text string) (*regexp.Regexp, error) {
	filled, err := p.text(text)
	if err != nil {
		return nil, err
	}
	return regexp.Compile(filled)
}

// question is a statement, and how to log in to ask it: as clients do where the probe says nothing else.
func (p place) question(probe SQLProbe) (sql.Login, string, error) {
	from := probe.SQLLogin
	if c := p.definition.Client.SQL; c != nil && from == (SQLLogin{}) {
		from = c.SQLLogin
	}
	login, err := from.login(p.text)
	if err != nil {
		return login, "", err
	}
	if !slices.Contains(sql.Drivers(), login.Driver) {
		return login, "", fmt.Errorf("it needs a driver, one of %s, where clients are not of the kind sql", strings.Join(sql.Drivers(), " and "))
	}
	statement, err := p.text(probe.Send)
	if err == nil && strings.TrimSpace(statement) == "" {
		err = errors.New("it needs a statement")
	}
	return login, statement, err
}

func quoted(said string) string { return fmt.Sprintf("%q", clients.Printable(said)) }

func (d *deployment) askOne(ctx context.Context, p place, probe *Probe, ready bool) (string, error) {
	switch {
	case probe.All != nil:
		return "", nil
	case probe.HTTPGet != nil:
		path, err := p.text(cmp.Or(probe.HTTPGet.Path, "/"))
		if err != nil {
			return "", err
		}
		said, err := get(ctx, p.address(orClient(cmp.Or(probe.HTTPGet.Port, probe.Port))), path, probe.HTTPGet.Status)
		if err != nil {
			return "", fmt.Errorf("does not answer GET %s as it should (%w)", path, err)
		}
		return said, nil
	case probe.RESP != nil:
		words, err := p.all(probe.RESP)
		if err != nil {
			return "", err
		}
		said, err := resp.Ask(ctx, p.address(orClient(probe.Port)), words)
		if err != nil {
			return "", fmt.Errorf("does not answer %s (%w)", words[0], err)
		}
		return said, nil
	case probe.SQL != nil:
		login, statement, err := p.question(*probe.SQL)
		if err != nil {
			return "", err
		}
		said, err := login.Ask(ctx, p.address(orClient(probe.Port)), statement)
		if err != nil {
			return "", fmt.Errorf("does not answer %s (%w)", clients.Printable(statement), err)
		}
		return said, nil
	case probe.Exec != nil:
		return d.execute(ctx, p, probe.Exec.Command)
	case probe.Log != nil && !ready:
		return d.logLine(ctx, p, probe.Log)
	case probe.Log != nil:
		return "", d.awaitLog(ctx, p, probe.Log)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.address(orClient(probe.Port)))
	if err != nil {
		return "", fmt.Errorf("accepts no connections (%w)", err)
	}
	return "", conn.Close()
}

// execute runs a command on this machine, in the directory of the file.
func (d *deployment) execute(ctx context.Context, p place, command Command) (string, error) {
	words, err := p.words(command)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir, cmd.WaitDelay = d.definition.Dir, time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s says no (%w: %s)", words[0], err, clients.Printable(out.String()))
	}
	return out.String(), nil
}

// log downloads the end of a process' output.
func (d *deployment) log(ctx context.Context, p place) ([]byte, error) {
	var b bytes.Buffer
	c := clients.Component{Role: p.role}
	for _, one := range d.components {
		if one.Node == p.self().name && one.Role == p.role {
			c = one
		}
	}
	if _, err := d.machines[p.node].DownloadLog(ctx, c.LogFile(), &b); err != nil {
		return nil, fmt.Errorf("has a log that cannot be read (%w)", err)
	}
	return b.Bytes(), nil
}

// awaitLog looks for lines in the output. A server that was started again appends to its log,
// in which the lines are already: from then on its port is asked.
func (d *deployment) awaitLog(ctx context.Context, p place, probe *LogProbe) error {
	name := p.role + " on " + p.self().name
	d.mu.Lock()
	logged := d.logged[name]
	d.mu.Unlock()
	if logged {
		if p.process.Ports.Find(clientPort) == 0 {
			return d.runs(ctx, p)
		}
		_, err := d.askOne(ctx, p, &Probe{}, true)
		return err
	}
	text, err := d.log(ctx, p)
	if err != nil {
		return err
	}
	wanted := max(probe.Count, 1)
	found := 0
	match := regexp.MustCompile(probe.Match)
	for line := range bytes.Lines(text) {
		if match.Match(bytes.TrimRight(line, "\r\n")) {
			found++
		}
	}
	if found < wanted {
		return fmt.Errorf("has %d of %d lines in its log that match %q", found, wanted, probe.Match)
	}
	d.mu.Lock()
	d.logged[name] = true
	d.mu.Unlock()
	return nil
}

// logLine is the last line of the output that matches.
func (d *deployment) logLine(ctx context.Context, p place, probe *LogProbe) (string, error) {
	text, err := d.log(ctx, p)
	if err != nil {
		return "", err
	}
	all := regexp.MustCompile("(?m)"+probe.Match).FindAll(text, -1)
	if len(all) < max(probe.Count, 1) {
		return "", errors.New("has no such line in its log")
	}
	return string(all[len(all)-1]), nil
}

// get is a GET request over a connection of its own. status 0 is any of success.
func get(ctx context.Context, address, path string, status int) (string, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return "", err
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer))
	if err != nil {
		return "", err
	}
	if status != 0 && answer.StatusCode != status || status == 0 && (answer.StatusCode < 200 || answer.StatusCode > 399) {
		return "", fmt.Errorf("status %d", answer.StatusCode)
	}
	return string(body), nil
}
