package compose

import (
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"nemesis/nodes"
)

// split is a command line as words; one that cannot be split stays whole.
func split(line string) []string {
	words, err := nodes.Words(strings.ReplaceAll(line, "\n", " "))
	if err != nil || len(words) == 0 {
		return strings.Fields(line)
	}
	return words
}

// ports reads the ports of a service as it sees them itself: nodes have addresses of their own, so none is mapped.
func (r *reader) ports(s *service, e entry, leave func(int, string, ...any)) {
	for _, one := range real(e.value).Content {
		one = real(one)
		text := one.Value
		if one.Kind == yaml.MappingNode {
			for _, long := range entries(one) {
				switch {
				case long.key == "target":
					text = long.value.Value
				case long.key == "protocol" && long.value.Value != "tcp":
					leave(long.line, "%s: %s: only TCP is looked at", e.key, long.value.Value)
				}
			}
		}
		text = filled(text)
		inside := text[strings.LastIndex(text, ":")+1:]
		number, protocol, _ := strings.Cut(inside, "/")
		if protocol == "udp" {
			leave(one.Line, "%s: %s: only TCP is looked at", e.key, text)
			continue
		}
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > 65535 {
			leave(one.Line, "%s: %s is no port of its own; name its ports one by one", e.key, text)
			continue
		}
		if outside := strings.TrimSuffix(text, ":"+inside); outside != text && outside[strings.LastIndex(outside, ":")+1:] != number {
			leave(one.Line, "%s: %s: clients connect to the port %d of each node, no port is mapped", e.key, text, n)
		}
		if !slices.ContainsFunc(s.ports, func(p port) bool { return p.number == n }) {
			s.ports = append(s.ports, port{n, one.Line})
		}
	}
}

// volumes reads which paths of a service are data, and which are files of this machine.
func (r *reader) volumes(s *service, e entry, leave func(int, string, ...any)) {
	for _, one := range real(e.value).Content {
		one = real(one)
		source, target := "", ""
		if one.Kind == yaml.MappingNode {
			for _, long := range entries(one) {
				switch long.key {
				case "source":
					source = filled(long.value.Value)
				case "target":
					target = filled(long.value.Value)
				case "type":
					if long.value.Value == "bind" && source != "" && !strings.ContainsAny(source, "/.") {
						source = "./" + source
					}
				}
			}
		} else {
			parts := strings.Split(filled(one.Value), ":")
			target = parts[0]
			if len(parts) > 1 {
				source, target = parts[0], parts[1]
			}
		}
		if target == "" {
			leave(one.Line, "volumes: %s names no path", one.Value)
			continue
		}
		if !strings.HasPrefix(source, ".") && !strings.HasPrefix(source, "/") && !strings.HasPrefix(source, "~") { // a volume
			s.data = append(s.data, target)
			continue
		}
		from := source
		if !filepath.IsAbs(from) {
			from = filepath.Join(r.dir, from)
		}
		text, err := readSmall(from)
		if err != nil {
			if info := strings.HasSuffix(err.Error(), "is no file"); info {
				leave(one.Line, "volumes: %s is a directory, which is not put on nodes: name the files that it needs under files; %s counts as data", source, target)
				s.data = append(s.data, target)
				continue
			}
			leave(one.Line, "volumes: %v", err)
			continue
		}
		s.files = append(s.files, mounted{at: target, name: path.Base(target), text: text})
	}
}

// deploy reads how many there are of a service.
func (r *reader) deploy(s *service, e entry, leave func(int, string, ...any)) {
	count := func(at *yaml.Node) {
		if n, err := strconv.Atoi(filled(at.Value)); err == nil && n >= 1 && n <= 100 {
			s.replicas = n
		}
	}
	if e.key == "scale" {
		count(real(e.value))
		return
	}
	for _, one := range entries(e.value) {
		if one.key == "replicas" {
			count(real(one.value))
			continue
		}
		leave(one.line, "deploy.%s: nodes are what --nodes names, with what they have", one.key)
	}
}

// healthcheck makes a probe of a check that is known, since checks run inside of a container and probes from outside.
func (r *reader) healthcheck(s *service, e entry, leave func(int, string, ...any)) {
	for _, one := range entries(e.value) {
		switch one.key {
		case "test":
			words := texts(one.value)
			switch {
			case len(words) == 0 || words[0] == "NONE":
				continue
			case words[0] == "CMD":
				words = words[1:]
			case words[0] == "CMD-SHELL":
				words = split(strings.Join(words[1:], " "))
			case real(one.value).Kind == yaml.ScalarNode:
				words = split(words[0])
			}
			if s.health = probeOf(words); s.health == nil {
				leave(one.line, "healthcheck.test: %s runs inside of a container: what its ports answer is asked instead; see readiness_probe", strings.Join(words, " "))
			}
		case "disable":
		default:
			leave(one.line, "healthcheck.%s: probes go on until a server serves, every 50ms", one.key)
		}
	}
}

// probeOf is a check as a probe from outside; nil where it is not known.
func probeOf(words []string) *health {
	if at := slices.IndexFunc(words, func(w string) bool { return w == "||" || w == "&&" || w == "|" || w == ";" }); at >= 0 {
		words = words[:at]
	}
	if len(words) == 0 {
		return nil
	}
	switch path.Base(words[0]) {
	case "redis-cli", "valkey-cli":
		var command []string
		for i := 1; i < len(words); i++ {
			switch {
			case slices.Contains([]string{"-h", "-p", "-a", "-u", "-n", "--user", "--pass"}, words[i]):
				i++
			case strings.HasPrefix(words[i], "-"):
			default:
				command = append(command, words[i])
			}
		}
		if len(command) > 0 {
			return &health{kind: "resp", words: command}
		}
	case "pg_isready", "psql", "mysqladmin", "mariadb-admin", "healthcheck.sh":
		return &health{kind: "sql", words: []string{"SELECT 1"}}
	case "curl", "wget":
		for _, w := range words[1:] {
			at := w
			if strings.HasPrefix(w, "localhost") || strings.HasPrefix(w, "127.0.0.1") {
				at = "http://" + w
			}
			u, err := url.Parse(at)
			if err != nil || u.Scheme != "http" || u.Host == "" {
				continue
			}
			n := 80
			if u.Port() != "" {
				if n, err = strconv.Atoi(u.Port()); err != nil {
					return nil
				}
			}
			p := u.EscapedPath()
			if p == "" {
				p = "/"
			}
			if u.RawQuery != "" {
				p += "?" + u.RawQuery
			}
			return &health{kind: "http", path: p, port: n}
		}
	case "nc", "ncat":
		for _, w := range words[1:] {
			if n, err := strconv.Atoi(w); err == nil {
				return &health{kind: "port", port: n}
			}
		}
	}
	return nil
}

// String is a check as text, for messages.
func (h health) String() string { return fmt.Sprint(h.kind, " ", h.words, h.path) }
