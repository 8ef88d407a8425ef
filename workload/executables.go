package workload

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/checker/executables"
	"nemesis/history"
	"nemesis/workload/generator"
)

// The workload executables runs executables of the user's, which test the system by
// themselves. When they run follows from how their names begin, as in Antithesis' test
// composer:
//
//	first_             one of them, drawn, once before all others
//	parallel_driver_   again and again, beside others
//	serial_driver_     again and again, each while no other driver runs
//	singleton_driver_  one run of it takes the place of all other drivers; the seed draws whether and which
//	anytime_           again and again, beside everything
//	eventually_        once each, after everything is healed
//	finally_           once each, after those
//
// Others, such as helper_, are left alone.

// Executables is the name of the workload.
const Executables = "executables"

// Prefixes of executables' names.
const (
	firstPrefix      = "first_"
	parallelPrefix   = "parallel_driver_"
	serialPrefix     = "serial_driver_"
	singletonPrefix  = "singleton_driver_"
	anytimePrefix    = "anytime_"
	eventuallyPrefix = "eventually_"
	finallyPrefix    = "finally_"
)

// ExecutablePrefixes are those that names of executables may have.
func ExecutablePrefixes() []string {
	return []string{firstPrefix, parallelPrefix, serialPrefix, singletonPrefix, anytimePrefix, eventuallyPrefix, finallyPrefix}
}

// executablePace bounds how fast executables are started where the plan sets no rate.
const executablePace = 20 * time.Millisecond

func withPrefix(names []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.HasPrefix(name, prefix) })
}

// ofExecutables is the workload of executables with these names.
func ofExecutables(names []string) (Workload, error) {
	drivers := 0
	for i, name := range names {
		if name == "" || len(name) > 255 || strings.ContainsAny(name, "/\x00") || slices.Contains(names[:i], name) {
			return Workload{}, fmt.Errorf("executables: %q is no name of a file, or is there twice", name)
		}
		if !slices.ContainsFunc(ExecutablePrefixes(), func(p string) bool { return strings.HasPrefix(name, p) }) {
			return Workload{}, fmt.Errorf("executables: %q begins with none of %s", name, strings.Join(ExecutablePrefixes(), ", "))
		}
		if strings.Contains(name, "driver_") || strings.HasPrefix(name, anytimePrefix) {
			drivers++
		}
	}
	if drivers == 0 {
		return Workload{}, fmt.Errorf("executables: nothing is to be run; there must be one that begins with %s, or another driver", parallelPrefix)
	}
	final := append(withPrefix(names, eventuallyPrefix), withPrefix(names, finallyPrefix)...)
	return Workload{
		Name: Executables, Doc: "runs executables that test the system by themselves; their exit status is what they found",
		Operations: []string{history.FRun},
		Main: func(plan history.Workload) generator.Generator {
			main := generator.Generator(composer{names: names}.begin())
			if plan.Rate == 0 {
				main = generator.Stagger(executablePace, main)
			}
			return main
		},
		Final: func(history.Workload, []string) generator.Generator {
			var all []generator.Generator
			for _, name := range final {
				op := generator.Op{Thread: generator.AnyThread, F: history.FRun, Key: name}
				all = append(all, generator.UntilOK(generator.Repeat(finalTries, generator.Ops(op))))
			}
			if all == nil {
				return nil
			}
			return generator.TimeLimit(finalExecutables, generator.OnThreads(func(thread int) bool { return thread == 0 }, generator.Sequence(all...)))
		},
		Checkers: func(plan history.Plan) []checker.Checker {
			return append([]checker.Checker{executables.Checker(final)}, anyCheckers(plan)...)
		},
	}, nil
}

// finalExecutables is how long the checks in the end may take.
const finalExecutables = 5 * time.Minute

// composer decides which executable is started next. It does not change: what follows is
// another.
type composer struct {
	names []string
	// drawn: it is settled what the run is made of.
	drawn            bool
	first, singleton string // still to be run; "" when there is none
	serial           string // waits until no driver runs
	// running counts the drivers under way, alone tells that nothing may run beside the one.
	running int
	alone   bool
}

func (c composer) begin() *composer { return &c }

// Next starts an executable, or waits.
func (c *composer) Next(ctx *generator.Context) (generator.Op, generator.Status, generator.Generator) {
	if len(ctx.Free) == 0 {
		return generator.Op{Time: generator.Never}, generator.Pending, c
	}
	after := *c
	if !after.drawn {
		after.draw(ctx)
	}
	name := ""
	exclusive := cmp.Or(after.first, after.serial, after.singleton)
	pool := withPrefix(c.names, anytimePrefix)
	switch {
	case after.first != "" && after.alone:
		pool = nil // nothing runs beside what comes first
	case after.alone:
	case exclusive != "" && after.running == 0:
		name = exclusive
	case exclusive != "":
	case !after.single():
		pool = append(pool, append(withPrefix(c.names, parallelPrefix), withPrefix(c.names, serialPrefix)...)...)
	}
	if name == "" && len(pool) > 0 {
		name = pool[ctx.Rand.IntN(len(pool))]
		if strings.HasPrefix(name, serialPrefix) && after.running > 0 {
			after.serial, name = name, ""
		}
	}
	if name == "" {
		return generator.Op{Time: generator.Never}, generator.Pending, &after
	}
	return generator.Op{Time: ctx.Time, Thread: generator.AnyThread, F: history.FRun, Key: name}, generator.Ready, &after
}

// single reports whether a singleton takes the place of all other drivers.
func (c *composer) single() bool { return c.singleton != "" }

// draw settles which executable comes first, and whether a singleton takes the others' place.
func (c *composer) draw(ctx *generator.Context) {
	c.drawn = true
	if all := withPrefix(c.names, firstPrefix); len(all) > 0 {
		c.first = all[ctx.Rand.IntN(len(all))]
	}
	all := withPrefix(c.names, singletonPrefix)
	ways := len(all)
	if len(withPrefix(c.names, parallelPrefix))+len(withPrefix(c.names, serialPrefix)) > 0 {
		ways++ // the others together are one way
	}
	if ways > 0 {
		if at := ctx.Rand.IntN(ways); at < len(all) {
			c.singleton = all[at]
		}
	}
}

// Update counts what is under way.
func (c *composer) Update(_ *generator.Context, ev generator.Event) generator.Generator {
	if ev.F != history.FRun || strings.HasPrefix(ev.Key, anytimePrefix) {
		return c
	}
	after := *c
	exclusive := !strings.HasPrefix(ev.Key, parallelPrefix)
	switch {
	case ev.Invocation:
		after.running++
		after.alone = after.alone || exclusive
	default:
		after.running--
		if exclusive {
			after.alone = false
			switch ev.Key {
			case after.first:
				after.first = ""
			case after.serial:
				after.serial = ""
			case after.singleton:
				after.alone = true // it was the only driver of the run
			}
		}
	}
	return &after
}
