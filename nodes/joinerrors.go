package nodes

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// JoinErrors joins the errors of several nodes, errs[i] being that of all[i] or nil.
// Those that differ in nothing but the node are told once, because a key that opens
// no node of twenty is one mistake: "connect to n1 (root@n1:22): login refused;
// likewise n2 n3".
func JoinErrors(all []Node, errs []error) error {
	var order []string
	first := map[string]error{}
	others := map[string][]string{}
	for i, err := range errs {
		if err == nil {
			continue
		}
		err = flat{err}
		what := withoutNode(all[i], err.Error())
		if first[what] == nil {
			order = append(order, what)
			first[what] = err
			continue
		}
		others[what] = append(others[what], all[i].Name)
	}
	var joined []error
	for _, what := range order {
		err := first[what]
		if more := others[what]; len(more) > 0 {
			err = fmt.Errorf("%w; likewise %s", err, strings.Join(more, " "))
		}
		joined = append(joined, err)
	}
	return errors.Join(joined...)
}

// flat is an error whose text is one line.
type flat struct{ error }

func (e flat) Error() string { return strings.ReplaceAll(e.error.Error(), "\n", "; ") }
func (e flat) Unwrap() error { return e.error }

// withoutNode takes a node's name and addresses out of a text.
func withoutNode(node Node, text string) string {
	words := []string{regexp.QuoteMeta(node.Name)}
	for _, address := range node.Addresses() {
		if address.IsValid() {
			words = append(words, regexp.QuoteMeta(address.String()))
		}
	}
	return regexp.MustCompile(`\b(`+strings.Join(words, "|")+`)\b`).ReplaceAllString(text, "\x00")
}
