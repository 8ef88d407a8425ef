package checker

import (
	"fmt"
	"slices"
	"strings"

	"nemesis/history"
)

// Class is one sort of anomaly that a checker looks for.
type Class struct {
	Name string
	// Breaks are the weakest models that each anomaly of the class breaks.
	Breaks []history.Model
}

// Findings collects what a checker finds: for each class the first finding in
// full and the number of all. Worst is the order of the classes. Two classes may have one name and break different models. The zero value with
// Worst set is ready; it is not safe for concurrent use.
type Findings struct {
	Worst []Class
	first map[string]*Finding
}

// key tells classes apart.
func (c Class) key() string { return c.Name + " breaks " + history.Names(c.Breaks) }

// Add counts one more finding of the first class of a name, and builds it if it is the
// first.
func (f *Findings) Add(class string, build func() Finding) { f.add(f.class(class), nil, build) }

// AddBeyond is Add for a finding that rests on an assumption which the run went beyond.
// Such findings have a Findings of their own, as only the first of a class is kept.
func (f *Findings) AddBeyond(class string, beyond Beyond, build func() Finding) {
	f.add(f.class(class), &beyond, build)
}

// AddTo is Add for one of several classes of a name.
func (f *Findings) AddTo(class Class, build func() Finding) { f.add(class, nil, build) }

// class is the first of a name. What nobody has placed is the last of all, and breaks
// whatever is claimed.
func (f *Findings) class(name string) Class {
	for _, c := range f.Worst {
		if c.Name == name {
			return c
		}
	}
	f.Worst = append(slices.Clip(f.Worst), Class{Name: name})
	return Class{Name: name}
}

func (f *Findings) add(class Class, beyond *Beyond, build func() Finding) {
	if one := f.first[class.key()]; one != nil {
		one.Count++
		return
	}
	if f.first == nil {
		f.first = make(map[string]*Finding)
	}
	one := Tell(class.Name, build)
	one.Breaks, one.Beyond = class.Breaks, beyond
	f.first[class.key()] = &one
}

// List is one finding for each class met, worst first.
func (f *Findings) List() []Finding {
	var list []Finding
	for _, class := range f.Worst {
		if one := f.first[class.key()]; one != nil {
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
