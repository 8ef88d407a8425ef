package generator_test

import (
	"fmt"
	"time"

	"nemesis/workload/generator"
)

// Writers and readers side by side for two seconds, then one last read by every worker, in
// virtual time.
func Example() {
	writes := generator.Repeat(generator.Unlimited, generator.Ops(generator.F("write")))
	reads := generator.Repeat(generator.Unlimited, generator.Ops(generator.F("read")))
	g := generator.Phases(
		generator.TimeLimit(2*time.Second, generator.Reserve([]generator.Reserved{{Threads: 1, Generator: writes}}, reads)),
		generator.EachThread(generator.Once(generator.Ops(generator.F("read-at-the-end")))),
	)
	steps, err := generator.Simulation{Threads: 3, Client: generator.Perfect(time.Second)}.Run(g)
	if err != nil {
		fmt.Println(err)
	}
	for _, s := range steps {
		if s.End == "" {
			fmt.Printf("%v worker %d: %s\n", time.Duration(s.Time), s.Thread, s.F)
		}
	}
	// Unordered output:
	// 0s worker 0: write
	// 0s worker 1: read
	// 0s worker 2: read
	// 1s worker 0: write
	// 1s worker 1: read
	// 1s worker 2: read
	// 2s worker 0: read-at-the-end
	// 2s worker 1: read-at-the-end
	// 2s worker 2: read-at-the-end
}
