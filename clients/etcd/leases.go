package etcd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"nemesis/clients"
	"nemesis/history"
)

// leases are resources held by etcd's lease API alone: a resource is a key, created by
// a transaction if it is absent, with a lease attached; when the lease ends, etcd
// deletes the key. The token is the revision that created the key, which grows with
// every grant. One request of a keep-alive stream renews; revoking releases.
//
// A watch on the key, at the same member, tells when somebody saw it deleted.
type leases struct {
	conn *clientv3.Client
	tell func(clients.Belief)
	// watching is the life of all watches.
	watching context.Context
	stop     context.CancelFunc
}

func newLeases(conn *clientv3.Client) *leases {
	l := &leases{conn: conn}
	l.watching, l.stop = context.WithCancel(context.Background())
	return l
}

func (l *leases) Watch(tell func(clients.Belief)) { l.tell = tell }

func (l *leases) Close() error {
	l.stop()
	return l.conn.Close()
}

func leaseKey(resource string) string { return "nemesis/lease/" + resource }

// leaseName is a lease as etcd's own tools write it.
func leaseName(id clientv3.LeaseID) string { return strconv.FormatInt(int64(id), 16) }

func leaseID(name string) (clientv3.LeaseID, error) {
	id, err := strconv.ParseInt(name, 16, 64)
	if err != nil || id == 0 {
		return 0, &clients.Refused{Reason: fmt.Sprintf("%.40q is not the name of a lease", name), Cause: history.Declined}
	}
	return clientv3.LeaseID(id), nil
}

// seconds is a TTL as etcd counts it, and at least one.
func seconds(ttl time.Duration) int64 { return max(1, int64(ttl/time.Second)) }

func (l *leases) Acquire(ctx context.Context, resource string, ttl time.Duration) (history.Grant, error) {
	key := leaseKey(resource)
	// Looking first spares the log three entries for every try in vain.
	before, err := l.conn.Get(ctx, key)
	if err != nil {
		return history.Grant{}, nothing(err)
	}
	if kv, err := single(before.Kvs, key); err != nil {
		return history.Grant{}, nothing(err)
	} else if kv != nil {
		return history.Grant{}, held(kv.CreateRevision)
	}
	lease, err := l.conn.Grant(ctx, seconds(ttl))
	if err != nil {
		return history.Grant{}, nothing(err) // a lease that no key hangs on holds nothing
	}
	grant := history.Grant{Lease: leaseName(lease.ID), TTL: lease.TTL * 1000, Owner: leaseName(lease.ID)}
	within, d := observed(ctx)
	resp, err := l.conn.Txn(within).
		If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, grant.Owner, clientv3.WithLease(lease.ID))).
		Else(clientv3.OpGet(key)).
		Commit()
	switch {
	case err != nil && leaseUnknown(err):
		// The server looks for the lease before it touches the key.
		return history.Grant{}, nothing(err)
	case err != nil:
		return history.Grant{}, changed(err, d.sent.Load())
	case resp.Succeeded:
		grant.Token = resp.Header.GetRevision()
		go l.watch(resource, grant)
		return grant, nil
	}
	// Whether or not this works, the lease holds nothing.
	_, _ = l.conn.Revoke(ctx, lease.ID)
	var token int64
	if len(resp.Responses) == 1 {
		if kv, err := single(resp.Responses[0].GetResponseRange().GetKvs(), key); err == nil && kv != nil {
			token = kv.CreateRevision
		}
	}
	return history.Grant{}, held(token)
}

// watch waits until the key of a grant is deleted, and tells. A watch that etcd
// ends, since what it asks for was compacted, tells nothing.
func (l *leases) watch(resource string, grant history.Grant) {
	ctx, cancel := context.WithCancel(l.watching)
	defer cancel()
	for seen := range l.conn.Watch(ctx, leaseKey(resource), clientv3.WithRev(grant.Token+1), clientv3.WithFilterPut()) {
		for _, ev := range seen.Events {
			if ev.Type == clientv3.EventTypeDelete && ev.Kv != nil && string(ev.Kv.Key) == leaseKey(resource) {
				l.tell(clients.Belief{F: history.BeliefGone, Key: resource, Grant: grant, At: time.Now()})
				return
			}
		}
	}
}

// Renew sends one request on a stream of its own. The official client's
// KeepAliveOnce would repeat it without a pause while the connection is broken.
func (l *leases) Renew(ctx context.Context, _ string, grant history.Grant) (history.Grant, error) {
	id, err := leaseID(grant.Lease)
	if err != nil {
		return grant, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	within, d := observed(ctx)
	answer, err := keepAlive(within, l.conn, id)
	switch {
	case err != nil && leaseUnknown(err), err == nil && answer.TTL <= 0:
		return grant, gone()
	case err != nil:
		return grant, changed(err, d.sent.Load())
	case answer.ID != int64(id):
		return grant, fmt.Errorf("the server renewed lease %x and was asked for %x", answer.ID, int64(id))
	}
	grant.TTL = answer.TTL * 1000
	return grant, nil
}

func keepAlive(ctx context.Context, conn *clientv3.Client, id clientv3.LeaseID) (*pb.LeaseKeepAliveResponse, error) {
	stream, err := pb.NewLeaseClient(conn.ActiveConnection()).LeaseKeepAlive(ctx)
	if err != nil {
		return nil, err
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil {
		return nil, err
	}
	return stream.Recv()
}

func (l *leases) Release(ctx context.Context, _ string, grant history.Grant) error {
	id, err := leaseID(grant.Lease)
	if err != nil {
		return err
	}
	within, d := observed(ctx)
	_, err = l.conn.Revoke(within, id)
	switch {
	case err == nil:
		return nil
	case leaseUnknown(err):
		return gone()
	}
	return changed(err, d.sent.Load())
}

func (l *leases) Holder(ctx context.Context, resource string) (*history.Grant, error) {
	key := leaseKey(resource)
	resp, err := l.conn.Get(ctx, key)
	if err != nil {
		return nil, nothing(err)
	}
	kv, err := single(resp.Kvs, key)
	if err != nil || kv == nil {
		return nil, err
	}
	return &history.Grant{Lease: leaseName(clientv3.LeaseID(kv.Lease)), Token: kv.CreateRevision, Owner: clients.Printable(string(kv.Value))}, nil
}

// leaseUnknown: the server, having looked, does not know the lease.
func leaseUnknown(err error) bool { return errors.Is(rpctypes.Error(err), rpctypes.ErrLeaseNotFound) }

// changed is the error of a request that may have changed something.
func changed(err error, sent bool) error {
	if writeEnded(err, sent) == history.Fail {
		return nothing(err)
	}
	return errors.New(brief(err))
}

// nothing is the error of a request that changed nothing.
func nothing(err error) error { return &clients.Refused{Reason: brief(err)} }

func held(token int64) error {
	return &clients.Refused{Refusal: history.Refusal{Held: true, Token: token}, Reason: "held by another"}
}

func gone() error {
	return &clients.Refused{Refusal: history.Refusal{Gone: true}, Reason: "the server does not know the lease"}
}

func rejected(token int64, reason string) error {
	return &clients.Refused{Refusal: history.Refusal{Rejected: true, Token: token}, Reason: reason}
}
