package agent

import (
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nodes"
)

// What is wrong with the file that lies on the node under our name.
var (
	// errWrongBinary: it is not our binary.
	errWrongBinary = errors.New("the node's copy of nemesis is damaged")
	// errCannotRun: the node's shell could not execute it. It may be damaged, or held open
	// for writing by somebody for a moment more ("text file busy").
	errCannotRun = errors.New("the node cannot execute its copy of nemesis")
)

// A program that was uploaded a moment ago, and cannot be executed, is tried again: a
// server that received it in a process that forks may hold it open (golang/go 22315).
const (
	busyTries = 20
	busyPause = 100 * time.Millisecond
)

// executable is the program to run on the node.
type executable struct {
	path   string
	sha256 string
	arch   string // GOARCH, "" when it is not a Linux executable
}

// machines are the processors we can name, by what ELF and uname call them.
var machines = []struct {
	elf    elf.Machine
	goarch string
	uname  []string
}{
	{elf.EM_X86_64, "amd64", []string{"x86_64", "amd64"}},
	{elf.EM_AARCH64, "arm64", []string{"aarch64", "arm64"}},
	{elf.EM_386, "386", []string{"i386", "i486", "i586", "i686"}},
	{elf.EM_ARM, "arm", []string{"armv6l", "armv7l", "armv8l"}},
	{elf.EM_RISCV, "riscv64", []string{"riscv64"}},
	{elf.EM_PPC64, "ppc64le", []string{"ppc64le"}},
	{elf.EM_S390, "s390x", []string{"s390x"}},
	{elf.EM_LOONGARCH, "loong64", []string{"loongarch64"}},
}

// OwnExecutable is the program that runs. As the first of a ProcessSpec's Argv it is the agent itself: nemesis, made for the
// node's processor, also after its file was replaced or removed.
const OwnExecutable = "/proc/self/exe"

func openBinary(name string) (*executable, error) {
	if name == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find the running nemesis binary: %w: pass --agent-binary", err)
		}
		name = self
		if runtime.GOOS == "linux" {
			name = OwnExecutable // the same content even when the file was replaced meanwhile
		}
	}
	f, _, err := history.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the agent's binary: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, fmt.Errorf("read the agent's binary: %w", err)
	}
	return &executable{path: name, sha256: hex.EncodeToString(h.Sum(nil)), arch: archOf(f)}, nil
}

// ArchOf is the processor, as GOARCH, that a Linux executable on the control node was made
// for; "" for any other file.
func ArchOf(path string) string {
	f, _, err := history.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	return archOf(f)
}

func archOf(f io.ReaderAt) string {
	e, err := elf.NewFile(f)
	if err != nil {
		return ""
	}
	for _, m := range machines {
		if m.elf == e.Machine {
			return m.goarch
		}
	}
	return ""
}

// file is the binary's name on a node: by content, so that an equal one need not
// be sent again, and two versions never overwrite each other while running.
func (b *executable) file() string { return "nemesis-" + b.sha256[:16] }

func (b *executable) upload(ctx context.Context, conn nodes.Conn, to string) error {
	f, _, err := history.Open(b.path)
	if err != nil {
		return fmt.Errorf("read the agent's binary: %w", err)
	}
	defer f.Close()
	return conn.Upload(ctx, f, to, 0o755)
}

// site is where the agent lives on one node.
type site struct {
	binary string // its executable
	dir    string // the agent's directory
	cache  string // where contents are kept across clusters, "" for in dir
	have   bool   // the executable is there
	sudo   bool
}

func (s site) argv(opt Options) []string {
	argv := []string{s.binary, "agent", "--dir", s.dir}
	if s.sudo {
		argv = append([]string{"sudo", "-n", "--"}, argv...)
	}
	if s.cache != "" {
		argv = append(argv, "--cache", s.cache)
	}
	if opt.NoCgroup {
		argv = append(argv, "--no-cgroup")
	}
	return argv
}

// surveyScript looks for a directory of ours that can hold and run a program. It
// needs no more than POSIX sh and the base utilities that a login needs anyway.
//
// A directory that somebody else owns is not ours: /var/tmp is open to all, and a
// program put into a stranger's directory is the stranger's to replace.
const surveyScript = `
file=$1; shift
uid=$(id -u) && os=$(uname -s) && arch=$(uname -m) || exit 1
printf 'uid %s\nos %s\narch %s\n' "$uid" "$os" "$arch"
usable() {
	[ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] && [ -w "$1" ] || return 1
	probe="$1/.run-test.$(uname -n).$$" # local nodes share the cache and number their processes alike
	{ printf '#!/bin/sh\nexit 0\n' >"$probe" && chmod 700 "$probe" && "$probe"; } 2>/dev/null
	result=$?
	rm -f "$probe"
	return $result
}
cache=/var/cache/nemesis
if usable "$cache"; then
	printf 'cache %s\n' "$cache"
	if [ -x "$cache/$file" ]; then printf 'have %s\n' "$cache/$file"; fi
fi
for home do
	case $home in default)
		home=/var/tmp/nemesis-$uid
		if [ "$uid" = 0 ]; then home=/var/lib/nemesis; fi;;
	fallback) home=/var/tmp/nemesis-$uid;;
	esac
	mkdir -p -m 700 "$home" 2>/dev/null
	if usable "$home"; then
		printf 'home %s\n' "$home"
		if [ -x "$home/agent/bin/$file" ]; then printf 'have %s\n' "$home/agent/bin/$file"; fi
		exit 0
	fi
	printf 'tried %s\n' "$home"
done
`

// rootDir is where an agent that runs as root keeps its files.
const rootDir = "/var/lib/nemesis"

// survey asks a node what it is, where the agent can live, and whether it is there.
func survey(ctx context.Context, conn nodes.Conn, bin *executable, dir string) (site, error) {
	if dir != "" && (!path.IsAbs(dir) || strings.ContainsAny(dir, "\n\x00")) {
		return site{}, fmt.Errorf("directory %q is not an absolute path", dir)
	}
	homes := []string{"default", "fallback"}
	switch {
	case conn.Sudo():
		homes = []string{"fallback"} // for the binary alone; the agent runs as root
	case dir != "":
		homes = []string{path.Clean(dir)}
	}
	out, err := conn.Run(ctx, nil, append([]string{"sh", "-c", surveyScript, "nemesis-survey", bin.file()}, homes...)...)
	if err != nil {
		return site{}, err
	}
	found := map[string]string{}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if key == "tried" && found[key] != "" {
			value = found[key] + ", " + value
		}
		if key == "have" && found[key] != "" {
			continue // the cache comes first
		}
		found[key] = value
	}
	if _, err := strconv.Atoi(found["uid"]); err != nil {
		return site{}, fmt.Errorf("ask what the machine is: it answered %q", firstLine(string(out)))
	}
	if err := bin.fits(found["os"], found["arch"]); err != nil {
		return site{}, err
	}
	home, cache := found["home"], found["cache"]
	if home == "" {
		return site{}, fmt.Errorf("no directory can hold and run a program (tried %s): make one that belongs to uid %s and is not mounted noexec", firstLine(found["tried"]), found["uid"])
	}
	s := site{dir: home, cache: cache, binary: path.Join(home, "agent", "bin", bin.file()), sudo: conn.Sudo()}
	if s.sudo {
		s.dir = rootDir
		if dir != "" {
			s.dir = path.Clean(dir)
		}
		// What the ssh user may write, root does not take for verified content.
		s.cache = ""
	}
	if cache != "" {
		s.binary = path.Join(cache, bin.file())
	}
	if have := found["have"]; have != "" {
		s.binary, s.have = have, true
	}
	return s, nil
}

// beside is where the executable for another processor is looked for: in the
// directory of this one.
func (b *executable) beside(goarch string) string {
	dir := filepath.Dir(b.path)
	if b.path == OwnExecutable {
		if self, err := os.Executable(); err == nil {
			dir = filepath.Dir(self)
		}
	}
	return filepath.Join(dir, "nemesis-linux-"+goarch)
}

// otherMachine says that a node needs another executable, and how to make it.
type otherMachine struct{ goarch, ours, beside string }

func (e *otherMachine) Error() string {
	return fmt.Sprintf("it is linux/%s and this nemesis is %s: make the other one with `CGO_ENABLED=0 GOOS=linux GOARCH=%s go build -o %s ./cmd/nemesis`, where it is found by itself", e.goarch, e.ours, e.goarch, e.beside)
}

// forOther opens the executable for a node that needs another, if there is one.
func forOther(err error) (*executable, error) {
	var other *otherMachine
	if !errors.As(err, &other) {
		return nil, err
	}
	if _, missing := os.Stat(other.beside); missing != nil {
		return nil, err
	}
	return openBinary(other.beside)
}

// fits says what to do when the binary is not for that machine.
func (b *executable) fits(os, uname string) error {
	os, uname = firstLine(os), firstLine(uname)
	if os != "Linux" {
		return fmt.Errorf("it runs %s: nodes must run Linux", os)
	}
	for _, m := range machines {
		for _, u := range m.uname {
			if u != uname {
				continue
			}
			if m.goarch == b.arch {
				return nil
			}
			ours := "not a Linux executable"
			if b.arch != "" {
				ours = "for linux/" + b.arch
			}
			return &otherMachine{goarch: m.goarch, ours: ours, beside: b.beside(m.goarch)}
		}
	}
	return fmt.Errorf("its processor %q is none that nemesis runs on", uname)
}

// cannotRun reports whether a program ended the way a file does that is missing,
// cut short or of another format.
func cannotRun(err error) bool {
	var exit *nodes.ExitError
	if errors.As(err, &exit) {
		// 126 and 127 are a shell's; above 128 and below 0 are deaths by signal.
		return exit.Code >= 126 || exit.Code < 0
	}
	return false
}

// contentOf hashes what is to be uploaded.
func contentOf(content io.ReaderAt, size int64) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(content, 0, size)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
