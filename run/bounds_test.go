package run

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemesis/history"
)

func TestBoundsComeFromTheUserThenTheSystemThenItsTimeouts(t *testing.T) {
	second := history.Duration(time.Second)
	documented := history.Bounds{ClockRate: 0.01, ClockOffset: -1, Outage: 40 * second}
	timing := history.Timing{Election: 2 * second}
	got, err := resolveBounds(documented, timing, map[string]string{"handover": "3s", "clock-rate": "5%"})
	if err != nil {
		t.Fatal(err)
	}
	want := history.Bounds{ClockRate: 0.05, ClockOffset: -1, Recovery: 20 * second, Outage: 40 * second, Handover: 3 * second}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestASystemWithoutTimeoutsIsHeldToNothing(t *testing.T) {
	got, err := resolveBounds(history.Bounds{}, history.Timing{}, nil)
	if err != nil || got != (history.Bounds{}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWrongBoundsAreUsageErrors(t *testing.T) {
	for name, test := range map[string]struct{ key, value, want string }{
		"a rate above one":   {"clock-rate", "2", "read --bound clock-rate=2: it takes a share from 0 up to 100%, such as 1%"},
		"no rate":            {"clock-rate", "fast", "read --bound clock-rate=fast: it takes a share from 0 up to 100%, such as 1%"},
		"a negative time":    {"recovery", "-3s", "read --bound recovery=-3s: it takes a time such as 20s, or 0 for no promise"},
		"no offset":          {"clock-offset", "much", "read --bound clock-offset=much: it takes a time such as 500ms, or any"},
		"an unknown bound":   {"speed", "3", "read --bound speed: there is no such bound; there are clock-rate, clock-offset, recovery, outage, handover, expiry"},
		"a rate of nonsense": {"clock-rate", "NaN", "read --bound clock-rate=NaN: it takes a share from 0 up to 100%, such as 1%"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := resolveBounds(history.Bounds{}, history.Timing{}, map[string]string{test.key: test.value})
			var usage *UsageError
			if !errors.As(err, &usage) || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestLeasesNeedAWorkloadThatHasThem(t *testing.T) {
	opt := asked(7)
	opt.Settings["ttl"] = "4s"
	_, err := Resolve(opt)
	if want := "read --ttl: the workload register has no leases; leave it out"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
