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

// Anomalies collects what a checker finds: for each class the first anomaly in
// full and the number of all. Worst is the order of the classes. Two classes may have one name and break different models. The zero value with
// Worst set is ready; it is not safe for concurrent use.
type Anomalies struct {
	Worst []Class
	// classes are those met, first an anomaly of each.
	classes []Class
	first   []*Anomaly
}

// of is the first anomaly of a class, nil for none.
func (f *Anomalies) of(class Class) *Anomaly {
	for i := range f.classes {
		if f.classes[i].Name == class.Name && slices.Equal(f.classes[i].Breaks, class.Breaks) {
			return f.first[i]
		}
	}
	return nil
}

// Add counts one more anomaly of the first class of a name, and builds it if it is the
// first.
func (f *Anomalies) Add(class string, build func() Anomaly) { f.add(f.class(class), nil, build) }

// AddBeyond is Add for an anomaly that rests on an assumption which the run went beyond.
// Such anomalies have a Anomalies of their own, as only the first of a class is kept.
func (f *Anomalies) AddBeyond(class string, beyond Beyond, build func() Anomaly) {
	f.add(f.class(class), &beyond, build)
}

// AddTo is Add for one of several classes of a name.
func (f *Anomalies) AddTo(class Class, build func() Anomaly) { f.add(class, nil, build) }

// AddCount is AddTo for as many anomalies at once, all of one class.
func (f *Anomalies) AddCount(class Class, count int, build func() Anomaly) {
	if count > 0 {
		f.add(class, nil, build)
		f.of(class).Count += count - 1
	}
}

// Has reports whether an anomaly of a class was added.
func (f *Anomalies) Has(class Class) bool { return f.of(class) != nil }

// class is the first of a name. What nobody has placed is the last of all, and breaks
// whatever is claimed.
func (f *Anomalies) class(name string) Class {
	for _, c := range f.Worst {
		if c.Name == name {
			return c
		}
	}
	f.Worst = append(slices.Clip(f.Worst), Class{Name: name})
	return Class{Name: name}
}

func (f *Anomalies) add(class Class, beyond *Beyond, build func() Anomaly) {
	if one := f.of(class); one != nil {
		one.Count++
		return
	}
	one := Tell(class.Name, build)
	one.Breaks, one.Beyond = class.Breaks, beyond
	f.classes, f.first = append(f.classes, class), append(f.first, &one)
}

// List is one anomaly for each class met, worst first.
func (f *Anomalies) List() []Anomaly {
	var list []Anomaly
	for _, class := range f.Worst {
		if one := f.of(class); one != nil {
			list = append(list, *one)
		}
	}
	return list
}

// Summary counts the classes: "2 × lost-element, 1 × forked-reads".
func (f *Anomalies) Summary() string {
	var parts []string
	for _, one := range f.List() {
		parts = append(parts, fmt.Sprintf("%d × %s", one.Count, one.Class))
	}
	return strings.Join(parts, ", ")
}

// Tell builds an anomaly. The violation is established before anybody tries to put
// it in words, so a defect in the telling must not take it away: what is left then
// is an anomaly that says so.
func Tell(class string, build func() Anomaly) (f Anomaly) {
	defer func() {
		if p := recover(); p != nil {
			f = Anomaly{
				Sentence:    fmt.Sprintf("The history breaks a promise (%s), but the checker failed to explain how.", class),
				Rule:        "See the checker's documentation for this class.",
				Unexplained: -1,
				Proof:       []ProofStep{{Text: "The explanation failed, please report it with this history: " + Show(fmt.Sprint(p))}},
			}
		}
		f.Class, f.Count = class, 1
	}()
	return build()
}
