package ssh

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// readKnownHosts reads files of known hosts. A line that cannot be read, such as one of
// SSH's first version, of a kind of key that we do not know, or a mark that a merge has
// left, is skipped, as the ssh command skips it: it is about no key that could be offered.
// Skipped names the lines, "" for none. A file that the user named and in which no line at
// all can be read is an error: it is another file than was meant.
//
// The library refuses a file for one such line, so it gets a copy with an empty line in its
// place, and its answers name the copied file.
func readKnownHosts(paths []string, named bool) (known gossh.HostKeyCallback, skipped string, err error) {
	var files, bad []string
	original := make(map[string]string)
	for _, path := range paths {
		content, err := readFile(path)
		if err != nil {
			return nil, "", err
		}
		lines := bytes.Split(content, []byte("\n"))
		before, good := len(bad), false
		for n, line := range lines {
			good = good || isKnownHost(string(line)) && len(bytes.TrimSpace(line)) > 0
			if !isKnownHost(string(line)) {
				bad = append(bad, fmt.Sprintf("%s:%d", shown(path), n+1))
				lines[n] = nil
			}
		}
		if len(bad) > before && !good && named {
			return nil, "", fmt.Errorf("%s: it is no line of known hosts, and neither is any other", bad[before])
		}
		if len(bad) > before {
			copied, err := nameless(bytes.Join(lines, []byte("\n")))
			if err != nil {
				return nil, "", err
			}
			defer copied.Close()
			readable := fmt.Sprintf("/dev/fd/%d", copied.Fd())
			original[readable] = path
			path = readable
		}
		files = append(files, path)
	}
	check, err := knownhosts.New(files...)
	if err != nil {
		return nil, "", err
	}
	rename := func(k *knownhosts.KnownKey) {
		if path, is := original[k.Filename]; is {
			k.Filename = path
		}
	}
	known = func(host string, remote net.Addr, key gossh.PublicKey) error {
		err := check(host, remote, key)
		var mismatch *knownhosts.KeyError
		var revoked *knownhosts.RevokedError
		switch {
		case errors.As(err, &mismatch):
			for i := range mismatch.Want {
				rename(&mismatch.Want[i])
			}
		case errors.As(err, &revoked):
			// The library hands out what it keeps.
			copied := *revoked
			rename(&copied.Revoked)
			err = &copied
		}
		return err
	}
	const most = 3
	if len(bad) > most {
		bad = append(bad[:most], fmt.Sprintf("and %d more", len(bad)-most))
	}
	return known, strings.Join(bad, ", "), nil
}

// nameless is a file of this content that no directory has any more, so that it goes with
// this process, whatever becomes of that. It stands at its beginning.
func nameless(content []byte) (*os.File, error) {
	f, err := os.CreateTemp("", "nemesis-known-hosts-")
	if err != nil {
		return nil, err
	}
	err = os.Remove(f.Name())
	if err == nil {
		_, err = f.Write(content)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// isKnownHost reports whether the library can read a line: empty, a comment, or a marker or
// none, hosts, the kind of a key and the key.
func isKnownHost(line string) bool {
	fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' })
	if len(fields) == 0 || fields[0][0] == '#' {
		return true
	}
	if fields[0] == "@cert-authority" || fields[0] == "@revoked" {
		fields = fields[1:]
	}
	if len(fields) < 3 || fields[0][0] == '@' {
		return false
	}
	blob, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil {
		return false
	}
	key, err := gossh.ParsePublicKey(blob)
	if err != nil || key.Type() != fields[1] {
		return false
	}
	if hosts := fields[0]; hosts[0] == '|' {
		parts := strings.Split(hosts, "|")
		if len(parts) != 4 || parts[1] != "1" {
			return false
		}
		_, errSalt := base64.StdEncoding.DecodeString(parts[2])
		_, errHash := base64.StdEncoding.DecodeString(parts[3])
		return errSalt == nil && errHash == nil
	}
	for _, pattern := range strings.Split(fields[0], ",") {
		bare := strings.TrimPrefix(pattern, "!")
		if bare == "" && pattern != "" {
			return false
		}
		if _, _, err := net.SplitHostPort(bare); strings.HasPrefix(bare, "[") && err != nil {
			return false
		}
	}
	return true
}
