package etcd

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemesis/history"
)

func TestOptionsHaveDefaultsAndTakeValues(t *testing.T) {
	byDefault := options{heartbeat: 100 * time.Millisecond, election: time.Second, snapshotCount: 10000}
	changed := func(f func(*options)) options { o := byDefault; f(&o); return o }
	tests := []struct {
		name  string
		given map[string]string
		want  options
	}{
		{"nothing given", nil, byDefault},
		{"the defaults spelt out", map[string]string{"reads": "linearizable", "heartbeat": "100ms", "election": "1s", "snapshot-count": "10000", "auto-compaction": "0"}, byDefault},
		{"serializable reads", map[string]string{"reads": "serializable"}, changed(func(o *options) { o.serializable = true })},
		{"quick elections", map[string]string{"heartbeat": "10ms", "election": "50ms"},
			changed(func(o *options) { o.heartbeat, o.election = 10*time.Millisecond, 50*time.Millisecond })},
		{"arguments of etcd's own", map[string]string{"args": "--max-txn-ops 1000  --name 'n 1'"},
			changed(func(o *options) { o.args = []string{"--max-txn-ops", "1000", "--name", "n 1"} })},
		{"a disk that is not waited for", map[string]string{"unsafe-no-fsync": "on"}, changed(func(o *options) { o.forgetful = true })},
		{"snapshots and compaction", map[string]string{"snapshot-count": "100", "auto-compaction": "1000"},
			changed(func(o *options) { o.snapshotCount, o.compaction = 100, 1000 })},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseOptions(test.given)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(options{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOptionsThatAreWrongSayWhatIsAllowed(t *testing.T) {
	tests := []struct{ name, value, want string }{
		{"reads", "stale", `set etcd option reads: "stale" is not allowed; it takes linearizable or serializable`},
		{"reads", "", `set etcd option reads: "" is not allowed; it takes linearizable or serializable`},
		{"heartbeat", "100", `set etcd option heartbeat: "100" is not allowed; it takes whole milliseconds from 10ms to 10s`},
		{"heartbeat", "1ms", `set etcd option heartbeat: "1ms" is not allowed; it takes whole milliseconds from 10ms to 10s`},
		{"heartbeat", "10.5ms", `set etcd option heartbeat: "10.5ms" is not allowed; it takes whole milliseconds from 10ms to 10s`},
		{"election", "-1s", `set etcd option election: "-1s" is not allowed; it takes whole milliseconds from 50ms to 50s`},
		{"election", "400ms", `set etcd option election: 400ms is less than five heartbeats of 100ms; make election longer or heartbeat shorter`},
		{"snapshot-count", "few", `set etcd option snapshot-count: "few" is not allowed; it takes a number from 10 to 10000000`},
		{"auto-compaction", "-1", `set etcd option auto-compaction: "-1" is not allowed; it takes a number from 0 to 10000000`},
		{"args", "--name 'n1", `set etcd option args: "--name 'n1" is not allowed; it takes words separated by blanks, quoted where they hold some`},
		{"read\nmode", "x", `set etcd option: there is no "read\nmode"; etcd has reads, fencing, heartbeat, election, snapshot-count, auto-compaction, unsafe-no-fsync, args`},
	}
	for _, test := range tests {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			_, err := parseOptions(map[string]string{test.name: test.value})
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestClaimFollowsTheReads(t *testing.T) {
	tests := []struct {
		given        map[string]string
		linearizable bool
		says         string
	}{
		{nil, true, "strictly serializable"},
		{map[string]string{"reads": "linearizable"}, true, "strictly serializable"},
		{map[string]string{"reads": "serializable"}, false, "etcd documents serializable reads as possibly stale"},
		{map[string]string{"reads": "x"}, false, "Nothing is promised"},
	}
	for _, test := range tests {
		c := System{}.Claim(test.given)
		if c.Origin != history.Documented || c.Includes(history.Linearizable) != test.linearizable || !strings.Contains(c.Sources[0].Sentence, test.says) {
			t.Errorf("with %v etcd claims %+v", test.given, c)
		}
		if readable := test.given["reads"] != "x"; c.Includes(history.LinearizableWrites) != readable || c.Includes(history.Serializable) != readable {
			t.Errorf("with %v etcd claims of writes %+v", test.given, c)
		}
	}
}

func TestWhatIsClaimedOfLeases(t *testing.T) {
	options := map[string]string{"election": "2s"}
	c := System{}.Claim(options)
	if timing := (System{}).Timing(options); time.Duration(timing.Election) != 2*time.Second || c.Bounds.ClockRate != 0.01 || c.Bounds.ClockOffset != -1 {
		t.Errorf("got %+v, %+v", timing, c.Bounds)
	}
	if !c.Assumes(history.ClockError) || !c.Includes(history.MutualExclusion) || !c.Includes(history.LeaseDuration) || c.Includes(history.SingleOwner) {
		t.Errorf("of leases it claims %+v", c)
	}
	leases, registers := c.SourcesFor(history.Workload{TTL: 1}), c.SourcesFor(history.Workload{})
	if len(registers) != 1 || len(leases) != 2 || !strings.Contains(leases[0].Sentence, "lease") || registers[0] != c.Sources[0] {
		t.Errorf("of leases it says %+v, of registers %+v", leases, registers)
	}
	for _, s := range c.Sources {
		if !strings.HasPrefix(s.Address, "https://etcd.io/docs/") {
			t.Errorf("%q stands at %q", s.Sentence, s.Address)
		}
	}
}
