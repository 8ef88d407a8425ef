// Package file makes a system of a YAML file, so that whoever has a server can test it
// without writing Go: `nemesis run ./mysystem.yaml`. docs/your-own-system.md shows one from
// the first line to a verdict.
//
// A file says where the server's executable comes from (artifacts), which processes run on
// which nodes (processes), how clients speak to them (client), and what the system promises
// (claims). Parse reads it and says every mistake with its line and column; what is read is a
// Definition, from which System makes what the rest of nemesis knows as a system:
//
//	definition, err := file.Parse("redis.yaml", text)
//	system := file.New(definition)
//
// Keys have the names of process-compose and compose where they mean the same. Texts that
// differ from node to node are templates over the addresses that the node's own agent
// reported (render.go). The text of the file is a part of the plan, so that a replay needs
// the run directory and, where the file names others, those.
package file

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"nemesis/clients/http"
	"nemesis/clients/resp"
	"nemesis/clients/sql"
	"nemesis/history"
)

// Definition is a system as its file says it.
type Definition struct {
	System       string          `yaml:"system" doc:"name of the system: letters, digits and dashes"`
	Doc          string          `yaml:"doc" doc:"one line that says what it is"`
	Version      string          `yaml:"version" doc:"its version where the user does not say another with --version"`
	Nodes        int             `yaml:"nodes" doc:"local nodes of a run where the user does not say --nodes"`
	Options      Named[Option]   `yaml:"options" doc:"what --set accepts; templates read them with option"`
	Artifacts    Named[Artifact] `yaml:"artifacts" doc:"executables and other files that nodes need; templates name them with bin"`
	Processes    Named[Process]  `yaml:"processes" doc:"servers by their role, the main one first"`
	Workloads    Named[Workload] `yaml:"workloads" doc:"workloads of your own, judged by models of your own"`
	Client       Client          `yaml:"client" doc:"how clients speak to the servers"`
	Capabilities []string        `yaml:"capabilities" doc:"faults that make sense for this system, as nemesis list faults names them; default all that the nodes can have"`
	LogPatterns  []LogPattern    `yaml:"log_patterns" doc:"lines of logs in which servers say that they are broken, besides those of common runtimes"`
	Timing       Timing          `yaml:"timing" doc:"the system's own timeouts, in which some faults are measured"`
	Claims       []Claim         `yaml:"claims" doc:"what the system promises; the first that fits the workload and the options counts"`

	// Text is the file, Dir the directory that relative paths in it start from.
	Text, Dir string `yaml:"-"`
	// Models are the texts of the models that the file names, by the names that it gives them.
	Models map[string]string `yaml:"-"`
	path   string
	own    map[string]*history.OwnWorkload
}

// LogPattern says which lines of logs are findings.
type LogPattern struct {
	Class string `yaml:"class" doc:"what such a line says, such as corruption, panic or assertion-failed"`
	Match string `yaml:"match" doc:"regular expression that must fit from the beginning of a line on"`
}

// Option is one key of --set.
type Option struct {
	Default string   `yaml:"default" doc:"its value where nobody gives one"`
	Values  []string `yaml:"values" doc:"the values that are allowed; default any"`
	Doc     string   `yaml:"doc" doc:"what it does"`
	Waits   bool     `yaml:"waits" doc:"it is a time that servers wait for each other, which is longer on slow nodes"`
}

// Artifact is where a file that nodes need comes from, for all architectures or one by one.
type Artifact struct {
	Origin
	AMD64 *Origin `yaml:"amd64" doc:"where it comes from for nodes with this processor"`
	ARM64 *Origin `yaml:"arm64" doc:"where it comes from for nodes with this processor"`
}

// Origin is where a file comes from.
type Origin struct {
	File    string `yaml:"file" doc:"a file or directory on this machine, from the directory of the system's file"`
	Go      string `yaml:"go" doc:"path of a Go module, which is built"`
	Package string `yaml:"package" doc:"of a Go module: the package to build; default the module itself"`
	Debian  string `yaml:"debian" doc:"a Debian package: as it is installed on this machine, else it is downloaded"`
	NPM     string `yaml:"npm" doc:"an npm package, installed with what it depends on"`
	URL     string `yaml:"url" doc:"address of a file or an archive (.tar.gz, .tgz, .zip)"`
	SHA256  string `yaml:"sha256" doc:"of a url: the checksum of what is downloaded"`
	Version string `yaml:"version" doc:"of a go module, an npm package or a Debian package; default the system's version"`
	Binary  string `yaml:"binary" doc:"the executable in a package, an archive or a directory; default the one with the artifact's name"`
}

// Process is one kind of server.
type Process struct {
	Nodes       string            `yaml:"nodes" doc:"where it runs: all (default), first, last, others (all but the first), or how many of the first"`
	Command     Command           `yaml:"command" doc:"its command line, which stays in the foreground; no shell reads it"`
	Ports       Ports             `yaml:"ports" doc:"ports by name; clients connect to client, other nodes to peer"`
	Files       map[string]string `yaml:"files" doc:"files that it needs, by name; templates find them with file"`
	Environment Environment       `yaml:"environment" doc:"environment variables"`
	WorkingDir  string            `yaml:"working_dir" doc:"its working directory; default its own directory on the node (dir)"`
	Data        []string          `yaml:"data" doc:"directories, in its own one, with what it keeps: made empty before a run; default data"`
	Logs        []string          `yaml:"logs" doc:"files, in its own directory, that it writes logs to besides its output"`
	Ready       *Probe            `yaml:"readiness_probe" doc:"how to find out that it serves; default its client port accepts connections"`
	Leader      *Probe            `yaml:"leader_probe" doc:"how to find out that a node leads; asked of every node"`
	DependsOn   Dependencies      `yaml:"depends_on" doc:"processes that must serve before it starts"`
	Shutdown    Shutdown          `yaml:"shutdown" doc:"how it is ended"`
	NotRoot     bool              `yaml:"not_root" doc:"it refuses to run as root, and is run as another user where the user of the nodes is root"`
}

// Shutdown is how a process is ended.
type Shutdown struct {
	Signal string `yaml:"signal" doc:"the signal that asks it to end: TERM (default), INT, QUIT or HUP"`
}

// Probe is a question to a process. It has one kind, or several in all.
type Probe struct {
	Port    string     `yaml:"port" doc:"a port by name, at which it accepts connections or is asked; default client"`
	HTTPGet *HTTPProbe `yaml:"http_get" doc:"an HTTP request"`
	RESP    []string   `yaml:"resp" doc:"a command in the protocol of Redis"`
	Log     *LogProbe  `yaml:"log" doc:"lines of its output; they are waited for at the first start, afterwards the port is"`
	SQL     *SQLProbe  `yaml:"sql" doc:"a statement, whose first row is the answer"`
	Exec    *ExecProbe `yaml:"exec" doc:"a command on the machine that nemesis runs on, which exits with 0"`
	All     []Probe    `yaml:"all" doc:"several probes, all of which must succeed"`
	Match   string     `yaml:"match" doc:"regular expression that the answer must match, once its templates are filled in; its group term is the leader's term"`
}

// HTTPProbe is a GET request.
type HTTPProbe struct {
	Path   string `yaml:"path" doc:"path of the request; default /"`
	Port   string `yaml:"port" doc:"a port by name; default client"`
	Status int    `yaml:"status_code" doc:"the status of the answer; default any from 200 to 399"`
}

// LogProbe is a pattern in the output.
type LogProbe struct {
	Match string `yaml:"match" doc:"regular expression that a line must match"`
	Count int    `yaml:"count" doc:"how many lines must; default 1"`
}

// SQLProbe is a statement.
type SQLProbe struct {
	Send string `yaml:"send" alone:"true" doc:"the statement"`
	SQLLogin
}

// ExecProbe is a command.
type ExecProbe struct {
	Command Command `yaml:"command" doc:"the command line; no shell reads it"`
}

// Client is how clients speak to the servers. It has one of resp, http, sql, nats and program.
type Client struct {
	Process     string             `yaml:"process" doc:"the process that clients connect to; default the main one"`
	Port        string             `yaml:"port" doc:"its port by name; default client"`
	To          *Ask               `yaml:"to" doc:"whom to ask where to connect, before each connection; default every client talks to the server of its node"`
	RESP        *RESPClient        `yaml:"resp" doc:"clients that speak the protocol of Redis"`
	HTTP        *HTTPClient        `yaml:"http" doc:"clients that speak HTTP/1.1"`
	SQL         *SQLClient         `yaml:"sql" doc:"clients of SQL databases that speak the protocol of PostgreSQL or MySQL"`
	NATS        *NATSClient        `yaml:"nats" doc:"clients of NATS JetStream"`
	Program     *ProgramClient     `yaml:"program" doc:"a program of yours that speaks nemesis-client/1 on its standard input and output"`
	Executables *ExecutablesClient `yaml:"executables" doc:"a directory of executables that test the system by themselves, where nothing better is at hand"`
}

// Ask is a question whose answer is an address.
type Ask struct {
	Process string   `yaml:"ask" doc:"the process that knows; the client's own node is asked first, then the others"`
	Port    string   `yaml:"port" doc:"its port by name; default client"`
	RESP    []string `yaml:"resp" doc:"a command in the protocol of Redis, answered by host and port"`
	Path    string   `yaml:"http_get" doc:"path of a GET request, answered by host:port"`
}

// RESPClient is a client of package resp.
type RESPClient struct {
	Certain   []string                             `yaml:"certain" doc:"regular expressions of errors that say that nothing happened"`
	Workloads map[string]map[string]resp.Operation `yaml:"workloads" doc:"operations by workload and name, such as register, then read, write and cas"`
}

// HTTPClient is a client of package http.
type HTTPClient struct {
	Certain   []int                                `yaml:"certain" doc:"statuses that say of any operation that nothing happened"`
	Workloads map[string]map[string]http.Operation `yaml:"workloads" doc:"operations by workload and name, such as register, then read, write and cas"`
}

// SQLLogin is how clients log in to an SQL database.
type SQLLogin struct {
	Driver   string `yaml:"driver" doc:"whose protocol the server speaks: postgres or mysql"`
	User     string `yaml:"user" doc:"the user to log in as"`
	Password string `yaml:"password" doc:"the password of the user"`
	Database string `yaml:"database" doc:"the database to use"`
}

// SQLClient is a client of package sql.
type SQLClient struct {
	SQLLogin
	Isolation string                              `yaml:"isolation" doc:"level of isolation of every transaction: read-uncommitted, read-committed, repeatable-read or serializable; default the server's own"`
	Setup     []string                            `yaml:"setup" doc:"statements that every connection begins with, such as CREATE TABLE IF NOT EXISTS; servers that only serve reads may refuse them"`
	Workloads map[string]map[string]sql.Operation `yaml:"workloads" doc:"statements by workload and operation, such as register, then read, write and cas"`
}

// NATSClient is a client of package nats.
type NATSClient struct {
	User      string   `yaml:"user" doc:"the user to log in as"`
	Password  string   `yaml:"password" doc:"the password of the user"`
	Token     string   `yaml:"token" doc:"a token to log in with"`
	Bucket    string   `yaml:"bucket" doc:"the key-value bucket, which is made; default nemesis"`
	Stream    string   `yaml:"stream" doc:"the stream of the queue, which is made; default nemesis"`
	Replicas  string   `yaml:"replicas" doc:"replicas of bucket and stream; default 1"`
	Storage   string   `yaml:"storage" doc:"where servers keep bucket and stream: file (default) or memory"`
	Reads     string   `yaml:"reads" doc:"who answers reads: direct (default) is any replica, as buckets are read by default; leader is the leader of the stream"`
	Certain   []int    `yaml:"certain" doc:"codes of JetStream errors that say that nothing happened; 10071 (wrong last sequence) always does"`
	Workloads []string `yaml:"workloads" doc:"the workloads that it is used for: register (a key-value bucket) and queue (a work queue)"`
}

// ProgramClient is a client of package external.
type ProgramClient struct {
	Command   Command             `yaml:"command" doc:"its command line, run in the directory of the system's file; no shell reads it"`
	Workloads map[string][]string `yaml:"workloads" doc:"the workloads that it speaks, each with its operations"`
	Clients   int                 `yaml:"clients" doc:"how many of it run at once; default 1"`
	InFlight  int                 `yaml:"max_inflight" doc:"operations at once for each; default 64"`
}

// ExecutablesClient is executables that test the system by themselves.
type ExecutablesClient struct {
	Dir string `yaml:"dir" doc:"their directory; when each is run follows from how its name begins, such as parallel_driver_, first_ or finally_"`
}

// Timing is the system's own timeouts.
type Timing struct {
	Election history.Duration `yaml:"election" doc:"how long followers wait for a silent leader"`
	Lease    history.Duration `yaml:"lease" doc:"how long a lease lasts without renewal"`
}

// Claim is what the system promises in some configurations.
type Claim struct {
	Workload    []string          `yaml:"workload" doc:"the workloads that it is about; default all"`
	Options     map[string]string `yaml:"options" doc:"the options that it is about; default any"`
	Model       string            `yaml:"model" doc:"consistency model, such as linearizable; none claims nothing"`
	Rules       []string          `yaml:"rules" doc:"rules of leases and locks"`
	Source      []Source          `yaml:"source" doc:"the sentence of the documentation that says so"`
	Assumptions map[string]string `yaml:"assumptions" doc:"what it takes for granted, by name: crash-recovery, fsync-honoured, clock-error, crash-stop, majority-connected or one of your own"`
	ClockRate   float64           `yaml:"clock_rate" doc:"share by which monotonic clocks may run wrong, where it assumes clock-error"`
	ClockOffset history.Duration  `yaml:"clock_offset" doc:"how far wall clocks may be wrong, where it assumes clock-error"`
	Recovery    history.Duration  `yaml:"recovery" doc:"how long after a heal operations may go without success"`
	Outage      history.Duration  `yaml:"outage" doc:"the same while no more than a minority of nodes is hit"`
}

// Names of ports on which something is decided.
const (
	clientPort = "client"
	peerPort   = "peer"
)

// MostText bounds the file of a system, in bytes.
const MostText = 1 << 20

// Parse reads a system's file. path is where it is: messages name it, and relative paths in
// the file start from its directory, in which the models are that it names. The error has a
// line for every mistake, with its line and column.
func Parse(path string, text []byte) (*Definition, error) {
	return ParseWith(path, text, FromDisk(filepath.Dir(path)))
}

// ParseWith is Parse where models come from elsewhere.
func ParseWith(path string, text []byte, open Models) (*Definition, error) {
	d := &Definition{Text: string(text), Dir: filepath.Dir(path), path: path}
	if len(text) > MostText {
		return nil, fmt.Errorf("%s: the file of a system is at most %d bytes, not %d", path, MostText, len(text))
	}
	documents := yaml.NewDecoder(strings.NewReader(d.Text))
	var root, more yaml.Node
	if err := documents.Decode(&root); err != nil {
		if root.Kind == 0 && strings.TrimSpace(d.Text) == "" {
			return nil, fmt.Errorf("%s: it says nothing; nemesis new writes a file to begin with", path)
		}
		return nil, fmt.Errorf("%s: %s", path, unreadable(err))
	}
	if root.Kind == 0 || len(root.Content) == 0 {
		return nil, fmt.Errorf("%s: it says nothing; nemesis new writes a file to begin with", path)
	}
	if documents.Decode(&more) == nil {
		return nil, fmt.Errorf("%s:%d:1: it holds more than one document; leave one", path, more.Line)
	}
	r := &decoder{path: path}
	r.value(root.Content[0], reflect.ValueOf(d).Elem(), "")
	if len(r.mistakes) == 0 {
		d.check(r, root.Content[0], open)
	}
	if len(r.mistakes) > 0 {
		return nil, errors.Join(r.mistakes...)
	}
	return d, nil
}

// unreadable is what the parser says, with its line where others have it.
func unreadable(err error) string {
	return strings.TrimPrefix(err.Error(), "yaml: ")
}
