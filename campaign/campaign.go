// Package campaign is many runs that somebody leaves alone for months: a nightly
// that must never be green without a reason, dead without a word, or red without one.
//
// A campaign is a file (see File). Read finds every mistake in it before anything
// starts. Resolve makes of it what this night will do: canaries, replays of seeds that
// failed, re-checks of stored histories, and an endless deterministic order of new
// runs. Run does it, each item as a child process of our own executable, so that a run
// that hangs, crashes or eats memory takes nothing with it, and appends one line to
// results.jsonl for each, on disk before the next begins. Judge, a pure function, makes
// of these lines what the night says, and Write tells it:
//
//	nightly.yaml ─▶ Read ─▶ Resolve ─▶ Run ─▶ results.jsonl ─▶ Judge ─▶ Night ─┬─▶ index.html
//	                          ▲                    │                          ├─▶ junit.xml
//	             seeds.jsonl ─┘◀────── Keep ◀──────┘                          └─▶ summary.md
//
// The truth is the file and results.jsonl. Who kills a campaign and starts it again with
// the same --out gets the same items in the same order; those that have a result are not
// run again, because an item is named by a hash of all that determines it.
//
//	file, err := campaign.Read("nightly.yaml")
//	plan, err := file.Resolve(campaign.Choice{Night: "20261122", Shard: campaign.Whole})
//	night, err := campaign.Run(ctx, plan, campaign.Config{Out: "out", Executable: self})
//	os.Exit(night.Outcome.ExitCode())
package campaign

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

// Kind is why an item is run.
type Kind string

const (
	// Canary: its verdict is known; it tests the tester.
	Canary Kind = "canary"
	// Replay: a plan that ended in a finding in an earlier night.
	Replay Kind = "replay"
	// Recheck: a stored history is judged again; there is no run.
	Recheck Kind = "recheck"
	// Search: a new seed.
	Search Kind = "search"
	// Repeat: tonight's finding once more, to estimate how often it comes.
	Repeat Kind = "repeat"
)

// Item is one thing to do. It is resolved: its plan needs nothing else.
type Item struct {
	Kind Kind   `json:"kind"`
	Cell string `json:"cell"`
	// Try numbers the tries of a canary and the repeats of a finding, from 1.
	Try int `json:"try,omitempty"`
	// Of is the identity of the run that is replayed, repeated or judged again.
	Of string `json:"of,omitempty"`
	// Subject is the SHA-256 of the server's executable when the user gave one.
	Subject string       `json:"subject,omitempty"`
	Plan    history.Plan `json:"plan"`

	// stored is the run directory that a Recheck is about. It is where the history lies
	// on this machine, and no part of the identity.
	stored history.Dir
}

// ID is the item's identity: a hash of everything above.
func (it Item) ID() string {
	text, _ := json.Marshal(it) // plain data always encodes
	sum := sha256.Sum256(text)
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))[:16]
}

// Result is what became of one item: a line of results.jsonl.
type Result struct {
	Schema int    `json:"schema"`
	ID     string `json:"id"`
	Kind   Kind   `json:"kind"`
	Cell   string `json:"cell"`
	System string `json:"system"`
	// Version is the server's, or the beginning of its executable's hash.
	Version  string `json:"version,omitempty"`
	Workload string `json:"workload"`
	Seed     int64  `json:"seed"`
	Try      int    `json:"try,omitempty"`
	Of       string `json:"of,omitempty"`
	// Attempt is 1 unless a campaign was killed while the item ran.
	Attempt int `json:"attempt"`

	// Verdict is what the item counts as. Said is what its run concluded, which
	// differs when a floor was missed; "" when there is no verdict.json.
	Verdict  checker.Outcome `json:"verdict"`
	Said     checker.Outcome `json:"said,omitempty"`
	Sentence string          `json:"sentence"`
	Reasons  []string        `json:"reasons,omitempty"`
	// Interrupted: its user ended the run before its time.
	Interrupted bool `json:"interrupted,omitempty"`
	// Was is what a Recheck's history was judged to be when it was stored.
	Was      checker.Outcome `json:"was,omitempty"`
	Findings []Finding       `json:"findings,omitempty"`
	// Unconfirmed and Confirmed count faults without and with evidence, by kind.
	Confirmed   map[string]int `json:"confirmed,omitempty"`
	Unconfirmed map[string]int `json:"unconfirmed,omitempty"`
	Figures     Figures        `json:"figures"`

	Began   time.Time        `json:"began"`
	Took    history.Duration `json:"took"`
	Nemesis string           `json:"nemesis,omitempty"`
	// Dir is the run directory, relative to that of the campaign; "" when there is none.
	Dir string `json:"dir,omitempty"`
	// Plan is the item's, for verdicts that are worth having again; nil for others.
	Plan *history.Plan `json:"plan,omitempty"`
}

// ResultSchema is the version of results.jsonl.
const ResultSchema = 1

// Figures are what a run measured. Times are nanoseconds.
type Figures struct {
	OK   int `json:"ok"`
	Fail int `json:"fail"`
	Info int `json:"info"`
	// FaultOK and FaultAll count the operations that ended while a fault was in force.
	FaultOK  int `json:"faultOk"`
	FaultAll int `json:"faultAll"`
	// PerSecond is the ok operations per second of the workload.
	PerSecond float64 `json:"perSecond"`
	// P50 and P99 are the ok operations' latency, that of the slowest function.
	P50 int64 `json:"p50"`
	P99 int64 `json:"p99"`
	// Outage is the longest time without success for anybody, Down the sum of all.
	Outage int64 `json:"outage"`
	Down   int64 `json:"down"`
	// Recoveries are the times from each heal to the next success; those that never
	// came are missing, and counted in Unrecovered.
	Recoveries  []int64 `json:"recoveries,omitempty"`
	Unrecovered int     `json:"unrecovered,omitempty"`
	// Check is how long all checkers took together.
	Check int64 `json:"check"`
}

// All is every operation that was asked for.
func (f Figures) All() int { return f.OK + f.Fail + f.Info }

// Finding is one broken promise, told so that two occurrences can be recognised as one.
type Finding struct {
	// Fingerprint is system/checker/class/hash; see Fingerprint.
	Fingerprint string `json:"fingerprint"`
	Claim       string `json:"claim"`
}

// conclusive results say something about the system.
func conclusive(o checker.Outcome) bool { return o == checker.Valid || o == checker.Violation }
