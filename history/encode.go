package history

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// appendEvent appends ev as one JSON line. It writes what encoding/json would
// write for Event, at a tenth of its cost: the recorder must keep up with
// clients that do hundreds of thousands of operations a second.
func appendEvent(b []byte, ev *Event) ([]byte, error) {
	b = append(b, `{"index":`...)
	b = strconv.AppendInt(b, ev.Index, 10)
	b = append(b, `,"time":`...)
	b = strconv.AppendInt(b, ev.Time, 10)
	b = append(b, `,"type":"`...)
	b = append(b, ev.Type...)
	b = append(b, '"')
	if ev.Type.IsOperation() || ev.Type == BeliefChange {
		b = append(b, `,"process":`...)
		b = strconv.AppendInt(b, int64(ev.Process), 10)
	}
	b = appendField(b, `,"node":`, ev.Node)
	b = appendField(b, `,"f":`, ev.F)
	b = appendField(b, `,"key":`, ev.Key)
	if len(ev.Value) > 0 {
		b = append(b, `,"value":`...)
		b = appendRaw(b, ev.Value)
	}
	if ev.Version != 0 {
		b = append(b, `,"version":`...)
		b = strconv.AppendInt(b, ev.Version, 10)
	}
	b = appendField(b, `,"error":`, ev.Error)
	b = appendField(b, `,"cause":`, string(ev.Cause))
	var err error
	if ev.Fault != nil {
		b, err = appendJSON(b, `,"fault":`, ev.Fault)
	}
	if ev.Clock != nil && err == nil {
		b, err = appendJSON(b, `,"clock":`, ev.Clock)
	}
	if ev.Exit != nil && err == nil {
		b, err = appendJSON(b, `,"exit":`, ev.Exit)
	}
	if ev.Restart != nil && err == nil {
		b, err = appendJSON(b, `,"restart":`, ev.Restart)
	}
	if ev.Log != nil && err == nil {
		b, err = appendJSON(b, `,"log":`, ev.Log)
	}
	if len(ev.Leaders) > 0 && err == nil {
		b, err = appendJSON(b, `,"leaders":`, ev.Leaders)
	}
	b = appendField(b, `,"message":`, ev.Message)
	return append(b, "}\n"...), err
}

func appendField(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(append(b, name...), s)
}

// appendString quotes s. What is not plain ASCII goes through encoding/json,
// which also replaces invalid UTF-8 and escapes what could end a script element.
func appendString(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // marshalling a string cannot fail
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendRaw appends a client's value. A value that is not JSON would damage the
// line, and a line break inside one would cut it: the first becomes a string, the
// second is compacted away.
func appendRaw(b []byte, value json.RawMessage) []byte {
	if !json.Valid(value) {
		return appendString(b, string(value))
	}
	if bytes.IndexByte(value, '\n') < 0 {
		return append(b, value...)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, value); err != nil {
		return appendString(b, string(value))
	}
	return append(b, line.Bytes()...)
}

func appendJSON(b []byte, name string, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return b, err
	}
	return append(append(b, name...), text...), nil
}
