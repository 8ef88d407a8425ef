package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"nemesis/clients"
	"nemesis/history"
)

// elections are those of the official client's concurrency package. An epoch, and so
// the token, is the revision that created the leader's key. What a leader proclaims is
// the value of that key, with who proclaims it, so that everybody learns both from Leader.
type elections struct {
	sessions
	won []victory // the newest last
}

// victory is an election that this client won, enough to go on as its leader.
type victory struct {
	session *concurrency.Session
	key     string
	token   int64
}

// remembered is how many victories a client keeps in mind, so that it can go on as
// the leader of an epoch that is over.
const remembered = 4

func newElections(conn *clientv3.Client) *elections {
	return &elections{sessions: sessions{conn: conn}}
}

// proclamation is the value of a leader's key.
type proclamation struct {
	Owner string `json:"owner"`
	Value *int64 `json:"value"` // nil until the leader proclaims something
}

func (p proclamation) String() string {
	text, _ := json.Marshal(p) // always marshals
	return string(text)
}

func electionPrefix(resource string) string { return "nemesis/election/" + resource }

// Acquire campaigns for a while.
func (e *elections) Acquire(ctx context.Context, resource string, ttl time.Duration) (history.Grant, error) {
	session, err := e.begin(ctx, ttl)
	if err != nil {
		return history.Grant{}, err
	}
	election := concurrency.NewElection(session, electionPrefix(resource))
	within, d := observed(ctx)
	waiting, cancel := context.WithTimeout(within, queueTime(ctx, ttl))
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- election.Campaign(waiting, proclamation{Owner: leaseName(session.Lease())}.String())
	}()
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = errAbandoned
	}
	switch {
	case err == nil:
		e.won = append(e.won, victory{session, election.Key(), election.Rev()})
		e.won = e.won[max(0, len(e.won)-remembered):]
		return e.took(session, resource, election.Rev()), nil
	case leaseUnknown(err), !d.sent.Load():
		e.drop()
		return history.Grant{}, nothing(err)
	case errors.Is(err, errAbandoned):
		e.drop()
		return history.Grant{}, err
	}
	// The package resigned, and does not tell whether that worked.
	key := electionPrefix(resource) + "/" + leaseName(session.Lease())
	if resp, lookErr := e.conn.Get(ctx, key); lookErr == nil {
		if kv, lookErr := single(resp.Kvs, key); lookErr == nil && kv == nil {
			return history.Grant{}, held(0)
		}
	}
	e.drop()
	return history.Grant{}, errors.New(brief(err))
}

// resume is the election that the client won under a token, as the package has a
// program resume one, whether or not it still leads.
func (e *elections) resume(resource string, token int64) (*concurrency.Election, victory, error) {
	for _, v := range e.won {
		if v.token == token {
			return concurrency.ResumeElection(v.session, electionPrefix(resource), v.key, token), v, nil
		}
	}
	return nil, victory{}, &clients.Refused{Reason: fmt.Sprintf("this client remembers no election of token %d that it won", token), Cause: history.Declined}
}

// Release resigns.
func (e *elections) Release(ctx context.Context, resource string, grant history.Grant) error {
	election, _, err := e.resume(resource, grant.Token)
	if err != nil {
		return err
	}
	e.gave(resource)
	within, d := observed(ctx)
	if err := election.Resign(within); err != nil {
		e.drop()
		return changed(err, d.sent.Load())
	}
	return nil
}

// Write proclaims.
func (e *elections) Write(ctx context.Context, resource string, write history.GuardedWrite) error {
	election, v, err := e.resume(resource, write.Token)
	if err != nil {
		return err
	}
	within, d := observed(ctx)
	err = election.Proclaim(within, proclamation{leaseName(v.session.Lease()), &write.Value}.String())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, concurrency.ErrElectionNotLeader):
		return rejected(0, fmt.Sprintf("the leadership of token %d is over", write.Token))
	case leaseUnknown(err):
		return gone()
	}
	return changed(err, d.sent.Load())
}

// Holder is the present leader.
func (e *elections) Holder(ctx context.Context, resource string) (*history.Grant, error) {
	leader, _, err := e.leader(ctx, resource)
	return leader, err
}

// Read is what the present leader has proclaimed; nil when it has not, or there is none.
func (e *elections) Read(ctx context.Context, resource string) (*history.GuardedWrite, error) {
	leader, said, err := e.leader(ctx, resource)
	if err != nil || leader == nil || said.Value == nil {
		return nil, err
	}
	return &history.GuardedWrite{Token: leader.Token, Value: *said.Value}, nil
}

// leader reads the first key of the election, as the package's Leader does, which can
// only be asked by who has a session.
func (e *elections) leader(ctx context.Context, resource string) (*history.Grant, proclamation, error) {
	prefix := electionPrefix(resource) + "/"
	kv, err := first(ctx, e.conn, prefix)
	if err != nil || kv == nil {
		return nil, proclamation{}, err
	}
	var said proclamation
	if err := json.Unmarshal(kv.Value, &said); err != nil {
		return nil, said, fmt.Errorf("the server answered %.100q where a proclamation was written", kv.Value)
	}
	name := clients.Printable(strings.TrimPrefix(string(kv.Key), prefix))
	return &history.Grant{Lease: name, Token: kv.CreateRevision, Owner: clients.Printable(said.Owner)}, said, nil
}
