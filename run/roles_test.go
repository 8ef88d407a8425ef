package run

import (
	"context"
	"testing"
	"time"

	"nemesis/clients"
	"nemesis/history"
)

// led is a deployment of which only the leader is known.
type led struct {
	clients.Deployment
	leader string
}

func (l led) Leads(context.Context) ([]history.Lead, error) {
	return []history.Lead{{Node: l.leader}}, nil
}

// granted also knows who grants leases.
type granted struct {
	led
	grantor string
}

func (g granted) Grantor(context.Context) (string, error) { return g.grantor, nil }

func TestWhoHoldsTheLease(t *testing.T) {
	ended := func(f string, process int, node string, kind history.Type, value string) *history.Event {
		return &history.Event{Type: kind, Process: process, Node: node, F: f, Key: "lock", Value: []byte(value)}
	}
	for name, test := range map[string]struct {
		events []*history.Event
		lost   bool
		want   string
	}{
		"nobody at first":             {},
		"who acquired it":             {events: []*history.Event{ended("acquire", 1, "n1", history.OK, `{}`)}, want: "n1"},
		"who acquired it last":        {events: []*history.Event{ended("acquire", 1, "n1", history.OK, `{}`), ended("acquire", 2, "n2", history.OK, `{}`)}, want: "n2"},
		"nobody after the release":    {events: []*history.Event{ended("acquire", 1, "n1", history.OK, `{}`), ended("release", 1, "n1", history.OK, "")}},
		"nobody after it was lost":    {events: []*history.Event{ended("acquire", 1, "n1", history.OK, `{}`), ended("renew", 1, "n1", history.Fail, `{"gone":true}`)}},
		"who could not renew for now": {events: []*history.Event{ended("acquire", 1, "n1", history.OK, `{}`), ended("renew", 1, "n1", history.Fail, "")}, want: "n1"},
		"nobody after a client died":  {events: []*history.Event{ended("acquire", 1, "n1", history.OK, `{}`), ended("renew", 1, "n1", history.Info, "")}},
		"who was refused does not":    {events: []*history.Event{ended("acquire", 1, "n1", history.Fail, `{"held":true}`)}},
		"nobody after a belief":       {events: []*history.Event{ended("acquire", 1, "n1", history.OK, `{}`)}, lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := &roles{}
			for _, ev := range test.events {
				r.see(ev)
			}
			if test.lost {
				r.believe("lost", "lock", 1)
			}
			got, err := r.of(t.Context(), "holder")
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("the holder is %q, error %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestTheLeaderGrantsWhereNobodySaysOtherwise(t *testing.T) {
	for _, test := range []struct {
		deployment clients.Deployment
		role, want string
	}{
		{led{leader: "n3"}, "leader", "n3"},
		{led{leader: "n3"}, "grantor", "n3"},
		{granted{led{leader: "n3"}, "n4"}, "grantor", "n4"},
	} {
		can := clients.AbilitiesOf(test.deployment)
		r := &roles{leader: can.Leader, grantor: can.Grantor}
		if got, err := r.of(t.Context(), test.role); got != test.want || err != nil {
			t.Errorf("the %s is %q, %v, want %q", test.role, got, err, test.want)
		}
	}
	if _, err := (&roles{}).of(t.Context(), "king"); err == nil {
		t.Error("there is a king")
	}
}

func TestAStallIsWrittenDown(t *testing.T) {
	times := []int64{0, 20, 40, 400, 420}
	var events []history.Event
	ticks := make(chan time.Time)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	i := 0
	go func() {
		watchdog{
			now:   func() int64 { i++; return times[i-1] * int64(time.Millisecond) },
			ticks: ticks, asleep: func() (time.Duration, bool) { return 0, false },
			record: func(e history.Event) { events = append(events, e) },
		}.watch(ctx)
		close(done)
	}()
	for range times[1:] {
		ticks <- time.Time{}
	}
	cancel()
	<-done
	if len(events) != 1 || events[0].Type != history.Stall || string(events[0].Value) != "340000000" || events[0].Time != 400e6 {
		t.Errorf("got %+v", events)
	}
}
