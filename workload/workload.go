package workload

import (
	"nemesis/checker"
	"nemesis/history"
	"nemesis/workload/generator"
)

// Workload is what clients do and how it is judged.
type Workload struct {
	// Name is what the user types: register.
	Name string
	// Doc is one line for `nemesis list workloads`.
	Doc string
	// Main makes the operations of the run; it need not end by itself.
	Main func(history.Workload) generator.Generator
	// Final makes the reads after everything is healed; it must end by itself.
	// used are the keys the history touched, in order of first use.
	Final func(plan history.Workload, used []string) generator.Generator
	// Checkers judge the promise of the workload.
	Checkers func(history.Workload) []checker.Checker
	// Defaults for flags that the user left out; 0 means the command's own default.
	Keys      int
	OpsPerKey int
}
