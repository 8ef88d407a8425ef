package etcd

import (
	"fmt"
	"net/netip"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"nemesis/clients"
	"nemesis/history"
)

// newClientFor makes the client that a workload needs.
func newClientFor(work history.Workload, addr netip.Addr, o options, dialer *clients.Dialer) (clients.Client, error) {
	ttl := time.Duration(work.TTL)
	switch work.Name {
	case "lease", "lock", "fenced-write", "election":
	default:
		return newClient(addr, o, dialer, work.Name)
	}
	if ttl < time.Second {
		return nil, fmt.Errorf("etcd's leases last whole seconds, not %s; give --ttl", ttl)
	}
	if work.Name == "lease" {
		conn, err := connect(addr, dialer)
		if err != nil {
			return nil, err
		}
		return clients.LeaseClient(newLeases(conn), clients.LeaseOptions{TTL: ttl}), nil
	}
	// The connection comes before whoever hears of what is on it.
	var hears *sessions
	conn, err := connect(addr, dialer, overhear(func(lease clientv3.LeaseID, ttl int64, sent, at time.Time) {
		hears.heard(lease, ttl, sent, at)
	}))
	if err != nil {
		return nil, err
	}
	var leases clients.Leases
	if work.Name == "election" {
		e := newElections(conn)
		leases, hears = e, &e.sessions
	} else {
		l := newLocks(conn, guarded{conn: conn, fenced: o.fenced || work.Name == "fenced-write", pause: min(ttl/40, 100*time.Millisecond)})
		leases, hears = l, &l.sessions
	}
	return clients.LeaseClient(leases, clients.LeaseOptions{TTL: ttl, Told: true}), nil
}
