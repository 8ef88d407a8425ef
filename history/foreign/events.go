package foreign

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"nemesis/history"
)

// event is one event of an operation as the file has it.
type event struct {
	line    int
	kind    history.Type
	process int
	f       string
	value   form
	// key is the event's own :key; hasKey tells it from none.
	key    string
	hasKey bool
	// index and time are -1 where the file has none.
	index, time int64
	node, error string
}

// errSkip says that an event is not about a client.
var errSkip = errors.New("not a client's event")

// readEvents reads maps, one after another or in vectors and lists. In JSON a comma may
// stand between those of an array.
func readEvents(e *reader, parse func(line int, f form) (event, error), rec *record) error {
	e.most = longest(rec.memory)
	var open []byte // what closes the collections that hold the maps
	for {
		e.used = 0
		c, err := e.start()
		if err == io.EOF {
			if len(open) > 0 {
				return e.fail("the file ends before the %q that closes its events; it was cut off", open[len(open)-1])
			}
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case c == '[' && len(open) == 0:
			open = append(open, ']')
			continue
		case c == '(' && len(open) == 0 && !e.json:
			open = append(open, ')')
			continue
		case c == ',' && len(open) > 0 && e.json:
			continue
		case len(open) > 0 && c == open[len(open)-1]:
			open = open[:len(open)-1]
			continue
		}
		line := e.line
		skipped, err := e.discarded(c, 0)
		if err == io.EOF {
			err = e.fail("the file ends within a form; it was cut off")
		}
		if err != nil {
			return err
		}
		if skipped {
			continue
		}
		f, err := e.form(c, 0)
		if err != nil {
			return err
		}
		for f.kind == tagged { // a record
			f = f.items[0]
		}
		if f.kind != mapping {
			return failAt(line, "%s stands where an event such as {:process 0, :type :invoke, :f :read, :value nil} was expected", brief(f.spell()))
		}
		ev, err := parse(line, f)
		if err == errSkip {
			rec.skip()
			continue
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		if err := rec.add(ev); err != nil {
			return err
		}
	}
}

// jepsenEvent reads an event of Jepsen's. Its keys may be keywords or texts.
func jepsenEvent(line int, f form) (event, error) {
	ev := event{line: line, index: -1, time: -1}
	var process, kind, name *form
	for i := 0; i+1 < len(f.items); i += 2 {
		k, v := &f.items[i], &f.items[i+1]
		var err error
		switch k.text {
		case "process":
			process = v
		case "type":
			kind = v
		case "f":
			name = v
		case "value":
			ev.value = *v
		case "key":
			ev.key, ev.hasKey = v.name(), v.kind != null
		case "index":
			ev.index, err = natural(k.text, v)
		case "time":
			ev.time, err = natural(k.text, v)
		case "node":
			ev.node = v.plain()
		case "error":
			ev.error = v.plain()
		}
		if err != nil {
			return ev, err
		}
	}
	if process == nil || process.kind == null {
		return ev, errors.New("the event has no :process; every operation needs the number of its client")
	}
	if process.kind != integer {
		if process.text == "nemesis" {
			return ev, errSkip
		}
		return ev, fmt.Errorf("the :process is %s; a client's number or :nemesis was expected", brief(process.spell()))
	}
	var err error
	if ev.process, err = strconv.Atoi(process.text); err != nil {
		return ev, fmt.Errorf("the :process %s is out of range", brief(process.text))
	}
	if kind == nil || !isWord(kind) || !history.Type(kind.text).IsOperation() {
		return ev, fmt.Errorf("the :type is %s; one of :invoke, :ok, :fail and :info was expected", absent(kind))
	}
	ev.kind = history.Type(kind.text)
	if name == nil || !isWord(name) || name.text == "" {
		return ev, fmt.Errorf("the :f is %s; an operation's name such as :read was expected", absent(name))
	}
	ev.f = name.text
	return ev, nil
}

// porcupineEvent reads an event of a key-value history.
func porcupineEvent(line int, f form) (event, error) {
	ev, err := jepsenEvent(line, f)
	switch {
	case err == errSkip:
		return ev, errors.New("the :process is :nemesis; a client's number was expected")
	case err != nil:
		return ev, err
	case ev.kind != history.Invoke && ev.kind != history.OK:
		return ev, fmt.Errorf("the :type is :%s; :invoke or :ok was expected", ev.kind)
	case ev.f != "get" && ev.f != "put" && ev.f != "append":
		return ev, fmt.Errorf("the :f is %s; one of :get, :put and :append was expected", brief(ev.f))
	case !ev.hasKey:
		return ev, errors.New("the event has no :key; every operation on a key-value store needs one")
	case ev.value.kind != null && ev.value.kind != text:
		return ev, fmt.Errorf("the :value is %s; a text or nil was expected", brief(ev.value.spell()))
	}
	return ev, nil
}

// isWord reports whether a form may name something.
func isWord(f *form) bool { return f.kind == keyword || f.kind == text || f.kind == symbol }

func absent(f *form) string {
	if f == nil {
		return "missing"
	}
	return brief(f.spell())
}

// plain is a form as text for a person: words without quotes and colons, nil as
// nothing.
func (f *form) plain() string {
	if f.kind == null {
		return ""
	}
	if isWord(f) || f.kind == character {
		return f.text
	}
	return f.spell()
}

// maxTime keeps what is computed with times from overflowing.
const maxTime = int64(1) << 61

// natural reads a number that counts something. Nil is none, and so is -1, which
// jepsen.history prints for an operation without a time or an index.
func natural(name string, f *form) (int64, error) {
	if f.kind == null || f.kind == integer && f.text == "-1" {
		return -1, nil
	}
	n, err := strconv.ParseInt(f.text, 10, 64)
	if f.kind != integer || err != nil || n < 0 || n > maxTime {
		return 0, fmt.Errorf("the :%s is %s; a whole number from 0 was expected", name, brief(f.spell()))
	}
	return n, nil
}
