package compose

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Sections are what a compose file does not say, as text of a system's file: it is taken from a file of the same kind.
type Sections struct {
	// Doc is a line about the system.
	Doc string
	// Options, Client and Claims are whole sections of a file, each with its key; "" for none.
	Options, Client, Claims string
	// Artifact is the name of the executable of the main process, ArtifactSection the section artifacts.
	Artifact, ArtifactSection string
	// Images are the names of images that hold this artifact.
	Images []string
	// Process is how a file of the kind describes the main process, without its name: it stands for what an image does that
	// is given no command.
	Process string
}

// System is the file of the system.
func (p *Project) System(s Sections) string {
	for _, g := range p.groups {
		if s.borrowed(g) {
			p.left = append(p.left, Left{g.services[0].line, "services." + g.role + ": what its image does without a command is not known here; a process as nemesis new writes it stands in its place"})
		}
	}
	slices.SortStableFunc(p.left, func(a, b Left) int { return cmp.Compare(a.Line, b.Line) })
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Taken over from %s. nemesis system check says what is wrong with this file, and what it can test.", path.Base(p.path))
	if len(p.left) > 0 {
		line("#\n# What was not taken over:")
		for _, l := range p.left {
			line("#   line %d: %s", l.Line, oneLine(l.Text))
		}
	}
	line("\nsystem: %s\ndoc: %s\nnodes: %d\n", p.groups[p.main()].role, quoted(s.Doc), p.nodes())
	if s.Options != "" {
		line("%s", strings.TrimRight(s.Options, "\n")+"\n")
	}
	line("%s\n", p.artifacts(s))
	line("processes:")
	for g, group := range p.ordered() {
		p.process(line, g, group, s)
	}
	line("\n%s", strings.TrimRight(s.Client, "\n"))
	if s.Claims != "" {
		line("\n%s", strings.TrimRight(s.Claims, "\n"))
	}
	return b.String()
}

// nodes is how many nodes a run needs.
func (p *Project) nodes() int {
	most := 1
	for _, g := range p.groups {
		most = max(most, g.nodes())
	}
	return most
}

// main is the group that clients connect to: the first that has ports, or runs on more nodes.
func (p *Project) main() int {
	main := 0
	for i, g := range p.groups {
		if g.nodes() > p.groups[main].nodes() || len(p.groups[main].services[0].ports) == 0 && len(g.services[0].ports) > 0 {
			main = i
		}
	}
	return main
}

// ordered are the groups by their indexes, the main one first.
func (p *Project) ordered() func(func(int, *group) bool) {
	main := p.main()
	return func(yield func(int, *group) bool) {
		if !yield(main, p.groups[main]) {
			return
		}
		for i, g := range p.groups {
			if i != main && !yield(i, g) {
				return
			}
		}
	}
}

// known reports whether a group's image holds the artifact of the sections.
func (s Sections) known(g *group) bool {
	base := path.Base(g.services[0].image)
	base, _, _ = strings.Cut(base, "@")
	base, _, _ = strings.Cut(base, ":")
	return s.Artifact != "" && slices.Contains(s.Images, base)
}

// artifact is the name of a group's executable.
func (s Sections) artifact(g *group) string {
	if s.known(g) {
		return s.Artifact
	}
	return g.role
}

func (p *Project) artifacts(s Sections) string {
	var b strings.Builder
	if s.ArtifactSection != "" && slices.ContainsFunc(p.groups, s.known) {
		b.WriteString(strings.TrimRight(s.ArtifactSection, "\n") + "\n")
	} else {
		b.WriteString("artifacts:\n")
	}
	for _, g := range p.groups {
		if !s.known(g) {
			fmt.Fprintf(&b, "  # Nodes get executables, not images: say where that of %s comes from (file, go, debian, npm or url).\n", cmp.Or(g.services[0].image, g.role))
			fmt.Fprintf(&b, "  %s: {file: ./%s}\n", g.role, g.role)
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

// process writes one process.
func (p *Project) process(line func(string, ...any), index int, g *group, s Sections) {
	first := g.services[0]
	var names []string
	for _, one := range g.services {
		names = append(names, one.name)
	}
	line("  %s:    # %s", g.role, strings.Join(names, ", "))
	if s.borrowed(g) {
		// Ports and the rest as in a file of the kind.
		line("%s", strings.TrimRight(s.Process, "\n"))
		p.dependsOn(line, index, first)
		return
	}
	if n := g.nodes(); n < p.nodes() || len(g.services) > 1 {
		line("    nodes: %d", n)
	}
	if first.notRoot {
		line("    not_root: true")
	}
	if len(first.ports) > 0 {
		var ports []string
		for i, one := range first.ports {
			ports = append(ports, portName(i)+": "+strconv.Itoa(one.number))
		}
		line("    ports: {%s}", strings.Join(ports, ", "))
	}
	in := func(text string) string { return p.inside(first, text) }
	if len(first.files) > 0 {
		line("    files:")
		for i, f := range first.files {
			texts := make([]string, len(g.services))
			for at, one := range g.services {
				if i < len(one.files) {
					texts[at] = p.inside(one, one.files[i].text)
				}
			}
			line("      %s: |", quoted(f.name))
			for _, l := range strings.Split(strings.TrimRight(p.template(index, "", texts), "\n"), "\n") {
				line("        %s", l)
			}
		}
	}
	commands := make([][]string, len(g.services))
	for at, one := range g.services {
		commands[at] = p.command(one, s.artifact(g))
	}
	p.commandLine(line, index, commands)
	if len(first.environment) > 0 {
		line("    environment:")
		for _, e := range first.environment {
			var texts []string
			for _, one := range g.services {
				at := slices.IndexFunc(one.environment, func(o pair) bool { return o.name == e.name })
				if at < 0 {
					texts = append(texts, in(e.value))
				} else {
					texts = append(texts, p.inside(one, one.environment[at].value))
				}
			}
			line("      %s: %s", e.name, quoted(p.template(index, e.name, texts)))
		}
	}
	if first.workingDir != "" && slices.ContainsFunc(first.data, func(d string) bool { return strings.HasPrefix(first.workingDir, d) }) {
		line("    working_dir: %s", quoted(escaped(in(first.workingDir))))
	}
	if len(first.data) > 1 {
		var dirs []string
		for i := range first.data {
			dirs = append(dirs, dataName(i))
		}
		line("    data: [%s]", strings.Join(dirs, ", "))
	}
	p.probe(line, first)
	p.dependsOn(line, index, first)
	if first.signal != "" {
		line("    shutdown: {signal: %s}", first.signal)
	}
}

// commandLine writes a command: word by word, or where services have different words as one line with a case for each.
func (p *Project) commandLine(line func(string, ...any), index int, commands [][]string) {
	length := len(commands[0])
	if slices.ContainsFunc(commands, func(c []string) bool { return len(c) != length }) {
		lines := make([]string, len(commands))
		for at, words := range commands {
			var all []string
			for i, w := range words {
				previous := ""
				if i > 0 {
					previous = words[i-1]
				}
				if k := p.skeletonOf(w, ref{index, at, addressed.MatchString(previous)}); len(k.refs) == 1 && k.texts[0]+k.texts[1] == "" {
					w = strings.Replace(k.refs[0].template(), "{{", "{{"+ours, 1)
				} else if !strings.HasPrefix(w, "{{"+ours) && strings.ContainsAny(w, " \t\n'\"\\") || w == "" {
					w = "'" + strings.ReplaceAll(w, "'", `'"'"'`) + "'"
				}
				all = append(all, w)
			}
			lines[at] = strings.Join(all, " ")
		}
		line("    command: %s", quoted(p.template(index, "", lines)))
		return
	}
	line("    command:")
	for i := range length {
		var texts []string
		for _, c := range commands {
			texts = append(texts, c[i])
		}
		previous := ""
		if i > 0 {
			previous = commands[0][i-1]
		}
		line("      - %s", quoted(p.template(index, previous, texts)))
	}
}

// portName is the name of the i-th port of a service.
func portName(i int) string {
	if i > 1 {
		return "peer" + strconv.Itoa(i)
	}
	return []string{"client", "peer"}[i]
}

// borrowed reports whether a group is described as by a file of the kind: its image does what that does, and was told nothing.
func (s Sections) borrowed(g *group) bool {
	return s.known(g) && s.Process != "" && len(g.services[0].command) == 0
}

// dependsOn writes which processes must serve before.
func (p *Project) dependsOn(line func(string, ...any), index int, s *service) {
	var depends []string
	for _, name := range s.depends {
		if r, is := p.find(name); is && r.group != index && !slices.Contains(depends, p.groups[r.group].role) {
			depends = append(depends, p.groups[r.group].role)
		}
	}
	if len(depends) > 0 {
		line("    depends_on: [%s]", strings.Join(depends, ", "))
	}
}

// probe writes how to find out that a service serves.
func (p *Project) probe(line func(string, ...any), s *service) {
	if s.health == nil {
		return
	}
	name := func(number int) string {
		at := slices.IndexFunc(s.ports, func(o port) bool { return o.number == number })
		if at < 0 {
			return ""
		}
		return portName(at)
	}
	switch h := s.health; h.kind {
	case "resp":
		var words []string
		for _, w := range h.words {
			words = append(words, quoted(w))
		}
		match := ""
		if strings.EqualFold(h.words[0], "ping") {
			match = ", match: PONG"
		}
		line("    readiness_probe: {resp: [%s]%s}", strings.Join(words, ", "), match)
	case "sql":
		line("    readiness_probe: {sql: %s}", h.words[0])
	case "http":
		if at := name(h.port); at != "" {
			line("    readiness_probe: {http_get: {path: %s, port: %s}}", quoted(h.path), at)
		}
	case "port":
		if at := name(h.port); at != "" {
			line("    readiness_probe: {port: %s}", at)
		}
	}
}

// command are the words of a service's command, the executable first.
func (p *Project) command(s *service, artifact string) []string {
	executable := "{{" + ours + ` bin "` + artifact + `" }}`
	if s.shell != "" {
		return []string{s.command[0], s.command[1], p.inside(s, s.shell)}
	}
	words := []string{executable}
	rest := s.command
	if len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		rest = rest[1:] // the program, which an image has by that name
	}
	for _, w := range rest {
		words = append(words, p.inside(s, w))
	}
	return words
}

// dataName is the name of a data directory.
func dataName(i int) string {
	if i == 0 {
		return "data"
	}
	return "data" + strconv.Itoa(i+1)
}

// inside puts paths of nodes in the place of those that a service knows in its container.
func (p *Project) inside(s *service, text string) string {
	type place struct{ from, to string }
	var places []place
	for _, f := range s.files {
		places = append(places, place{f.at, `{{` + ours + ` file "` + f.name + `" }}`})
	}
	for i, d := range s.data {
		to := "{{" + ours + " data }}"
		if i > 0 {
			to = "{{" + ours + " dir }}/" + dataName(i)
		}
		places = append(places, place{strings.TrimSuffix(d, "/"), to})
	}
	slices.SortStableFunc(places, func(a, b place) int { return cmp.Compare(len(b.from), len(a.from)) })
	for _, one := range places {
		text = replacePath(text, one.from, one.to)
	}
	return text
}

// replacePath replaces a path where it stands whole, or before a slash.
func replacePath(text, from, to string) string {
	if from == "" || from == "/" {
		return text
	}
	var b strings.Builder
	for {
		at := strings.Index(text, from)
		if at < 0 {
			b.WriteString(text)
			return b.String()
		}
		end := at + len(from)
		whole := (end == len(text) || !word(text[end])) && (at == 0 || !word(text[at-1]) && text[at-1] != '/')
		b.WriteString(text[:at])
		if whole {
			b.WriteString(to)
		} else {
			b.WriteString(from)
		}
		text = text[end:]
	}
}

// quoted is a text as YAML has it.
func quoted(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return strconv.QuoteToASCII(text)
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
