// Package foreign reads the histories of other testers, so that a run recorded
// yesterday with another tool can be judged by our checkers today.
//
// Data passes through in three steps. A reader takes one event at a time out of
// a file: EDN forms (edn.go), as Jepsen stores them and Porcupine's key-value
// histories are written (events.go), or lines of a Jepsen log (lines.go). The
// recorder (record.go) joins completions to invocations and refuses what no run can
// have recorded, naming the line. What comes out is a history.Log, the same that
// our own runs load.
//
//	log, err := foreign.Load("history.edn", foreign.JepsenEDN, foreign.KeysAuto)
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
	"fmt"
	"io"
	"os"
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
	// "INFO  jepsen.util - 4  :invoke  :cas  [2 4]". Other lines are skipped.
	JepsenLog Format = "jepsen-log"
	// PorcupineKV is the form of Porcupine's key-value histories: EDN maps with
	// :process, :type (:invoke, :ok), :f (:get, :put, :append), :key and :value.
	PorcupineKV Format = "porcupine-kv"
)

// Formats are all formats, for help and for errors.
func Formats() []Format { return []Format{JepsenEDN, JepsenLog, PorcupineKV} }

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

// Load reads a whole file. Errors name the file and the line.
func Load(path string, format Format, keys Keys) (*history.Log, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("read history: %s is a directory; name a file", path)
	}
	log, err := Read(f, format, keys)
	if err != nil {
		return nil, fmt.Errorf("read history: %s: %w", path, err)
	}
	return log, nil
}

// Read reads a whole history. Errors name the line.
func Read(r io.Reader, format Format, keys Keys) (*history.Log, error) {
	switch keys {
	case KeysAuto, KeysYes, KeysNo:
	default:
		return nil, fmt.Errorf("%q is not one of %s, %s, %s", keys, KeysAuto, KeysYes, KeysNo)
	}
	rec := newRecord(keys)
	var err error
	switch format {
	case JepsenEDN:
		err = readEvents(r, jepsenEvent, rec)
	case PorcupineKV:
		err = readEvents(r, porcupineEvent, rec)
	case JepsenLog:
		err = readLines(r, rec)
	default:
		err = fmt.Errorf("%q is not one of %s", format, names())
	}
	if err != nil {
		return nil, err
	}
	return rec.log()
}

func names() string {
	var s []string
	for _, f := range Formats() {
		s = append(s, string(f))
	}
	return strings.Join(s, ", ")
}
