// A program that says its version as nemesis does, for the tests of the release script:
// building all of nemesis takes a minute more.
package main

import (
	"encoding/json"
	"os"
	"runtime/debug"

	"nemesis/run"
)

func main() {
	told := map[string]any{"version": run.Release()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				told["commit"] = s.Value
			case "vcs.modified":
				told["modified"] = s.Value == "true"
			}
		}
	}
	json.NewEncoder(os.Stdout).Encode(told)
}
