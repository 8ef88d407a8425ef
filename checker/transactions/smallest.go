package transactions

import (
	"slices"

	"nemesis/checker"
	"nemesis/checker/transactions/dependency"
)

// Smallest keeps, of all that is found in components of a dependency graph, what stands for each class: that in the component
// with the fewest transactions. T is what is needed to tell of it.
type Smallest[T any] struct{ all []*Found[T] }

// Found is what stands for a class, and how many there are of it.
type Found[T any] struct {
	Class checker.Class
	Part  *dependency.Component
	Count int
	What  T
}

// Add notes one more. Classes are the same if they have one name and break the same.
func (s *Smallest[T]) Add(class checker.Class, part *dependency.Component, what T) {
	for _, f := range s.all {
		if f.Class.Name != class.Name || !slices.Equal(f.Class.Breaks, class.Breaks) {
			continue
		}
		f.Count++
		if part.Nodes() < f.Part.Nodes() {
			f.Part, f.What = part, what
		}
		return
	}
	s.all = append(s.all, &Found[T]{class, part, 1, what})
}

// All are the classes, in the order in which they were found first.
func (s *Smallest[T]) All() []*Found[T] { return s.all }
