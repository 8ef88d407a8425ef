package faultfs

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"nemesis/history"
)

// Loss is how much of what was not safe a power loss takes.
type Loss struct {
	// Sectors: not all of it, but what Seed draws.
	Sectors bool   `json:"sectors,omitempty"`
	Seed    uint64 `json:"seed,omitempty"`
}

// Lost is what a power loss took.
type Lost struct {
	// Bytes are those written and lost, Files the files they were in.
	Bytes int64 `json:"bytes"`
	Files int64 `json:"files"`
	// Operations are the changes of names taken back, Kept those that were not safe and
	// stayed.
	Operations int64 `json:"operations"`
	Kept       int64 `json:"kept,omitempty"`
}

// Add sums up.
func (l *Lost) Add(o Lost) {
	l.Bytes, l.Files = l.Bytes+o.Bytes, l.Files+o.Files
	l.Operations, l.Kept = l.Operations+o.Operations, l.Kept+o.Kept
}

// What a rule does to a call, Rule.Do.
const (
	// Fail returns Rule.Error and does nothing else.
	Fail = "error"
	// Delay waits for Rule.Delay first, Stall until the rule is cleared or the caller is killed.
	Delay = "delay"
	Stall = "stall"
	// Rate lets Rule.Rate bytes a second pass, of all calls of the rule together.
	Rate = "rate"
	// Full lets files grow by Rule.Room bytes together and returns ENOSPC beyond, as a quota
	// does. What is removed or cut short gives room back.
	Full = "full"
	// Lie says that a sync succeeded, and makes nothing safe. What it was for is not made
	// safe by a later sync either.
	Lie = "lie"
	// FailOnce fails the first sync of each file with Rule.Error, and lets later ones
	// succeed, which do not make safe what that one was for.
	FailOnce = "fail-once"
	// Early says that a sync succeeded, and makes it Rule.Delay later.
	Early = "early"
	// Torn writes a part of what was to be written, in sectors, and says it wrote all.
	Torn = "torn"
	// Short writes a part, and says so, as write(2) allows.
	Short = "short"
	// Misdirect writes to another place of the file.
	Misdirect = "misdirect"
	// Flip changes one bit of what is read, not of what is stored.
	Flip = "flip"
	// CorruptFlip, CorruptZero and CorruptTruncate damage what is stored, once, when the rule
	// comes into force: of each file that it matches, up to Rule.Times of them, one bit,
	// some blocks of 4 KiB, or what lies behind some byte. The damage stays.
	CorruptFlip     = "corrupt-flip"
	CorruptZero     = "corrupt-zero"
	CorruptTruncate = "corrupt-truncate"
	// HoldBefore keeps a call from beginning until the caller is killed or the rule is
	// cleared, HoldAfter one that is done from being answered.
	HoldBefore = "hold-before"
	HoldAfter  = "hold-after"
)

// Operations are the calls that rules tell apart, as Rule.Ops names them.
func Operations() []string {
	return []string{"open", "create", "read", "write", "sync", "syncdir", "truncate", "mkdir", "link", "rename", "remove", "list"}
}

// errnos are the errors that Rule.Error may name.
var errnos = []string{"EIO", "ENOSPC", "EROFS", "EMFILE", "ENFILE", "EINTR", "EAGAIN", "EACCES", "EPERM", "EDQUOT", "EFBIG", "ENOMEM", "ENODEV", "ENXIO", "EBUSY", "ESTALE"}

// Rule is one thing that goes wrong with some calls.
type Rule struct {
	// ID tells the rules of a disk apart.
	ID string `json:"id,omitempty"`
	// Do is one of the constants above.
	Do string `json:"do"`
	// Ops are the operations it is for; none is those that Do makes sense for.
	Ops []string `json:"ops,omitempty"`
	// Path is a pattern as of path.Match for the path below the data directory, or without
	// a slash for its last element; "" is everything.
	Path string `json:"path,omitempty"`
	// From is the first call that it is for, counted from 1, Times how many it is for, or how
	// many files are damaged; 0 is the first, and all.
	From  int64 `json:"from,omitempty"`
	Times int64 `json:"times,omitempty"`
	// Share is the part of those calls or files that is struck, by a draw from Seed; 0 is all.
	Share float64 `json:"share,omitempty"`
	Seed  uint64  `json:"seed,omitempty"`
	// Error is an errno's name, Delay a time, Rate bytes a second, for those that need one.
	Error string           `json:"error,omitempty"`
	Delay history.Duration `json:"delay,omitempty"`
	Rate  int64            `json:"rate,omitempty"`
	// Room is by how many bytes files may grow under Full, 0 or more.
	Room int64 `json:"room,omitempty"`
}

// does is what each Do needs and the operations it makes sense for, the likeliest first.
var does = []struct {
	do                 string
	error, delay, rate bool
	ops                []string // nil is every operation
}{
	{do: Fail, error: true},
	{do: Delay, delay: true},
	{do: Stall},
	{do: Rate, rate: true, ops: []string{"write", "read"}},
	{do: Full, ops: []string{"write", "truncate", "remove"}},
	{do: Lie, ops: []string{"sync", "syncdir"}},
	{do: FailOnce, error: true, ops: []string{"sync"}},
	{do: Early, delay: true, ops: []string{"sync", "syncdir"}},
	{do: Torn, ops: []string{"write"}},
	{do: Short, ops: []string{"write"}},
	{do: Misdirect, ops: []string{"write"}},
	{do: Flip, ops: []string{"read"}},
	{do: CorruptFlip, ops: []string{}},
	{do: CorruptZero, ops: []string{}},
	{do: CorruptTruncate, ops: []string{}},
	{do: HoldBefore, ops: []string{"sync", "syncdir", "write"}},
	{do: HoldAfter, ops: []string{"sync", "syncdir", "write"}},
}

// Check says, as a clause, why a rule cannot be.
func (r Rule) Check() error {
	for _, d := range does {
		if d.do != r.Do {
			continue
		}
		allowed := d.ops
		if allowed == nil {
			allowed = Operations()
		}
		if r.Corrupts() && (len(r.Ops) > 0 || r.From > 0) {
			return fmt.Errorf("%s happens to files, not to calls; leave op and from out", r.Do)
		}
		if r.Do == Full && (len(r.Ops) > 0 || r.From > 0 || r.Times > 0 || r.Share > 0) {
			return errors.New("a full disk is full for all; leave all conditions but path out")
		}
		for _, op := range r.Ops {
			if !slices.Contains(allowed, op) {
				return fmt.Errorf("%s is nothing that happens to %q; it happens to %s", r.Do, op, strings.Join(allowed, ", "))
			}
		}
		switch {
		case d.error && !slices.Contains(errnos, r.Error):
			return fmt.Errorf("%q is no error that it can return; choose from %s", r.Error, strings.Join(errnos, ", "))
		case d.delay && r.Delay <= 0:
			return fmt.Errorf("%s needs a time", r.Do)
		case d.rate && r.Rate <= 0:
			return fmt.Errorf("%s needs bytes a second", r.Do)
		case !d.error && r.Error != "", !d.delay && r.Delay != 0, !d.rate && r.Rate != 0:
			return fmt.Errorf("%s takes no such value", r.Do)
		case r.Room < 0 || r.Room > 0 && r.Do != Full:
			return fmt.Errorf("%s takes no such room", r.Do)
		case r.From < 0 || r.Times < 0:
			return errors.New("calls are counted from 1")
		case !(r.Share >= 0 && r.Share <= 1):
			return fmt.Errorf("a share of %v is not from 0 to 1", r.Share)
		}
		if _, err := path.Match(r.Path, ""); err != nil {
			return fmt.Errorf("%q is no pattern of paths", r.Path)
		}
		return nil
	}
	var names []string
	for _, d := range does {
		names = append(names, d.do)
	}
	return fmt.Errorf("%q is nothing that a disk does; choose from %s", r.Do, strings.Join(names, ", "))
}

// operations are those it is for.
func (r Rule) operations() []string {
	if len(r.Ops) > 0 {
		return r.Ops
	}
	for _, d := range does {
		if d.do == r.Do && d.ops != nil {
			return d.ops
		}
	}
	return Operations()
}

// Lies reports whether under the rule a disk says what is not so, or gives back other than
// it was given: what no system claims to bear.
func (r Rule) Lies() bool {
	return slices.Contains([]string{Lie, FailOnce, Early, Torn, Misdirect, Flip}, r.Do) || r.Corrupts()
}

// Corrupts reports whether the rule damages files where they are stored, when it comes
// into force and never again.
func (r Rule) Corrupts() bool {
	return r.Do == CorruptFlip || r.Do == CorruptZero || r.Do == CorruptTruncate
}

func (r Rule) matches(op, p string) bool {
	return slices.Contains(r.operations(), op) && r.matchesPath(p)
}

func (r Rule) matchesPath(p string) bool {
	if r.Path == "" {
		return true
	}
	if !strings.Contains(r.Path, "/") {
		p = path.Base(p)
	}
	ok, _ := path.Match(r.Path, p)
	return ok
}

// Counts is what a rule has done so far.
type Counts struct {
	// Calls are those it is for, Struck those that it did something to, Waiting those that
	// wait now. Of a rule that damages files they are files.
	Calls   int64 `json:"calls"`
	Struck  int64 `json:"struck"`
	Waiting int64 `json:"waiting"`
	// Bytes are those that were not written, written elsewhere, flipped or made to wait;
	// Waited is for how long calls waited together.
	Bytes  int64            `json:"bytes"`
	Waited history.Duration `json:"waited"`
	// Grown is by how many bytes files have grown under Full.
	Grown int64 `json:"grown,omitempty"`
	// LastPath is the file of the call that was struck last, below the data directory.
	LastPath string `json:"lastPath,omitempty"`
}

// Stats is what a disk tells of itself.
type Stats struct {
	// Rules are those in force, by ID.
	Rules map[string]Counts `json:"rules"`
	// Writes, Reads and Syncs count calls since the disk was mounted.
	Writes int64 `json:"writes"`
	Reads  int64 `json:"reads"`
	Syncs  int64 `json:"syncs"`
	// Losses and Lost are the power losses so far and what they took.
	Losses int64 `json:"losses"`
	Lost   Lost  `json:"lost"`
	// Lied counts syncs that did not make safe what they said.
	Lied int64 `json:"lied"`
	// WrittenBack is how often everything was made safe for want of room.
	WrittenBack int64 `json:"writtenBack"`
}

// Add sums up the counters of several disks. A rule with the same ID on several is one.
func (s *Stats) Add(o Stats) {
	s.Writes, s.Reads, s.Syncs, s.Lied = s.Writes+o.Writes, s.Reads+o.Reads, s.Syncs+o.Syncs, s.Lied+o.Lied
	s.Losses, s.WrittenBack = s.Losses+o.Losses, s.WrittenBack+o.WrittenBack
	s.Lost.Add(o.Lost)
	for id, c := range o.Rules {
		if s.Rules == nil {
			s.Rules = map[string]Counts{}
		}
		sum := s.Rules[id]
		sum.Calls, sum.Struck, sum.Waiting = sum.Calls+c.Calls, sum.Struck+c.Struck, sum.Waiting+c.Waiting
		sum.Grown += c.Grown
		sum.Bytes, sum.Waited = sum.Bytes+c.Bytes, sum.Waited+c.Waited
		if c.LastPath != "" {
			sum.LastPath = c.LastPath
		}
		s.Rules[id] = sum
	}
}
