package file

import (
	"fmt"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"nemesis/history"
	"nemesis/nodes/agent"
	"nemesis/workload"
)

// nameForm is what names of systems, processes and artifacts look like: they become names of
// directories and of processes.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// reserved are names in the agent's directory that are taken.
var reserved = []string{"agent", artifactsDir}

// check finds what is wrong between values that are each well formed, and tries every
// template on three nodes.
func (d *Definition) check(r *decoder, root *yaml.Node, open Models) {
	c := checker{decoder: r, root: root}
	if !nameForm.MatchString(d.System) {
		c.bad("a system needs a name of letters, digits, dots and dashes, not %q", d.System)("system")
	}
	if d.Nodes < 0 || d.Nodes > 100 {
		c.bad("%d is no number of nodes from 1 to 100", d.Nodes)("nodes")
	}
	for _, o := range d.Options {
		if len(o.Value.Values) > 0 && !slices.Contains(o.Value.Values, o.Value.Default) {
			c.bad("the default %q is none of its values %s", o.Value.Default, strings.Join(o.Value.Values, ", "))("options", o.Name)
		}
	}
	c.artifacts(d)
	c.processes(d)
	c.workloads(d, open)
	c.client(d)
	c.claims(d)
	for i, p := range d.LogPatterns {
		if !nameForm.MatchString(p.Class) {
			c.bad("pattern %d: a class is a name of letters, digits and dashes, not %q", i+1, p.Class)("log_patterns")
		}
		if match, err := regexp.Compile(`^(?:` + p.Match + `)`); err != nil || match.MatchString("") {
			c.bad("pattern %d: %q is no regular expression, or fits every line", i+1, p.Match)("log_patterns")
		}
	}
	if len(r.mistakes) == 0 {
		c.rendered(d)
	}
}

// checker notes mistakes at the places of what they are about.
type checker struct {
	*decoder
	root *yaml.Node
}

// bad notes a mistake at the path that is given to what it returns.
func (c checker) bad(format string, args ...any) func(path ...string) {
	return func(path ...string) {
		at := c.root
		for _, step := range path {
			next := under(at, step)
			if next == nil {
				break
			}
			at = next
		}
		what := strings.Join(path, ".")
		if what != "" {
			what += ": "
		}
		c.decoder.bad(at, "%s%s", what, fmt.Sprintf(format, args...))
	}
}

// under is the value of a key, at the line and column of the key.
func under(n *yaml.Node, key string) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			value := *n.Content[i+1]
			value.Line, value.Column = n.Content[i].Line, n.Content[i].Column
			return &value
		}
	}
	return nil
}

func (c checker) artifacts(d *Definition) {
	for _, a := range d.Artifacts {
		if !nameForm.MatchString(a.Name) {
			c.bad("an artifact needs a name of letters, digits, dots and dashes")("artifacts", a.Name)
		}
		for _, one := range []struct {
			arch   string
			origin *Origin
		}{{"", &a.Value.Origin}, {"amd64", a.Value.AMD64}, {"arm64", a.Value.ARM64}} {
			if one.origin == nil || one.arch == "" && (a.Value.AMD64 != nil || a.Value.ARM64 != nil) && one.origin.kinds() == nil {
				continue
			}
			at := []string{"artifacts", a.Name}
			if one.arch != "" {
				at = append(at, one.arch)
			}
			switch kinds := one.origin.kinds(); {
			case len(kinds) == 0:
				c.bad("it comes from nowhere; give one of file, go, debian, npm and url")(at...)
			case len(kinds) > 1:
				c.bad("it has %s; leave one", strings.Join(kinds, " and "))(at...)
			case one.origin.URL != "" && len(one.origin.SHA256) != 64:
				c.bad("a url needs the sha256 of what is downloaded, 64 digits")(at...)
			case one.origin.Package != "" && one.origin.Go == "":
				c.bad("package is of a go module")(at...)
			}
		}
	}
}

// kinds are the ways in which an origin says where something comes from.
func (o *Origin) kinds() []string {
	var kinds []string
	for _, k := range []struct{ name, value string }{{"file", o.File}, {"go", o.Go}, {"debian", o.Debian}, {"npm", o.NPM}, {"url", o.URL}} {
		if k.value != "" {
			kinds = append(kinds, k.name)
		}
	}
	return kinds
}

func (c checker) processes(d *Definition) {
	if len(d.Processes) == 0 {
		c.bad("it is missing; a system needs at least one process")("processes")
	}
	for _, p := range d.Processes {
		at := func(keys ...string) []string { return append([]string{"processes", p.Name}, keys...) }
		if !nameForm.MatchString(p.Name) || slices.Contains(reserved, p.Name) {
			c.bad("a process needs a name of letters, digits, dots and dashes, other than %s", strings.Join(reserved, " and "))(at()...)
		}
		switch n, err := strconv.Atoi(p.Value.Nodes); {
		case slices.Contains([]string{"", "all", "first", "last", "others"}, p.Value.Nodes):
		case err != nil || n < 1:
			c.bad("%q is none of all, first, last, others and a number of nodes", p.Value.Nodes)(at("nodes")...)
		}
		if p.Value.Command.empty() {
			c.bad("it has no command")(at()...)
		}
		for i, port := range p.Value.Ports {
			if slices.ContainsFunc(p.Value.Ports[:i], func(o Port) bool { return o.Name == port.Name }) {
				c.bad("the port %s is there twice", port.Name)(at("ports")...)
			}
		}
		for _, name := range slices.Concat(p.Value.Data, p.Value.Logs, slices.Sorted(maps.Keys(p.Value.Files))) {
			if name != path.Clean(name) || path.IsAbs(name) || name == "." || name == ".." || strings.HasPrefix(name, "../") {
				c.bad("%q is no path inside the process' own directory", name)(at()...)
			}
		}
		for _, other := range p.Value.DependsOn {
			if d.Processes.Find(other) == nil {
				c.bad("there is no process %q", other)(at("depends_on")...)
			}
		}
		if s := p.Value.Shutdown.Signal; s != "" && !slices.Contains(agent.StopSignals(), s) {
			c.bad("%q is none of %s", s, strings.Join(agent.StopSignals(), ", "))(at("shutdown", "signal")...)
		}
		c.probe(d, p.Value, p.Value.Ready, at("readiness_probe"))
		c.probe(d, p.Value, p.Value.Leader, at("leader_probe"))
	}
	c.portClashes(d)
}

// portClashes finds processes that share a node and a port.
func (c checker) portClashes(d *Definition) {
	s := d.trial()
	type on struct {
		node int
		port uint16
	}
	taken := map[on]string{}
	for _, p := range d.Processes {
		for _, i := range s.runsOn(p.Value) {
			for _, port := range p.Value.Ports {
				other, is := taken[on{i, port.Number}]
				if is && other != p.Name {
					c.bad("the port %d is also one of %s, on the same node", port.Number, other)("processes", p.Name, "ports")
					return
				}
				taken[on{i, port.Number}] = p.Name
			}
		}
	}
}

func (c checker) probe(d *Definition, p Process, probe *Probe, at []string) {
	if probe == nil {
		return
	}
	if probe.Match != "" && !strings.Contains(probe.Match, "{{") {
		if _, err := regexp.Compile(probe.Match); err != nil {
			c.bad("%v", err)(append(at, "match")...)
		}
	}
	kinds := 0
	for _, has := range []bool{probe.HTTPGet != nil, probe.RESP != nil, probe.SQL != nil, probe.Log != nil, probe.Exec != nil, probe.All != nil} {
		if has {
			kinds++
		}
	}
	if kinds > 1 {
		c.bad("it has several kinds; put each into an entry of all")(at...)
	}
	port := probe.Port
	if probe.HTTPGet != nil && probe.HTTPGet.Port != "" {
		port = probe.HTTPGet.Port
	}
	if asksPort := probe.HTTPGet != nil || probe.RESP != nil || probe.SQL != nil || kinds == 0; asksPort {
		if port == "" {
			port = clientPort
		}
		if p.Ports.Find(port) == 0 {
			c.bad("the process has no port %q", port)(at...)
		}
	}
	if probe.Log != nil {
		if _, err := regexp.Compile(probe.Log.Match); err != nil || probe.Log.Match == "" {
			c.bad("it needs a regular expression for lines of the log")(append(at, "log", "match")...)
		}
	}
	if probe.Exec != nil && probe.Exec.Command.empty() {
		c.bad("it has no command")(append(at, "exec")...)
	}
	for i := range probe.All {
		c.probe(d, p, &probe.All[i], at)
	}
}

func (c checker) client(d *Definition) {
	if n := len(d.Client.kinds()); n != 1 {
		c.bad("it needs one of %s, and has %d", strings.Join(kindNames(), ", "), n)("client")
		return
	}
	name, kind := d.Client.kind()
	if len(d.Processes) == 0 {
		return
	}
	process, role := d.main(), d.Client.Process
	if role != "" {
		if process = d.Processes.Find(role); process == nil {
			c.bad("there is no process %q", role)("client", "process")
			return
		}
	}
	if process.Ports.Find(d.clientPort()) == 0 {
		c.bad("the process that clients connect to has no port %q", d.clientPort())("client")
	}
	if _, err := kind.table(place{d.trial(), 0, d.Processes[0].Name, d.main()}.text); err != nil {
		c.bad("%v", err)("client", name)
	}
	c.ask(d)
	spoken := d.operations()
	if len(spoken) == 0 {
		c.bad("it speaks no workload; name one, such as register, with its operations")("client", name)
	}
	for _, spokenOf := range slices.Sorted(maps.Keys(spoken)) {
		at := []string{"client", name, "workloads", spokenOf}
		work, err := d.workload(spokenOf)
		if err != nil {
			names := d.Workloads.Names()
			for _, w := range workload.All() {
				if len(w.Operations) > 0 {
					names = append(names, w.Name)
				}
			}
			c.unknownAt(spokenOf, names, at)
			continue
		}
		known := slices.Concat(work.Operations, work.Optional)
		if len(known) == 0 {
			c.bad("the workload %s needs a client in Go", spokenOf)(at...)
			continue
		}
		if name != "program" && slices.Contains(work.Operations, history.FAcquire) {
			c.bad("the workload %s needs a program, which can tell what a grant is", spokenOf)(at...)
			continue
		}
		for _, f := range spoken[spokenOf] {
			if !slices.Contains(known, f) {
				c.unknownAt(f, known, append(at, f))
			}
		}
		for _, f := range work.Operations {
			if !slices.Contains(spoken[spokenOf], f) {
				c.bad("the operation %s is missing; the workload needs %s", f, strings.Join(work.Operations, ", "))(at...)
			}
		}
	}
}

// unknownAt notes a name that is none of names, at the path that ends in it.
func (c checker) unknownAt(name string, names, at []string) {
	n := c.root
	for _, step := range at {
		if next := under(n, step); next != nil {
			n = next
		}
	}
	c.unknown(n, name, strings.Join(at[:len(at)-1], "."), names)
}

func (c checker) ask(d *Definition) {
	to := d.Client.To
	if to == nil {
		return
	}
	process := d.Processes.Find(to.Process)
	if process == nil {
		c.bad("there is no process %q", to.Process)("client", "to", "ask")
		return
	}
	if port := orClient(to.Port); process.Ports.Find(port) == 0 {
		c.bad("the process %s has no port %q", to.Process, port)("client", "to")
	}
	if (to.RESP == nil) == (to.Path == "") {
		c.bad("it needs one of resp and http_get")("client", "to")
	}
	if d.Client.Program != nil || d.Client.Executables != nil {
		c.bad("a program finds out itself where to connect; leave it out")("client", "to")
	}
}

func (c checker) claims(d *Definition) {
	for i := range d.Claims {
		claim := &d.Claims[i]
		at := []string{"claims"}
		n := i + 1
		if claim.Model != "" && claim.Model != "none" {
			model, err := history.FindModel(claim.Model)
			if err != nil {
				c.bad("claim %d: %v", n, err)(at...)
			}
			claim.Model = string(model)
		}
		for _, rule := range claim.Rules {
			if !slices.Contains(history.Rules(), history.Model(rule)) {
				c.bad("claim %d: there is no rule %q; there are %s", n, rule, history.Names(history.Rules()))(at...)
			}
		}
		for _, name := range claim.Workload {
			if _, spoken := d.operations()[name]; !spoken {
				c.bad("claim %d: the client does not speak the workload %q", n, name)(at...)
			}
		}
		for name, value := range claim.Options {
			o := d.Options.Find(name)
			switch {
			case o == nil:
				c.bad("claim %d: there is no option %q", n, name)(at...)
			case len(o.Values) > 0 && !slices.Contains(o.Values, value):
				c.bad("claim %d: the option %s takes %s, not %q", n, name, strings.Join(o.Values, " or "), value)(at...)
			}
		}
		if claim.ClockRate < 0 || claim.ClockRate > 1 {
			c.bad("claim %d: a clock_rate is a share from 0 to 1", n)(at...)
		}
	}
}

// rendered tries every template on every node where it is used, with every value of every
// option.
func (c checker) rendered(d *Definition) {
	c.renderedOn(d, d.trial())
	for _, o := range d.Options {
		for _, value := range o.Value.Values {
			s := d.trial()
			s.options[o.Name] = value
			if len(c.mistakes) == 0 {
				c.renderedOn(d, s)
			}
		}
	}
}

func (c checker) renderedOn(d *Definition, s *site) {
	for i := range d.Processes {
		role, process := d.Processes[i].Name, &d.Processes[i].Value
		for _, node := range s.runsOn(*process) {
			p := place{s, node, role, process}
			at := func(keys ...string) []string { return append([]string{"processes", role}, keys...) }
			if _, err := p.words(process.Command); err != nil {
				c.bad("%v", err)(at("command")...)
				return
			}
			for _, name := range slices.Sorted(maps.Keys(process.Files)) {
				if _, err := p.text(process.Files[name]); err != nil {
					c.bad("%v", err)(at("files", name)...)
					return
				}
			}
			for _, name := range slices.Sorted(maps.Keys(process.Environment)) {
				if _, err := p.text(process.Environment[name]); err != nil {
					c.bad("%v", err)(at("environment", name)...)
					return
				}
			}
			for _, probe := range []struct {
				name  string
				probe *Probe
			}{{"readiness_probe", process.Ready}, {"leader_probe", process.Leader}} {
				if err := p.tryProbe(probe.probe); err != nil {
					c.bad("%v", err)(at(probe.name)...)
					return
				}
			}
		}
	}
	if _, err := s.clientTable(); err != nil {
		c.bad("%v", err)("client")
	}
}

// tryProbe fills in the templates of a probe.
func (p place) tryProbe(probe *Probe) error {
	if probe == nil {
		return nil
	}
	if _, err := p.all(probe.RESP); err != nil {
		return err
	}
	if _, err := p.pattern(probe.Match); err != nil {
		return fmt.Errorf("match: %w", err)
	}
	if probe.SQL != nil {
		if _, _, err := p.question(*probe.SQL); err != nil {
			return fmt.Errorf("sql: %w", err)
		}
	}
	if probe.HTTPGet != nil {
		text, err := p.text(probe.HTTPGet.Path)
		if err == nil {
			_, err = http.NewRequest(http.MethodGet, "http://server"+text, nil)
		}
		if err != nil {
			return err
		}
	}
	if probe.Exec != nil {
		if _, err := p.words(probe.Exec.Command); err != nil {
			return err
		}
	}
	for i := range probe.All {
		if err := p.tryProbe(&probe.All[i]); err != nil {
			return err
		}
	}
	return nil
}
