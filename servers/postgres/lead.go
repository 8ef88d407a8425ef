package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"nemesis/history"
	"nemesis/servers/process"
)

// run does one thing after another: follow, stand for election, lead.
func (m *member) run(ctx context.Context) (err error) {
	var p *process.Process
	defer func() {
		if p != nil {
			p.Stop(syscall.SIGINT)
		}
	}()
	if m.created() {
		if p, err = m.restart(nil); err != nil {
			return err
		}
	}
	m.mu.Lock()
	m.heard = time.Now()
	m.mu.Unlock()
	patience, tried := m.jitter(), time.Now()
	for ctx.Err() == nil {
		if p != nil && p.Over() {
			if p, err = m.again(ctx, p); err != nil {
				return err
			}
		}
		m.mu.Lock()
		silent := min(time.Since(m.heard), time.Since(tried))
		leader, ready, term := m.leader, m.ready && time.Since(m.heard) < m.Timeout, m.state.Term
		m.mu.Unlock()
		switch {
		case ready:
			if p, err = m.follow(ctx, p, leader, term); err != nil {
				m.sayOnce(strings.ReplaceAll(fmt.Sprintf("follow %s in term %d: %v", leader, term, err), "\n", "; "))
			}
		case p == nil && m.self == m.Members[0]:
			if p, err = m.first(ctx); err != nil {
				return err
			}
			patience = 0 // nobody else can be the primary yet
		case silent > patience && p != nil:
			won, able := m.stand(ctx)
			if able {
				patience, tried = m.jitter(), time.Now()
			}
			if won {
				if err := m.lead(ctx, p); err != nil {
					m.Say("no longer the primary: " + err.Error())
				}
				if ctx.Err() != nil {
					return nil
				}
				if p, err = m.restart(p); err != nil {
					return err
				}
			}
		}
		wait(ctx, m.beat())
	}
	return nil
}

// sayOnce tells what may go on for long, and not again until something else was told.
func (m *member) sayOnce(line string) {
	if line != m.said {
		m.said = line
		m.Say(line)
	}
}

func (m *member) beat() time.Duration { return max(m.Timeout/20, 10*time.Millisecond) }

// jitter is how long this member waits this time.
func (m *member) jitter() time.Duration {
	return m.Timeout + time.Duration(m.random.Int64N(int64(m.Timeout)/2))
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// first makes the first data of a cluster, unless any member has some. Until all have said
// that they have none it waits.
func (m *member) first(ctx context.Context) (*process.Process, error) {
	for _, o := range m.others {
		var s Standing
		within, cancel := context.WithTimeout(ctx, m.Timeout)
		err := m.ask(within, o, "GET", "/standing", nil, &s)
		cancel()
		if err != nil || s.Held > 0 {
			return nil, nil
		}
	}
	if err := m.create(ctx); err != nil {
		return nil, err
	}
	return m.restart(nil)
}

// again starts a standby that ended by itself, a few times.
func (m *member) again(ctx context.Context, p *process.Process) (*process.Process, error) {
	if m.fails++; m.fails > 3 {
		return p, p.Failure("postgres")
	}
	m.Say(p.Failure("the standby").Error())
	wait(ctx, time.Second)
	return m.restart(p)
}

// stand stands for election and reports whether a majority voted for this member; able says
// that it could ask.
func (m *member) stand(ctx context.Context) (won, able bool) {
	m.mu.Lock()
	b := ballot{Term: m.state.Term + 1, Candidate: m.self.Name, Trial: true}
	if m.hasPrimary() {
		m.mu.Unlock()
		return false, true
	}
	m.mu.Unlock()
	if !m.vote(ctx, b) {
		return false, true
	}
	m.mu.Lock()
	m.detach()
	m.mu.Unlock()
	own, err := m.position(ctx)
	if err != nil {
		m.sayOnce("does not stand for election: " + err.Error())
		return false, false
	}
	m.mu.Lock()
	b = ballot{Term: m.state.Term + 1, Candidate: m.self.Name, Position: own}
	if m.hasPrimary() || m.become(m.state.vote(b)) != nil {
		m.mu.Unlock()
		return false, true
	}
	m.mu.Unlock()
	asking := time.Now()
	if !m.vote(ctx, b) {
		return false, true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.Term != b.Term {
		return false, true
	}
	// From here on its log is that of this term, whatever becomes of it.
	if err := m.hold(m.current(), b.Term); err != nil {
		m.Say(err.Error())
		return false, true
	}
	m.held = b.Term
	m.leading, m.leader, m.ready, m.from, m.asking, m.fails = true, m.self.Name, false, own, asking, 0
	return true, true
}

// vote asks all others for their votes and reports whether there is a majority.
func (m *member) vote(ctx context.Context, b ballot) bool {
	// The lease counts from here, and ends after half of the timeout.
	ctx, cancel := context.WithTimeout(ctx, m.Timeout*2/5)
	defer cancel()
	answers := make(chan answer, len(m.others))
	for _, o := range m.others {
		go func() {
			var a answer
			if err := m.ask(ctx, o, "POST", "/vote", b, &a); err != nil {
				a = answer{Why: err.Error()}
			}
			if a.Why != "" {
				a.Why = o.Name + ": " + a.Why
			}
			answers <- a
		}()
	}
	votes := 1
	var refused []string
	for i := 0; i < len(m.others) && votes < majority(len(m.others)); i++ {
		a := <-answers
		if a.Yes {
			votes++
		} else {
			refused = append(refused, a.Why)
		}
		if !b.Trial {
			m.mu.Lock()
			_ = m.become(m.state.learn(a.Term)) // what cannot be written down is not counted either
			m.mu.Unlock()
		}
	}
	won := votes >= majority(len(m.others))
	if !won && !b.Trial {
		m.Say(fmt.Sprintf("not elected in term %d at %+v: %s", b.Term, b.Position, strings.Join(refused, "; ")))
	}
	return won
}

// lead is the primary until it may no longer be. Its error says why that is over.
func (m *member) lead(ctx context.Context, p *process.Process) error {
	m.mu.Lock()
	term, asking := m.state.Term, m.asking
	m.mu.Unlock()
	m.Say(fmt.Sprintf("elected in term %d", term))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	defer all.Wait()
	defer func() {
		cancel(nil)
		// Whoever asks is told at once, and clients are cut off before anything else.
		m.mu.Lock()
		m.leading, m.serves, m.leader = false, false, ""
		m.heard = time.Now()
		m.mu.Unlock()
		p.Stop(syscall.SIGQUIT)
	}()
	answered := make([]time.Time, len(m.others))
	for i := range answered {
		answered[i] = asking // votes are answers, too
	}
	for i, o := range m.others {
		all.Go(func() {
			for ctx.Err() == nil {
				m.mu.Lock()
				h := heartbeat{Term: term, Leader: m.self.Name, Ready: m.ready, From: m.from}
				m.mu.Unlock()
				sent := time.Now()
				within, done := context.WithTimeout(ctx, m.Timeout/4)
				var a answer
				err := m.ask(within, o, "POST", "/heartbeat", h, &a)
				done()
				m.mu.Lock()
				switch {
				case err == nil && a.Yes:
					answered[i] = sent
				case err == nil && a.Term > term:
					_ = m.become(m.state.learn(a.Term))
					cancel(fmt.Errorf("%s knows of term %d", o.Name, a.Term))
				}
				m.mu.Unlock()
				wait(ctx, m.beat())
			}
		})
	}
	all.Go(func() {
		if err := m.open(ctx, term); err != nil && ctx.Err() == nil {
			cancel(err)
		}
	})
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.Ended:
			return p.Failure("postgres")
		case <-time.After(m.beat() / 2):
		}
		m.mu.Lock()
		end, now := leaseEnd(answered, m.Timeout/2), m.state.Term
		m.mu.Unlock()
		if now != term {
			return fmt.Errorf("there is a term %d", now)
		}
		if time.Now().After(end) {
			return fmt.Errorf("no majority answers")
		}
	}
}

// open makes the server the primary and lets standbys in, and then clients. With synchronous
// standbys it waits for them first: what was never acknowledged, but is in the log, would be seen by clients as
// soon as the server is the primary, and may still be lost.
func (m *member) open(ctx context.Context, term uint64) error {
	own := m.Listen.String()
	promoted, err := query(ctx, own, "SELECT pg_promote(true, 60)")
	if err != nil || promoted != "t" {
		return fmt.Errorf("promote the server: %q, %w", promoted, err)
	}
	end, err := query(ctx, own, "SELECT pg_current_wal_insert_lsn()")
	if err != nil {
		return fmt.Errorf("ask the new primary where its log ends: %w", err)
	}
	m.mu.Lock()
	m.ready = true
	m.mu.Unlock()
	m.Say(fmt.Sprintf("promoted in term %d at %s", term, end))
	for m.Sync && len(m.others) > 0 {
		have, err := query(ctx, own, fmt.Sprintf("SELECT count(*) >= %d FROM pg_stat_replication WHERE flush_lsn >= '%s'", majority(len(m.others))-1, end))
		if err == nil && have == "t" {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait(ctx, m.beat())
	}
	if err := m.allow(true); err != nil {
		return err
	}
	if _, err := query(ctx, own, "SELECT pg_reload_conf()"); err != nil {
		return fmt.Errorf("let clients in: %w", err)
	}
	m.mu.Lock()
	m.serves = true
	m.mu.Unlock()
	m.Say(fmt.Sprintf("serves clients in term %d", term))
	return nil
}

// allow writes who may connect: the supervisors always, clients only where they are let in.
func (m *member) allow(clients bool) error {
	rules := fmt.Sprintf("host all %[1]s all trust\nhost replication %[1]s all trust\n", administrator)
	if clients {
		rules += "host all all all trust\n"
	}
	if err := history.WriteFile(filepath.Join(m.data(), "pg_hba.conf"), 0o600, []byte(rules)); err != nil {
		return fmt.Errorf("write the access rules: %w", err)
	}
	return nil
}

// follow has the standby follow the primary of a term, whose data it copies first unless it has it.
func (m *member) follow(ctx context.Context, p *process.Process, leader string, term uint64) (*process.Process, error) {
	m.mu.Lock()
	following, held := m.following == term, m.held == term
	m.mu.Unlock()
	address := ""
	for _, o := range m.others {
		if o.Name == leader {
			address = netip.AddrPortFrom(o.Address, m.Listen.Port()).String()
		}
	}
	switch {
	case following || address == "":
		return p, nil
	case held && p != nil:
		m.through(term, address)
		return p, nil
	}
	if p != nil && m.continues(ctx) {
		if err := m.hold(m.current(), term); err != nil {
			return p, err
		}
		m.mu.Lock()
		m.held = term
		m.mu.Unlock()
		m.Say(fmt.Sprintf("follows %s in term %d with the data that it has", leader, term))
		m.through(term, address)
		return p, nil
	}
	// The old data stays until the copy is whole, and its server runs: should the primary fail meanwhile, it
	// may be needed.
	began := time.Now()
	if err := os.RemoveAll(m.next()); err != nil {
		return p, err
	}
	within, cancel := context.WithTimeout(ctx, copyPatience)
	defer cancel()
	go m.giveUp(within, cancel, term)
	if err := copyFrom(within, address, filepath.Join(m.next(), pgDir)); err != nil {
		return p, err
	}
	if err := process.SyncTree(m.next()); err != nil {
		return p, err
	}
	if err := m.hold(m.next(), term); err != nil {
		return p, err
	}
	if p != nil {
		p.Stop(syscall.SIGQUIT)
	}
	m.mu.Lock()
	m.detach()
	err := m.settle()
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	m.fails = 0
	m.Say(fmt.Sprintf("copied the data of %s in term %d in %v", leader, term, time.Since(began).Round(time.Millisecond)))
	if p, err = m.restart(nil); err != nil {
		return nil, err
	}
	m.through(term, address)
	return p, nil
}

// continues reports whether the primary's log is a continuation of this member's: both are copies of one
// log, and at its election the primary had all of it that this member has.
func (m *member) continues(ctx context.Context) bool {
	m.mu.Lock()
	m.detach()
	from := m.from
	m.mu.Unlock()
	own, err := m.position(ctx)
	return err == nil && own.continuedBy(from)
}

// next is the directory of data that is about to be used, old of that which was.
func (m *member) next() string { return filepath.Join(m.Dir, "next") }
func (m *member) old() string  { return filepath.Join(m.Dir, "old") }

// holdFile says in a directory of data from which term's primary it is. In next it is written last, so that
// only a whole copy has one.
const holdFile = "term"

// hold writes down from which term's primary a directory's data is.
func (m *member) hold(dir string, term uint64) error {
	return history.WriteFile(filepath.Join(dir, holdFile), 0o600, []byte(strconv.FormatUint(term, 10)))
}

// heldIn is what hold wrote; 0 for nothing.
func heldIn(dir string) (uint64, error) {
	text, err := os.ReadFile(filepath.Join(dir, holdFile))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(string(text), 10, 64)
}

// settle puts data that was copied whole in the place of the current, and finishes that where it
// was interrupted. At any moment one of the two is whole. Nothing of the data may be in use. The
// caller has the lock, or is alone.
func (m *member) settle() error {
	next, err := heldIn(m.next())
	if err != nil {
		return fmt.Errorf("look at the copied data: %w", err)
	}
	_, missing := os.Stat(m.current())
	if next > 0 {
		err = os.RemoveAll(m.old())
		if err == nil && missing == nil {
			err = os.Rename(m.current(), m.old())
		}
		if err == nil {
			err = os.Rename(m.next(), m.current())
		}
		if err == nil {
			err = process.SyncTree(m.Dir)
		}
	} else if _, none := os.Stat(m.old()); missing != nil && none == nil {
		err = os.Rename(m.old(), m.current())
	}
	if err == nil {
		m.held, err = heldIn(m.current())
	}
	if err != nil {
		return fmt.Errorf("put the copied data in place: %w", err)
	}
	return os.RemoveAll(m.old())
}

// through lets the standby through to the primary, if that still is one.
func (m *member) through(term uint64, address string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.Term == term && m.leader != "" && m.ready {
		m.following = term
		m.proxy.lead(address)
	}
}

// copyPatience is how long copying a primary's data may take.
const copyPatience = time.Minute

// giveUp ends a copy when the primary that it is from is none any more.
func (m *member) giveUp(ctx context.Context, cancel context.CancelFunc, term uint64) {
	for ctx.Err() == nil {
		m.mu.Lock()
		over := m.state.Term != term || time.Since(m.heard) > m.Timeout
		m.mu.Unlock()
		if over {
			cancel()
			return
		}
		wait(ctx, m.beat())
	}
}
