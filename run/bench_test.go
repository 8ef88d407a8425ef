package run

import (
	"context"
	"strings"
	"testing"
	"time"

	"nemesis/history"
)

func TestBenchRecordsEveryOperation(t *testing.T) {
	rows, err := Bench(context.Background(), t.TempDir(), 5000, 20)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 {
		t.Fatalf("got %d rows, want unrecorded and recorded", len(rows))
	}
	for _, row := range rows {
		t.Log(row)
		if row.Operations != 5000 || row.PerSecond <= 0 {
			t.Errorf("%s: %d operations at %.0f/s, want 5000 at some speed", row.Name, row.Operations, row.PerSecond)
		}
	}
	if rows[1].DiskPerOp <= 0 {
		t.Error("nothing reached the disk")
	}
	if rows[0].Target != "" || rows[1].Target == "" {
		t.Errorf("targets are %q and %q; what is recorded is held to one", rows[0].Target, rows[1].Target)
	}
	reached := BenchRow{Target: "much", Met: true}
	missed := BenchRow{Target: "much"}
	if !strings.HasSuffix(reached.String(), "  met: much") || !strings.HasSuffix(missed.String(), "  missed: much") {
		t.Errorf("rows are told as %s and %s", reached, missed)
	}
}

func TestBenchSaysWhyItCannot(t *testing.T) {
	if _, err := Bench(context.Background(), "/nonexistent", 10, 1); err == nil || !strings.Contains(err.Error(), "measure the interpreter: ") {
		t.Errorf("a directory that is not there: got error %v", err)
	}
	if _, err := Bench(context.Background(), t.TempDir(), 0, 1); err == nil {
		t.Error("zero operations: got no error")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Bench(ctx, t.TempDir(), 10, 1); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("an ended context: got error %v", err)
	}
}

func BenchmarkInterpreterRecorded(b *testing.B) {
	b.ReportAllocs()
	row, err := recorded(context.Background(), b.TempDir(), b.N, 100)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(row.PerSecond, "ops/s")
	b.ReportMetric(row.DiskPerOp, "disk-B/op")
}

func BenchmarkInterpreterUnrecorded(b *testing.B) {
	b.ReportAllocs()
	row, err := measure(context.Background(), "", b.N, 100, time.Now(), func(*history.Event) {}, func() error { return nil })
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(row.PerSecond, "ops/s")
}
