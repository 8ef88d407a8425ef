// Package operands puts what an operation holds into the text of a request, and reads what
// a server answered as a value of the history. It is what all generic clients share
// (clients/resp, clients/http, clients/sql).
//
// A Template is text/template text in which an operation stands for the dot:
//
//	{{ .key }}      the key of the operation
//	{{ .value }}    what is written or added: the digits of an integer, a text as it is, else its JSON
//	{{ .from }}     what a compare-and-set expects; "" where it expects no value
//	{{ .to }}       what it writes
//	{{ .after }}    the offset behind which a poll begins; "" for the beginning of the log
//	{{ .process }}  the number of the client's process, {{ .node }} the node that it talks to
//
// A name that is not there is an error, so that a misspelt key never becomes a request.
package operands

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
	"time"

	"nemesis/clients"
	"nemesis/history"
)

// Template is text with places for what an operation holds. The zero value is empty text.
// It is safe for concurrent use.
type Template struct {
	text string
	tree *template.Template // nil for text without places
}

// Parse reads a template and tries it on an operation that has everything.
func Parse(text string) (Template, error) {
	t := Template{text: text}
	if !strings.Contains(text, "{{") {
		return t, nil
	}
	tree, err := template.New("").Option("missingkey=error").Parse(text)
	if err != nil {
		return t, fmt.Errorf("read the template %q: %s", text, brief(err))
	}
	t.tree = tree
	err = Bounded(text, func() error {
		_, err := t.Fill(Values{"key": "k0", "value": "1", "from": "1", "to": "2", "after": "", "process": 0, "node": "n1"})
		return err
	})
	return t, err
}

// longestFill is more time than any template takes that ends.
const longestFill = 5 * time.Second

// Bounded tries a template, of which text is the text, and gives up on one that does not end: it
// may count to a number without end. That one goes on until the program ends.
func Bounded(text string, try func() error) error {
	if !strings.Contains(text, "range") { // nothing else repeats
		return try()
	}
	ended := make(chan error, 1)
	go func() { ended <- try() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(longestFill):
		return fmt.Errorf("the template %q does not end within %s", clients.Printable(text), longestFill)
	}
}

// brief is an error of text/template without the name of the template, which nobody gave.
func brief(err error) string {
	s := err.Error()
	for _, prefix := range []string{"template: :", "template: "} {
		s = strings.TrimPrefix(s, prefix)
	}
	return s
}

// Fill is the text with the values in their places.
func (t Template) Fill(values Values) (string, error) {
	if t.tree == nil {
		return t.text, nil
	}
	var b bytes.Buffer
	if err := t.tree.Execute(&b, map[string]any(values)); err != nil {
		return "", fmt.Errorf("fill in the template %q: %s", t.text, brief(err))
	}
	return b.String(), nil
}

// String is the text as it was written.
func (t Template) String() string { return t.text }

// Values are what an operation holds, by the names that templates use.
type Values map[string]any

// Of are the values of an operation.
func Of(op history.Event, node string) (Values, error) {
	v := Values{"key": op.Key, "process": op.Process, "node": node}
	switch op.F {
	case history.FCAS:
		cas, err := history.DecodeCompareAndSet(op.Value)
		if err != nil {
			return nil, fmt.Errorf("read the arguments of a compare-and-set: %w", err)
		}
		v["from"], v["to"] = Text(cas.Expected), Text(cas.New)
	case history.FPoll:
		v["after"] = Text(op.Value)
	default:
		if !history.IsNull(op.Value) {
			v["value"] = Text(op.Value)
		}
	}
	return v, nil
}

// OfPart are the values of one part of a transaction.
func OfPart(op history.Event, part history.MicroOp, node string) Values {
	v := Values{"key": part.KeyName(), "process": op.Process, "node": node}
	if !history.IsNull(part.Value) {
		v["value"] = Text(part.Value)
	}
	return v
}

// Text is a value of the history as a server is sent it: nothing for null, a text without its
// quotes, and anything else as JSON.
func Text(value json.RawMessage) string {
	if history.IsNull(value) {
		return ""
	}
	if text, err := history.DecodeText(value); err == nil {
		return text
	}
	return string(value)
}

// Observes reports whether an operation only looks: whatever became of it, it changed
// nothing, so that one without an answer certainly did not happen.
func Observes(op history.Event) bool {
	switch op.F {
	case history.FRead, history.FList, history.FHolder, history.FBalances, history.FPoll, history.FChain:
		return true
	case history.FTransaction:
		looks := true
		err := history.EachMicroOp(op.Value, func(m history.MicroOp) error {
			looks = looks && (m.F == history.MicroRead || m.F == history.MicroPoll)
			return nil
		})
		return err == nil && looks
	}
	return false
}

// Doubt is how an operation ended that got no answer, or one that says nothing of whether it
// happened.
func Doubt(op history.Event, err error) clients.Completion {
	if Observes(op) {
		return clients.Failed(err)
	}
	return clients.Unsure(err)
}

// Nothing is the value of what is not there, in a workload: an empty list, a counter of 0, a
// register that nobody has written to.
func Nothing(workload, f string) json.RawMessage {
	switch {
	case f == history.FList, f == history.FPoll, f == history.FChain:
		return json.RawMessage("[]")
	case workload == counter:
		return history.EncodeInt(0)
	}
	return history.EncodeNull()
}

// counter is the workload whose objects are there from the beginning.
const counter = "counter"
