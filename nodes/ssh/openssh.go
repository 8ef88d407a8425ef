package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The ssh command's configuration files, read as ssh_config(5) and readconf.c say. What
// cannot be understood is kept with its line, and is an error only for a host that it
// concerns: the file is shared by all hosts and all programs.

// configFiles are configuration files in order of precedence.
type configFiles []*configFile

type configFile struct {
	path  string
	lines []configLine
	// open: others than the owner may write the file.
	open bool
}

type configLine struct {
	at       string // file:line
	keyword  string // in small letters
	rest     string // what follows it
	args     []string
	bad      string // why the arguments, or the included files, cannot be read
	included []*configFile
	open     bool // of its file
}

// maxIncludes bounds how deep files include files, as in OpenSSH.
const maxIncludes = 16

// readConfig reads the files that hold for the options; home is "" if nobody knows it.
func readConfig(opt Options, home string) (configFiles, error) {
	if opt.ConfigText != "" {
		file := &configFile{path: opt.ConfigName}
		file.parse(opt.ConfigText, home, filepath.Join(home, ".ssh"), 0)
		return configFiles{file}, nil
	}
	const system = "/etc/ssh"
	type place struct{ path, includes string }
	user := filepath.Join(home, ".ssh")
	var places []place
	switch opt.Config {
	case "none":
	case "":
		if home != "" {
			places = append(places, place{filepath.Join(user, "config"), user})
		}
		places = append(places, place{filepath.Join(system, "ssh_config"), system})
	default:
		places = []place{{opt.Config, user}}
	}
	var files configFiles
	for _, p := range places {
		file, err := readConfigFile(p.path, home, p.includes, 0)
		if opt.Config == "" && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, &UsageError{fmt.Sprintf("read ssh configuration: %v", err)}
		}
		files = append(files, file)
	}
	return files, nil
}

func readConfigFile(path, home, includes string, depth int) (*configFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	content, err := readFile(path)
	if err != nil {
		return nil, err
	}
	file := &configFile{path: path, open: info.Mode().Perm()&0o022 != 0}
	file.parse(string(content), home, includes, depth)
	return file, nil
}

// parse reads lines; files with relative names are included from the directory.
func (f *configFile) parse(content, home, includes string, depth int) {
	n := 0
	for text := range strings.SplitSeq(content, "\n") {
		n++
		text = strings.Trim(text, " \t\r\f")
		if text == "" || text[0] == '#' {
			continue
		}
		line := configLine{at: fmt.Sprintf("%s:%d", f.path, n), open: f.open}
		line.keyword, line.rest = cutWord(text)
		line.keyword = strings.ToLower(line.keyword)
		var err error
		if line.args, err = splitArguments(line.rest); err != nil {
			line.bad = err.Error()
		}
		if line.keyword == "include" && line.bad == "" {
			line.include(home, includes, depth)
		}
		f.lines = append(f.lines, line)
	}
}

// include reads the files that an Include names. One that is not there is none.
func (l *configLine) include(home, includes string, depth int) {
	if depth == maxIncludes {
		l.bad = fmt.Sprintf("files include one another %d deep", maxIncludes)
		return
	}
	for _, pattern := range l.args {
		if rest, is := strings.CutPrefix(pattern, "~/"); is {
			pattern = filepath.Join(home, rest)
		} else if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(includes, pattern)
		}
		paths, err := filepath.Glob(pattern)
		if err != nil {
			l.bad = fmt.Sprintf("%q is no pattern of files", pattern)
			return
		}
		for _, path := range paths {
			file, err := readConfigFile(path, home, includes, depth+1)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				l.bad = err.Error()
				return
			}
			l.included = append(l.included, file)
		}
	}
}

// cutWord takes the first word off a line, which may be in double quotes, and what
// separates it from the rest: blanks, and perhaps an equals sign.
func cutWord(s string) (word, rest string) {
	s = strings.TrimLeft(s, " \t")
	if inside, is := strings.CutPrefix(s, `"`); is {
		word, rest, _ = strings.Cut(inside, `"`)
	} else if at := strings.IndexAny(s, " \t="); at >= 0 {
		word, rest = s[:at], s[at:]
	} else {
		return s, ""
	}
	rest = strings.TrimLeft(rest, " \t")
	if after, is := strings.CutPrefix(rest, "="); is {
		rest = strings.TrimLeft(after, " \t")
	}
	return word, rest
}

// splitArguments splits a line at blanks up to a comment. Quotes of either sort join, and a
// backslash takes the meaning from a quote, a backslash and, outside of quotes, a blank.
func splitArguments(s string) ([]string, error) {
	var args []string
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' || s[i] == '\t' {
			continue
		}
		if s[i] == '#' {
			break
		}
		var arg strings.Builder
		quote := byte(0)
		for ; i < len(s); i++ {
			c := s[i]
			switch {
			case c == '\\' && i+1 < len(s) && (s[i+1] == '\'' || s[i+1] == '"' || s[i+1] == '\\' || quote == 0 && s[i+1] == ' '):
				i++
				arg.WriteByte(s[i])
				continue
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
				continue
			case quote != 0 && c == quote:
				quote = 0
				continue
			}
			if quote == 0 && (c == ' ' || c == '\t') {
				break
			}
			arg.WriteByte(c)
		}
		if quote != 0 {
			return nil, errors.New("a quote is never closed")
		}
		args = append(args, arg.String())
	}
	return args, nil
}

// each visits all lines, those of included files in their place.
func (f configFiles) each(visit func(*configLine)) {
	for _, file := range f {
		for i := range file.lines {
			visit(&file.lines[i])
			configFiles(file.lines[i].included).each(visit)
		}
	}
}

// patterns are those by which a line may name hosts.
func (l *configLine) patterns() []string {
	switch l.keyword {
	case "host":
		return l.args
	case "match":
		var all []string
		for rest := l.rest; rest != ""; {
			var word string
			word, rest = cutWord(rest)
			if word = strings.ToLower(word); word == "host" || word == "originalhost" {
				word, rest = cutWord(rest)
				all = append(all, strings.Split(word, ",")...)
			}
		}
		return all
	}
	return nil
}

// names says whether a block is meant for this host, and not for any.
func (f configFiles) names(host string) bool {
	found := false
	f.each(func(l *configLine) {
		named := false
		for _, p := range l.patterns() {
			if denied, is := strings.CutPrefix(p, "!"); is {
				if matchPattern(host, denied) {
					return
				}
			} else if matchPattern(host, p) && strings.Trim(p, "*?") != "" {
				named = true
			}
		}
		found = found || named
	})
	return found
}

// named lists the names that Host blocks have without a wildcard, in the order of
// the files.
func (f configFiles) named() []string {
	var names []string
	seen := make(map[string]bool)
	f.each(func(l *configLine) {
		if l.keyword != "host" {
			return
		}
		for _, p := range l.args {
			if !strings.ContainsAny(p, "*?!") && !seen[p] {
				seen[p] = true
				names = append(names, p)
			}
		}
	})
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

// matchPattern reports whether a text fits a pattern, in which * stands for any text and ?
// for any character.
func matchPattern(s, pattern string) bool {
	star, from := -1, 0
	i, p := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			i, p = i+1, p+1
		case star >= 0:
			from++
			i, p = from, star+1
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchList reports whether a text fits one of the patterns of a list and none that is
// denied.
func matchList(s string, patterns []string) bool {
	fits := false
	for _, p := range patterns {
		denied, is := strings.CutPrefix(p, "!")
		switch {
		case is && matchPattern(s, denied):
			return false
		case !is && matchPattern(s, p):
			fits = true
		}
	}
	return fits
}
