package checker

import (
	"fmt"
	"strings"
)

// Findings collects what a checker finds: for each class the first finding in
// full and the number of all. Worst is the order of the classes; nothing else may
// be added. The zero value with Worst set is ready; it is not safe for concurrent use.
type Findings struct {
	Worst []string
	first map[string]*Finding
}

// Add counts one more finding of a class, and builds it if it is the first.
func (f *Findings) Add(class string, build func() Finding) {
	if one := f.first[class]; one != nil {
		one.Count++
		return
	}
	if f.first == nil {
		f.first = make(map[string]*Finding)
	}
	one := Tell(class, build)
	f.first[class] = &one
}

// List is one finding for each class met, worst first.
func (f *Findings) List() []Finding {
	var list []Finding
	for _, class := range f.Worst {
		if one := f.first[class]; one != nil {
			list = append(list, *one)
		}
	}
	return list
}

// Summary counts the classes: "2 × lost-element, 1 × forked-reads".
func (f *Findings) Summary() string {
	var parts []string
	for _, one := range f.List() {
		parts = append(parts, fmt.Sprintf("%d × %s", one.Count, one.Class))
	}
	return strings.Join(parts, ", ")
}

// Tell builds a finding. The violation is established before anybody tries to put
// it in words, so a defect in the telling must not take it away: what is left then
// is a finding that says so.
func Tell(class string, build func() Finding) (f Finding) {
	defer func() {
		if p := recover(); p != nil {
			f = Finding{
				Claim:       fmt.Sprintf("The history breaks a promise (%s), but the checker failed to explain how.", class),
				Rule:        "See the checker's documentation for this class.",
				Unexplained: -1,
				Proof:       []ProofStep{{Text: "The explanation failed, please report it with this history: " + Show(fmt.Sprint(p))}},
			}
		}
		f.Class, f.Count = class, 1
	}()
	return build()
}
