package faultfs

import (
	"strings"

	"golang.org/x/sys/unix"
)

// operation is one change of names that is not safe yet.
type operation struct {
	changes []change
	// exchange: both names of it changed places.
	exchange bool
}

// change is what became of one name: it named before, which may be nil, and names after.
type change struct {
	at            place
	before, after *node
	// kept is where before went when it lost this name to nothing; its zero is nowhere.
	kept place
}

// concerns calls do for every node whose name it changes.
func (o *operation) concerns(do func(*node)) {
	for _, c := range o.changes {
		for _, n := range []*node{c.before, c.after} {
			if n != nil {
				do(n)
			}
		}
	}
}

// note appends an operation. v.mu is held.
func (v *Volume) note(o *operation) {
	v.ops = append(v.ops, o)
	o.concerns(func(n *node) { n.pending++ })
	v.full()
}

// make is creating anything: do makes it beneath, at a place that has no name yet.
func (v *Volume) make(dir *node, name string, do func(at int, path string) error) (*node, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := place{dir, name}
	if !dir.isDir() {
		return nil, unix.ENOTDIR
	}
	if dir.children[name] != nil {
		return nil, unix.EEXIST
	}
	if dir != v.root && dir.inTree() == 0 {
		return nil, unix.ENOENT
	}
	at, path := v.at(p)
	if err := do(at, path); err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(at, path, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, err
	}
	n := v.newNode(st.Mode, st.Ino, 0)
	v.enter(p, n)
	if n.isRegular() {
		v.soil(n)
	}
	v.note(&operation{changes: []change{{at: p, after: n}}})
	return n, nil
}

// remove is unlink and, with dir, rmdir.
func (v *Volume) remove(dir *node, name string, isDir bool) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := place{dir, name}
	n := dir.children[name]
	switch {
	case n == nil:
		return unix.ENOENT
	case isDir && !n.isDir():
		return unix.ENOTDIR
	case !isDir && n.isDir():
		return unix.EISDIR
	case isDir && len(n.children) > 0:
		return unix.ENOTEMPTY
	}
	kept, err := v.put(p, n)
	if err != nil {
		return err
	}
	v.note(&operation{changes: []change{{at: p, before: n, kept: kept}}})
	return nil
}

func (v *Volume) link(n, dir *node, name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := place{dir, name}
	switch {
	case n.isDir():
		return unix.EPERM
	case n.inTree() == 0:
		return unix.ENOENT
	case dir.children[name] != nil:
		return unix.EEXIST
	}
	from, old := v.atNode(n)
	to, path := v.at(p)
	if err := unix.Linkat(from, old, to, path, 0); err != nil {
		return err
	}
	v.enter(p, n)
	v.note(&operation{changes: []change{{at: p, after: n}}})
	return nil
}

func (v *Volume) rename(dir *node, name string, todir *node, toname string, flags uint32) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	from, to := place{dir, name}, place{todir, toname}
	n, target := dir.children[name], todir.children[toname]
	if flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE) != 0 {
		return unix.EINVAL
	}
	switch exchange := flags&unix.RENAME_EXCHANGE != 0; {
	case n == nil, exchange && target == nil:
		return unix.ENOENT
	case flags&unix.RENAME_NOREPLACE != 0 && target != nil:
		return unix.EEXIST
	case n == target:
		return nil
	case v.below(n, todir), target != nil && exchange && v.below(target, dir):
		return unix.EINVAL
	case exchange:
		return v.exchange(from, n, to, target)
	case target != nil && target.isDir() && !n.isDir():
		return unix.EISDIR
	case target != nil && !target.isDir() && n.isDir():
		return unix.ENOTDIR
	case target != nil && len(target.children) > 0:
		return unix.ENOTEMPTY
	}
	fromFD, fromPath := v.at(from)
	toFD, toPath := v.at(to)
	o := &operation{changes: []change{{at: from, before: n}, {at: to, after: n}}}
	if target == nil {
		if err := unix.Renameat(fromFD, fromPath, toFD, toPath); err != nil {
			return err
		}
	} else {
		// At no moment is there nothing at the new name, whoever is killed.
		if err := unix.Renameat2(fromFD, fromPath, toFD, toPath, unix.RENAME_EXCHANGE); err != nil {
			return err
		}
		v.leave(to, target)
		v.leave(from, n)
		v.enter(from, target)
		kept, err := v.put(from, target)
		if err != nil {
			return err
		}
		v.enter(to, n)
		o.changes[1].before, o.changes[1].kept = target, kept
		v.note(o)
		return nil
	}
	v.leave(from, n)
	v.enter(to, n)
	v.note(o)
	return nil
}

// below: dir is n or lies in it.
func (v *Volume) below(n, dir *node) bool {
	for d := dir; d != nil && d != v.root; {
		if d == n {
			return true
		}
		if len(d.places) == 0 {
			return false
		}
		d = d.places[0].dir
	}
	return false
}

func (v *Volume) exchange(a place, n *node, b place, m *node) error {
	aFD, aPath := v.at(a)
	bFD, bPath := v.at(b)
	if err := unix.Renameat2(aFD, aPath, bFD, bPath, unix.RENAME_EXCHANGE); err != nil {
		return err
	}
	v.swap(a, n, b, m)
	v.note(&operation{exchange: true, changes: []change{{at: a, before: n, after: m}, {at: b, before: m, after: n}}})
	return nil
}

func (v *Volume) swap(a place, n *node, b place, m *node) {
	v.leave(a, n)
	v.leave(b, m)
	v.enter(b, n)
	v.enter(a, m)
}

// makeSafe makes the operations that a sync of n is for safe. v.mu is held.
func (v *Volume) makeSafe(n *node) {
	if len(v.ops) == 0 {
		return
	}
	// Operations depend on earlier ones only, so one pass from the newest finds them all.
	names := map[place]bool{}
	removed := map[*node]bool{} // directories whose removal becomes safe
	led := map[*node]bool{}     // nodes whose names must be
	if !v.opt.Strict {
		led[n] = true
	}
	in := make([]bool, len(v.ops))
	for i := len(v.ops) - 1; i >= 0; i-- {
		for _, c := range v.ops[i].changes {
			in[i] = in[i] || c.at.dir == n && n.isDir() || names[c.at] || removed[c.at.dir] || led[c.before] || led[c.after]
		}
		if !in[i] {
			continue
		}
		for _, c := range v.ops[i].changes {
			names[c.at] = true
			if c.before != nil && c.before.isDir() && c.kept != (place{}) {
				removed[c.before] = true
			}
			// What was moved would else be lost from both directories.
			if c.after != nil && (!v.opt.Strict || len(v.ops[i].changes) == 2) {
				led[c.at.dir] = true
			}
		}
	}
	left := v.ops[:0]
	for i, o := range v.ops {
		if in[i] {
			v.safe(o)
		} else {
			left = append(left, o)
		}
	}
	clear(v.ops[len(left):])
	v.ops = left
}

// settle makes the oldest operations safe.
func (v *Volume) settle(count int) {
	for _, o := range v.ops[:count] {
		v.safe(o)
	}
	v.ops = append([]*operation(nil), v.ops[count:]...)
}

func (v *Volume) safe(o *operation) {
	o.concerns(func(n *node) { n.pending-- })
	for _, c := range o.changes {
		if c.kept != (place{}) {
			v.drop(c.kept, c.before)
			v.gone(c.before)
		}
	}
}

// gone forgets a node that has no name left and gets none back. Whoever has it open goes on
// with it, and the kernel may know its id.
func (v *Volume) gone(n *node) {
	if len(n.places) > 0 || n.pending > 0 {
		return
	}
	n.mu.Lock()
	n.dead = true
	v.forget(&n.fresh)
	v.forget(&n.failed)
	v.clean(n)
	n.mu.Unlock()
	if n.lookups <= 0 {
		delete(v.ids, n.id)
	}
}

// vanish forgets a node that has been removed, with all that lay in it.
func (v *Volume) vanish(n *node) {
	for name, child := range n.children {
		v.leave(place{n, name}, child)
		v.vanish(child)
	}
	v.gone(n)
}

// takeBack undoes an operation that is the newest of all, and counts what is lost by it.
func (v *Volume) takeBack(o *operation, lost *Lost) error {
	o.concerns(func(n *node) { n.pending-- })
	lost.Operations++
	if o.exchange {
		a, b := o.changes[0], o.changes[1]
		aFD, aPath := v.at(a.at)
		bFD, bPath := v.at(b.at)
		if err := unix.Renameat2(aFD, aPath, bFD, bPath, unix.RENAME_EXCHANGE); err != nil {
			return err
		}
		v.swap(a.at, a.after, b.at, b.after)
		return nil
	}
	// A rename first gives the old name back: the new one is free then.
	if len(o.changes) == 2 {
		n, from, to := o.changes[1].after, o.changes[0].at, o.changes[1].at
		fromFD, fromPath := v.at(from)
		toFD, toPath := v.at(to)
		if err := unix.Renameat2(toFD, toPath, fromFD, fromPath, unix.RENAME_NOREPLACE); err != nil {
			return err
		}
		v.leave(to, n)
		v.enter(from, n)
	} else if n := o.changes[0].after; n != nil { // it was made
		if n.inTree() == 1 && n.isRegular() {
			lost.Bytes += n.sized()
			lost.Files++
		}
		p, err := v.put(o.changes[0].at, n)
		if err != nil {
			return err
		}
		v.drop(p, n)
		v.vanish(n)
	}
	for _, c := range o.changes {
		if c.kept == (place{}) {
			continue
		}
		toFD, toPath := v.at(c.at)
		if err := unix.Renameat2(int(v.attic.Fd()), c.kept.name, toFD, toPath, unix.RENAME_NOREPLACE); err != nil {
			return err
		}
		v.leave(c.kept, c.before)
		v.enter(c.at, c.before)
		v.unkept(c.kept)
	}
	return nil
}

// lookUp finds a node by its path below the directory.
func (v *Volume) lookUp(path string) *node {
	v.mu.RLock()
	defer v.mu.RUnlock()
	n := v.root
	for _, name := range strings.Split(path, "/") {
		if name == "" || name == "." || n == nil {
			continue
		}
		n = n.children[name]
	}
	return n
}
