package benchmark

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"nemesis/checker/internal/measure"
	"nemesis/checker/linear/order"
	"nemesis/checker/linear/scenarios"
)

// small is a configuration that takes no time to speak of.
func small(t *testing.T) Config {
	return Config{Corpora: t.TempDir(), Seed: 1, OursTime: time.Minute, RivalTime: 300 * time.Millisecond, RivalMemory: 1 << 30, Dir: t.TempDir(), scale: 100}
}

func TestEveryRowIsMeasuredAndRight(t *testing.T) {
	var got []string
	err := Run(t.Context(), small(t), func(r Row) {
		got = append(got, r.Name)
		if strings.HasPrefix(r.Name, "etcd") || r.Name == "knossos" {
			if !strings.Contains(r.Skipped, "--corpora") || r.Met {
				t.Errorf("%s without corpora: %+v", r.Name, r)
			}
			return
		}
		if r.Skipped != "" || r.Wrong != "" || r.OursMS <= 0 || r.RivalMS <= 0 || r.OursMB <= 0 || r.RivalMB <= 0 || r.Target == "" {
			t.Errorf("%+v", r)
		}
		var fields map[string]any
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Error(err)
		}
		for _, f := range []string{"row", "ours_ms", "rival_ms", "ratio", "ours_mb", "rival_mb"} {
			if _, has := fields[f]; !has {
				t.Errorf("%s lacks %s: %s", r.Name, f, line)
			}
		}
		if strings.Contains(r.String(), "\n") {
			t.Errorf("two lines: %q", r)
		}
	})
	if err != nil || strings.Join(got, " ") != strings.Join(Names(), " ") {
		t.Errorf("measured %v: %v", got, err)
	}
}

func TestSlowRivalIsStoppedAndMarked(t *testing.T) {
	cfg := small(t)
	cfg.RivalTime = 50 * time.Millisecond
	row, err := duel(t.Context(), cfg, scenarios.FailedPuts(60, true, true), false, 1)
	if err != nil || !row.RivalTimedOut || row.RivalOutOfMemory || row.Wrong != "" {
		t.Errorf("%+v %v", row, err)
	}
	if s := row.String(); !strings.Contains(s, "msT >") {
		t.Errorf("the mark is missing: %s", s)
	}
}

func TestRivalBeyondItsMemoryIsStoppedAndMarked(t *testing.T) {
	cfg := small(t)
	cfg.RivalTime, cfg.RivalMemory = time.Minute, 32<<20
	row, err := duel(t.Context(), cfg, scenarios.FailedPuts(60, true, true), false, 1)
	if err != nil || !row.RivalOutOfMemory || row.RivalTimedOut || row.Wrong != "" || row.RivalMB < 32 {
		t.Errorf("%+v %v", row, err)
	}
}

func TestAWrongAnswerIsNeverATargetMet(t *testing.T) {
	c := measure.Cost{Took: time.Millisecond, Bytes: 1}
	for name, row := range map[string]Row{
		"ours":      against(c, order.Legal, outcome{Cost: c, answer: order.Illegal}, order.Illegal),
		"ours late": against(c, order.Undecided, outcome{Cost: c, timedOut: true}, order.Illegal),
		"the rival": against(c, order.Illegal, outcome{Cost: c, answer: order.Legal}, order.Illegal),
	} {
		if row.Wrong == "" {
			t.Errorf("%s: %+v", name, row)
		}
	}
	if row := against(c, order.Legal, outcome{Cost: c, timedOut: true}, order.Legal); row.Wrong != "" {
		t.Errorf("a rival that was stopped is not wrong: %+v", row)
	}
}

func TestImpossibleConfigurationIsRefused(t *testing.T) {
	cfg := small(t)
	cfg.Only = []string{"marathon"}
	if err := Run(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), "end-to-end-1m") {
		t.Error(err)
	}
	cfg = small(t)
	cfg.RivalTime = 0
	if err := Run(t.Context(), cfg, nil); err == nil {
		t.Error("no time for the rival was accepted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, small(t), func(Row) {}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
