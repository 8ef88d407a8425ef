package reports

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

func aCycle(n int, kind string) checker.Anomaly {
	f := checker.Anomaly{Unexplained: -1}
	for i := range n {
		f.Core = append(f.Core, history.Operation{Process: i, F: history.FTransaction, Type: history.OK, Call: int64(i) * 1e9, Return: int64(i)*1e9 + 5e8, End: int64(i)*1e9 + 5e8,
			Output: []byte(`[["r","<k>",[1,2,3]],["append","k",4]]`)})
		f.Cycle = append(f.Cycle, checker.CycleStep{From: i, To: (i + 1) % n, Kind: kind})
	}
	return f
}

func TestACycleIsDrawnWithAllItsStepsWithinThePicture(t *testing.T) {
	for n := 2; n <= mostMembers; n++ {
		for _, kind := range []string{"ww", "wr", "rw", "process", "realtime", "<script>"} {
			svg := string(drawCycle(aCycle(n, kind)))
			if strings.Count(svg, `class="edge`) != n || strings.Count(svg, `class="member"`) != n || strings.Contains(svg, "NaN") || strings.Contains(svg, "<script") || strings.Contains(svg, "<k>") {
				t.Errorf("%d of %s: %s", n, kind, svg)
			}
			if err := xml.Unmarshal([]byte(svg), new(struct{})); err != nil {
				t.Errorf("%d of %s: %v", n, kind, err)
			}
			var width, height float64
			if _, err := fmt.Sscanf(svg[strings.Index(svg, `viewBox="0 0 `)+len(`viewBox="0 0 `):], "%g %g", &width, &height); err != nil {
				t.Fatal(err)
			}
			for _, text := range strings.Split(svg, `<text x="`)[1:] {
				var x, y float64
				if _, err := fmt.Sscanf(strings.ReplaceAll(text, `"`, " "), "%g  y= %g ", &x, &y); err != nil || x < 0 || x > width || y < 0 || y > height {
					t.Errorf("%d of %s: text at %g, %g of %g × %g: %v", n, kind, x, y, width, height, err)
				}
			}
		}
	}
}

func TestWhatIsNoCycleIsNotDrawn(t *testing.T) {
	nowhere := aCycle(3, "rw")
	nowhere.Cycle[1].To = 9
	for name, f := range map[string]checker.Anomaly{"none": {}, "one": aCycle(1, "ww"), "many": aCycle(mostMembers+1, "ww"), "an index of nowhere": nowhere} {
		if svg := drawCycle(f); svg != "" {
			t.Errorf("%s: %s", name, svg)
		}
	}
}
