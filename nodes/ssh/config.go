package ssh

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
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
	// revoked is a file of host keys that are refused, "" for none.
	revoked string
	// keysCommand is a command that would print known hosts, which is not run; "" for none.
	keysCommand string
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
	said, err := files.find(hostQuery{name: name, user: first(h.User, opt.User), home: home, relayed: !strings.EqualFold(first(h.Jump, opt.Jump, "none"), "none")})
	if err != nil {
		return settings{}, notSettled(name, err)
	}
	s := settings{name: name, hostName: strings.ToLower(name), port: h.Port, user: h.User}
	if err := s.settleTarget(opt, said, files.paths()); err != nil {
		return settings{}, err
	}
	if err := s.settleJump(h, opt, said); err != nil {
		return settings{}, err
	}
	s.checkAs = s.address()
	alias := said.one("hostkeyalias")
	if alias != "" {
		s.checkAs = net.JoinHostPort(alias, strconv.Itoa(defaultPort)) // the ssh command adds no port to an alias
	}
	paths := expander{tokens: tokensOf(s, home, strconv.Itoa(s.port), first(alias, name))}
	s.settleIdentities(h, opt, said, home, &paths)
	s.settleKnownHosts(opt, said, home, &paths)
	if paths.wrong != nil {
		return settings{}, notSettled(name, paths.wrong)
	}
	return s, nil
}

// settleTarget is where to connect to and as whom.
func (s *settings) settleTarget(opt Options, said found, source string) (err error) {
	if v := said.one("hostname"); v != "" {
		if s.hostName, err = expandTokens(v, map[byte]string{'h': s.name}, false); err != nil {
			return notSettled(s.name, err)
		}
		s.hostName = strings.ToLower(s.hostName)
	}
	if s.user == "" {
		s.user = first(opt.User, said.one("user"))
	}
	if s.user == "" {
		me, err := user.Current()
		if err != nil {
			return &UsageError{fmt.Sprintf("connect to %s: nobody can tell your user name; name one with --ssh-user", s.name)}
		}
		s.user = me.Username
	}
	if s.port == 0 {
		if s.port = opt.Port; s.port < 0 || s.port > 65535 {
			return &UsageError{fmt.Sprintf("connect to %s: --ssh-port %d is not a port (1 to 65535)", s.name, s.port)}
		}
	}
	if s.port == 0 {
		s.port = defaultPort
		if v := said.one("port"); v != "" {
			if s.port, err = parsePort(v); err != nil {
				return &UsageError{fmt.Sprintf("read the port of %s in %s: %v", s.name, source, err)}
			}
		}
	}
	return nil
}

// settleJump is through whom to connect.
func (s *settings) settleJump(h Host, opt Options, said found) error {
	if s.jump = first(h.Jump, opt.Jump); s.jump == "" {
		tokens := map[byte]string{'h': s.hostName, 'n': s.name, 'p': strconv.Itoa(s.port), 'r': s.user}
		var err error
		if s.jump, err = expandTokens(said.one("proxyjump"), tokens, false); err != nil {
			return notSettled(s.name, err)
		}
	}
	if s.jump = strings.ReplaceAll(s.jump, "ssh://", ""); strings.EqualFold(s.jump, "none") {
		s.jump = ""
	}
	if v := said.one("proxycommand"); v != "" && !strings.EqualFold(v, "none") && first(h.Jump, opt.Jump) == "" {
		return &UsageError{fmt.Sprintf("connect to %s: ssh_config says ProxyCommand %s, and nemesis starts no programs for that; write it as ProxyJump, or pass --ssh-jump", s.name, v)}
	}
	return nil
}

// settleIdentities is by which keys, certificates and agent to log in.
func (s *settings) settleIdentities(h Host, opt Options, said found, home string, paths *expander) {
	s.keys = h.Keys
	if len(s.keys) == 0 {
		s.keys = opt.Keys
	}
	s.keysNamed = len(s.keys) > 0
	if !s.keysNamed {
		s.keys = paths.expand(said["identityfile"])
		if len(said["identityfile"]) == 0 && home != "" {
			for _, kind := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
				s.keys = append(s.keys, filepath.Join(home, ".ssh", kind))
			}
		}
	}
	s.certificates = paths.expand(said["certificatefile"])
	s.identitiesOnly = isYes(said.one("identitiesonly"))

	s.agentSocket = os.Getenv("SSH_AUTH_SOCK")
	switch v := said.one("identityagent"); {
	case v == "" || v == "SSH_AUTH_SOCK":
	case strings.EqualFold(v, "none"):
		s.agentSocket = ""
	case strings.HasPrefix(v, "$") && !strings.HasPrefix(v, "${"):
		s.agentSocket = os.Getenv(v[1:])
	default:
		s.agentSocket = strings.Join(paths.expand([]string{v}), "")
	}
}

// settleKnownHosts is where the host's key is looked up.
func (s *settings) settleKnownHosts(opt Options, said found, home string, paths *expander) {
	s.acceptNew = strings.EqualFold(said.one("stricthostkeychecking"), "accept-new")
	if v := said.one("revokedhostkeys"); !strings.EqualFold(v, "none") {
		s.revoked = strings.Join(paths.expand(said["revokedhostkeys"]), "")
	}
	if s.knownHosts = opt.KnownHosts; len(s.knownHosts) > 0 {
		return
	}
	if v := said.one("knownhostscommand"); !strings.EqualFold(v, "none") {
		s.keysCommand = v
	}
	s.knownHosts = paths.expand(said["userknownhostsfile"])
	if said["userknownhostsfile"] == nil && home != "" {
		s.knownHosts = []string{filepath.Join(home, ".ssh", "known_hosts"), filepath.Join(home, ".ssh", "known_hosts2")}
	}
	global := said["globalknownhostsfile"] // in which nothing is expanded
	if global == nil {
		global = []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
	}
	for _, path := range global {
		if !strings.EqualFold(path, "none") {
			s.knownHosts = append(s.knownHosts, path)
		}
	}
}

// expander expands paths of a configuration, and keeps the first error.
type expander struct {
	tokens map[byte]string
	wrong  error
}

// expand leaves out "none".
func (e *expander) expand(paths []string) (all []string) {
	for _, path := range paths {
		if strings.EqualFold(path, "none") {
			continue
		}
		path, err := expandPath(path, e.tokens)
		if err != nil && e.wrong == nil {
			e.wrong = err
		}
		all = append(all, path)
	}
	return all
}

// notSettled says that the configuration leaves something about a host open.
func notSettled(name string, err error) error {
	return &UsageError{fmt.Sprintf("connect to %s: read its ssh configuration: %v; --ssh-config none does without", name, err)}
}

func isYes(v string) bool { return strings.EqualFold(v, "yes") || strings.EqualFold(v, "true") }

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
