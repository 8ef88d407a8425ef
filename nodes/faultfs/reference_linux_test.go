package faultfs

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// reference is the model of the package's documentation in memory, as slow and as plain as
// possible: it keeps what is safe beside what is in force, and moves operations over one by
// one, where the Volume keeps what is in force and undoes.
type reference struct {
	strict bool
	root   *inode
	ops    []*refOp
}

type inode struct {
	dir        bool
	link       string
	data, safe []byte
	// names are the entries in force, kept those that are safe.
	names, kept map[string]*inode
}

type refOp struct{ changes []refChange }

type refChange struct {
	dir        *inode
	name       string
	old, new   *inode
	oldRemoved bool // old has lost this name to nothing, or to another
}

func newReference(strict bool) *reference { return &reference{strict: strict, root: newInode(true)} }

func newInode(dir bool) *inode {
	n := &inode{dir: dir}
	if dir {
		n.names, n.kept = map[string]*inode{}, map[string]*inode{}
	}
	return n
}

var errModel = errors.New("the model refuses")

// find follows a path; parent is the directory of its last name.
func (r *reference) find(p string) (parent *inode, name string, n *inode) {
	n = r.root
	for _, part := range strings.Split(p, "/") {
		if part == "" {
			continue
		}
		if n == nil || !n.dir {
			return nil, "", nil
		}
		parent, name = n, part
		n = n.names[part]
	}
	return parent, name, n
}

func (r *reference) do(changes ...refChange) {
	for _, c := range changes {
		if c.new == nil {
			delete(c.dir.names, c.name)
		}
	}
	for _, c := range changes {
		if c.new != nil {
			c.dir.names[c.name] = c.new
		}
	}
	r.ops = append(r.ops, &refOp{changes})
}

func (r *reference) run(s step) error {
	parent, name, n := r.find(s.path)
	switch s.what {
	case "create", "mkdir", "symlink":
		if parent == nil || n != nil {
			return errModel
		}
		made := newInode(s.what == "mkdir")
		if s.what == "symlink" {
			made.link = s.to
		}
		r.do(refChange{parent, name, nil, made, false})
	case "write":
		if n == nil || n.dir || n.link != "" {
			return errModel
		}
		if grow := s.off + len(s.data) - len(n.data); grow > 0 {
			n.data = append(slices.Clone(n.data), make([]byte, grow)...)
		} else {
			n.data = slices.Clone(n.data)
		}
		copy(n.data[s.off:], s.data)
	case "truncate":
		if n == nil || n.dir || n.link != "" {
			return errModel
		}
		grown := make([]byte, s.off)
		copy(grown, n.data)
		n.data = grown
	case "unlink":
		if n == nil || n.dir {
			return errModel
		}
		r.do(refChange{parent, name, n, nil, true})
	case "rmdir":
		if n == nil || !n.dir || len(n.names) > 0 || n == r.root {
			return errModel
		}
		r.do(refChange{parent, name, n, nil, true})
	case "link":
		to, toName, there := r.find(s.to)
		if n == nil || n.dir || to == nil || there != nil {
			return errModel
		}
		r.do(refChange{to, toName, nil, n, false})
	case "rename", "exchange":
		to, toName, there := r.find(s.to)
		switch {
		case n == nil || to == nil || n == r.root || there == r.root:
			return errModel
		case s.what == "exchange" && there == nil:
			return errModel
		case n == there:
			return nil
		case within(n, to), s.what == "exchange" && within(there, parent):
			return errModel
		case s.what == "exchange":
			r.do(refChange{parent, name, n, there, false}, refChange{to, toName, there, n, false})
			return nil
		case within(there, parent): // not empty
			return errModel
		case there != nil && there.dir != n.dir, there != nil && len(there.names) > 0:
			return errModel
		}
		r.do(refChange{parent, name, n, nil, false}, refChange{to, toName, there, n, there != nil})
	case "sync":
		if n == nil || n.link != "" {
			return errModel
		}
		n.safe = n.data
		r.keep(n)
	case "loss":
		r.lose()
	default:
		panic(s.what)
	}
	return nil
}

// within: dir is n or lies in it.
func within(n, dir *inode) bool {
	if n == dir {
		return true
	}
	if n == nil {
		return false
	}
	for _, child := range n.names {
		if within(child, dir) {
			return true
		}
	}
	return false
}

// keep makes safe what a sync of n is for: a fixed point of the model's sentences.
func (r *reference) keep(n *inode) {
	in := make([]bool, len(r.ops))
	for again := true; again; {
		again = false
		for i, op := range r.ops {
			if !in[i] && r.belongs(op, n, r.ops[i+1:], in[i+1:]) {
				in[i], again = true, true
			}
		}
	}
	var left []*refOp
	for i, op := range r.ops {
		if !in[i] {
			left = append(left, op)
			continue
		}
		for _, c := range op.changes {
			if c.kept() == nil {
				delete(c.dir.kept, c.name)
			} else {
				c.dir.kept[c.name] = c.kept()
			}
		}
	}
	r.ops = left
}

func (c refChange) kept() *inode { return c.new }

func (r *reference) belongs(op *refOp, synced *inode, later []*refOp, in []bool) bool {
	for _, c := range op.changes {
		if synced.dir && c.dir == synced {
			return true
		}
		if !r.strict && (c.old == synced || c.new == synced) {
			return true
		}
	}
	for i, other := range later {
		if !in[i] {
			continue
		}
		for _, o := range other.changes {
			for _, c := range op.changes {
				switch {
				case o.dir == c.dir && o.name == c.name: // the same name
					return true
				case o.oldRemoved && o.old == c.dir: // inside a directory that is removed
					return true
				// the directories that lead to a name that becomes safe
				case o.new != nil && (!r.strict || len(other.changes) == 2) && (c.new == o.dir || c.old == o.dir):
					return true
				}
			}
		}
	}
	return false
}

func (r *reference) lose() {
	r.ops = nil
	var back func(n *inode)
	back = func(n *inode) {
		n.data = n.safe
		if n.dir {
			n.names = map[string]*inode{}
			for name, child := range n.kept {
				n.names[name] = child
				back(child)
			}
		}
	}
	back(r.root)
}

// list is everything in force, a line each.
func (r *reference) list() []string {
	var out []string
	var walk func(at string, n *inode)
	walk = func(at string, n *inode) {
		for name, child := range n.names {
			p := path.Join(at, name)
			switch {
			case child.dir:
				out = append(out, p+"/")
				walk(p, child)
			case child.link != "":
				out = append(out, p+" -> "+child.link)
			default:
				out = append(out, fmt.Sprintf("%s %d %x", p, len(child.data), sum(child.data)))
			}
		}
	}
	walk("", r.root)
	slices.Sort(out)
	return out
}
