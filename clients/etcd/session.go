package etcd

import (
	"context"
	"errors"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"google.golang.org/grpc"

	"nemesis/clients"
	"nemesis/history"
)

// sessions is what locks and elections have in common: the session of the official
// client's concurrency package, a lease that the library keeps alive in the background
// and whose Done tells a program that its lease is lost.
//
// One session serves one holder after another, as the package means it to. After
// anything went wrong with giving a hold back it is dropped, so that no key of it is
// taken for a new grant.
type sessions struct {
	conn *clientv3.Client
	tell func(clients.Belief)

	mu      sync.Mutex
	session *concurrency.Session // nil when there is none
	ttl     int64                // what was granted to it, in milliseconds
	held    map[string]history.Grant
}

func (s *sessions) Watch(tell func(clients.Belief)) { s.tell = tell }

// Close leaves the session's lease to run out.
func (s *sessions) Close() error {
	s.drop()
	return s.conn.Close()
}

// begin returns the present session, or a new one.
func (s *sessions) begin(ctx context.Context, ttl time.Duration) (*concurrency.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != nil {
		select {
		case <-s.session.Done():
			s.lost(s.session)
		default:
			return s.session, nil
		}
	}
	sent := time.Now()
	lease, err := s.conn.Grant(ctx, seconds(ttl))
	if err != nil {
		return nil, nothing(err) // a lease that no key hangs on holds nothing
	}
	session, err := concurrency.NewSession(s.conn, concurrency.WithLease(lease.ID), concurrency.WithTTL(int(seconds(ttl))))
	switch {
	case err != nil:
		return nil, nothing(err)
	case session == nil: // the package's answer when it cannot keep a lease alive
		return nil, nothing(errors.New("the client cannot keep leases alive any more"))
	}
	s.session, s.ttl, s.held = session, lease.TTL*1000, map[string]history.Grant{}
	s.tell(clients.Belief{F: history.BeliefRenewed, Grant: history.Grant{Lease: leaseName(lease.ID), TTL: s.ttl}, Sent: sent})
	go func() {
		<-session.Done()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lost(session)
	}()
	return session, nil
}

// lost ends what is held under a session; the caller has the lock.
func (s *sessions) lost(session *concurrency.Session) {
	if s.session != session {
		return
	}
	s.session = nil
	for resource, grant := range s.held {
		s.tell(clients.Belief{F: history.BeliefLost, Key: resource, Grant: grant, At: time.Now()})
	}
}

// drop ends the session without a word to the server.
func (s *sessions) drop() {
	s.mu.Lock()
	session := s.session
	s.session = nil
	s.mu.Unlock()
	if session != nil {
		session.Orphan()
	}
}

// took notes a grant that was made under a session.
func (s *sessions) took(session *concurrency.Session, resource string, token int64) history.Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := leaseName(session.Lease())
	grant := history.Grant{Lease: name, Token: token, TTL: s.ttl, Owner: name}
	if s.session != session { // lost at the same moment, before it could be noted
		s.tell(clients.Belief{F: history.BeliefLost, Key: resource, Grant: grant})
		return grant
	}
	s.held[resource] = grant
	return grant
}

func (s *sessions) gave(resource string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, resource)
}

// Renew is not for programs that use sessions.
func (s *sessions) Renew(context.Context, string, history.Grant) (history.Grant, error) {
	return history.Grant{}, &clients.Refused{Reason: "sessions are renewed in the background", Cause: history.Declined}
}

// heard is told of each answered keep-alive. It is news of each resource held, or of the
// lease alone: who gets a resource on a lease that was renewed before has it for no
// longer than that renewal says.
func (s *sessions) heard(lease clientv3.LeaseID, ttl int64, sent, at time.Time) {
	if ttl <= 0 {
		return
	}
	renewed := clients.Belief{F: history.BeliefRenewed, Grant: history.Grant{Lease: leaseName(lease), TTL: ttl * 1000}, Sent: sent, At: at}
	s.mu.Lock()
	defer s.mu.Unlock()
	alone := true
	for resource, grant := range s.held {
		if grant.Lease == renewed.Grant.Lease {
			grant.TTL = ttl * 1000
			s.tell(clients.Belief{F: history.BeliefRenewed, Key: resource, Grant: grant, Sent: sent, At: at})
			alone = false
		}
	}
	if alone {
		s.tell(renewed)
	}
}

// keepAliveMethod is the stream on which the library renews.
const keepAliveMethod = "/etcdserverpb.Lease/LeaseKeepAlive"

// overhear makes a connection tell of the keep-alives on it. The library tells a
// program when an answer came, and nobody when the request behind it was sent, which
// alone says from when on the lease lasts.
func overhear(heard func(lease clientv3.LeaseID, ttl int64, sent, at time.Time)) grpc.DialOption {
	return grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		stream, err := open(ctx, desc, conn, method, opts...)
		if err != nil || method != keepAliveMethod {
			return stream, err
		}
		return &keepAlives{ClientStream: stream, heard: heard, sent: map[int64][]time.Time{}}, nil
	})
}

// keepAlives pairs requests with answers. A server answers a stream's requests one by
// one, in order; should it leave one out, the answers that follow count for earlier
// requests than they should, which proves less and nothing false.
type keepAlives struct {
	grpc.ClientStream
	heard func(clientv3.LeaseID, int64, time.Time, time.Time)

	mu   sync.Mutex
	sent map[int64][]time.Time // of the requests not answered yet, by lease
}

func (k *keepAlives) SendMsg(m any) error {
	if request, is := m.(*pb.LeaseKeepAliveRequest); is {
		k.mu.Lock()
		k.sent[request.ID] = append(k.sent[request.ID], time.Now())
		k.mu.Unlock()
	}
	return k.ClientStream.SendMsg(m)
}

func (k *keepAlives) RecvMsg(m any) error {
	err := k.ClientStream.RecvMsg(m)
	answer, is := m.(*pb.LeaseKeepAliveResponse)
	if err != nil || !is {
		return err
	}
	at := time.Now()
	k.mu.Lock()
	waiting := k.sent[answer.ID]
	if len(waiting) > 0 {
		k.sent[answer.ID] = waiting[1:]
	}
	k.mu.Unlock()
	if len(waiting) > 0 { // else an answer that nobody asked for
		k.heard(clientv3.LeaseID(answer.ID), answer.TTL, waiting[0], at)
	}
	return nil
}
