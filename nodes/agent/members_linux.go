package agent

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// member is one process of a server.
type member struct {
	Member
	started uint64
	parent  int
}

// heldBy tells how the server's processes are found; s.mu is held.
func (p *process) heldBy() string {
	if p.group != nil {
		return HeldByCgroup
	}
	return HeldByTag
}

// members are the processes of a server now, its main process included, by PID. Those
// that have ended and wait to be told of are left out.
//
// A server with a control group has whatever is in it. Without one a process counts as
// the server's when its parents lead to the main process, when it shares its session,
// when it carries the server's mark in its environment, or when it was seen to be the
// server's before. Each of these is lost by some way of becoming a daemon (PostgreSQL's
// sessions overwrite their environment), all by none that is usual.
func (s *supervisor) members(p *process) []member {
	s.mu.Lock()
	group := p.group
	s.mu.Unlock()
	if group == nil {
		return describe(s.related(p))
	}
	pids, _ := group.server.PIDs() // it is gone: so are they
	return describe(pids)
}

// relatives are the members, and what is related to the server outside of its control
// group: what somebody started for it by hand, or moved to another group, as PAM does to
// a login.
func (s *supervisor) relatives(p *process) []member {
	pids := s.related(p)
	for _, m := range s.members(p) {
		pids = append(pids, m.PID)
	}
	slices.Sort(pids)
	return describe(slices.Compact(pids))
}

// describe reads the state of processes from /proc.
func describe(pids []int) (out []member) {
	for _, pid := range pids {
		st, err := ReadStat(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || st.State == 'X' {
			continue
		}
		m := member{Member: Member{PID: pid, Name: st.Name, State: string(st.State)}, started: st.Started, parent: st.Parent}
		if m.Threads, m.Stopped = threads(pid); m.Threads == 0 {
			continue // it has ended
		}
		out = append(out, m)
	}
	return out
}

// related finds the processes of a server without a control group.
func (s *supervisor) related(p *process) []int {
	s.mu.Lock()
	l, tag := p.instance, s.tag(p.Spec.Name)
	s.mu.Unlock()
	all, err := processTable()
	if err != nil || l == nil {
		return nil
	}
	main := 0
	// Its number says nothing any more when another process has it.
	if st, err := ReadStat(fmt.Sprintf("/proc/%d/stat", l.pid)); err == nil && st.Started == l.started {
		main = l.pid
		all[main] = st // a zombie's children and session are still its own
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []int
	for pid, st := range all {
		started, seen := p.known[pid]
		if seen && started == st.Started || all.relatedTo(pid, st, main, tag) {
			p.known[pid] = st.Started
			out = append(out, pid)
		}
	}
	for pid := range p.known {
		if _, lives := all[pid]; !lives {
			delete(p.known, pid)
		}
	}
	slices.Sort(out)
	return out
}

// processes is one look at /proc.
type processes map[int]Stat

func processTable() (processes, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	all := processes{}
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		if s, err := ReadStat("/proc/" + d.Name() + "/stat"); err == nil && !s.Ended() {
			all[pid] = s
		}
	}
	return all, nil
}

// relatedTo reports whether a process is a server's main process, or came from it.
func (all processes) relatedTo(pid int, st Stat, main int, tag string) bool {
	if main != 0 {
		if st.Session == main {
			return true
		}
		for up, ok := pid, true; ok && up > 1; up = all[up].Parent {
			if up == main {
				return true
			}
			_, ok = all[up]
		}
	}
	return tagged(pid, tag)
}

// send signals one process, and never another that has got its number meanwhile.
func (m member) send(sig unix.Signal) {
	fd, err := unix.PidfdOpen(m.PID, 0)
	if err == unix.ESRCH {
		return
	}
	if err == nil {
		defer unix.Close(fd)
	}
	if st, e := ReadStat(fmt.Sprintf("/proc/%d/stat", m.PID)); e != nil || st.Started != m.started {
		return
	}
	if err == nil {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0)
		return
	}
	_ = unix.Kill(m.PID, sig) // before Linux 5.3
}

// settle is how long a thread inside the kernel may take to stop.
const settle = time.Second

// suspend stops every process of a server with SIGSTOP. It returns when they stand still
// and none is new, or when one of them has not stopped for a while: the probe tells the
// truth about that one. p.acting is held.
func (s *supervisor) suspend(p *process) {
	var still []member // the last list, if all of it stood still
	asked := map[int]int{}
	end := time.Now().Add(settle)
	for {
		now, moving := s.members(p), 0
		for _, m := range now {
			if asked[m.PID] == 0 {
				end = time.Now().Add(settle)
			}
			asked[m.PID]++
			if m.Stopped == m.Threads {
				continue
			}
			moving++
			m.send(unix.SIGSTOP)
			if asked[m.PID] > vforkPatience {
				release(m.PID, now)
			}
		}
		switch {
		case len(now) == 0, moving == 0 && sameMembers(still, now):
			return // what the list before had forked until it stood still is in this one
		case moving == 0:
			still = now
		case time.Now().After(end):
			return
		default:
			still = nil
			time.Sleep(time.Millisecond)
		}
	}
}

// vforkPatience is how often a process is asked to stop before it is taken for one that
// waits for its child.
const vforkPatience = 5

// release lets the stopped children of a process go on until they are stopped again. A
// thread that called vfork waits in the kernel, deaf to SIGSTOP, until the child has
// called execve: one that was stopped before that would keep it from stopping.
func release(parent int, all []member) {
	for _, m := range all {
		if m.parent == parent && m.Stopped == m.Threads {
			m.send(unix.SIGCONT)
		}
	}
}

func sameMembers(a, b []member) bool {
	return slices.EqualFunc(a, b, func(a, b member) bool { return a.PID == b.PID && a.started == b.started })
}

// resume continues every process of a server.
func (s *supervisor) resume(p *process) {
	for _, m := range s.members(p) {
		m.send(unix.SIGCONT)
	}
}

// killAll ends every process of a server with SIGKILL, and fails when some do not end.
// p.acting is held.
func (s *supervisor) killAll(p *process) error {
	s.mu.Lock()
	group := p.group
	s.mu.Unlock()
	// Those whose parents are dead already could not be found any more.
	if group == nil {
		s.suspend(p)
	} else if err := group.server.Kill(dying); err != nil {
		return err
	}
	// /proc is not read in one step: one empty look may have missed a child that was born
	// behind it.
	for end, empty := time.Now().Add(dying), 0; empty < 2; time.Sleep(time.Millisecond) {
		left := s.relatives(p)
		if empty++; len(left) > 0 {
			empty = 0
		}
		if empty == 0 && time.Now().After(end) {
			return fmt.Errorf("%d of its processes did not end within %s of SIGKILL, the first of them %d: the kernel holds them, perhaps for a disk", len(left), dying, left[0].PID)
		}
		for _, m := range left {
			m.send(unix.SIGKILL)
		}
	}
	return nil
}
