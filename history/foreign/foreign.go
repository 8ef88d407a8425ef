// Package foreign reads the histories of other testers, so that a run recorded
// yesterday with another tool can be judged by our checkers today.
//
// Data passes through in four steps. The file is unpacked and its format recognised
// (recognise.go). A reader takes one event at a time out of it: forms of EDN (edn.go) or
// JSON (json.go), as Jepsen stores them and Porcupine's key-value histories are written
// (events.go), or lines of a Jepsen log (lines.go). Equal values of a format become equal
// JSON, different ones different JSON (values.go, number.go; docs/checkers.md). The
// recorder (record.go) joins completions to invocations and refuses what no run can
// have recorded, naming the line. What comes out is a history.Log, the same that
// our own runs load.
//
//	h, err := foreign.Load("history.edn", foreign.Options{})
//
// The order of the file is the order of the events, as it is for Jepsen's own
// checkers: no two events are at the same time. Times are the file's :time, in
// nanoseconds, pushed forward where they would contradict that order; a file
// without times has its n-th event, from 0, at n milliseconds.
//
// The nemesis' events are left out. Operation.Index is the file's :index, or the
// event's position in the file.
//
// A file is hostile text: every reader returns one line that says where it went
// wrong and what was expected, and none panics, hangs, or needs more memory than
// the history that it returns and one event.
package foreign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nemesis/history"
)

// Format is how a history is written down.
type Format string

const (
	// JepsenEDN is Jepsen's history.edn: maps with :process, :type, :f, :value, and
	// perhaps :index, :time, :key and :error, one after another or in one vector.
	JepsenEDN Format = "jepsen-edn"
	// JepsenLog is the log that Jepsen prints, in which operations are lines such as
	// "INFO  jepsen.util - 4  :invoke  :cas  [2 4]", or the history.txt of its store, in which
	// they are "4  :invoke  :cas  [2 4]". Other lines are skipped and counted.
	JepsenLog Format = "jepsen-log"
	// JepsenJSON is the same as JepsenEDN in JSON, as elle-cli takes it: objects with
	// "process", "type", "f" and "value", in an array or one after another.
	JepsenJSON Format = "jepsen-json"
	// PorcupineKV is the form of Porcupine's key-value histories: EDN maps with
	// :process, :type (:invoke, :ok), :f (:get, :put, :append), :key and :value.
	PorcupineKV Format = "porcupine-kv"
	// ElleJSON is JepsenJSON by the name of those who take it from elle-cli.
	ElleJSON Format = "elle-json"
	// Plume is transactions over registers without times: lines r(key,value,session,transaction) and
	// w(…), transaction -1 for one that was aborted. PolySIText is the same.
	Plume      Format = "plume"
	PolySIText Format = "polysi-text"
	// DBCop is the same in dbcop's binary form.
	DBCop Format = "dbcop"
)

// Sessions reports whether histories of this format are transactions over registers, session by
// session and without times.
func (f Format) Sessions() bool { return f == Plume || f == PolySIText || f == DBCop }

// Formats are all formats, for help and for errors.
func Formats() []Format {
	return []Format{JepsenEDN, JepsenLog, PorcupineKV, JepsenJSON, ElleJSON, Plume, PolySIText, DBCop}
}

// Keys says whether values are pairs of a key and the value proper, which is how
// Jepsen writes histories of independent objects. An event that has a :key of its
// own is not concerned.
type Keys string

const (
	// KeysAuto takes values for pairs when every invocation's value is one, and those
	// of compare-and-sets hold a pair in turn; an answer without its question's key is
	// then an error. A history of nothing but writes of pairs would be taken wrongly.
	KeysAuto Keys = "auto"
	// KeysYes takes all values for pairs; any other value is an error.
	KeysYes Keys = "yes"
	// KeysNo takes values as they are.
	KeysNo Keys = "no"
)

// Options say how a history is to be read. The zero value recognises its format, and
// whether its values are pairs.
type Options struct {
	// Format is "" for whatever the file is recognised as.
	Format Format
	// Keys is "" for KeysAuto.
	Keys Keys
	// Transactions takes every event for one of a transaction, :f :txn, whatever its :f; and
	// in a history without a :process, each completion for that of the event before it.
	Transactions bool
	// SkipUnknown reads a log in which lines look like operations and are none.
	SkipUnknown bool
	// Memory is what may be spent on the history, in bytes, 0 for as much as there is; a
	// BudgetError says that it takes more.
	Memory int64
}

// History is what was read.
type History struct {
	Log    *history.Log
	Format Format
	// Events counts the clients' events, Nemesis those that are not about a client.
	Events, Nemesis int64
	// Skipped is about the lines of a log that are neither.
	Skipped Skipped
}

// Skipped are the lines of a log that were not read as events, empty ones aside.
type Skipped struct {
	Lines int
	// First is the first of them, with its number from 1.
	First     string
	FirstLine int
	// Operations are those that look like operations.
	Operations int
	// Operation is the first of these.
	Operation     string
	OperationLine int
}

func (s *Skipped) add(line int, text string, isOperation bool) {
	if s.Lines++; s.Lines == 1 {
		s.First, s.FirstLine = strings.Clone(text), line
	}
	if !isOperation {
		return
	}
	if s.Operations++; s.Operations == 1 {
		s.Operation, s.OperationLine = strings.Clone(text), line
	}
}

// Account is a sentence that says what was read as what and what was not; the first line
// that was not is quoted.
func (h *History) Account() string {
	s := fmt.Sprintf("Read as %s: %d events of clients", h.Format, h.Events)
	if h.Nemesis > 0 {
		s += fmt.Sprintf(", %d of the nemesis, left out", h.Nemesis)
	}
	if h.Skipped.Lines > 0 {
		number := "1 line was not read, which"
		if h.Skipped.Lines > 1 {
			number = fmt.Sprintf("%d lines were not read, the first", h.Skipped.Lines)
		}
		s += fmt.Sprintf("; %s is line %d: %s", number, h.Skipped.FirstLine, brief(h.Skipped.First))
	}
	return s + "."
}

// Load reads a whole regular file. Errors name the file and the line; it is ctx's when
// that ends before.
func Load(ctx context.Context, path string, opt Options) (*History, error) {
	f, _, err := history.Open(path)
	var other *history.NotRegularError
	if errors.As(err, &other) && other.Mode.IsDir() {
		if _, e := os.Stat(filepath.Join(path, "history.edn")); e == nil {
			err = fmt.Errorf("%w, such as the history.edn in it", err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	defer f.Close()
	h, err := Read(interruptible{ctx, f}, opt)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("read history: %s: %w", path, err)
	}
	return h, nil
}

// interruptible is a reader that fails when its context has ended.
type interruptible struct {
	ctx context.Context
	io.Reader
}

func (i interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.Reader.Read(p)
}

// Read reads a whole history, packed by gzip or zstd or not. Errors name the line.
func Read(r io.Reader, opt Options) (*History, error) {
	switch opt.Keys {
	case "":
		opt.Keys = KeysAuto
	case KeysAuto, KeysYes, KeysNo:
	default:
		return nil, fmt.Errorf("%q is not one of %s, %s, %s", opt.Keys, KeysAuto, KeysYes, KeysNo)
	}
	if opt.Format != "" && !slices.Contains(Formats(), opt.Format) {
		return nil, fmt.Errorf("%q is not one of %s", opt.Format, names())
	}
	text, err := unpack(r, opt.Format)
	if err != nil {
		return nil, err
	}
	head, err := text.Peek(1 << 16)
	if err != nil && err != io.EOF {
		return nil, err
	}
	seen := recognise(head)
	h := &History{Format: opt.Format}
	if h.Format == "" {
		h.Format = seen
	}
	if (h.Format == JepsenEDN || h.Format == PorcupineKV) && seen == JepsenJSON {
		return nil, fmt.Errorf("this is JSON, not EDN; say --format %s, or none", JepsenJSON)
	}
	rec := newRecord(opt.Keys, opt.Memory)
	s := &sessions{rec: rec}
	switch h.Format {
	case JepsenEDN, JepsenJSON, ElleJSON:
		err = readEvents(newReader(text, h.Format != JepsenEDN), parseOf(opt), rec)
	case Plume, PolySIText:
		err = readSessionLines(text, s)
	case DBCop:
		err = readDBCop(text, s)
	case PorcupineKV:
		err = readEvents(newReader(text, false), porcupineEvent, rec)
	case JepsenLog:
		h.Skipped, err = readLines(text, rec, opt.SkipUnknown)
	}
	switch {
	case err != nil:
	case rec.seen == 0 && h.Format == JepsenLog && opt.Format == "":
		err = fmt.Errorf("no operation was found, and its format was not recognised; name it with --format: %s", names())
	case rec.seen == 0:
		err = errors.New("no operation was found; is this the right file and format?")
	}
	switch {
	case err == nil:
	case seen != h.Format && !sameForm(seen, h.Format):
		err = fmt.Errorf("%w; it looks like %s, not %s", err, seen, h.Format)
	case opt.Format == "" && rec.clients == 0 && h.Format != JepsenLog:
		err = fmt.Errorf("%w; it looked like %s, if it is something else name it with --format: %s", err, seen, names())
	}
	if err != nil {
		return nil, err
	}
	if s := h.Skipped; s.Operations > 0 && !opt.SkipUnknown {
		more := ""
		if s.Operations > 1 {
			more = fmt.Sprintf(" (there are %d such lines)", s.Operations)
		}
		return nil, failAt(s.OperationLine, "%s looks like an operation and cannot be read%s; --skip-unknown judges the history without such lines", brief(s.Operation), more)
	}
	h.Events, h.Nemesis = rec.clients, rec.seen-rec.clients
	if h.Format.Sessions() {
		h.Log = s.log()
		return h, nil
	}
	h.Log, err = rec.log()
	return h, err
}

// sameForm reports whether two formats are one under two names.
func sameForm(a, b Format) bool {
	one := func(f Format) Format {
		switch f {
		case ElleJSON:
			return JepsenJSON
		case PolySIText:
			return Plume
		}
		return f
	}
	return one(a) == one(b)
}

func names() string {
	var s []string
	for _, f := range Formats() {
		s = append(s, string(f))
	}
	return strings.Join(s, ", ")
}
