package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"nemesis/history"
	"nemesis/servers/process"
)

// PeerPort is where members ask each other for votes, and tell whoever asks how they stand.
const PeerPort = 5433

// proxyAddress is the standby's way to its primary.
const proxyAddress = "127.0.0.1:5434"

// administrator is the supervisor's own user, whom a member always lets in.
const administrator = "postgres"

// Member is one node of a cluster.
type Member struct {
	Name    string
	Address netip.Addr
}

// Replication is how the members of a cluster work together.
type Replication struct {
	// Members are all, the one that makes the first data first.
	Members []Member
	// Sync: a commit waits until a majority of members has it on its disk, the primary's included.
	Sync bool
	// Timeout is how long a member waits for its primary before it stands for election.
	Timeout time.Duration
	// Seed is that of the jitter of Timeout.
	Seed uint64
}

// Standing is how a member stands, as it tells whoever asks.
type Standing struct {
	Name string `json:"name"`
	// Primary is the member whom it takes for the primary; "" for none.
	Primary string `json:"primary,omitempty"`
	Term    uint64 `json:"term"`
	Held    uint64 `json:"held"`
	// Serves: it is the primary and lets clients in, or it follows one.
	Serves bool `json:"serves"`
}

const dialPatience = time.Second

// member supervises the server of one node of a cluster.
type member struct {
	*server
	Replication
	self   Member
	others []Member
	random *rand.Rand // of the one goroutine that runs
	proxy  *proxy
	client *http.Client

	said  string
	fails int // how often in a row the standby's server ended by itself

	mu        sync.Mutex // guards everything below
	state     state
	held      uint64   // the term of the primary that the data is from; 0 for none
	leader    string   // "" when nobody is known
	ready     bool     // the leader's server takes standbys
	from      position // how far the leader's log went when it was elected
	heard     time.Time
	leading   bool
	serves    bool
	asking    time.Time // when the ballots were sent that made it the primary
	following uint64    // the term of the primary that the standby is let through to; 0 for none
}

// runMember serves as one member until ctx ends.
func runMember(ctx context.Context, s *server) error {
	m := &member{server: s, Replication: *s.Replication, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}, random: rand.New(rand.NewPCG(s.Replication.Seed, uint64(s.Listen.Addr().As16()[15])))}
	for _, o := range m.Members {
		if o.Address == s.Listen.Addr() {
			m.self = o
		} else {
			m.others = append(m.others, o)
		}
	}
	if m.self.Name == "" {
		return fmt.Errorf("find this node among the members: nobody has the address %s", s.Listen.Addr())
	}
	if err := errors.Join(m.remember(), m.settle()); err != nil {
		return err
	}
	var err error
	if m.proxy, err = openProxy(ctx, proxyAddress); err != nil {
		return err
	}
	defer m.proxy.close()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", netip.AddrPortFrom(m.self.Address, PeerPort).String())
	if err != nil {
		return fmt.Errorf("listen to the other members: %w", err)
	}
	web := &http.Server{Handler: m.handler(), ReadHeaderTimeout: dialPatience}
	go web.Serve(listener)
	defer web.Close()
	return m.run(ctx)
}

func (m *member) stateFile() string { return filepath.Join(m.Dir, "member.json") }

func (m *member) remember() error {
	text, err := os.ReadFile(m.stateFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, &m.state)
	}
	if err != nil {
		return fmt.Errorf("read what this member must remember: %w", err)
	}
	return nil
}

// become writes a state down before it counts. The caller has the lock.
func (m *member) become(s state) error {
	if s == m.state {
		return nil
	}
	text, err := json.Marshal(s)
	if err == nil {
		err = history.WriteFile(m.stateFile(), 0o600, text)
	}
	if err != nil {
		return fmt.Errorf("write down what this member must remember: %w", err)
	}
	m.state = s
	return nil
}

// heartbeat is what a primary tells the others.
type heartbeat struct {
	Term   uint64 `json:"term"`
	Leader string `json:"leader"`
	Ready  bool   `json:"ready"`
	// From is how far its log went when it was elected: who has no more of the same log can follow it
	// without a copy.
	From position `json:"from"`
}

type answer struct {
	Term uint64 `json:"term"`
	Yes  bool   `json:"yes"`
	Why  string `json:"why,omitempty"`
}

func (m *member) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /heartbeat", func(w http.ResponseWriter, r *http.Request) {
		var h heartbeat
		if read(w, r, &h) {
			tell(w, m.hear(h))
		}
	})
	mux.HandleFunc("POST /vote", func(w http.ResponseWriter, r *http.Request) {
		var b ballot
		if read(w, r, &b) {
			tell(w, m.asked(r.Context(), b))
		}
	})
	mux.HandleFunc("GET /standing", func(w http.ResponseWriter, _ *http.Request) { tell(w, m.standing()) })
	return mux
}

func read(w http.ResponseWriter, r *http.Request, to any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(to); err != nil {
		http.Error(w, "that is no request of a member", http.StatusBadRequest)
		return false
	}
	return true
}

func tell(w http.ResponseWriter, what any) { _ = json.NewEncoder(w).Encode(what) } // whoever is gone hears nothing

func (m *member) standing() Standing {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Standing{Name: m.self.Name, Term: m.state.Term, Held: m.held, Serves: m.serves}
	switch {
	case m.leading:
		s.Primary = m.self.Name
	case m.leader != "" && time.Since(m.heard) < m.Timeout:
		s.Primary = m.leader
		_, stands := m.proxy.used()
		s.Serves = stands && m.following == m.state.Term
	}
	return s
}

// hear takes a primary's heartbeat.
func (m *member) hear(h heartbeat) answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h.Term < m.state.Term || m.leading && h.Term == m.state.Term {
		return answer{Term: m.state.Term, Why: "the term is over"}
	}
	if err := m.become(m.state.learn(h.Term)); err != nil {
		return answer{Term: m.state.Term, Why: err.Error()}
	}
	m.leader, m.ready, m.from, m.heard = h.Leader, h.Ready, h.From, time.Now()
	return answer{Term: m.state.Term, Yes: true}
}

// hasPrimary: it is one, or has heard of one lately. The caller has the lock.
func (m *member) hasPrimary() bool {
	return m.leading || m.leader != "" && time.Since(m.heard) < m.Timeout
}

// asked answers whoever asks for a vote. The standby is cut off first, so that what its log holds
// is all that it ever acknowledges to a primary of an earlier term.
func (m *member) asked(ctx context.Context, b ballot) answer {
	m.mu.Lock()
	why := m.state.refusal(b, m.hasPrimary())
	heard := m.heard
	if b.Trial {
		defer m.mu.Unlock()
		return answer{Term: m.state.Term, Yes: why == "", Why: why}
	}
	if why == "" {
		m.detach()
	}
	m.mu.Unlock()
	if why == "" {
		own, err := m.position(ctx)
		switch {
		case err != nil:
			why = err.Error()
		case b.Position.compare(own) < 0:
			why = fmt.Sprintf("its log goes on to %+v", own)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if why == "" && m.heard != heard {
		why = "there is a primary"
	}
	if why == "" {
		why = m.state.refusal(b, m.hasPrimary())
	}
	if why != "" {
		return answer{Term: m.state.Term, Why: why}
	}
	if err := m.become(m.state.vote(b)); err != nil {
		return answer{Term: m.state.Term, Why: err.Error()}
	}
	// The candidate has as long as a primary to be heard of.
	m.leader, m.ready, m.heard = b.Candidate, false, time.Now()
	return answer{Term: m.state.Term, Yes: true}
}

// detach cuts the standby off. The caller has the lock.
func (m *member) detach() {
	m.proxy.cut()
	m.following = 0
}

// position is how far this member's log goes, once its standby is cut off.
func (m *member) position(ctx context.Context) (position, error) {
	m.mu.Lock()
	held := m.held
	m.mu.Unlock()
	if !m.created() {
		return position{}, nil
	}
	if tried, _ := m.proxy.used(); !tried {
		return position{}, errors.New("its server still replays its log")
	}
	ctx, cancel := context.WithTimeout(ctx, m.Timeout)
	defer cancel()
	text, err := query(ctx, m.Listen.String(), "SELECT greatest(coalesce(pg_last_wal_receive_lsn(), '0/0'), coalesce(pg_last_wal_replay_lsn(), '0/0')) - '0/0'::pg_lsn")
	if err != nil {
		return position{}, fmt.Errorf("its server does not say how far its log goes: %w", err)
	}
	p := position{Held: held}
	m.mu.Lock()
	same := m.held == held
	m.mu.Unlock()
	if !same {
		return position{}, errors.New("its data was exchanged meanwhile")
	}
	if _, err := fmt.Sscan(text, &p.LSN); err != nil {
		return position{}, fmt.Errorf("its server says that its log goes to %.40q", text)
	}
	return p, nil
}

// ask sends one request to another member.
func (m *member) ask(ctx context.Context, to Member, method, path string, what, reply any) error {
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	url := "http://" + netip.AddrPortFrom(to.Address, PeerPort).String() + path
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := m.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(http.MaxBytesReader(nil, response.Body, 1<<16)).Decode(reply)
}

// restart starts the server as a standby that nobody lets through, whatever it was.
func (m *member) restart(p *process.Process) (*process.Process, error) {
	if p != nil {
		p.Stop(syscall.SIGQUIT) // at once: its clients must not hear another word
	}
	m.mu.Lock()
	m.detach()
	m.serves = false
	m.mu.Unlock()
	m.proxy.forget()
	if err := m.allow(false); err != nil {
		return nil, err
	}
	// Lost with the machine's power, it would let the standby start as a primary.
	if err := history.WriteFile(filepath.Join(m.data(), "standby.signal"), 0o600, nil); err != nil {
		return nil, fmt.Errorf("make the server a standby: %w", err)
	}
	return m.start(m.settings()...)
}

// settings are those of a member's server.
func (m *member) settings() []string {
	host, port, _ := net.SplitHostPort(proxyAddress)
	settings := []string{
		"wal_level=replica", "max_wal_senders=10", "wal_keep_size=1GB", "hot_standby=on",
		fmt.Sprintf("primary_conninfo=host=%s port=%s user=%s application_name=%s sslmode=disable", host, port, administrator, m.self.Name),
		"wal_sender_timeout=5s", "wal_receiver_timeout=5s", "wal_retrieve_retry_interval=100ms",
	}
	if m.Sync {
		names := ""
		for _, o := range m.others {
			names += fmt.Sprintf(`, "%s"`, o.Name)
		}
		settings = append(settings, "synchronous_commit=on", fmt.Sprintf("synchronous_standby_names=ANY %d (%s)", majority(len(m.others))-1, names[2:]))
	}
	return settings
}
