// Package corpora reads the histories with known verdicts that tests hold our
// checkers to. They were recorded and judged by others and are not part of this
// repository: NEMESIS_CORPORA names their folder, by default shared/corpora beside
// it, and tests skip, saying so, where it is absent.
//
// Path finds a file or skips the test; EDN reads what Jepsen, Knossos and Elle
// write; Operations pairs such events into a history, the position of each event
// being its time.
package corpora

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"nemesis/history"
)

// Path is the path of a file or folder of the corpora; depth is how many folders
// the calling test's package lies below the repository's root.
func Path(t testing.TB, depth int, elem ...string) string {
	t.Helper()
	root := os.Getenv("NEMESIS_CORPORA")
	if root == "" {
		root = filepath.Join(strings.Repeat("../", depth+1), "shared", "corpora")
	}
	path := filepath.Join(append([]string{root}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the corpora are not here (%v); set NEMESIS_CORPORA to their folder", err)
	}
	return path
}

// Keyword is an EDN keyword or symbol, without its colon.
type Keyword string

// Event is one event of a foreign history.
type Event struct {
	Type    history.Type
	F       string
	Process int // -1 where none is given
	Value   any
	Index   int64 // its own :index, or its position
}

// Events reads the events of an EDN file: maps one after another, or in one vector.
func Events(t testing.TB, path string) []Event {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	forms, err := EDN(string(raw))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if len(forms) == 1 {
		if list, ok := forms[0].([]any); ok {
			forms = list
		}
	}
	var events []Event
	for i, f := range forms {
		m, ok := f.(map[any]any)
		if !ok {
			t.Fatalf("%s: form %d is not a map", path, i)
		}
		kind, _ := m[Keyword("type")].(Keyword)
		function, _ := m[Keyword("f")].(Keyword)
		ev := Event{Type: history.Type(kind), F: string(function), Process: -1, Value: m[Keyword("value")], Index: int64(i)}
		switch p := m[Keyword("process")].(type) {
		case int64:
			ev.Process = int(p)
		case Keyword:
			continue // the nemesis
		}
		if n, ok := m[Keyword("index")].(int64); ok {
			ev.Index = n
		}
		events = append(events, ev)
	}
	return events
}

// Operations pairs events. Times are positions, so no two are equal. value turns a
// foreign value into ours; key is the operation's key.
func Operations(t testing.TB, events []Event, value func(Event) (f, key string, v json.RawMessage)) []history.Operation {
	t.Helper()
	open := make(map[int]int)
	var ops []history.Operation
	for i, ev := range events {
		now := int64(i) * 1000
		f, key, v := value(ev)
		if ev.Type == history.Invoke {
			open[ev.Process] = len(ops)
			ops = append(ops, history.Operation{Index: ev.Index, Completion: -1, Process: ev.Process, F: f, Key: key,
				Type: history.Info, Input: v, Call: now, Return: history.Never, End: int64(len(events)) * 1000})
			continue
		}
		at, ok := open[ev.Process]
		if !ok {
			t.Fatalf("event %d completes nothing", i)
		}
		delete(open, ev.Process)
		o := &ops[at]
		o.Completion, o.Type, o.Output, o.End = ev.Index, ev.Type, v, now
		if ev.Type != history.Info {
			o.Return = now
		}
	}
	return ops
}

// JSON writes an EDN value as JSON; keywords become strings.
func JSON(v any) json.RawMessage {
	raw, err := json.Marshal(plain(v))
	if err != nil {
		panic(err)
	}
	return raw
}

func plain(v any) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = plain(v[i])
		}
		return list
	case Keyword:
		return string(v)
	case map[any]any:
		m := make(map[string]any)
		for k, x := range v {
			m[fmt.Sprint(k)] = plain(x)
		}
		return m
	}
	return v
}

// EDN reads all forms of a text: nil, true, false, whole numbers (int64), floats
// and anything else word-like (Keyword), strings, keywords, vectors, lists and sets
// ([]any), maps. Comments are skipped.
func EDN(text string) ([]any, error) {
	r := reader{text: text}
	var forms []any
	for {
		r.space()
		if r.at == len(r.text) {
			return forms, nil
		}
		v, err := r.form()
		if err != nil {
			return nil, err
		}
		forms = append(forms, v)
	}
}

type reader struct {
	text string
	at   int
}

func (r *reader) space() {
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == ',':
			r.at++
		case c == ';':
			for r.at < len(r.text) && r.text[r.at] != '\n' {
				r.at++
			}
		default:
			return
		}
	}
}

func (r *reader) form() (any, error) {
	r.space()
	if r.at == len(r.text) {
		return nil, fmt.Errorf("the text ends within a form")
	}
	switch c := r.text[r.at]; c {
	case '[':
		return r.list(']')
	case '(':
		return r.list(')')
	case '{':
		all, err := r.list('}')
		m := make(map[any]any)
		for i := 0; i+1 < len(all); i += 2 {
			switch all[i].(type) {
			case []any, map[any]any:
				return nil, fmt.Errorf("a collection as a key")
			}
			m[all[i]] = all[i+1]
		}
		return m, err
	case '#':
		r.at++
		if r.at < len(r.text) && r.text[r.at] == '{' {
			return r.list('}')
		}
		if _, err := r.form(); err != nil { // a tag
			return nil, err
		}
		return r.form()
	case '"':
		end := r.at + 1
		for end < len(r.text) && r.text[end] != '"' {
			if r.text[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(r.text) {
			return nil, fmt.Errorf("a string without an end")
		}
		s := r.text[r.at+1 : end]
		r.at = end + 1
		return s, nil
	}
	end := r.at
	for end < len(r.text) && !strings.ContainsRune(" \n\t\r,;[](){}\"", rune(r.text[end])) {
		end++
	}
	if end == r.at {
		return nil, fmt.Errorf("an unexpected %q at byte %d", r.text[r.at], r.at)
	}
	word := r.text[r.at:end]
	r.at = end
	switch word {
	case "nil":
		return nil, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	if n, err := strconv.ParseInt(word, 10, 64); err == nil {
		return n, nil
	}
	return Keyword(strings.TrimPrefix(word, ":")), nil
}

func (r *reader) list(end byte) ([]any, error) {
	r.at++
	list := []any{}
	for {
		r.space()
		if r.at == len(r.text) {
			return nil, fmt.Errorf("a collection without an end")
		}
		if r.text[r.at] == end {
			r.at++
			return list, nil
		}
		v, err := r.form()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
}
