package foreign

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"nemesis/history"
)

// The formats of the checkers for weak levels tell transactions session by session, and no times. So all
// transactions are concurrent here, as if each took no time at the same moment; the order of a session
// is that of its process. A read of 0 is one of what was never written, unless somebody wrote 0.

// sessions collects transactions over registers.
type sessions struct {
	rec   *record
	txns  []sessionTxn
	zeros map[int64]bool // keys to which 0 was written
}

type sessionTxn struct {
	session int
	outcome history.Type
	steps   []sessionStep
}

type sessionStep struct {
	write      bool
	key, value int64
}

func (s *sessions) step(t *sessionTxn, write bool, key, value int64) error {
	if write && value == 0 {
		if s.zeros == nil {
			s.zeros = map[int64]bool{}
		}
		s.zeros[key] = true
	}
	t.steps = append(t.steps, sessionStep{write, key, value})
	s.rec.seen++
	s.rec.clients++
	return s.rec.spend(64)
}

// log makes the history.
func (s *sessions) log() *history.Log {
	log := &history.Log{}
	for i, t := range s.txns {
		ops := make([]history.MicroOp, len(t.steps))
		for n, step := range t.steps {
			m := history.MicroOp{F: history.MicroRead, Key: history.EncodeInt(step.key), Value: history.EncodeInt(step.value)}
			switch {
			case step.write:
				m.F = history.MicroWrite
			case step.value == 0 && !s.zeros[step.key]:
				m.Value = history.EncodeNull()
			}
			ops[n] = m
		}
		value := history.EncodeTransaction(ops)
		o := history.Operation{Index: int64(2 * i), Completion: int64(2*i + 1), Process: t.session, F: history.FTransaction, Type: t.outcome, Input: value}
		switch t.outcome {
		case history.OK:
			o.Output = value
		case history.Info:
			o.Return = history.Never
		}
		log.Operations = append(log.Operations, o)
	}
	return log
}

var sessionLine = regexp.MustCompile(`^([rw])\((\d+),(\d+),(\d+),(-?\d+)\)$`)

// readSessionLines reads lines of r(key,value,session,transaction) and w(…), as PolySI and Plume write
// them. Transaction -1 is one that was aborted; of its lines nobody knows which belong together, so each
// is a transaction of its own.
func readSessionLines(r io.Reader, s *sessions) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), 1<<20)
	byID := map[int64]int{}
	spare := 0
	for n := 1; lines.Scan(); n++ {
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		parts := sessionLine.FindSubmatch(text)
		if parts == nil {
			return failAt(n, "%s is no r(key,value,session,transaction) and no w(…)", brief(string(text)))
		}
		var numbers [4]int64
		for i := range numbers {
			var err error
			if numbers[i], err = strconv.ParseInt(string(parts[i+2]), 10, 64); err != nil {
				return failAt(n, "the number %s is out of range", brief(string(parts[i+2])))
			}
		}
		session, id := numbers[2], numbers[3]
		if session < 0 || session > 1<<40 {
			return failAt(n, "the session %d is out of range", session)
		}
		at, known := byID[id]
		switch {
		case id < -1:
			return failAt(n, "the transaction %d is negative; -1 is one that was aborted", id)
		case id == -1:
			at = len(s.txns)
			s.txns = append(s.txns, sessionTxn{session: int(session), outcome: history.Fail})
		case !known:
			at = len(s.txns)
			byID[id] = at
			s.txns = append(s.txns, sessionTxn{session: int(session), outcome: history.OK})
		case s.txns[at].session != int(session):
			return failAt(n, "transaction %d is of session %d, and was of session %d before", id, session, s.txns[at].session)
		}
		spare = max(spare, int(session)+1)
		if err := s.step(&s.txns[at], parts[1][0] == 'w', numbers[0], numbers[1]); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read its lines: %w", err)
	}
	return nil
}

// most of any count in a file of dbcop: what is more can be no history.
const mostCounted = 1 << 32

// readDBCop reads dbcop's history: numbers of 64 bits, little end first, and flags of one byte. A
// transaction that did not succeed may have been refused or not: its writes are of unknown outcome.
func readDBCop(r io.Reader, s *sessions) error {
	d := dbcop{r: bufio.NewReader(r)}
	for range 5 { // the number of the history, and how many nodes, variables, transactions and events there are
		d.count()
	}
	for range 3 { // what it is about, when it began and when it ended
		if n := d.count(); d.err == nil {
			if n > 1<<16 {
				return fmt.Errorf("this is no history of dbcop: a text of %d bytes stands in its head", n)
			}
			_, d.err = io.CopyN(io.Discard, d.r, int64(n))
		}
	}
	spare := 1 << 40 // processes of transactions without an outcome, which end theirs
	for session := range d.count() {
		for range d.count() {
			t := sessionTxn{session: int(session), outcome: history.OK}
			for range d.count() {
				write, key, value, success := d.flag(), d.number(), d.number(), d.flag()
				if d.err != nil {
					break
				}
				if success {
					if err := s.step(&t, write, key, value); err != nil {
						return err
					}
				}
			}
			if !d.flag() {
				t.outcome, t.session = history.Info, spare
				spare++
			}
			if d.err != nil {
				break
			}
			s.txns = append(s.txns, t)
		}
		if d.err != nil {
			break
		}
	}
	switch {
	case errors.Is(d.err, io.EOF) || errors.Is(d.err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the file ends within its transaction %d; it was cut off", len(s.txns)+1)
	case d.err != nil:
		return d.err
	}
	return nil
}

// dbcop reads the parts of a file until there is an error.
type dbcop struct {
	r   *bufio.Reader
	err error
	buf [8]byte
}

func (d *dbcop) number() int64 {
	if d.err != nil {
		return 0
	}
	if _, d.err = io.ReadFull(d.r, d.buf[:]); d.err != nil {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(d.buf[:]))
}

func (d *dbcop) count() int64 {
	n := d.number()
	if d.err == nil && (n < 0 || n > mostCounted) {
		d.err = fmt.Errorf("this is no history of dbcop: %d is no number of anything", uint64(n))
		return 0
	}
	return n
}

func (d *dbcop) flag() bool {
	if d.err != nil {
		return false
	}
	var b byte
	if b, d.err = d.r.ReadByte(); d.err == nil && b > 1 {
		d.err = fmt.Errorf("this is no history of dbcop: %d stands where 0 or 1 belongs", b)
	}
	return b == 1
}

// isDBCop reports whether a file begins as one of dbcop's: five numbers, a text, and a time as the next one.
func isDBCop(head []byte) bool {
	if len(head) < 6*8 {
		return false
	}
	for i := range 5 {
		if binary.LittleEndian.Uint64(head[8*i:]) > mostCounted {
			return false
		}
	}
	n := binary.LittleEndian.Uint64(head[40:])
	return n < 1<<16 && (uint64(len(head)) < 48+n || bytes.IndexByte(head[48:48+n], 0) < 0)
}
