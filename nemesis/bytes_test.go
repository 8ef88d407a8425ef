package nemesis

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/hostile"
)

func TestBytesGoToDeclaredPortsOfTheRunsOwnNodesAlone(t *testing.T) {
	live := three()
	live.Ports = func(node, process string) []uint16 { return []uint16{2379, 2380} }
	step := with(on(hostileBytes{}, "n2"), sending{Forms: []string{hostile.Random, hostile.Idle}, Idle: 5, Rate: 10, Seed: 3})
	if got, want := Sentence(step), "send random, idle input to every port of the server on n2"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	_, bound, err := Resolve(step, live)
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:2379"), netip.MustParseAddrPort("10.0.0.2:2380")}
	var kinds, places []string
	for _, a := range bound.Actions {
		kinds, places = append(kinds, a.Effect().Kind), append(places, a.Effect().Node)
		switch a := a.(type) {
		case *outsideBytes:
			if !slices.Equal(a.input.Targets, want) {
				t.Errorf("from outside to %v", a.input.Targets)
			}
		case *agentAction:
			if e, is := a.effect.(*effects.Bytes); is && (!slices.Equal(e.Input.Targets, want) || e.Process != "db-n3") {
				t.Errorf("from a node: %+v", e)
			}
		}
	}
	if !slices.Equal(kinds, []string{effects.ReviveKind, effects.BytesKind, effects.OutsideBytesKind}) || !slices.Equal(places, []string{"n2", "n3", "n2"}) {
		t.Errorf("%v by %v", kinds, places)
	}
	live.Ports = nil
	if _, _, err := Resolve(step, live); err == nil || err.Error() != "resolve step 1: a bytes cannot be done: no port of n2 is known" {
		t.Errorf("got %v", err)
	}
}

func TestReadingWhatIsSent(t *testing.T) {
	opt := Options{Faults: []string{"bytes"}, Nodes: named(3), TimeLimit: time.Minute, Settings: map[string]string{"bytes": "all, random+idle:2000"}}
	steps, err := Schedule(dice(1), opt)
	if err != nil {
		t.Fatal(err)
	}
	drawn := map[int]bool{}
	for _, step := range steps {
		s, err := parametersOf[sending](step)
		if err != nil {
			t.Fatal(err)
		}
		drawn[s.Idle] = true
	}
	if !drawn[usualIdle] || !drawn[2000] {
		t.Errorf("drew %v", drawn)
	}
	for value, want := range map[string]string{
		"noise":      `read --bytes: "noise": "noise" is nothing that is sent; choose from [random overflow half cut replay reorder idle]`,
		"idle:0":     `read --bytes: "idle:0": 0 idle connections are not from 1 to 20000`,
		"random:5":   `read --bytes: "random:5" is not a number of idle connections such as idle:2000`,
		"idle:90000": `read --bytes: "idle:90000": 90000 idle connections are not from 1 to 20000`,
	} {
		opt.Settings["bytes"] = value
		if _, err := Schedule(dice(1), opt); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	opt.Faults, opt.Settings["bytes"] = []string{"kill"}, "all"
	want := "schedule faults: no fault of this run sends bytes as --bytes says; add bytes to --faults"
	if _, err := Schedule(dice(1), opt); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	step := history.Step{ID: 1, Kind: "bytes", Target: "one", Nodes: []string{"n1"}}
	if _, _, err := Resolve(step, three()); err == nil || Sentence(step) == "" {
		t.Errorf("a step without parameters: %v", err)
	}
}
