package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kevinburke/ssh_config"

	"nemesis/nodes"
)

// settings is everything that is settled about one host before it is dialled.
type settings struct {
	name           string // as the user wrote it
	hostName       string // to look up
	port           int
	user           string
	checkAs        string // host:port under which known hosts list its key
	keys           []string
	keysNamed      bool // by the user's own flag: each must be usable, and no other is tried
	identitiesOnly bool
	certificates   []string // files, beside those that lie next to a key
	agentSocket    string
	knownHosts     []string
	// acceptNew remembers the key of a host that none is known of; a changed key is refused.
	acceptNew bool
	jump      string // as ProxyJump says it, "" for none
}

func (s settings) address() string { return net.JoinHostPort(s.hostName, strconv.Itoa(s.port)) }

// settle merges what the user wrote for this host, the flags, the configuration
// files and the defaults, in that order.
func settle(h Host, opt Options) (settings, error) {
	name := h.HostName
	if name == "" {
		name = h.Node.Address.String()
	}
	home, _ := os.UserHomeDir() // without one, "~" stays what it is and no default key is found

	files, err := readConfig(opt, home)
	if err != nil {
		return settings{}, err
	}
	if h.Alias && !files.names(name) {
		return settings{}, &UsageError{fmt.Sprintf("find ssh-config:%s: no Host block names it in %s", name, files.paths())}
	}

	s := settings{name: name, hostName: name, port: h.Port, user: h.User}
	if v := files.get(name, "HostName"); v != "" {
		s.hostName = strings.ReplaceAll(v, "%h", name)
	}
	if s.user == "" {
		s.user = first(opt.User, files.get(name, "User"))
	}
	if s.user == "" {
		me, err := user.Current()
		if err != nil {
			return settings{}, &UsageError{fmt.Sprintf("connect to %s: nobody can tell your user name; name one with --ssh-user", name)}
		}
		s.user = me.Username
	}
	if s.port == 0 {
		if s.port = opt.Port; s.port < 0 || s.port > 65535 {
			return settings{}, &UsageError{fmt.Sprintf("connect to %s: --ssh-port %d is not a port (1 to 65535)", name, s.port)}
		}
	}
	if s.port == 0 {
		s.port = defaultPort
		if v := files.get(name, "Port"); v != "" {
			if s.port, err = parsePort(v); err != nil {
				return settings{}, &UsageError{fmt.Sprintf("read the port of %s in %s: %v", name, files.paths(), err)}
			}
		}
	}

	if s.jump = first(h.Jump, opt.Jump, files.get(name, "ProxyJump")); strings.EqualFold(s.jump, "none") {
		s.jump = ""
	}
	if v := files.get(name, "ProxyCommand"); v != "" && !strings.EqualFold(v, "none") && first(h.Jump, opt.Jump, files.get(name, "ProxyJump")) == "" {
		return settings{}, &UsageError{fmt.Sprintf("connect to %s: ssh_config says ProxyCommand %s, and nemesis starts no programs for that; write it as ProxyJump, or pass --ssh-jump", name, v)}
	}

	expand := func(path string) string {
		path = strings.NewReplacer("%%", "%", "%d", home, "%h", s.hostName, "%n", name, "%r", s.user).Replace(path)
		if rest, ok := strings.CutPrefix(path, "~/"); ok && home != "" {
			return filepath.Join(home, rest)
		}
		return path
	}

	s.checkAs = s.address()
	if v := files.get(name, "HostKeyAlias"); v != "" {
		s.checkAs = net.JoinHostPort(v, strconv.Itoa(defaultPort)) // the ssh command adds no port to an alias
	}

	s.keys = h.Keys
	if len(s.keys) == 0 {
		s.keys = opt.Keys
	}
	s.keysNamed = len(s.keys) > 0
	if !s.keysNamed {
		for _, path := range files.all(name, "IdentityFile") {
			s.keys = append(s.keys, expand(path))
		}
	}
	for _, path := range files.all(name, "CertificateFile") {
		s.certificates = append(s.certificates, expand(path))
	}
	s.identitiesOnly = strings.EqualFold(files.get(name, "IdentitiesOnly"), "yes")
	if len(s.keys) == 0 && home != "" {
		for _, kind := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			s.keys = append(s.keys, filepath.Join(home, ".ssh", kind))
		}
	}

	s.agentSocket = os.Getenv("SSH_AUTH_SOCK")
	switch v := files.get(name, "IdentityAgent"); {
	case v == "" || v == "SSH_AUTH_SOCK":
	case strings.EqualFold(v, "none"):
		s.agentSocket = ""
	case strings.HasPrefix(v, "$"):
		s.agentSocket = os.Getenv(strings.Trim(v, "${}"))
	default:
		s.agentSocket = expand(v)
	}

	s.knownHosts = opt.KnownHosts
	if len(s.knownHosts) == 0 {
		for _, path := range pathsIn(files.get(name, "UserKnownHostsFile")) {
			s.knownHosts = append(s.knownHosts, expand(path))
		}
		if len(s.knownHosts) == 0 && home != "" {
			s.knownHosts = []string{filepath.Join(home, ".ssh", "known_hosts")}
		}
		s.knownHosts = append(s.knownHosts, "/etc/ssh/ssh_known_hosts")
	}
	s.acceptNew = strings.EqualFold(files.get(name, "StrictHostKeyChecking"), "accept-new")
	return s, nil
}

// configFiles are the configuration files in order of precedence.
type configFiles []configFile

type configFile struct {
	path string
	*ssh_config.Config
}

func readConfig(opt Options, home string) (configFiles, error) {
	if opt.ConfigText != "" {
		cfg, err := ssh_config.DecodeBytes([]byte(opt.ConfigText))
		if err != nil {
			return nil, fmt.Errorf("read %s: %s", opt.ConfigName, nodes.OneLine(strings.TrimPrefix(err.Error(), "ssh_config: ")))
		}
		return configFiles{{opt.ConfigName, cfg}}, nil
	}
	const system = "/etc/ssh/ssh_config"
	path := opt.Config
	var paths []string
	switch path {
	case "none":
	case "":
		if home != "" {
			paths = append(paths, filepath.Join(home, ".ssh", "config"))
		}
		paths = append(paths, system)
	default:
		paths = []string{path}
	}
	var files configFiles
	for _, p := range paths {
		content, err := os.ReadFile(p)
		if path == "" && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, &UsageError{fmt.Sprintf("read ssh configuration: %v", err)}
		}
		cfg, err := ssh_config.DecodeBytes(content)
		if err != nil && p == system {
			continue // some distributions ship Match criteria there that only the ssh command knows
		}
		if err != nil {
			return nil, &UsageError{fmt.Sprintf("read ssh configuration %s: %s; --ssh-config none does without", p, strings.TrimPrefix(err.Error(), "ssh_config: "))}
		}
		files = append(files, configFile{p, cfg})
	}
	return files, nil
}

func (f configFiles) get(host, key string) string {
	for _, file := range f {
		if v, err := file.Get(host, key); err == nil && v != "" {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}

// pathsIn splits a list of paths at blanks. The parser has taken the quotes off a
// path that is alone, so that a word with which no path begins goes on with the
// path before it.
func pathsIn(list string) []string {
	var all []string
	for i, part := range strings.Split(list, `"`) {
		if i%2 == 1 {
			all = append(all, part)
			continue
		}
		for word := range strings.FieldsSeq(part) {
			if last := len(all) - 1; last < 0 || strings.ContainsRune("/~%", rune(word[0])) {
				all = append(all, word)
			} else {
				all[last] += " " + word
			}
		}
	}
	return all
}

func (f configFiles) all(host, key string) []string {
	var values []string
	for _, file := range f {
		vs, err := file.GetAll(host, key)
		if err != nil {
			continue
		}
		for _, v := range vs {
			values = append(values, strings.Trim(v, `"`))
		}
	}
	return values
}

// names says whether a Host block is meant for this host, and not for any.
func (f configFiles) names(host string) bool {
	for _, file := range f {
		if namedIn(file.Config, host) {
			return true
		}
	}
	return false
}

// namedIn compares the patterns' text: a block with nothing but wildcards
// names nobody. A block that an Include brings in is asked through the settings
// it gives, since the parser keeps included files to itself.
func namedIn(cfg *ssh_config.Config, host string) bool {
	for _, block := range cfg.Hosts {
		if !block.Matches(host) {
			continue
		}
		for _, p := range block.Patterns {
			if text := p.String(); text[0] != '!' && strings.Trim(text, "*?") != "" {
				return true
			}
		}
		for _, node := range block.Nodes {
			inc, ok := node.(*ssh_config.Include)
			if !ok {
				continue
			}
			for _, key := range []string{"HostName", "User", "Port", "IdentityFile"} {
				if inc.Get(host, key) != inc.Get("\x00nobody", key) {
					return true
				}
			}
		}
	}
	return false
}

// named lists the names that Host blocks have without a wildcard, in the order of
// the files. The parser keeps included files to itself.
func (f configFiles) named() []string {
	var names []string
	for _, file := range f {
		for _, block := range file.Hosts {
			for _, p := range block.Patterns {
				if text := p.String(); !strings.ContainsAny(text, "*?!") && !slices.Contains(names, text) {
					names = append(names, text)
				}
			}
		}
	}
	return names
}

func (f configFiles) paths() string {
	if len(f) == 0 {
		return "any ssh configuration file (there is none)"
	}
	var paths []string
	for _, file := range f {
		paths = append(paths, file.path)
	}
	return strings.Join(paths, " or ")
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func parsePort(s string) (int, error) {
	port, err := strconv.ParseUint(s, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("%q is not a port (1 to 65535)", s)
	}
	return int(port), nil
}
