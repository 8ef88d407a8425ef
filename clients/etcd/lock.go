package etcd

import (
	"context"
	"errors"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"nemesis/clients"
	"nemesis/history"
)

// locks are the mutexes of the official client's concurrency package. The token is the
// revision that created the holder's key; the package's own fencing, IsOwner, compares
// just that. Every other acquire waits in the lock's queue for a while, the others
// only try.
type locks struct {
	sessions
	guarded
	tries int
	mine  map[string]*concurrency.Mutex // by resource, until it is given back
}

func newLocks(conn *clientv3.Client, g guarded) *locks {
	return &locks{sessions: sessions{conn: conn}, guarded: g, mine: map[string]*concurrency.Mutex{}}
}

func lockPrefix(resource string) string { return "nemesis/lock/" + resource }

func (l *locks) Acquire(ctx context.Context, resource string, ttl time.Duration) (history.Grant, error) {
	session, err := l.begin(ctx, ttl)
	if err != nil {
		return history.Grant{}, err
	}
	mutex := concurrency.NewMutex(session, lockPrefix(resource))
	within, d := observed(ctx)
	l.tries++
	if l.tries%2 == 0 {
		err = waitFor(within, mutex, ttl)
	} else {
		err = mutex.TryLock(within)
	}
	switch {
	case errors.Is(err, concurrency.ErrLocked):
		return history.Grant{}, held(0)
	case err != nil:
		l.drop() // its key may be in the queue for good
		if leaseUnknown(err) || errors.Is(err, concurrency.ErrSessionExpired) || !d.sent.Load() {
			// Without its lease our key is not there, whatever else went wrong.
			return history.Grant{}, nothing(err)
		}
		return history.Grant{}, errors.New(brief(err))
	}
	own := mutex.IsOwner()
	l.mine[resource] = mutex
	return l.took(session, resource, (*pb.Compare)(&own).GetCreateRevision()), nil
}

// queueTime is how long to wait in a queue: a TTL, unless the operation's own time
// would not leave enough to leave the queue again.
func queueTime(ctx context.Context, ttl time.Duration) time.Duration {
	if deadline, has := ctx.Deadline(); has {
		return min(ttl, time.Until(deadline)/2)
	}
	return ttl
}

// errAbandoned is the error of a call of the concurrency package that did not return:
// it leaves queues without a deadline, which on a paused member takes until it resumes.
var errAbandoned = errors.New("the client's concurrency package did not return in time")

// waitFor is Lock for a while, and then ErrLocked if the queue was left for certain.
func waitFor(ctx context.Context, mutex *concurrency.Mutex, ttl time.Duration) error {
	waiting, cancel := context.WithTimeout(ctx, queueTime(ctx, ttl))
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- mutex.Lock(waiting) }()
	select {
	case err := <-ended:
		// The package forgets its key when the server has deleted it, and tells nobody
		// when it has not.
		if err != nil && waiting.Err() != nil && !strings.HasPrefix(mutex.Key(), "nemesis/") {
			return concurrency.ErrLocked
		}
		return err
	case <-ctx.Done():
		return errAbandoned
	}
}

func (l *locks) Release(ctx context.Context, resource string, _ history.Grant) error {
	mutex := l.mine[resource]
	if mutex == nil {
		return &clients.Refused{Reason: "this client has no lock on " + resource, Cause: history.Declined}
	}
	l.gave(resource)
	delete(l.mine, resource)
	within, d := observed(ctx)
	err := mutex.Unlock(within)
	if err == nil {
		return nil
	}
	l.drop()
	return changed(err, d.sent.Load())
}

// Holder is who is first in the queue.
func (l *locks) Holder(ctx context.Context, resource string) (*history.Grant, error) {
	prefix := lockPrefix(resource) + "/"
	kv, err := first(ctx, l.sessions.conn, prefix)
	if err != nil || kv == nil {
		return nil, err
	}
	name := clients.Printable(strings.TrimPrefix(string(kv.Key), prefix))
	return &history.Grant{Lease: name, Token: kv.CreateRevision, Owner: name}, nil
}

// Add is a critical section under the lock.
func (l *locks) Add(ctx context.Context, resource string, grant history.Grant, element int64) error {
	mutex := l.mine[resource]
	if mutex == nil {
		return &clients.Refused{Reason: "this client has no lock on " + resource, Cause: history.Declined}
	}
	return l.section(ctx, resource, mutex.IsOwner(), grant.Token, element)
}
