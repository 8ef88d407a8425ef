package history

// HistorySchema is the version of history.jsonl.zst. Within one version, fields and types of
// events are only ever added.
const HistorySchema = 1

// Program describes a build of nemesis. The run directory holds that of the one that made
// the run, in nemesis.json.
type Program struct {
	// Version is that of a release, "devel" for what is none.
	Version string `json:"version"`
	// Commit is that of the source, "" where nobody told it; Modified: the source had
	// changes that were not committed.
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	// Go is the version of the Go release, Platform the system and architecture.
	Go       string `json:"go"`
	Platform string `json:"platform"`
	// Formats are the schema versions of the files that it writes.
	Formats Formats `json:"formats"`
}

// Formats are versions of file formats.
type Formats struct {
	Plan    int `json:"plan"`
	History int `json:"history"`
	Verdict int `json:"verdict"`
}

// String is the version in a word or two: "v1.2.3", "devel 0123456789ab, modified".
func (p Program) String() string {
	s := p.Version
	if s == "devel" && p.Commit != "" {
		s += " " + p.Commit[:min(12, len(p.Commit))]
		if p.Modified {
			s += ", modified"
		}
	}
	return s
}
