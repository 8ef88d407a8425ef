package serverlog

import (
	"fmt"
	"regexp"

	"nemesis/history"
)

// Classes of what servers say of themselves, worst first.
const (
	Corruption        = "corruption"
	DataRace          = "data-race"
	MemoryError       = "memory-error"
	Assertion         = "assertion-failed"
	Panic             = "panic"
	UncaughtException = "uncaught-exception"
	OutOfMemory       = "out-of-memory"
)

// said is what a class means, as the end of "the log of X on n1 tells of …".
var said = map[string]string{
	Corruption: "corrupted data", DataRace: "a data race", MemoryError: "an invalid use of memory", Assertion: "a failed assertion",
	Panic: "a panic", UncaughtException: "an exception that nobody caught", OutOfMemory: "a lack of memory",
}

// pattern is one message of a runtime, a sanitizer or a server.
type pattern struct {
	class string
	// line fits the message from its first byte on.
	line *regexp.Regexp
	// confirm, unless nil, must fit one of the lines behind it: a program that quotes
	// somebody else's message prints no stack of its own.
	confirm *regexp.Regexp
}

// Beginnings of lines.
const (
	// goLog is how package log begins lines, by default and with microseconds.
	goLog = `(?:\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)? )?`
	// redisLog is Redis' and Valkey's: process, role, time and level.
	redisLog = `\d+:[A-Z] \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d\.\d{3} [.*#-] `
	// postgresLog is PostgreSQL's log_line_prefix where nobody changed it: time and process.
	postgresLog = `\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \S+ \[\d+\] `
)

var goStack = regexp.MustCompile(`^(?:goroutine \d+ (?:gp=\S+ m=\S+ (?:mp=\S+ )?)?\[|runtime stack:)`)

// known are the messages that are searched in every log. Each is what the named program
// prints at the beginning of a line.
func known() []pattern {
	at := func(class, expr string) pattern { return pattern{class, regexp.MustCompile(`^(?:` + expr + `)`), nil} }
	withStack := func(class, expr string) pattern {
		p := at(class, expr)
		p.confirm = goStack
		return p
	}
	return []pattern{
		// Go: the runtime, package net/http and the race detector.
		withStack(OutOfMemory, `fatal error: (?:runtime: )?(?:out of memory|cannot allocate memory)`),
		withStack(DataRace, `fatal error: concurrent map `),
		withStack(Panic, `fatal error: `),
		withStack(Panic, `panic: `),
		withStack(Panic, goLog+`http: panic serving `),
		withStack(MemoryError, `SIG(?:SEGV|BUS|ILL|FPE): `), // outside of Go code
		at(DataRace, `WARNING: DATA RACE$`),
		at(Panic, `\{"level":"d?panic",`), // zap's JSON
		// Sanitizers of Clang and GCC, Valgrind's tools excepted.
		at(DataRace, `WARNING: ThreadSanitizer: data race `),
		at(MemoryError, `==\d+==ERROR: (?:Address|Memory|HWAddress)Sanitizer: `),
		at(Assertion, `[^\s:]+:\d+:\d+: runtime error: `),
		// C and C++ runtimes: glibc, musl, libstdc++, libc++.
		at(Assertion, `[^\s:]+: [^\s:]+:\d+: .+: Assertion .+ failed\.$`),
		at(Assertion, `Assertion failed: .+ \(.+: .+: \d+\)$`),
		at(Assertion, `Assertion failed: \(.+\), function .+, file .+, line \d+\.$`),
		at(OutOfMemory, `terminate called after throwing an instance of 'std::bad_alloc'`),
		at(UncaughtException, `terminate called (?:after throwing an instance of|without an active exception|recursively)`),
		at(UncaughtException, `libc\+\+abi: terminating `),
		at(MemoryError, `\*\*\* (?:stack smashing|buffer overflow) detected \*\*\*`),
		at(MemoryError, `(?:double free or corruption|corrupted size vs\. prev_size|corrupted double-linked list|malloc\(\): (?:invalid|corrupted|memory)|free\(\): (?:invalid|double)|munmap_chunk\(\): invalid)`),
		at(MemoryError, `Segmentation fault(?: \(core dumped\))?$`),
		// Rust.
		at(Panic, `thread '[^']*' (?:\(\d+\) )?panicked at `),
		at(OutOfMemory, `memory allocation of \d+ bytes failed$`),
		// Java.
		at(OutOfMemory, `(?:Exception in thread ".*" )?java\.lang\.OutOfMemoryError\b`),
		at(OutOfMemory, `Exception: java\.lang\.OutOfMemoryError thrown from `),
		at(Assertion, `(?:Exception in thread ".*" )?java\.lang\.AssertionError\b`),
		at(UncaughtException, `Exception in thread ".*" `),
		at(MemoryError, `# A fatal error has been detected by the Java Runtime Environment:$`),
		// Databases that many systems are or hold.
		at(Assertion, redisLog+`=== ASSERTION FAILED`),
		at(Panic, redisLog+`=== (?:REDIS|VALKEY) BUG REPORT START`),
		at(Corruption, redisLog+`(?:Bad file format reading the append only file|Wrong signature trying to load DB|Internal error in RDB reading)`),
		at(Assertion, `TRAP: [fF]ailed ?Assert`), // PostgreSQL with assertions
		at(Corruption, postgresLog+`(?:LOG|WARNING|ERROR|FATAL|PANIC):  (?:invalid page in block |page verification failed|could not locate a valid checkpoint record)`),
		at(Panic, postgresLog+`PANIC:  `),
	}
}

// patterns are the known ones behind those of a system.
func patterns(own []history.LogPattern) ([]pattern, error) {
	var all []pattern
	for _, o := range own {
		line, err := regexp.Compile(`^(?:` + o.Expr + `)`)
		if err != nil {
			return nil, fmt.Errorf("search the servers' logs: the pattern of %s: %w", o.Class, err)
		}
		if o.Class == "" || line.MatchString("") {
			return nil, fmt.Errorf("search the servers' logs: the pattern %q has no class or fits every line", o.Expr)
		}
		all = append(all, pattern{o.Class, line, nil})
	}
	return append(all, known()...), nil
}
