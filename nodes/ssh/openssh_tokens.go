package ssh

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// tokensOf are what the ssh command puts in the place of % and a letter, in the files and
// commands that a configuration names for this host.
func tokensOf(s settings, home, port, alias string) map[byte]string {
	machine, _ := os.Hostname()
	short, _, _ := strings.Cut(machine, ".")
	name, id := "", ""
	if me, err := user.Current(); err == nil {
		name, id = me.Username, me.Uid
	}
	// The jump host proper is the last one, without user and port.
	_, jump, several := cutLast(s.jump, ",")
	if !several {
		jump = s.jump
	}
	if _, host, is := cutLast(jump, "@"); is {
		jump = host
	}
	if host, _, err := splitPort(jump); err == nil {
		jump = host
	}
	sum := sha1.Sum([]byte(machine + s.hostName + port + s.user + jump))
	return map[byte]string{
		'C': hex.EncodeToString(sum[:]), 'L': short, 'd': home, 'h': s.hostName, 'i': id, 'j': jump, 'k': alias,
		'l': machine, 'n': s.name, 'p': port, 'r': s.user, 'u': name,
	}
}

// expandTokens puts in what % and a letter stand for, and with environment what ${NAME}
// does.
func expandTokens(text string, tokens map[byte]string, environment bool) (string, error) {
	if !strings.ContainsAny(text, "%$") {
		return text, nil
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		switch {
		case environment && strings.HasPrefix(rest, "${"):
			name, _, is := strings.Cut(rest[2:], "}")
			value, set := os.LookupEnv(name)
			if !is || !set {
				return "", fmt.Errorf("the environment has no %s, which %q asks for", first(name, "variable of that name"), text)
			}
			b.WriteString(value)
			i += len("${}") + len(name) - 1
		case strings.HasPrefix(rest, "%%"):
			b.WriteByte('%')
			i++
		case rest[0] == '%':
			if len(rest) == 1 {
				return "", fmt.Errorf("a %% stands at the end of %q", text)
			}
			value, is := tokens[rest[1]]
			if !is {
				return "", fmt.Errorf("nothing is known for %%%c in %q", rest[1], text)
			}
			b.WriteString(value)
			i++
		default:
			b.WriteByte(rest[0])
		}
	}
	return b.String(), nil
}

// expandPath makes the path of a file that a configuration names.
func expandPath(path string, tokens map[byte]string) (string, error) {
	if rest, is := strings.CutPrefix(path, "~"); is {
		name, within, _ := strings.Cut(rest, "/")
		dir := tokens['d']
		if name != "" {
			somebody, err := user.Lookup(name)
			if err != nil {
				return "", fmt.Errorf("%q: there is no user %s", path, name)
			}
			dir = somebody.HomeDir
		}
		if dir != "" {
			path = filepath.Join(strings.ReplaceAll(dir, "%", "%%"), within)
		}
	}
	return expandTokens(path, tokens, true)
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
