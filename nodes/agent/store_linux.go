package agent

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"
)

// store keeps contents by their SHA-256, so that a server's files cross the wire once
// per machine, and once for all nodes of a local cluster, which share a cache
// directory. Names prove nothing in a shared directory: every reading is verified.
type store struct {
	dir  string
	part string // suffix of files that are still arriving; no two agents share one
}

var (
	contentName = regexp.MustCompile(`^[0-9a-f]{64}$`)
	errDamaged  = errors.New("stored content does not match its hash")
)

func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of contents: %w", err)
	}
	return &store{dir: dir, part: "." + rand.Text() + ".part"}, nil
}

// open reads content, whose last Read fails with errDamaged when it is not what its name says.
func (s *store) open(sum string) (io.ReadCloser, error) {
	if !contentName.MatchString(sum) {
		return nil, fmt.Errorf("%q is not a SHA-256", sum)
	}
	name := filepath.Join(s.dir, sum)
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	_ = os.Chtimes(name, now, now) // used: the last to be pruned
	return &verified{f: f, want: sum, hash: sha256.New()}, nil
}

type verified struct {
	f    *os.File
	want string
	hash hash.Hash
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.f.Read(p)
	v.hash.Write(p[:n])
	if errors.Is(err, io.EOF) && hex.EncodeToString(v.hash.Sum(nil)) != v.want {
		err = errDamaged
	}
	return n, err
}

func (v *verified) Close() error { return v.f.Close() }

func (s *store) drop(sum string) { _ = os.Remove(filepath.Join(s.dir, sum)) }

// receive writes a part of arriving content; the last part makes it known.
func (s *store) receive(c chunk, payload []byte) error {
	if !contentName.MatchString(c.SHA256) || c.Offset < 0 {
		return fmt.Errorf("%q at %d is not a part of content", firstLine(c.SHA256), c.Offset)
	}
	name := filepath.Join(s.dir, c.SHA256)
	flags := os.O_WRONLY
	if c.Offset == 0 {
		flags |= os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(name+s.part, flags, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(payload, c.Offset)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil && c.End {
		err = os.Rename(name+s.part, name)
	}
	if err != nil {
		_ = os.Remove(name + s.part)
	}
	return err
}

// prune removes what was not used for long: of binaries and of contents, all but the
// most recently used few that nobody used within the last hour (another cluster may
// be about to), and arriving files whose agent is gone.
func prune(dir string, now time.Time) {
	const keep, fresh, arriving = 8, time.Hour, 24 * time.Hour
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	type used struct {
		name string
		last time.Time
	}
	var binaries, contents []used
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		u := used{filepath.Join(dir, e.Name()), info.ModTime()}
		switch {
		case strings.HasPrefix(e.Name(), "nemesis-"):
			binaries = append(binaries, u)
		case contentName.MatchString(e.Name()):
			contents = append(contents, u)
		case strings.HasSuffix(e.Name(), ".part") && now.Sub(u.last) > arriving:
			_ = os.Remove(u.name)
		}
	}
	for _, list := range [][]used{binaries, contents} {
		sort.Slice(list, func(i, j int) bool { return list[i].last.After(list[j].last) })
		for i, u := range list {
			if i >= keep && now.Sub(u.last) > fresh {
				_ = os.Remove(u.name)
			}
		}
	}
}
