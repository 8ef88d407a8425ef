package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nemesis/history"
)

const ttl = 4 * time.Second

// fake are leases that answer as the test says. The zero value grants everything.
type fake struct {
	acquire, renew, release, look error
	takes                         time.Duration // every call
	renewals                      int
	failFor                       int // so many renewals fail with renew, when not 0
	tell                          func(Belief)
	during                        func() // called while an acquire is under way
	closed                        bool
}

var lent = history.Grant{Lease: "l", Token: 7, TTL: ttl.Milliseconds(), Owner: "me"}

func (f *fake) wait(ctx context.Context) error {
	select {
	case <-time.After(f.takes):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fake) Acquire(ctx context.Context, _ string, _ time.Duration) (history.Grant, error) {
	if f.during != nil {
		f.during()
	}
	if err := f.wait(ctx); err != nil {
		return history.Grant{}, err
	}
	return lent, f.acquire
}

func (f *fake) Renew(ctx context.Context, _ string, grant history.Grant) (history.Grant, error) {
	if err := f.wait(ctx); err != nil {
		return grant, err
	}
	f.renewals++
	if f.failFor > 0 && f.renewals > f.failFor {
		return grant, nil
	}
	return grant, f.renew
}

func (f *fake) Release(context.Context, string, history.Grant) error { return f.release }

func (f *fake) Holder(context.Context, string) (*history.Grant, error) { return nil, f.look }

func (f *fake) Close() error {
	f.closed = true
	return nil
}

func (f *fake) Watch(tell func(Belief)) { f.tell = tell }

func (f *fake) Add(context.Context, string, history.Grant, int64) error { return f.acquire }

func (f *fake) List(context.Context, string) ([]json.RawMessage, error) { return nil, f.look }

func (f *fake) Serve(context.Context, string) (history.Grant, error) { return lent, f.look }

func (f *fake) Move(context.Context, history.Move) error { return f.acquire }

func (f *fake) Write(context.Context, string, history.GuardedWrite) error { return f.acquire }

func (f *fake) Read(context.Context, string) (*history.GuardedWrite, error) {
	return &history.GuardedWrite{Token: 7, Value: 3}, f.look
}

// told is a belief with moments relative to the test's begin.
type told struct {
	F, Key   string
	At, Sent time.Duration
}

// stage is a client of fake leases, in the time of a synctest bubble.
type stage struct {
	t      *testing.T
	fake   *fake
	client Believer
	begun  time.Time
	mu     sync.Mutex
	told   []told
}

func play(t *testing.T, how LeaseOptions, f *fake, story func(*stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		how.TTL = ttl
		s := &stage{t: t, fake: f, begun: time.Now()}
		s.client = LeaseClient(f, how)
		s.client.Believe(func(b Belief) {
			s.mu.Lock()
			defer s.mu.Unlock()
			one := told{F: b.F, Key: b.Key, At: b.At.Sub(s.begun)}
			if !b.Sent.IsZero() {
				one.Sent = b.Sent.Sub(s.begun)
			}
			s.told = append(s.told, one)
		})
		story(s)
		s.client.Close()
		synctest.Wait()
	})
}

// do performs one operation with five seconds of time.
func (s *stage) do(f string, value any) Completion {
	text, _ := json.Marshal(value)
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	return s.client.Invoke(ctx, history.Event{F: f, Key: "k", Value: text})
}

func (s *stage) ended(c Completion, want history.Type, value string) {
	s.t.Helper()
	if c.Type != want || string(c.Value) != value {
		s.t.Errorf("ended in %s with %s (%s), want %s with %s", c.Type, c.Value, c.Error, want, value)
	}
}

func (s *stage) believed(want ...told) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if diff := cmp.Diff(want, s.told); diff != "" {
		s.t.Errorf("believed (-want +got):\n%s", diff)
	}
}

var (
	errDoubt = errors.New("the connection broke")
	grants   = `{"lease":"l","token":7,"ttl":4000,"owner":"me"}`
	refusal  = func(r history.Refusal) error { return &Refused{Refusal: r, Reason: "no"} }
)

func TestHowOperationsEnd(t *testing.T) {
	gone := refusal(history.Refusal{Gone: true})
	for name, test := range map[string]struct {
		f     string
		value any
		fake  fake
		want  history.Type
		text  string
	}{
		"acquired":                   {f: "acquire", want: history.OK, text: grants},
		"held":                       {f: "acquire", fake: fake{acquire: refusal(history.Refusal{Held: true, Token: 6})}, want: history.Fail, text: `{"held":true,"token":6}`},
		"acquire proved not to be":   {f: "acquire", fake: fake{acquire: refusal(history.Refusal{})}, want: history.Fail},
		"acquire wrapped":            {f: "acquire", fake: fake{acquire: fmt.Errorf("go: %w", refusal(history.Refusal{Held: true}))}, want: history.Fail, text: `{"held":true}`},
		"acquire in doubt":           {f: "acquire", fake: fake{acquire: errDoubt}, want: history.Info},
		"renewed":                    {f: "renew", value: lent, want: history.OK, text: grants},
		"renewed too late":           {f: "renew", value: lent, fake: fake{renew: gone}, want: history.Fail, text: `{"gone":true}`},
		"renewal in doubt":           {f: "renew", value: lent, fake: fake{renew: errDoubt}, want: history.Info},
		"renewal proved not to be":   {f: "renew", value: lent, fake: fake{renew: refusal(history.Refusal{})}, want: history.Fail},
		"release of nothing":         {f: "release", value: lent, want: history.Fail},
		"nobody holds it":            {f: "holder", want: history.OK, text: "null"},
		"a look in doubt":            {f: "holder", fake: fake{look: errDoubt}, want: history.Fail},
		"written":                    {f: "write", value: history.GuardedWrite{Token: 7, Value: 1}, want: history.OK},
		"write rejected":             {f: "write", value: history.GuardedWrite{Token: 7, Value: 1}, fake: fake{acquire: refusal(history.Refusal{Rejected: true, Token: 9})}, want: history.Fail, text: `{"rejected":true,"token":9}`},
		"write in doubt":             {f: "write", value: history.GuardedWrite{}, fake: fake{acquire: errDoubt}, want: history.Info},
		"read":                       {f: "read", want: history.OK, text: `{"token":7,"value":3}`},
		"read in doubt":              {f: "read", fake: fake{look: errDoubt}, want: history.Fail},
		"added without a hold":       {f: "add", value: 3, want: history.Fail},
		"an empty list":              {f: "list", want: history.OK, text: "[]"},
		"served":                     {f: "serve", want: history.OK, text: grants},
		"served by another":          {f: "serve", fake: fake{look: refusal(history.Refusal{})}, want: history.Fail},
		"moved":                      {f: "move", value: history.Move{High: 5, To: "n2"}, want: history.OK},
		"a move in doubt":            {f: "move", value: history.Move{}, fake: fake{acquire: errDoubt}, want: history.Info},
		"nothing that leases can do": {f: "cas", want: history.Fail},
		"a grant that is none":       {f: "renew", value: 7, want: history.Fail},
		"an element that is none":    {f: "add", value: "x", want: history.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, LeaseOptions{}, &test.fake, func(s *stage) { s.ended(s.do(test.f, test.value), test.want, test.text) })
		})
	}
}

func TestBeliefsOfAHolderAreRecorded(t *testing.T) {
	second := time.Second
	t.Run("it enters, acts and leaves", func(t *testing.T) {
		play(t, LeaseOptions{}, &fake{takes: second}, func(s *stage) {
			s.ended(s.do("acquire", nil), history.OK, grants)
			s.ended(s.do("add", 1), history.OK, "")
			s.ended(s.do("release", lent), history.OK, "")
			s.ended(s.do("add", 2), history.Fail, "")
			s.believed(told{"enter", "k", second, 0}, told{"exit", "k", second, 0})
		})
	})
	t.Run("its time runs from when it asked", func(t *testing.T) {
		play(t, LeaseOptions{}, &fake{takes: second}, func(s *stage) {
			s.do("acquire", nil)
			time.Sleep(5 * second)
			s.ended(s.do("add", 1), history.Fail, "")
			s.believed(told{"enter", "k", second, 0}, told{"lost", "k", 4 * second, 0})
		})
	})
	t.Run("a grant that took too long is none to it", func(t *testing.T) {
		play(t, LeaseOptions{}, &fake{takes: ttl}, func(s *stage) {
			s.ended(s.do("acquire", nil), history.OK, grants)
			s.believed()
		})
	})
	t.Run("a renewal prolongs it from when that was asked for", func(t *testing.T) {
		play(t, LeaseOptions{}, &fake{takes: second / 2}, func(s *stage) {
			s.do("acquire", nil)
			time.Sleep(2 * second)
			s.ended(s.do("renew", lent), history.OK, grants)
			time.Sleep(10 * second)
			s.believed(told{"enter", "k", second / 2, 0}, told{"lost", "k", 6*second + second/2, 0})
		})
	})
	t.Run("a renewal that fails is asked again, and the answered one is known", func(t *testing.T) {
		play(t, LeaseOptions{}, &fake{renew: errDoubt, failFor: 2}, func(s *stage) {
			s.do("acquire", nil)
			time.Sleep(second)
			s.ended(s.do("renew", lent), history.OK, grants)
			sent := second + 2*(ttl/6/4)
			s.believed(told{"enter", "k", 0, 0}, told{"renewed", "k", sent, sent})
		})
	})
	t.Run("a renewal without an answer is given up when the lease is over", func(t *testing.T) {
		play(t, LeaseOptions{}, &fake{}, func(s *stage) {
			s.do("acquire", nil)
			time.Sleep(second)
			s.fake.takes = time.Hour
			s.ended(s.do("renew", lent), history.Info, "")
			if at := time.Since(s.begun); at < 4*second || at > 5*second {
				t.Errorf("given up after %s", at)
			}
			s.believed(told{"enter", "k", 0, 0}, told{"lost", "k", 4 * second, 0})
		})
	})
	t.Run("an unknown outcome ends it", func(t *testing.T) {
		play(t, LeaseOptions{}, &fake{}, func(s *stage) {
			s.do("acquire", nil)
			s.fake.acquire = errDoubt
			s.ended(s.do("add", 1), history.Info, "")
			s.believed(told{"enter", "k", 0, 0}, told{"exit", "k", 0, 0})
		})
	})
	t.Run("who is told needs no clock", func(t *testing.T) {
		play(t, LeaseOptions{Told: true}, &fake{}, func(s *stage) {
			s.do("acquire", nil)
			time.Sleep(100 * second)
			s.ended(s.do("add", 1), history.OK, "")
			s.fake.tell(Belief{F: "lost", Key: "k", Grant: lent})
			s.fake.tell(Belief{F: "lost", Key: "k", Grant: lent})
			s.ended(s.do("add", 1), history.Fail, "")
			s.believed(told{"enter", "k", 0, 0}, told{"lost", "k", 100 * second, 0})
		})
	})
	t.Run("what was lost before it was heard of was never had", func(t *testing.T) {
		f := &fake{}
		f.during = func() { f.tell(Belief{F: "lost", Key: "k", Grant: lent}) }
		play(t, LeaseOptions{Told: true}, f, func(s *stage) {
			s.ended(s.do("acquire", nil), history.OK, grants)
			s.ended(s.do("add", 1), history.Fail, "")
			s.believed()
		})
	})
	t.Run("after the end nobody is told anything", func(t *testing.T) {
		play(t, LeaseOptions{}, &fake{}, func(s *stage) {
			s.do("acquire", nil)
			s.client.Close()
			s.fake.tell(Belief{F: "gone", Key: "k", Grant: lent})
			time.Sleep(10 * second)
			s.believed(told{"enter", "k", 0, 0})
			if !s.fake.closed {
				t.Error("the leases were not closed")
			}
		})
	})
}

func TestHoldsAreKeptAliveInTheBackground(t *testing.T) {
	third := ttl / 3
	play(t, LeaseOptions{KeepAlive: true}, &fake{}, func(s *stage) {
		s.do("acquire", nil)
		time.Sleep(2*third + third/2)
		s.believed(told{"enter", "k", 0, 0}, told{"renewed", "k", 0, 0}, told{"renewed", "k", third, third}, told{"renewed", "k", 2 * third, 2 * third})
		s.do("release", lent)
		n := s.fake.renewals
		time.Sleep(time.Minute)
		if s.fake.renewals != n {
			t.Error("a grant that was given back was renewed")
		}
	})
	play(t, LeaseOptions{KeepAlive: true}, &fake{renew: refusal(history.Refusal{Gone: true})}, func(s *stage) {
		s.do("acquire", nil)
		time.Sleep(time.Second)
		s.believed(told{"enter", "k", 0, 0}, told{"lost", "k", 0, 0})
	})
}

// Whatever happens, a client believes in at most one hold of a resource at a time, and
// without being told otherwise never longer than a TTL after the last good request.
func TestBeliefsAreInOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type step struct {
			f     string
			takes time.Duration
			fails int
		}
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
			return step{
				rapid.SampledFrom([]string{"acquire", "renew", "release", "add", "holder", "wait"}).Draw(t, "f"),
				time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond,
				rapid.IntRange(0, 4).Draw(t, "fails"),
			}
		}), 1, 20).Draw(rt, "steps")
		play(t, LeaseOptions{}, &fake{}, func(s *stage) {
			for _, st := range steps {
				s.fake.takes, s.fake.renew, s.fake.acquire = st.takes, nil, nil
				switch st.fails {
				case 0:
					s.fake.acquire, s.fake.renew = refusal(history.Refusal{Held: true}), refusal(history.Refusal{Gone: true})
				case 1:
					s.fake.acquire, s.fake.renew = errDoubt, errDoubt
				}
				if st.f == "wait" {
					time.Sleep(st.takes)
				} else {
					s.do(st.f, lent)
				}
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			inside, last := false, time.Duration(0)
			for _, b := range s.told {
				if b.At < last {
					rt.Errorf("beliefs go back in time: %+v", s.told)
				}
				last = b.At
				switch b.F {
				case "enter":
					if inside {
						rt.Errorf("entered twice: %+v", s.told)
					}
					inside = true
				case "exit", "lost":
					if !inside {
						rt.Errorf("left without having entered: %+v", s.told)
					}
					inside = false
				}
			}
			if inside {
				rt.Errorf("believes for ever: %+v", s.told)
			}
		})
	})
}
