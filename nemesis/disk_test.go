package nemesis

import (
	"strings"
	"testing"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
)

func diskOptions(name, value string) Options {
	return Options{Faults: []string{name}, Nodes: named(3), TimeLimit: time.Minute, Settings: map[string]string{name: value}}
}

func TestDiskFaultsDoWhatTheyAreAskedFor(t *testing.T) {
	for _, c := range []struct{ fault, value, params, sentence string }{
		{"disk", "error:EIO/op=sync/times=1", `{"do":"error","ops":["sync"],"times":1,"error":"EIO"}`, "sync calls (the first 1) return EIO"},
		{"disk", "error:ENOSPC/op=write+create/share=10%/from=3/path=wal/*.wal", `{"do":"error","ops":["write","create"],"path":"wal/*.wal","from":3,"share":0.1,"error":"ENOSPC"}`, "10 % of write and create calls on wal/*.wal (from call 3) return ENOSPC"},
		{"disk", "delay:200ms", `{"do":"delay","delay":"200ms"}`, "calls take 200ms longer"},
		{"disk", "stall/op=sync", `{"do":"stall","ops":["sync"]}`, "sync calls hang"},
		{"disk", "rate:1.5MB", `{"do":"rate","rate":1500000}`, "calls pass at 1500000 bytes a second"},
		{"disk", "short", `{"do":"short"}`, "writes are made in part and say so"},
		{"disk-lie", "lie", `{"do":"lie"}`, "syncs succeed and save nothing"},
		{"disk-lie", "fail-once:EIO", `{"do":"fail-once","error":"EIO"}`, "syncs return EIO once for each file, and succeed afterwards without what that one was for"},
		{"disk-lie", "early:1s", `{"do":"early","delay":"1s"}`, "syncs succeed 1s before they are made"},
		{"disk-lie", "flip/path=*.db", `{"do":"flip","path":"*.db"}`, "reads on *.db return one bit that is wrong"},
		{"disk-lie", "corrupt-flip/times=1/path=*.wal", `{"do":"corrupt-flip","path":"*.wal","times":1}`, "1 of the files *.wal have one bit flipped where they are stored"},
		{"disk-lie", "corrupt-zero/share=50%", `{"do":"corrupt-zero","share":0.5}`, "50 % of files have blocks zeroed where they are stored"},
		{"disk-lie", "corrupt-truncate", `{"do":"corrupt-truncate"}`, "files are cut short where they are stored"},
		{"power-loss", "all", `{}`, "lose all that was not synced"},
		{"power-loss", "recent:2s", `{"recent":"2s"}`, "lose all that was not synced of the last 2s"},
		{"power-loss", "all@sync:3/after/*.wal", `{"sync":3,"after":true,"path":"*.wal"}`, "lose all that was not synced, after sync 3 of *.wal"},
	} {
		steps, err := Schedule(dice(1), diskOptions(c.fault, c.value))
		if err != nil || len(steps) == 0 {
			t.Errorf("%s: %d steps, %v", c.value, len(steps), err)
			continue
		}
		// A seed is drawn for each.
		params := string(steps[0].Params)
		if i := strings.Index(params, `"seed":`); i >= 0 {
			end := i + strings.IndexAny(params[i:], ",}")
			params = strings.Replace(strings.Replace(params[:i]+params[end:], ",,", ",", 1), ",}", "}", 1)
		}
		if params != c.params {
			t.Errorf("%s: got %s", c.value, params)
		}
		if got := Sentence(steps[0]); !strings.HasSuffix(got, c.sentence) {
			t.Errorf("%s: got %s", c.value, got)
		}
	}
}

func TestDiskFaultsThatCannotBeAreRefused(t *testing.T) {
	for _, c := range []struct{ fault, value, want string }{
		{"disk", "lie", `read --disk: "lie": lie is a lie; it belongs to disk-lie`},
		{"disk-lie", "stall", `read --disk-lie: "stall": stall is no lie; it belongs to disk`},
		{"disk", "hold-before", `read --disk: "hold-before": hold-before belongs to power-loss; take stall`},
		{"disk", "error:EWHAT", `read --disk: "error:EWHAT": "EWHAT" is no error that it can return; choose from EIO, ENOSPC, EROFS, EMFILE, ENFILE, EINTR, EAGAIN, EACCES, EPERM, EDQUOT, EFBIG, ENOMEM, ENODEV, ENXIO, EBUSY, ESTALE`},
		{"disk", "burn", `read --disk: "burn": "burn" is nothing that a disk does; choose from error, delay, stall, rate, full, lie, fail-once, early, torn, short, misdirect, flip, corrupt-flip, corrupt-zero, corrupt-truncate, hold-before, hold-after`},
		{"disk-lie", "corrupt-flip/op=read", `read --disk-lie: "corrupt-flip/op=read": corrupt-flip happens to files, not to calls; leave op and from out`},
		{"disk", "corrupt-zero", `read --disk: "corrupt-zero": corrupt-zero is a lie; it belongs to disk-lie`},
		{"disk", "stall:5s", `read --disk: "stall:5s": stall takes no "5s"`},
		{"disk", "rate:5", `read --disk: "rate:5": "5" is not bytes such as 500KB or 2MB per second`},
		{"disk", "short/op=read", `read --disk: "short/op=read": short is nothing that happens to "read"; it happens to write`},
		{"disk", "stall/share=0%", `read --disk: "stall/share=0%": "0%" is not a share of calls such as 10%`},
		{"disk", "stall/never", `read --disk: "stall/never": "never" is no condition; give some of op=sync, share=10%, from=3, times=1, path=*.wal`},
		{"disk", "stall/path=[", `read --disk: "stall/path=[": "[" is no pattern of paths`},
		{"power-loss", "most", `read --power-loss: "most": "most" is not how much is lost: all, some or recent:1s`},
		{"power-loss", "all@sync:0", `read --power-loss: "all@sync:0": "sync:0" is not the sync at which the power goes, such as sync:5`},
		{"power-loss", "recent:2h", `read --power-loss: "recent:2h": recent is up to a minute`},
	} {
		if _, err := Schedule(dice(1), diskOptions(c.fault, c.value)); err == nil || err.Error() != c.want {
			t.Errorf("%s:\ngot  %v\nwant %s", c.value, err, c.want)
		}
	}
	opt := diskOptions("disk", "stall")
	opt.Faults = []string{"kill"}
	want := "schedule faults: no fault of this run strikes disks as --disk says; add disk to --faults"
	if _, err := Schedule(dice(1), opt); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestPowerLossStrikesAllServersOfANode(t *testing.T) {
	live := three()
	live.Components = func(node string) []string { return []string{"proxy", "db-" + node, "worker"} }
	step := history.Step{ID: 3, Kind: "power-loss", Target: "one", Nodes: []string{"n2", "n3"}, Params: []byte(`{"some":true,"seed":7}`)}
	_, bound, err := Resolve(step, live)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range bound.Actions {
		e := a.(*serverAction).effect.(*effects.PowerLoss)
		if e.Main != "db-"+step.Nodes[i] || len(e.Processes) != 3 || e.Loss.Seed != uint64(7+i) || !e.Loss.Sectors {
			t.Errorf("got %+v", e)
		}
	}
}

// Only disk faults want a disk of ours below the servers' data, and none of them comes
// without being named.
func TestNoDiskIsMountedUnlessAskedFor(t *testing.T) {
	names, err := Parse("all")
	if err != nil || NeedsDisk(names) {
		t.Errorf("all faults that any cluster can have need a disk: %v, %v", names, err)
	}
	for _, name := range []string{"power-loss", "disk", "disk-lie"} {
		if !NeedsDisk([]string{"kill", name}) || !NeedsDisk([]string{"partition+" + name}) {
			t.Errorf("%s needs none", name)
		}
	}
}

func TestNodeThatCannotHaveADiskIsRefusedBeforeAnythingStarts(t *testing.T) {
	why := "no file system of ours can be put below a server: open /dev/fuse: no such file or directory"
	for kind, effect := range map[string]string{"power-loss": effects.PowerLossKind, "disk": effects.DiskRuleKind, "disk-lie": effects.DiskRuleKind} {
		err := Able(map[string]string{effect: why}, []history.Step{{Kind: "kill"}, {Kind: kind}})
		if want := "it cannot have the fault " + kind + ": " + why; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// A server that is alone, and leads nobody, loses power as well.
func TestAServerAloneLosesPower(t *testing.T) {
	steps, err := Schedule(dice(1), Options{Faults: []string{"power-loss"}, Nodes: named(1), TimeLimit: time.Minute, Leaderless: true})
	if err != nil || len(steps) == 0 || steps[0].Target != "one" {
		t.Errorf("%+v, %v", steps, err)
	}
}
