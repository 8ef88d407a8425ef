package run

import (
	"runtime/debug"
	"testing"
)

func TestProgramTellsItsVersionAndCommit(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	stamped := []debug.BuildSetting{{Key: "vcs.revision", Value: commit}, {Key: "vcs.modified", Value: "true"}}
	for _, tc := range []struct {
		name, release, module string
		settings              []debug.BuildSetting
		says                  string
		commit                string
	}{
		{"a release", "v1.2.3", "v1.2.4-0.20261129000000-0123456789ab", stamped[:1], "v1.2.3", commit},
		{"go install of a version", "", "v1.2.3", nil, "v1.2.3", ""},
		{"go build in a checkout", "", "v0.0.0-20261129000000-0123456789ab+dirty", stamped, "devel 0123456789ab, modified", commit},
		{"go build elsewhere", "", "(devel)", nil, "devel", ""},
	} {
		info := &debug.BuildInfo{Main: debug.Module{Version: tc.module}, Settings: tc.settings}
		p := programOf(tc.release, info)
		if p.String() != tc.says || p.Commit != tc.commit {
			t.Errorf("%s: %q, commit %q, want %q, %q", tc.name, p, p.Commit, tc.says, tc.commit)
		}
	}
	if p := programOf("", nil); p.Version != devel || p.Go == "" || p.Formats.Plan == 0 || p.Formats.History == 0 || p.Formats.Verdict == 0 {
		t.Errorf("without build information: %+v", p)
	}
}
