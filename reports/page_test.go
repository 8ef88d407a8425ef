package reports

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// With REPORT_DIR set, the fixtures' pages are left there to be looked at.
func TestEveryFixtureMakesAPage(t *testing.T) {
	for _, name := range []string{"stale-read", "lost-element", "valid", "vacuous", "harness"} {
		t.Run(name, func(t *testing.T) {
			r := fixture(t, name, true)
			logs(t, r, serverLog())
			var b bytes.Buffer
			if err := r.Page(&b); err != nil {
				t.Fatal(err)
			}
			if dir := os.Getenv("REPORT_DIR"); dir != "" {
				if err := os.WriteFile(filepath.Join(dir, name+".html"), b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
