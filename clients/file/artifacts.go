package file

import (
	"archive/tar"
	"archive/zip"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"nemesis/clients"
	"nemesis/clients/cache"
	"nemesis/clients/gobuild"
	"nemesis/clients/npm"
	"nemesis/history"
)

// preparation gets a file's artifacts onto the control node. What is downloaded or built is
// kept in the user's cache, under a name that says what it is, and is there whole or not at
// all.
type preparation struct {
	*Definition
	plan history.System
	w    io.Writer
}

// archKey is the name in clients.Install of an artifact for one architecture; binaryKey is
// that of the executable in one that is a directory.
func archKey(name, arch string) string { return name + "/" + arch }

func binaryKey(key string) string { return key + ":binary" }

func (p preparation) prepare(ctx context.Context) (clients.Install, error) {
	install := clients.Install{Version: p.plan.Version, Files: map[string]string{}}
	given := p.plan.Binary
	if given != "" && len(p.Artifacts) == 0 {
		return install, fmt.Errorf("read --binary: the file of %s has no artifact in whose place it could be", p.System)
	}
	for i, a := range p.Artifacts {
		if i == 0 && given != "" { // the user's own, in the place of the first
			install.Files[a.Name] = given
			continue
		}
		for _, one := range []struct {
			key, arch string
			origin    *Origin
		}{{a.Name, runtime.GOARCH, &a.Value.Origin}, {archKey(a.Name, "amd64"), "amd64", a.Value.AMD64}, {archKey(a.Name, "arm64"), "arm64", a.Value.ARM64}} {
			if one.origin == nil || one.origin.kinds() == nil {
				continue
			}
			root, binary, err := p.fetch(ctx, a.Name, one.arch, *one.origin)
			if err != nil && one.arch != runtime.GOARCH && ctx.Err() == nil {
				// Only needed where a node has that processor, which Deploy finds out.
				fmt.Fprintf(p.w, "%s: none for %s: %v\n", a.Name, one.arch, err)
				continue
			}
			if err != nil {
				return install, fmt.Errorf("get the artifact %s: %w", a.Name, err)
			}
			install.Files[one.key] = root
			if binary != "" {
				install.Files[binaryKey(one.key)] = binary
			}
		}
	}
	return install, nil
}

// fetch gets one artifact. root is a file, or a directory in which binary is the executable.
func (p preparation) fetch(ctx context.Context, name, arch string, o Origin) (root, binary string, err error) {
	fill := func(text string) (string, error) {
		site := p.trial()
		site.version, site.options = p.plan.Version, p.plan.Options
		where := place{site, 0, p.Processes[0].Name, p.main()}
		return where.text(strings.ReplaceAll(text, "{{ arch }}", arch))
	}
	for _, text := range []*string{&o.File, &o.Go, &o.Package, &o.Debian, &o.NPM, &o.URL, &o.Version, &o.Binary} {
		if *text, err = fill(*text); err != nil {
			return "", "", err
		}
	}
	version := cmp.Or(o.Version, p.plan.Version)
	binary = cmp.Or(o.Binary, name)
	switch {
	case o.File != "":
		root, err = filepath.Abs(p.relative(o.File))
		if err != nil {
			return "", "", err
		}
		info, err := os.Stat(root)
		if err != nil {
			return "", "", fmt.Errorf("%w; it is looked for from the directory of the system's file", err)
		}
		if !info.IsDir() {
			return root, "", nil
		}
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(binary))); err != nil {
			return "", "", fmt.Errorf("the directory has no %s; name its executable with binary", binary)
		}
		return root, binary, nil
	case o.Go != "":
		root, err = gobuild.Build(ctx, gobuild.Command{Name: binary, Module: o.Go, Package: o.Package, Version: version}, "", p.w)
		return root, "", err
	case o.Debian != "":
		root, err = p.debian(ctx, o.Debian, o.Version, binary)
		return root, "", err
	case o.NPM != "":
		return p.npm(ctx, o.NPM, version, binary)
	}
	return p.download(ctx, o, binary)
}

// cached is a directory of the user's cache for one thing.
func cached(parts ...string) (string, error) {
	clean := func(r rune) rune {
		if strings.ContainsRune("/\\: ", r) {
			return '_'
		}
		return r
	}
	return cache.Dir("", strings.Map(clean, strings.Join(parts, "-")))
}

// command runs a program and makes one line of how it failed.
func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return "", fmt.Errorf("%s %s failed: %w: %s", name, args[0], err, clients.Printable(lines[len(lines)-1]))
	}
	return string(out), nil
}

// debian finds the executable of a package: where the package is installed, that one, and
// else in the package as it is downloaded. The nodes need the libraries that it uses.
func (p preparation) debian(ctx context.Context, name, version, binary string) (string, error) {
	if version == "" {
		if listed, err := command(ctx, "", "dpkg", "-L", name); err == nil {
			// Not what a link leads to: redis-server is redis-check-rdb by another name.
			if found := pick(strings.Split(listed, "\n"), binary); found != "" {
				return found, nil
			}
		}
	}
	dir, err := cached("debian", name, cmp.Or(version, "newest"), runtime.GOARCH)
	if err != nil {
		return "", err
	}
	wanted := name
	if version != "" {
		wanted += "=" + version
	}
	err = cache.Fill(dir, func(work string) error {
		fmt.Fprintf(p.w, "%s: downloading the Debian package\n", wanted)
		if _, err := command(ctx, work, "apt-get", "download", wanted); err != nil {
			return fmt.Errorf("%w; install the package on this machine, or give its executable with file", err)
		}
		packages, _ := filepath.Glob(filepath.Join(work, "*.deb"))
		if len(packages) != 1 {
			return fmt.Errorf("apt-get downloaded %d packages", len(packages))
		}
		_, err := command(ctx, work, "dpkg-deb", "-x", packages[0], "root")
		return err
	})
	if err != nil {
		return "", err
	}
	found, err := find(filepath.Join(dir, "root"), binary)
	if err != nil {
		return "", fmt.Errorf("the Debian package %s: %w", name, err)
	}
	return found, nil
}

// pick is the path that ends in a name: an executable file before any other, and in a
// directory for programs before those elsewhere.
func pick(paths []string, name string) string {
	paths = slices.Clone(paths)
	slices.SortStableFunc(paths, func(a, b string) int { return cmp.Compare(elsewhere(a), elsewhere(b)) })
	found := ""
	for _, one := range paths {
		if one != name && !strings.HasSuffix(one, "/"+strings.TrimPrefix(name, "/")) {
			continue
		}
		info, err := os.Stat(one)
		switch {
		case err != nil || !info.Mode().IsRegular():
		case info.Mode()&0o111 != 0:
			return one
		case found == "":
			found = one
		}
	}
	return found
}

func elsewhere(file string) int {
	if slices.Contains([]string{"bin", "sbin"}, path.Base(path.Dir(file))) {
		return 0
	}
	return 1
}

// find is pick in a directory.
func find(dir, name string) (string, error) {
	var all []string
	err := filepath.WalkDir(dir, func(at string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			all = append(all, at)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	slices.Sort(all)
	if found := pick(all, name); found != "" {
		return found, nil
	}
	return "", fmt.Errorf("it has no %s; name its executable with binary", name)
}

// npm installs a package with what it depends on.
func (p preparation) npm(ctx context.Context, name, version, binary string) (root, found string, err error) {
	root, err = npm.Install(ctx, npm.Package{Name: name, Version: version, As: name, Instead: "give the executable with file"}, "", p.w)
	if err != nil {
		return "", "", err
	}
	for _, at := range []string{binary, path.Join("node_modules", name, binary)} {
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(at))); err == nil {
			return root, at, nil
		}
	}
	real, err := filepath.EvalSymlinks(filepath.Join(root, "node_modules", ".bin", binary))
	if err != nil {
		return "", "", fmt.Errorf("the npm package %s has no %s; name its executable with binary", name, binary)
	}
	whole, err := filepath.EvalSymlinks(root)
	if err != nil {
		return "", "", err
	}
	rest, err := filepath.Rel(whole, real)
	return root, filepath.ToSlash(rest), err
}

// download gets a file or an archive from an address, and holds it to its checksum.
func (p preparation) download(ctx context.Context, o Origin, binary string) (root, found string, err error) {
	dir, err := cached("url", path.Base(o.URL), o.SHA256[:16])
	if err != nil {
		return "", "", err
	}
	name := path.Base(o.URL)
	archive := slices.ContainsFunc([]string{".tar.gz", ".tgz", ".zip"}, func(s string) bool { return strings.HasSuffix(name, s) })
	err = cache.Fill(dir, func(work string) error {
		fmt.Fprintf(p.w, "%s: downloading\n", o.URL)
		at := filepath.Join(work, name)
		if err := fetchTo(ctx, o.URL, strings.ToLower(o.SHA256), at); err != nil {
			return err
		}
		if !archive {
			return os.Chmod(at, 0o755)
		}
		if err := unpack(at, work); err != nil {
			return fmt.Errorf("unpack %s: %w", name, err)
		}
		return os.Remove(at)
	})
	if err != nil {
		return "", "", err
	}
	if !archive {
		return filepath.Join(dir, name), "", nil
	}
	at, err := find(dir, binary)
	if err != nil {
		return "", "", fmt.Errorf("the archive %s: %w", name, err)
	}
	rest, err := filepath.Rel(dir, at)
	return dir, filepath.ToSlash(rest), err
}

// mostDownload bounds what is downloaded, and what an archive unpacks to, in bytes.
const mostDownload = 4 << 30

func fetchTo(ctx context.Context, address, sum, at string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered with status %d", address, answer.StatusCode)
	}
	f, err := os.Create(at)
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, hash), io.LimitReader(answer.Body, mostDownload+1))
	switch is := hex.EncodeToString(hash.Sum(nil)); {
	case err != nil:
		return fmt.Errorf("download %s: %w", address, err)
	case n > mostDownload:
		return fmt.Errorf("download %s: it is longer than %d bytes", address, int64(mostDownload))
	case is != sum:
		return fmt.Errorf("download %s: its sha256 is %s and not the %s of the file", address, is, sum)
	}
	return f.Close()
}

// unpack extracts the regular files of an archive. None of them leaves the directory.
func unpack(archive, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	left := int64(mostDownload)
	extract := func(name string, mode fs.FileMode, r io.Reader) error {
		name = path.Clean(name)
		if !filepath.IsLocal(name) {
			return fmt.Errorf("%q leaves the directory", name)
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode.Perm()|0o400)
		if err != nil {
			return err
		}
		defer f.Close()
		n, err := io.Copy(f, io.LimitReader(r, left+1))
		if left -= n; err == nil && left < 0 {
			err = errors.New("it holds too much")
		}
		return err
	}
	if strings.HasSuffix(archive, ".zip") {
		z, err := zip.OpenReader(archive)
		if err != nil {
			return err
		}
		defer z.Close()
		for _, one := range z.File {
			if !one.Mode().IsRegular() {
				continue
			}
			r, err := one.Open()
			if err != nil {
				return err
			}
			err = extract(one.Name, one.Mode(), r)
			r.Close()
			if err != nil {
				return err
			}
		}
		return nil
	}
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for t := tar.NewReader(unzipped); ; {
		header, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag == tar.TypeReg {
			if err := extract(header.Name, header.FileInfo().Mode(), t); err != nil {
				return err
			}
		}
	}
}
