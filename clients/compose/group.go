package compose

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// group are the services that become one process: those of one image whose names differ in their number only.
type group struct {
	role     string
	services []*service
}

var numbered = regexp.MustCompile(`^(.*?)[-_]?\d+$`)

// grouped puts services together. Names of hosts in what they are given become addresses of nodes.
func grouped(services []*service, leave func(int, string)) []*group {
	var groups []*group
	for _, s := range services {
		role := s.name
		if m := numbered.FindStringSubmatch(s.name); m != nil && m[1] != "" {
			role = m[1]
		}
		at := slices.IndexFunc(groups, func(g *group) bool { return g.role == role && g.services[0].image == s.image })
		if at < 0 || s.replicas > 1 {
			if slices.ContainsFunc(groups, func(g *group) bool { return g.role == role }) {
				role = s.name
			}
			groups = append(groups, &group{role: role, services: []*service{s}})
			continue
		}
		groups[at].services = append(groups[at].services, s)
	}
	for _, g := range groups {
		if len(g.services) == 1 && g.services[0].replicas == 1 {
			g.role = g.services[0].name
		}
		for _, s := range g.services[1:] {
			if len(s.ports) == 0 {
				s.ports = g.services[0].ports
			}
			if !slices.EqualFunc(s.ports, g.services[0].ports, func(a, b port) bool { return a.number == b.number }) {
				leave(s.portLine, fmt.Sprintf("services.%s.ports: servers of one process listen at the same ports of their nodes, those of %s", s.name, g.services[0].name))
			}
		}
	}
	return groups
}

// nodes is how many nodes a group runs on.
func (g *group) nodes() int {
	if len(g.services) > 1 {
		return len(g.services)
	}
	return g.services[0].replicas
}

// ref is a name of a service in a text: that of a host, or the name alone.
type ref struct {
	group, service int
	host           bool
}

// skeleton is a text whose names of services were taken out: texts[i] stands before refs[i].
type skeleton struct {
	texts []string
	refs  []ref
}

// word is what a name of a service may be within.
func word(c byte) bool {
	return c == '_' || c == '-' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// skeletonOf finds the names of services in a text of one of them. A name before a colon and a port, or behind a slash or an at
// sign is that of a host, and so is one that is all of the text where it is another's, or an address belongs there.
func (p *Project) skeletonOf(text string, own ref) skeleton {
	var k skeleton
	last := 0
	for i := 0; i < len(text); {
		if strings.HasPrefix(text[i:], "{{"+ours) {
			i += strings.Index(text[i:], "}}") + 2 // what we put there has an end
			continue
		}
		if !word(text[i]) || i > 0 && word(text[i-1]) {
			i++
			continue
		}
		end := i
		for end < len(text) && word(text[end]) {
			end++
		}
		at, is := p.find(text[i:end])
		if !is {
			i = end
			continue
		}
		at.host = strings.HasPrefix(text[end:], ":") && end+1 < len(text) && text[end+1] >= '0' && text[end+1] <= '9' ||
			i > 0 && (text[i-1] == '/' || text[i-1] == '@')
		alone := text[i:end] == strings.TrimSpace(text)
		at.host = at.host || alone && (own.host || at.group != own.group || at.service != own.service)
		k.texts, k.refs = append(k.texts, text[last:i]), append(k.refs, at)
		i, last = end, end
	}
	k.texts = append(k.texts, text[last:])
	return k
}

// find is the service of a name.
func (p *Project) find(name string) (ref, bool) {
	for g, group := range p.groups {
		for s, service := range group.services {
			if slices.Contains(service.aliases, name) {
				return ref{group: g, service: s}, true
			}
		}
	}
	return ref{}, false
}

// addressed are names of what takes an address.
var addressed = regexp.MustCompile(`(?i)(ip|host|addr|address|bind|listen|url|advertise|announce)$`)

// template makes one template of a text of each service of a group. Where services differ in nothing but their own names
// those become the node's own; else there is a case for each. of is what the text is the value of.
func (p *Project) template(g int, of string, texts []string) string {
	skeletons := make([]skeleton, len(texts))
	for i, text := range texts {
		skeletons[i] = p.skeletonOf(text, ref{g, i, addressed.MatchString(of)})
	}
	one := true
	for _, k := range skeletons[1:] {
		one = one && slices.Equal(k.texts, skeletons[0].texts) && len(k.refs) == len(skeletons[0].refs)
	}
	var b strings.Builder
	if one {
		first := skeletons[0]
		for i, r := range first.refs {
			b.WriteString(escaped(first.texts[i]))
			own, same := len(texts) > 1 || p.groups[g].nodes() > 1, true
			for at, k := range skeletons {
				own = own && k.refs[i].group == g && k.refs[i].service == at
				same = same && k.refs[i] == r
			}
			switch {
			case own:
				b.WriteString(map[bool]string{true: "{{ addr self }}", false: "{{ self }}"}[r.host])
			case same:
				b.WriteString(r.template())
			default:
				one = false
			}
		}
		if one {
			b.WriteString(escaped(first.texts[len(first.refs)]))
			return b.String()
		}
		b.Reset()
	}
	for i, k := range skeletons {
		if i == 0 {
			b.WriteString("{{ if eq number 1 }}")
		} else {
			b.WriteString("{{ else if eq number " + strconv.Itoa(i+1) + " }}")
		}
		for j, r := range k.refs {
			b.WriteString(escaped(k.texts[j]) + r.template())
		}
		b.WriteString(escaped(k.texts[len(k.refs)]))
	}
	b.WriteString("{{ end }}")
	return b.String()
}

// template is the name or the address of the node of a service.
func (r ref) template() string {
	if r.host {
		return fmt.Sprintf("{{ addr (node %d) }}", r.service)
	}
	return fmt.Sprintf("{{ node %d }}", r.service)
}

// escaped keeps braces of a text from being read as a template. What was put there by us is not.
func escaped(text string) string {
	parts := strings.Split(text, "{{")
	for i, part := range parts {
		if i > 0 && !strings.HasPrefix(part, ours) {
			parts[i] = `{{ "{{" }}` + part
		} else if i > 0 {
			parts[i] = "{{" + strings.TrimPrefix(part, ours)
		}
	}
	return strings.Join(parts, "")
}

// ours marks templates that were put into a text.
const ours = "\x00"
