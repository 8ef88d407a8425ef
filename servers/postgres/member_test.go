package postgres

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func newMember(t *testing.T, dir string) *member {
	t.Helper()
	m := &member{
		server:      &server{Options: Options{Dir: dir, Listen: netip.MustParseAddrPort("10.0.0.1:5432"), Say: func(string) {}}},
		Replication: Replication{Timeout: time.Hour}, self: Member{Name: "n1"}, random: rand.New(rand.NewPCG(1, 1)),
	}
	var err error
	if m.proxy, err = openProxy(context.Background(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.proxy.close)
	if err := m.remember(); err != nil {
		t.Fatal(err)
	}
	return m
}

// The vote of a term is given once, to one candidate, also by a member that was killed in between.
func TestOneVoteATerm(t *testing.T) {
	dir := t.TempDir()
	ask := func(m *member, term uint64, who string) bool {
		m.heard = time.Time{} // long ago
		return m.asked(context.Background(), ballot{Term: term, Candidate: who}).Yes
	}
	m := newMember(t, dir)
	if !ask(m, 1, "n2") || ask(m, 1, "n3") || !ask(m, 1, "n2") {
		t.Error("in term 1 its vote is not n2's alone")
	}
	m = newMember(t, dir)
	if ask(m, 1, "n3") || !ask(m, 2, "n3") || ask(m, 1, "n2") {
		t.Error("after a restart it votes again in term 1, or not in term 2")
	}
}

func TestNobodyIsVotedForBesideAPrimaryThatIsHeardOf(t *testing.T) {
	m := newMember(t, t.TempDir())
	if a := m.hear(heartbeat{Term: 3, Leader: "n2"}); !a.Yes || m.state.Term != 3 {
		t.Fatalf("a heartbeat: %+v, and the term is %d", a, m.state.Term)
	}
	for _, trial := range []bool{true, false} {
		if a := m.asked(context.Background(), ballot{Term: 9, Candidate: "n3", Trial: trial}); a.Yes || m.state.Term != 3 {
			t.Errorf("trial %v: %+v, and the term is %d", trial, a, m.state.Term)
		}
	}
	m.heard = time.Time{}
	if a := m.asked(context.Background(), ballot{Term: 9, Candidate: "n3", Trial: true}); !a.Yes || m.state.Term != 3 || m.state.Voted != "" {
		t.Errorf("a trial after silence: %+v, and it left %+v", a, m.state)
	}
	if a := m.asked(context.Background(), ballot{Term: 9, Candidate: "n3"}); !a.Yes {
		t.Errorf("a candidate after silence: %+v", a)
	}
	if a := m.hear(heartbeat{Term: 3, Leader: "n2"}); a.Yes || a.Term != 9 {
		t.Errorf("a heartbeat of a term that is over: %+v", a)
	}
}

func TestLongerLogsComeFirst(t *testing.T) {
	for _, c := range []struct {
		a, b position
		want int
	}{
		{position{1, 100}, position{1, 99}, 1}, {position{2, 1}, position{1, 100}, 1}, {position{2, 1}, position{2, 1}, 0}, {position{}, position{1, 0}, -1},
	} {
		if got := c.a.compare(c.b); got != c.want {
			t.Errorf("%+v and %+v: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// A log is continued by a primary of the same log that had at least as much; logs of different terms have parted.
func TestWhoseLogAPrimaryContinues(t *testing.T) {
	for _, c := range []struct {
		own, primary position
		want         bool
	}{
		{position{3, 100}, position{3, 100}, true}, {position{3, 99}, position{3, 100}, true}, {position{3, 101}, position{3, 100}, false},
		{position{2, 99}, position{3, 100}, false}, {position{4, 99}, position{3, 100}, false}, {position{}, position{0, 100}, false},
	} {
		if got := c.own.continuedBy(c.primary); got != c.want {
			t.Errorf("%+v by %+v: %v, want %v", c.own, c.primary, got, c.want)
		}
	}
}

// A primary serves for a lease from the moment since which a majority is known to have heard of it.
func TestLeaseIsThatOfAMajority(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(1000+s, 0) }
	var never time.Time
	for name, c := range map[string]struct {
		answered []time.Time
		want     time.Time
	}{
		"alone of two":                           {[]time.Time{never}, never},
		"two":                                    {[]time.Time{at(5)}, at(15)},
		"three, one of which is dead":            {[]time.Time{never, at(5)}, at(15)},
		"three, one slower":                      {[]time.Time{at(3), at(5)}, at(15)},
		"five, two dead":                         {[]time.Time{never, at(5), never, at(3)}, at(13)},
		"five, three dead":                       {[]time.Time{never, at(5), never, never}, never},
		"four, of which a majority needs three":  {[]time.Time{at(1), at(5), at(3)}, at(13)},
		"four, and a tie is no majority at all":  {[]time.Time{never, at(5), never}, never},
		"three, none of which is ahead of other": {[]time.Time{at(4), at(4)}, at(14)},
	} {
		if got := leaseEnd(c.answered, 10*time.Second); !got.Equal(c.want) {
			t.Errorf("%s: until %v, want %v", name, got, c.want)
		}
	}
	for others, want := range map[int]int{1: 2, 2: 2, 3: 3, 4: 3} {
		if got := majority(others); got != want {
			t.Errorf("majority of %d nodes: %d, want %d", others+1, got, want)
		}
	}
}

// Whenever a member is killed while it exchanges its data, there is one whole copy afterwards,
// and it knows from which term that is.
func TestExchangeOfDataIsWholeWheneverItIsInterrupted(t *testing.T) {
	for name, c := range map[string]struct {
		// dirs are what lies there, each with the term that it says, 0 for none.
		dirs map[string]uint64
		want uint64
	}{
		"before the first data":                      {nil, 0},
		"data of nobody's term":                      {map[string]uint64{"current": 0}, 0},
		"nothing to exchange":                        {map[string]uint64{"current": 3}, 3},
		"a copy that is not whole":                   {map[string]uint64{"current": 3, "next": 0}, 3},
		"a copy that is not whole, the first one":    {map[string]uint64{"next": 0}, 0},
		"a whole copy":                               {map[string]uint64{"current": 3, "next": 5}, 5},
		"the old data is away":                       {map[string]uint64{"old": 3, "next": 5}, 5},
		"the new data is in place":                   {map[string]uint64{"old": 3, "current": 5}, 5},
		"a whole copy, and old data of another time": {map[string]uint64{"old": 1, "current": 3, "next": 5}, 5},
		"the old data is away and the copy is gone":  {map[string]uint64{"old": 3}, 3},
	} {
		m := newMember(t, t.TempDir())
		for dir, term := range c.dirs {
			if err := os.MkdirAll(filepath.Join(m.Dir, dir, pgDir), 0o700); err != nil {
				t.Fatal(err)
			}
			if term > 0 {
				if err := m.hold(filepath.Join(m.Dir, dir), term); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := m.settle(); err != nil || m.held != c.want {
			t.Errorf("%s: term %d, %v; want %d", name, m.held, err, c.want)
		}
		if held, err := heldIn(m.current()); held != c.want || err != nil {
			t.Errorf("%s: the current data says %d, %v; want %d", name, held, err, c.want)
		}
		if _, err := os.Stat(m.old()); err == nil {
			t.Errorf("%s: the old data is still there", name)
		}
	}
}

// Cut off means that nothing gets through any more, of connections that stand and of new ones, and that
// an attempt is noticed all the same.
func TestProxyIsCutAtOnce(t *testing.T) {
	primary, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer primary.Close()
	go func() {
		for {
			conn, err := primary.Accept()
			if err != nil {
				return
			}
			go io.Copy(conn, conn)
		}
	}()
	p, err := openProxy(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if tried, stands := p.used(); tried || stands {
		t.Error("it was used before anybody tried")
	}
	p.lead(primary.Addr().String())
	through := func() (net.Conn, error) {
		conn, err := net.Dial("tcp", p.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := conn.Write([]byte("x")); err != nil {
			return conn, err
		}
		_, err = io.ReadFull(conn, make([]byte, 1))
		return conn, err
	}
	conn, err := through()
	if err != nil {
		t.Fatalf("nothing gets through: %v", err)
	}
	defer conn.Close()
	p.cut()
	if _, err := io.ReadFull(conn, make([]byte, 1)); err == nil {
		t.Error("the connection stands after it was cut")
	}
	p.forget()
	other, err := through()
	other.Close()
	if err == nil {
		t.Error("a new connection gets through although it is cut")
	}
	if tried, _ := p.used(); !tried {
		t.Error("the attempt was not noticed")
	}
}
