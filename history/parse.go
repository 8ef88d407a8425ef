package history

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// parser turns lines back into events. Names repeat, so it keeps one copy of each;
// values are copied into shared blocks, so that an event does not hold its whole
// frame in memory.
type parser struct {
	names map[string]string
	block []byte
}

func newParser() *parser { return &parser{names: map[string]string{}} }

// event parses one line into ev. Lines as appendEvent writes them take the fast path;
// any other spelling of the same JSON goes through encoding/json.
func (p *parser) event(line []byte, ev *Event) error {
	*ev = Event{}
	if !p.fast(line, ev) {
		*ev = Event{}
		if err := json.Unmarshal(line, ev); err != nil {
			return fmt.Errorf("a line is not an event: %w", err)
		}
	}
	upgradeEvent(ev)
	return nil
}

func (p *parser) fast(line []byte, ev *Event) bool {
	if len(line) < 2 || line[0] != '{' || line[len(line)-1] != '}' {
		return false
	}
	for i := 1; ; {
		name, next, ok := plainString(line, i)
		if !ok || next >= len(line) || line[next] != ':' {
			return false
		}
		start := next + 1
		end := skipValue(line, start)
		if end < 0 || !p.set(ev, string(name), line[start:end]) {
			return false
		}
		if line[end] == '}' {
			return end == len(line)-1
		}
		if line[end] != ',' {
			return false
		}
		i = end + 1
	}
}

func (p *parser) set(ev *Event, name string, raw []byte) bool {
	var err error
	switch name {
	case "index":
		ev.Index, err = strconv.ParseInt(string(raw), 10, 64)
	case "time":
		ev.Time, err = strconv.ParseInt(string(raw), 10, 64)
	case "version":
		ev.Version, err = strconv.ParseInt(string(raw), 10, 64)
	case "process":
		ev.Process, err = strconv.Atoi(string(raw))
	case "type":
		return p.name((*string)(&ev.Type), raw)
	case "node":
		return p.name(&ev.Node, raw)
	case "f":
		return p.name(&ev.F, raw)
	case "key":
		return p.name(&ev.Key, raw)
	case "error":
		return p.name(&ev.Error, raw)
	case "cause":
		return p.name((*string)(&ev.Cause), raw)
	case "value":
		ev.Value = p.keep(raw)
	case "fault":
		ev.Fault = &Fault{}
		err = json.Unmarshal(raw, ev.Fault)
	case "clock":
		ev.Clock = &ClockSample{}
		err = json.Unmarshal(raw, ev.Clock)
	case "exit":
		ev.Exit = &Exit{}
		err = json.Unmarshal(raw, ev.Exit)
	case "restart":
		ev.Restart = &Restart{}
		err = json.Unmarshal(raw, ev.Restart)
	case "log":
		ev.Log = &LogLine{}
		err = json.Unmarshal(raw, ev.Log)
	case "leaders":
		err = json.Unmarshal(raw, &ev.Leaders)
	case "message":
		return json.Unmarshal(raw, &ev.Message) == nil
	default:
		return false
	}
	return err == nil
}

// maxNames bounds the table of names: keys and errors may be without number.
const maxNames = 1 << 16

func (p *parser) name(into *string, raw []byte) bool {
	text, end, ok := plainString(raw, 0)
	if !ok || end != len(raw) {
		return json.Unmarshal(raw, into) == nil
	}
	if s, known := p.names[string(text)]; known {
		*into = s
		return true
	}
	s := string(text)
	if len(p.names) < maxNames {
		p.names[s] = s
	}
	*into = s
	return true
}

func (p *parser) keep(raw []byte) json.RawMessage {
	if cap(p.block)-len(p.block) < len(raw) {
		p.block = make([]byte, 0, max(64<<10, len(raw)))
	}
	at := len(p.block)
	p.block = append(p.block, raw...)
	return p.block[at:len(p.block):len(p.block)]
}

// plainString reads a quoted string without escapes at line[i:] and returns its
// content and the position after it.
func plainString(line []byte, i int) ([]byte, int, bool) {
	if i >= len(line) || line[i] != '"' {
		return nil, 0, false
	}
	for j := i + 1; j < len(line); j++ {
		switch c := line[j]; {
		case c == '"':
			return line[i+1 : j], j + 1, true
		case c == '\\' || c < ' ' || c > '~':
			return nil, 0, false
		}
	}
	return nil, 0, false
}

// skipValue returns the position after the JSON value at line[i:], or -1. It
// trusts the writer: the value was valid when it was written, and the frame's
// checksum says that it still is.
func skipValue(line []byte, i int) int {
	depth := 0
	for ; i < len(line); i++ {
		switch line[i] {
		case '"':
			for i++; i < len(line) && line[i] != '"'; i++ {
				if line[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			depth++
		case ']', '}':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return -1
}
