package serverlog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"nemesis/history"
)

const stack = "\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:5 +0x1d\n"

// messages are what runtimes and servers print, each as they print it, with the class that
// it has; "" is for texts that accuse nobody.
var messages = map[string]struct{ class, log string }{
	"a Go panic":                        {Panic, "panic: tocommit(9) is out of range [lastIndex(3)]\n" + stack},
	"a Go panic of an error":            {Panic, "panic: runtime error: invalid memory address or nil pointer dereference\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x48f]\n" + stack},
	"a Go panic of several lines":       {Panic, "panic: one\n\ttwo\n\tthree\n" + stack},
	"a Go panic in a panic":             {Panic, "panic: first\n\tpanic: second\n" + stack},
	"a Go panic of a newer runtime":     {Panic, "panic: x\n\ngoroutine 1 gp=0xc000002380 m=0 mp=0x5a5e80 [running]:\n"},
	"a deadlock":                        {Panic, "fatal error: all goroutines are asleep - deadlock!\n" + stack},
	"a map race":                        {DataRace, "fatal error: concurrent map writes\n" + stack},
	"Go without memory":                 {OutOfMemory, "fatal error: runtime: out of memory\n\nruntime stack:\nruntime.throw()\n"},
	"a recovered panic of net/http":     {Panic, "2026/11/29 10:00:00 http: panic serving 10.0.0.1:4711: boom\ngoroutine 18 [running]:\n"},
	"a race of the race detector":       {DataRace, "==================\nWARNING: DATA RACE\nWrite at 0x00c00 by goroutine 7:\n"},
	"a race behind Windows line ends":   {DataRace, "WARNING: DATA RACE\r\n"},
	"a race of ThreadSanitizer":         {DataRace, "WARNING: ThreadSanitizer: data race (pid=9)\n"},
	"an invalid use of memory":          {MemoryError, "==4711==ERROR: AddressSanitizer: heap-use-after-free on address 0x60\n"},
	"undefined behaviour":               {Assertion, "src/log.cc:12:3: runtime error: signed integer overflow\n"},
	"an assertion of glibc":             {Assertion, "server: log.c:42: append: Assertion `index > 0' failed.\n"},
	"an assertion of musl":              {Assertion, "Assertion failed: index > 0 (log.c: append: 42)\n"},
	"an assertion of macOS":             {Assertion, "Assertion failed: (index > 0), function append, file log.c, line 42.\n"},
	"an uncaught exception of C++":      {UncaughtException, "terminate called after throwing an instance of 'std::runtime_error'\n  what():  boom\n"},
	"C++ without memory":                {OutOfMemory, "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n"},
	"an uncaught exception of libc++":   {UncaughtException, "libc++abi: terminating due to uncaught exception of type int\n"},
	"a smashed stack":                   {MemoryError, "*** stack smashing detected ***: terminated\n"},
	"a double free":                     {MemoryError, "free(): double free detected in tcache 2\n"},
	"a shell's word of a crash":         {MemoryError, "Segmentation fault (core dumped)\n"},
	"a Rust panic":                      {Panic, "thread 'main' panicked at src/main.rs:2:5:\nboom\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n"},
	"a Rust panic of a newer compiler":  {Panic, "thread 'tokio-runtime-worker' (4711) panicked at src/main.rs:2:5:\nboom\n"},
	"a Rust panic of an older compiler": {Panic, "thread '<unnamed>' panicked at 'boom', src/main.rs:2:5\n"},
	"Rust without memory":               {OutOfMemory, "memory allocation of 8589934592 bytes failed\n"},
	"an uncaught exception of Java":     {UncaughtException, "Exception in thread \"main\" java.lang.IllegalStateException: boom\n\tat Main.main(Main.java:3)\n"},
	"an assertion of Java":              {Assertion, "Exception in thread \"raft-1\" java.lang.AssertionError: term\n"},
	"Java without memory":               {OutOfMemory, "java.lang.OutOfMemoryError: Java heap space\n"},
	"Java without memory in a thread":   {OutOfMemory, "Exception in thread \"pool-1\" java.lang.OutOfMemoryError: Java heap space\n"},
	"a crash of the Java machine":       {MemoryError, "#\n# A fatal error has been detected by the Java Runtime Environment:\n#\n"},
	"a panic of zap":                    {Panic, `{"level":"panic","ts":"2026-11-29T10:00:00.000Z","caller":"raft/log.go:1","msg":"tocommit(9) is out of range"}` + "\n"},
	"an assertion of Redis":             {Assertion, "4711:M 29 Nov 2026 10:00:00.123 # === ASSERTION FAILED ===\n"},
	"a broken file of Redis":            {Corruption, "4711:M 29 Nov 2026 10:00:00.123 # Bad file format reading the append only file a.aof: make a backup\n"},
	"a panic of PostgreSQL":             {Panic, "2026-11-29 10:00:00.123 UTC [4711] PANIC:  WAL contains references to invalid pages\n"},
	"a bad page of PostgreSQL":          {Corruption, "2026-11-29 10:00:00.123 UTC [4711] ERROR:  invalid page in block 7 of relation base/5/1259\n"},
	"a panic behind Windows line ends":  {Panic, "panic: x\r\n\r\ngoroutine 1 [running]:\r\n"},
	"a panic in a log without an end":   {Panic, "panic: x\n\ngoroutine 1 [running]:"},

	"nothing":                       {"", ""},
	"a panic without a stack":       {"", "panic: is a word that a client wrote\nOK\n"},
	"a stack far behind":            {"", "panic: x\n" + strings.Repeat("line\n", confirmWithin) + "goroutine 1 [running]:\n"},
	"a client's words in a line":    {"", "2026/11/29 10:00:00 set k1 to panic: x\ngoroutine 1 [running]:\n"},
	"a client's words in JSON":      {"", `{"level":"info","key":"panic: x","value":"WARNING: DATA RACE"}` + "\n"},
	"a client's words of a level":   {"", `{"msg":"{\"level\":\"panic\",","level":"info"}` + "\n"},
	"a stack that was asked for":    {"", "SIGQUIT: quit\nPC=0x47\n" + stack},
	"a word for an assertion":       {"", "INFO: Assertion of leadership failed, retrying\n"},
	"a race that is none":           {"", "WARNING: DATA RACE conditions are possible in this mode\n"},
	"a message of PostgreSQL":       {"", "2026-11-29 10:00:00.123 UTC [9] ERROR:  duplicate key value\n2026-11-29 10:00:00.123 UTC [9] STATEMENT:  SELECT 'PANIC:  x'\n"},
	"a handled exception of Java":   {"", "10:00:00 WARN  Exception in thread \"x\" was handled java.lang.AssertionError\n"},
	"a member that was removed":     {"", `{"level":"fatal","ts":"x","msg":"the member has been permanently removed from the cluster"}` + "\n"},
	"Redis's ordinary lines":        {"", "4711:M 29 Nov 2026 10:00:00.123 * DB loaded from append only file: 0.001 seconds\n"},
	"a goroutine that was counted":  {"", "panics: 0\ngoroutine 5 [running]:\n"},
	"memory that is told, not gone": {"", "out of memory: 0 times\nmaxmemory reached, evicting\n"},
}

// toldOf is what is wrong with what is found in a message, nil for nothing.
func toldOf(name string) error {
	scanner, err := NewScanner(nil)
	if err != nil {
		return err
	}
	m := messages[name]
	for _, before := range []string{"", "2026-11-29T10:00:00Z started\n"} {
		lines, err := scanner.Scan(strings.NewReader(before + m.log))
		if err != nil {
			return err
		}
		var classes []string
		for _, l := range lines {
			classes = append(classes, l.Class)
		}
		if got := strings.Join(classes, " "); got != m.class {
			return fmt.Errorf("%s: found %q, want %q", name, got, m.class)
		}
	}
	return nil
}

func TestMessagesOfRuntimesAreFoundAndOthersAreNot(t *testing.T) {
	for name := range messages {
		if err := toldOf(name); err != nil {
			t.Error(err)
		}
	}
}

// Logs of real servers from runs with kills, pauses, partitions, clock faults and restarts,
// in which nothing was wrong.
func TestLogsOfSoundServersAccuseNobody(t *testing.T) {
	paths, err := filepath.Glob("testdata/sound/*.log")
	if more := os.Getenv("NEMESIS_SOUND_LOGS"); more != "" && err == nil {
		var found []string
		if found, err = filepath.Glob(more); err == nil && len(found) == 0 {
			t.Errorf("NEMESIS_SOUND_LOGS: nothing fits %s", more)
		}
		paths = append(paths, found...)
	}
	if err != nil || len(paths) < 5 {
		t.Fatalf("%d logs: %v", len(paths), err)
	}
	scanner, err := NewScanner(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		log, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := scanner.Scan(log)
		log.Close()
		if err != nil || len(lines) > 0 {
			t.Errorf("%s: %+v (%v)", path, lines, err)
		}
	}
}

// The slow and obvious way: each known expression on each line of the whole text.
func TestScanFindsWhatEveryLineAloneShows(t *testing.T) {
	scanner, err := NewScanner(nil)
	if err != nil {
		t.Fatal(err)
	}
	every := known()
	var parts []string
	for _, m := range messages {
		parts = append(parts, m.log)
	}
	for shift := 0; shift < len(parts); shift += 9 {
		log := strings.Join(append(append([]string{}, parts[shift:]...), parts[:shift]...), strings.Repeat("-\n", confirmWithin+1))
		want := map[string]bool{}
		all := strings.Split(log, "\n")
		for i, line := range all {
			line = strings.TrimRight(line, "\r")
			for _, p := range every {
				if !p.line.MatchString(line) {
					continue
				}
				if p.confirm == nil {
					want[p.class] = true
				}
				for _, later := range all[i+1 : min(len(all), i+1+confirmWithin)] {
					want[p.class] = want[p.class] || p.confirm != nil && p.confirm.MatchString(later)
				}
				break
			}
		}
		lines, err := scanner.Scan(strings.NewReader(log))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for i, l := range lines {
			got[l.Class] = true
			if i > 0 && lines[i-1].Line >= l.Line {
				t.Errorf("line %d comes before line %d", lines[i-1].Line, l.Line)
			}
			if strings.TrimRight(all[l.Line-1], "\r") != l.Text {
				t.Errorf("line %d is %q, not %q", l.Line, all[l.Line-1], l.Text)
			}
		}
		for class := range said {
			if got[class] != want[class] {
				t.Errorf("%s: found %v, each line alone shows %v", class, got[class], want[class])
			}
		}
	}
}

func TestALineIsToldWithItsTimeAndWhatFollows(t *testing.T) {
	scanner, err := NewScanner(nil)
	if err != nil {
		t.Fatal(err)
	}
	log := "2026-11-29 10:00:01,5 begins\nno time here\npanic: boom\n" + stack + "2026-11-29 10:00:09 starts again\npanic: again\n" + stack
	lines, err := scanner.Scan(iotest.OneByteReader(strings.NewReader(log)))
	if err != nil || len(lines) != 1 {
		t.Fatalf("%+v (%v)", lines, err)
	}
	l := lines[0]
	if l.Line != 3 || l.Text != "panic: boom" || l.Stamp != "2026-11-29 10:00:01,5" || l.Count != 2 || len(l.Then) != thenKept || l.Then[1] != "goroutine 1 [running]:" {
		t.Errorf("got %+v", l)
	}
}

func TestHostileLogsAreReadInBoundedMemory(t *testing.T) {
	scanner, err := NewScanner(nil)
	if err != nil {
		t.Fatal(err)
	}
	long := "panic: " + strings.Repeat("\x00\xff\x1b[2J", 4<<20)
	lines, err := scanner.Scan(strings.NewReader(long + "\n" + stack + strings.Repeat("panic: x\n", 1000)))
	if err != nil || len(lines) != 1 {
		t.Fatalf("%d lines (%v)", len(lines), err)
	}
	if size := len(lines[0].Text); size > 4*lineKept {
		t.Errorf("keeps %d bytes of a line", size)
	}
	broken := errors.New("the disk is gone")
	lines, err = scanner.Scan(iotest.TimeoutReader(iotest.HalfReader(strings.NewReader("WARNING: DATA RACE\n" + strings.Repeat("x\n", 1<<17)))))
	if err == nil || len(lines) != 1 {
		t.Errorf("after an error: %d lines (%v)", len(lines), err)
	}
	if _, err = scanner.Scan(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("the reader's error is %v", err)
	}
}

func TestASystemHasPatternsOfItsOwn(t *testing.T) {
	scanner, err := NewScanner([]history.LogPattern{{Class: "lost-quorum", Expr: `ERR \d+ quorum lost$|BAD`}})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := scanner.Scan(strings.NewReader("x ERR 7 quorum lost\nERR 7 quorum lost\nxBAD\npanic: x\n" + stack))
	if err != nil || len(lines) != 2 || lines[0].Class != "lost-quorum" || lines[0].Line != 2 || lines[0].Count != 1 || lines[1].Class != Panic {
		t.Errorf("got %+v (%v)", lines, err)
	}
	for _, bad := range []history.LogPattern{{Class: "x", Expr: `(`}, {Class: "x", Expr: `.*`}, {Class: "x"}, {Expr: "x"}} {
		if _, err := NewScanner([]history.LogPattern{bad}); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// What a real Go program prints when it panics.
func TestARealPanicIsFound(t *testing.T) {
	if os.Getenv("NEMESIS_TEST_PANIC") != "" {
		panic("boom\nof two lines")
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(executable, "-test.run", "^TestARealPanicIsFound$")
	cmd.Env = append(os.Environ(), "NEMESIS_TEST_PANIC=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("it does not panic")
	}
	// The testing package has a line of its own before it.
	out = regexp.MustCompile(`(?s)^.*?(panic: )`).ReplaceAll(out, []byte("$1"))
	scanner, err := NewScanner(nil)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := scanner.Scan(bytes.NewReader(out))
	if err != nil || len(lines) != 1 || lines[0].Class != Panic || !strings.Contains(lines[0].Text, "boom") {
		t.Errorf("got %+v (%v) of\n%s", lines, err, out)
	}
}
