package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"nemesis/clients/gobuild"
	"nemesis/nodes/agent"
)

// build gets a released version out of the cache or the module proxy.
func (s System) build(ctx context.Context, version string, w io.Writer) (path, got string, err error) {
	if version == "" {
		version = defaultVersion
	}
	if !strings.HasPrefix(version, "v") {
		version = "v" + version
	}
	module, err := moduleOf(version)
	if err != nil {
		return "", "", err
	}
	path, err = gobuild.Build(ctx, gobuild.Command{
		Name:    "etcd",
		Module:  module,
		Version: version,
		Verify: func(ctx context.Context, path string) error {
			got, err = inspect(ctx, path)
			return err
		},
	}, s.CacheDir, w)
	return path, got, err
}

var versionForm = regexp.MustCompile(`^v(\d+)\.(\d+)\.\d+([-+].*)?$`)

// moduleOf says in which module a version's server lives. Since v3.5 it has one of
// its own. v3.4 lives in the root module, whose path lacks the /v3 that Go demands
// of such tags, so the proxy knows it only as v0.5.0-alpha.5.0.<time>-<commit>;
// it resolves a plain v3.4 tag to that, and such a pseudo-version can be given too.
func moduleOf(version string) (string, error) {
	const server, root = "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd"
	m := versionForm.FindStringSubmatch(version)
	if m == nil {
		return "", fmt.Errorf("find etcd %q: it is not a version; write one like %s", version, defaultVersion)
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	switch {
	case major == 3 && minor >= 5:
		return server, nil
	case major == 3 && minor == 4, strings.HasPrefix(version, "v0.5.0-alpha.5.0."):
		return root, nil
	}
	return "", fmt.Errorf("find etcd %s: nemesis can run v3.4 and newer v3 releases; take one of those", version)
}

// inspect checks that the file at path is an etcd server that nemesis can run, and
// returns its version, with the v. Where Linux programs cannot run, the file's
// header must do, and the version is "unknown".
func inspect(ctx context.Context, path string) (string, error) {
	arch, err := archOf(path)
	if err != nil {
		return "", fmt.Errorf("check etcd executable: %w", err)
	}
	if runtime.GOOS != gobuild.TargetOS || arch != runtime.GOARCH {
		return "unknown", nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env = []string{} // etcd takes flags from ETCD_… variables
	cmd.WaitDelay = time.Second
	output, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("check etcd executable: %s --version failed (%w); give an etcd server of v3.4 or newer", path, err)
	}
	version, err := versionIn(string(output))
	if err != nil {
		return "", fmt.Errorf("check etcd executable: %s %w; give an etcd server of v3.4 or newer", path, err)
	}
	return version, nil
}

var versionLine = regexp.MustCompile(`(?m)^etcd Version: (\d+\.\d+\.\d+[-+.0-9A-Za-z]*)\s*$`)

// versionIn reads what `etcd --version` printed.
func versionIn(output string) (string, error) {
	m := versionLine.FindStringSubmatch(output)
	if m == nil {
		return "", errors.New("does not say an etcd version")
	}
	if _, err := moduleOf("v" + m[1]); err != nil {
		return "", fmt.Errorf("is version %s", m[1])
	}
	return "v" + m[1], nil
}

// archOf is the Go name of the architecture that an executable was made for.
func archOf(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("%w; give the path of an etcd server", err)
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return "", fmt.Errorf("%s is not an executable file; give the path of an etcd server", path)
	}
	arch := agent.ArchOf(path)
	if arch == "" {
		return "", fmt.Errorf("%s is not a Linux executable; give one built for the nodes", path)
	}
	return arch, nil
}
