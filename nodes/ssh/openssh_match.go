package ssh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strings"
	"time"
)

// hostQuery is a host that configuration files are asked about, and what is settled already.
type hostQuery struct {
	name string // as the user wrote it
	user string // that the user named, "" for none
	home string
	// relayed: it is reached through another host, whatever the files say.
	relayed bool
	// resolves says whether an address is known for a name; nil asks DNS.
	resolves func(host string) bool
}

// found is what the files say about a host: of each keyword the first line that applies.
type found map[string][]string

func (f found) one(keyword string) string {
	if args := f[keyword]; len(args) > 0 {
		return args[0]
	}
	return ""
}

// keywords are those that matter to us. All others are skipped, whatever they say.
var keywords = []string{"hostname", "user", "port", "proxyjump", "proxycommand", "identityfile", "certificatefile",
	"identitiesonly", "identityagent", "userknownhostsfile", "globalknownhostsfile", "hostkeyalias", "stricthostkeychecking",
	"knownhostscommand", "revokedhostkeys",
	"canonicalizehostname", "canonicaldomains", "canonicalizemaxdots", "canonicalizefallbacklocal", "canonicalizepermittedcnames"}

// accumulates tells the keywords of which every line counts.
func accumulates(keyword string) bool {
	return keyword == "identityfile" || keyword == "certificatefile"
}

// lookup is one pass after another over configuration files for one host.
type lookup struct {
	hostQuery
	found found
	local string // the user's own name
	// final: this is the second pass, which a "Match final" anywhere asks for.
	final, wantsFinal bool
}

// applies says whether the lines of a block are for this host.
type applies struct {
	yes bool
	// unless is why nobody knows, "" if it is known.
	unless string
}

// find goes through the files as the ssh command does. What cannot be decided is an error
// if it would matter: if a line depends on it that says something of ours, for the first time.
func (f configFiles) find(q hostQuery) (found, error) {
	l := &lookup{hostQuery: q, found: make(found)}
	if me, err := user.Current(); err == nil {
		l.local = me.Username
	}
	if err := l.pass(f); err != nil {
		return nil, err
	}
	canonical := ""
	if v := l.found.one("canonicalizehostname"); isYes(v) || strings.EqualFold(v, "always") {
		var err error
		if canonical, err = l.canonical(); err != nil {
			return nil, err
		}
		l.wantsFinal = true
	}
	if !l.wantsFinal {
		return l.found, nil
	}
	host, err := l.hostName()
	if err != nil {
		return nil, err
	}
	host = first(canonical, host)
	l.found["hostname"] = []string{strings.ToLower(host)}
	l.final = true
	// The lines that accumulate are gone through once more, and count once.
	return l.found, l.pass(f)
}

// blockName is what Host blocks are compared with: in the second pass what the first has
// made of the name.
func (l *lookup) blockName() string {
	if l.final {
		return l.found.one("hostname")
	}
	return l.name
}

// hostName is the host that is looked up, as far as it is known.
func (l *lookup) hostName() (string, error) {
	v := l.found.one("hostname")
	if v == "" {
		return l.name, nil
	}
	return expandTokens(v, map[byte]string{'h': l.name}, false)
}

func (l *lookup) pass(files configFiles) error {
	for _, file := range files {
		state := applies{yes: true}
		if err := l.walk(file, &state, state); err != nil {
			return err
		}
	}
	return nil
}

// walk goes through one file. Base is what holds for all of it: that of the block which
// includes it.
func (l *lookup) walk(file *configFile, state *applies, base applies) error {
	for i := range file.lines {
		line := &file.lines[i]
		switch line.keyword {
		case "host", "match":
			*state = base
			if !base.yes {
				continue
			}
			own := applies{yes: true}
			switch {
			case line.keyword == "match":
				own = l.match(line)
			case line.bad != "":
				own.unless = line.bad
			default:
				own.yes = matchList(l.blockName(), line.args)
			}
			if state.yes = own.yes; own.yes && state.unless == "" && own.unless != "" {
				state.unless = line.at + ": " + own.unless
			}
		case "include":
			if line.bad != "" && state.yes {
				return fmt.Errorf("%s: %s", line.at, line.bad)
			}
			for _, inner := range line.included {
				within := *state
				if err := l.walk(inner, &within, *state); err != nil {
					return err
				}
			}
		default:
			if err := l.take(line, state); err != nil {
				return err
			}
		}
	}
	return nil
}

// take takes what a line says, if it applies and says something new.
func (l *lookup) take(line *configLine, state *applies) error {
	k := line.keyword
	if !state.yes || !slices.Contains(keywords, k) || (l.found[k] != nil && !accumulates(k)) {
		return nil
	}
	switch { // whichever is first keeps the other out
	case k == "proxycommand" && first(l.found.one("proxyjump"), "none") != "none", k == "proxyjump" && l.found["proxycommand"] != nil:
		return nil
	case state.unless != "":
		return fmt.Errorf("%s: whether its %s holds for %s is not known: %s", line.at, k, l.name, state.unless)
	case k == "proxycommand" || k == "knownhostscommand":
		l.found[k] = []string{line.rest}
		return nil
	case line.bad != "":
		return fmt.Errorf("%s: %s", line.at, line.bad)
	case len(line.args) == 0:
		return fmt.Errorf("%s: %s says nothing", line.at, k)
	}
	if !accumulates(k) {
		l.found[k] = line.args
	} else if arg := line.args[0]; !slices.Contains(l.found[k], arg) {
		l.found[k] = append(l.found[k], arg)
	}
	return nil
}

// match decides a Match line. A criterion that is not met decides it whatever the others
// are; as long as all are met, those that nemesis does not know leave it open.
func (l *lookup) match(line *configLine) applies {
	own := applies{yes: true}
	for rest := line.rest; rest != ""; {
		var word, arg string
		if word, rest = cutWord(rest); strings.HasPrefix(word, "#") {
			break
		}
		criterion, denied := strings.CutPrefix(strings.ToLower(word), "!")
		met := true
		switch criterion {
		case "all":
			// nothing to ask
		case "final", "canonical":
			l.wantsFinal = l.wantsFinal || criterion == "final"
			met = l.final
		case "host", "originalhost", "user", "localuser", "exec":
			if arg, rest = cutWord(rest); arg == "" {
				own.unless = fmt.Sprintf("Match %s names nothing", criterion)
				continue
			}
			var unknown string
			if met, unknown = l.meets(criterion, arg, line, own.yes); unknown != "" {
				own.unless = unknown
				continue
			}
		default:
			// Those that OpenSSH has added since have one argument each.
			_, rest = cutWord(rest)
			own.unless = fmt.Sprintf("nemesis does not know Match %s", criterion)
			continue
		}
		if met == denied {
			own.yes = false
		}
	}
	return own
}

func (l *lookup) meets(criterion, arg string, line *configLine, ask bool) (met bool, unknown string) {
	host, err := l.hostName()
	if err != nil {
		return false, err.Error()
	}
	switch criterion {
	case "host":
		return matchList(strings.ToLower(host), strings.Split(strings.ToLower(arg), ",")), ""
	case "originalhost":
		return matchList(strings.ToLower(l.name), strings.Split(strings.ToLower(arg), ",")), ""
	case "user":
		return matchList(first(l.user, l.found.one("user"), l.local), strings.Split(arg, ",")), ""
	case "localuser":
		return matchList(l.local, strings.Split(arg, ",")), ""
	}
	if !ask {
		return true, ""
	}
	if line.open {
		return false, "Match exec runs nothing that others may write; take their right to write the file away"
	}
	command, err := expandTokens(arg, l.tokens(), false)
	if err != nil {
		return false, err.Error()
	}
	return runs(command)
}

// tokens are what stands for % and a letter.
func (l *lookup) tokens() map[byte]string {
	host, err := l.hostName()
	if err != nil {
		host = l.name
	}
	return tokensOf(settings{name: l.name, hostName: host, user: first(l.user, l.found.one("user"), l.local), jump: l.found.one("proxyjump")},
		l.home, first(l.found.one("port"), fmt.Sprint(defaultPort)), first(l.found.one("hostkeyalias"), l.name))
}

// execPatience is how long the command of a Match exec may take.
const execPatience = 10 * time.Second

// runs says whether a command succeeds, as the ssh command asks: by the user's shell, with
// no input, its output unread.
func runs(command string) (succeeds bool, unknown string) {
	ctx, cancel := context.WithTimeout(context.Background(), execPatience)
	defer cancel()
	err := exec.CommandContext(ctx, first(os.Getenv("SHELL"), "/bin/sh"), "-c", command).Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return false, fmt.Sprintf("the command of Match exec did not end within %v", execPatience)
	case err != nil && !errors.As(err, &exit):
		return false, fmt.Sprintf("the command of Match exec did not start: %v", err)
	}
	return err == nil, ""
}
