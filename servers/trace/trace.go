// Package trace writes the steps of a server, in the words of its specification (servers/spec), to a file that a checker reads.
//
// A trace is lines of JSON (Line). Each process that serves a node appends to the same file: its first line is number 0 and
// has a Start, the others follow without a gap. A step is written before anything that it asked for is done: before
// a record is on its way to the disk, or a message to another node. So when a process is killed, the lines that it did not come
// to write are of steps that nobody has seen, and a torn line is one of those. What a machine had not brought to its disk is lost
// with its power; the next Start then has another Boot.
//
// A trace never stands in its server's way: one that grew to its limit, or that cannot be written, ends with an End,
// and the server goes on.
package trace

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"time"
)

// Line is one line of a trace.
type Line struct {
	Node uint64        `json:"node"`
	Line uint64        `json:"line"` // of the process, from 0
	At   time.Duration `json:"at"`   // since the process began
	Step string        `json:"step"` // what Event is: start, end, or an event of the specification such as execution
	// Event is a Start, an End, or plain data of servers/spec.
	Event any `json:"event"`
}

// Start says whose trace it is.
type Start struct {
	Specification string `json:"specification"`
	Nodes         int    `json:"nodes"` // how many nodes there are at first: 1 to Nodes
	Boot          string `json:"boot"`  // names the time from one start of the machine to the next; "" for unknown
}

// End says that the process writes no more, though it may go on.
type End struct {
	Why string `json:"why"`
}

// endRoom is kept free for an End.
const endRoom = 1 << 10

// Writer writes the trace of one process. A nil Writer writes nothing. It is used by one goroutine at a time.
type Writer struct {
	w       io.Writer
	node    uint64
	started time.Time
	room    int64 // bytes that may still be written
	lines   uint64
	buf     []byte
	ended   string // why there are no more steps
	over    bool   // and that is written
	file    *os.File
}

// New begins the trace of a process in what earlier ones may have written to; room is how many bytes may be added.
func New(w io.Writer, node uint64, start Start, room int64) *Writer {
	t := &Writer{w: w, node: node, started: time.Now(), room: room}
	t.buf = append(t.buf, '\n') // the process before may have left a torn line
	t.Step(start)
	t.Flush()
	return t
}

// Step adds a step; Flush writes it.
func (t *Writer) Step(event any) {
	if t == nil || t.ended != "" {
		return
	}
	had := len(t.buf)
	t.append(event)
	if int64(len(t.buf))+endRoom > t.room {
		t.buf = t.buf[:had]
		t.ended = "the file has grown to its limit"
	}
}

func (t *Writer) append(event any) {
	line := Line{t.node, t.lines, time.Since(t.started), strings.ToLower(reflect.TypeOf(event).Name()), event}
	b, err := json.Marshal(line)
	if err != nil {
		b, _ = json.Marshal(Line{t.node, t.lines, line.At, line.Step, nil}) // no event is of such a type
	}
	t.lines++
	t.buf = append(append(t.buf, b...), '\n')
}

// Flush writes the steps that were added. What cannot be written ends the trace.
func (t *Writer) Flush() {
	if t == nil || t.over || len(t.buf) == 0 && t.ended == "" {
		return
	}
	if len(t.buf) > 0 {
		if n, err := t.w.Write(t.buf); err != nil {
			t.ended = fmt.Sprintf("it could not be written: %v", err)
		} else {
			t.room -= int64(n)
		}
		t.buf = t.buf[:0]
	}
	if t.ended == "" {
		return
	}
	// Again and again: whoever reads must know that there were more steps.
	t.buf = append(t.buf[:0], '\n')
	t.append(End{t.ended})
	_, err := t.w.Write(t.buf)
	t.buf, t.over = t.buf[:0], err == nil
	if err != nil {
		t.lines--
	}
}
