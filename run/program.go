package run

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

// release is the version of a release, set by .ci/release with -ldflags -X.
var release string

// Program describes the nemesis that runs.
func Program() history.Program {
	info, _ := debug.ReadBuildInfo()
	p := programOf(release, info)
	if p.Commit == "" && underGoRun() {
		p.Commit, p.Modified = commitOfSource()
	}
	return p
}

// Version is the version of the nemesis that runs, and its commit where the version does
// not tell it.
func Version() string { return Program().String() }

// devel is the version of what is no release.
const devel = "devel"

// programOf describes a program by what the linker and the compiler put into it.
func programOf(release string, info *debug.BuildInfo) history.Program {
	p := history.Program{
		Version: release, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Formats: history.Formats{Plan: history.PlanSchema, History: history.HistorySchema, Verdict: checker.VerdictSchema},
	}
	if info != nil {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				p.Commit = s.Value
			case "vcs.modified":
				p.Modified = s.Value == "true"
			}
		}
		// go install nemesis@v1.2.3 has a version without our help. One that was made up
		// from the commit says no more than that.
		if p.Version == "" && info.Main.Version != "(devel)" && p.Commit == "" {
			p.Version = info.Main.Version
		}
	}
	if p.Version == "" {
		p.Version = devel
	}
	return p
}

// ranByGo are the places where go run puts a program: a directory of its own, or its cache.
var ranByGo = regexp.MustCompile(`/go-build[0-9]+/b[0-9]+/exe/[^/]+$|/[0-9a-f]{64}-d/[^/]+$`)

// underGoRun reports whether go run made and started this program. It stamps no commit.
func underGoRun() bool {
	path, err := os.Executable()
	return err == nil && ranByGo.MatchString(filepath.ToSlash(path))
}

// commitOfSource asks git for the commit of the working directory, in whose module go run
// found the program.
func commitOfSource() (commit string, modified bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--exclude=*", "--abbrev=40", "--dirty=+").Output()
	if err != nil {
		return "", false // not a checkout, or there is no git
	}
	return strings.CutSuffix(strings.TrimSpace(string(out)), "+")
}
