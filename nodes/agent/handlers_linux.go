package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"nemesis/history"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

var errEnding = errors.New("the agent is about to end")

// handle performs one request.
func (s *server) handle(f frame) (answer any, payload []byte, err error) {
	done := struct{}{}
	switch f.Do {
	case doShadow:
		return into(f, func(struct{}) (reading, error) {
			m, err := s.clocks.measure()
			return m.Shadow, err
		})
	case doPlace:
		return into(f, func(p placement) (placed, error) {
			have, err := s.files.place(p)
			return placed{Missing: !have}, err
		})
	case doSend:
		return into(f, func(c chunk) (any, error) { return done, s.files.store.receive(c, f.payload) })
	case doWrite:
		return into(f, func(w file) (any, error) {
			return done, s.files.write(w.Path, w.Mode, bytes.NewReader(f.payload))
		})
	case doRead, doLog:
		var c chunk
		if err := json.Unmarshal(f.Body, &c); err != nil {
			return nil, nil, fmt.Errorf("understand request %q: %w", f.Do, err)
		}
		var r *os.File
		if f.Do == doLog {
			r, err = os.Open(s.files.own(logName))
		} else {
			r, err = s.files.open(c.Path)
		}
		if err != nil {
			return nil, nil, err
		}
		defer r.Close()
		info, err := r.Stat()
		if err != nil {
			return nil, nil, err
		}
		c.Size = info.Size()
		payload, c.End, err = readPart(r, c.Offset)
		return c, payload, err
	case doMkdir:
		return into(f, func(w file) (any, error) { return done, s.files.mkdir(w.Path, w.Mode) })
	case doRemove:
		return into(f, func(w file) (any, error) {
			if name, err := s.files.file(w.Path); err == nil {
				if err := s.super.unmountEnded(filepath.Join(s.files.dir, name)); err != nil {
					return done, err
				}
			}
			return done, s.files.remove(w.Path)
		})
	case doStart:
		return into(f, s.super.start)
	case doStop:
		return into(f, func(p stopping) (ProcessState, error) {
			return s.super.end(p.Name, time.Duration(p.Grace))
		})
	case doState:
		return into(f, func(p stopping) (ProcessState, error) { return s.super.State(p.Name) })
	case doCheck:
		return s.effect(f, func(e Effect) (any, error) { return done, e.Check(s.host) })
	case doApply:
		return s.effect(f, func(e Effect) (any, error) { return done, s.apply(e) })
	case doUndo:
		return s.effect(f, func(e Effect) (any, error) {
			env, err := pack(e)
			if err == nil {
				err = s.undo(env)
			}
			return done, err
		})
	case doProbe:
		return s.effect(f, func(e Effect) (any, error) { return s.probe(e) })
	case doLedger:
		l := listing{Effects: []string{}}
		for _, e := range s.ledger.list() {
			l.Effects = append(l.Effects, s.describe(e))
		}
		return l, nil, nil
	case doHeal:
		var l listing
		l.Effects, l.Stuck = s.heal()
		return l, nil, nil
	case doEndAll:
		return into(f, func(e endingAll) (l listing, err error) {
			l.Effects, l.Stuck = s.super.endAll(e.Kept)
			return l, nil
		})
	case doProbeTCP:
		return into(f, func(d dial) (Connection, error) { return connect(d), nil })
	}
	return nil, nil, fmt.Errorf("this agent knows no request %q: use one nemesis release on both sides", firstLine(f.Do))
}

// into decodes a request's body for its handler.
func into[In, Out any](f frame, do func(In) (Out, error)) (any, []byte, error) {
	var in In
	if err := json.Unmarshal(f.Body, &in); err != nil {
		return nil, nil, fmt.Errorf("understand request %q: %w", f.Do, err)
	}
	out, err := do(in)
	return out, nil, err
}

func (s *server) effect(f frame, do func(Effect) (any, error)) (any, []byte, error) {
	return into(f, func(env envelope) (any, error) {
		e, err := s.kinds.Decode(env.Kind, env.Spec)
		if err != nil {
			return nil, err
		}
		return do(e)
	})
}

// alone locks an effect by its ledger key.
func (s *server) alone(env envelope) (unlock func()) {
	s.mu.Lock()
	m := s.acting[env.key()]
	if m == nil {
		m = &sync.Mutex{}
		s.acting[env.key()] = m
	}
	s.mu.Unlock()
	m.Lock()
	return m.Unlock
}

// apply writes the effect down, then brings it about.
func (s *server) apply(e Effect) error {
	env, err := pack(e) // our own encoding of it: equal effects have equal keys
	if err != nil {
		return err
	}
	if reason, ok := s.cannot[e.Kind()]; ok {
		return errors.New(reason) // before it is written down: what cannot be done cannot be undone either
	}
	defer s.alone(env)()
	s.gate.RLock()
	if s.closing {
		s.gate.RUnlock()
		return errEnding
	}
	s.log.Printf("apply %s %s", env.Kind, env.Spec)
	err = s.ledger.add(env, time.Now())
	s.gate.RUnlock()
	if err != nil {
		return fmt.Errorf("nothing was done, since it could not be written down first: %w", err)
	}
	if err := e.Apply(s.host); err != nil {
		// Half of it may be there. When even the undoing fails, the ledger keeps it.
		if e.Undo(s.host) == nil {
			_ = s.ledger.remove(env)
		}
		return err
	}
	return nil
}

// probe asks the effect, and says whether it is in force at all.
func (s *server) probe(e Effect) (history.Evidence, error) {
	seen, err := e.Probe(s.host)
	if asked, is := e.(Applied); is {
		e = asked.Applied()
	}
	seen.NotInForce = !s.host.InForce(e)
	return seen, err
}

// undo takes the effect back, then strikes it out.
func (s *server) undo(env envelope) error {
	e, err := s.kinds.Decode(env.Kind, env.Spec)
	if err != nil {
		return fmt.Errorf("%w: undo it with the nemesis version that applied it", err)
	}
	defer s.alone(env)()
	s.log.Printf("undo %s %s", env.Kind, env.Spec)
	if err := e.Undo(s.host); err != nil {
		return err
	}
	return s.ledger.remove(env)
}

// describe is one line about a ledger entry.
func (s *server) describe(e entry) string {
	text := string(e.Spec)
	if effect, err := s.kinds.Decode(e.Kind, e.Spec); err == nil {
		if named, ok := effect.(fmt.Stringer); ok {
			text = named.String()
		}
	}
	return firstLine(fmt.Sprintf("%s %s (since %s)", e.Kind, text, e.Since.Format(time.RFC3339)))
}

func connect(d dial) Connection {
	timeout := min(max(time.Duration(d.Timeout), time.Millisecond), time.Minute)
	began := time.Now()
	conn, err := net.DialTimeout("tcp", d.To.String(), timeout)
	took := time.Since(began).Nanoseconds()
	if err != nil {
		refused := errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
		return Connection{Took: took, Refused: refused, Err: firstLine(err.Error())}
	}
	conn.Close()
	return Connection{OK: true, Took: took}
}
