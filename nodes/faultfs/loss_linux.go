package faultfs

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// PowerLoss makes the directory what a disk holds after its power went. Nobody may use it
// meanwhile: whoever had files open in it has ended. The error says what could not be
// taken back; then the rest was all the same.
func (v *Volume) PowerLoss(loss Loss) (Lost, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var lost Lost
	var errs []error
	var rng *rand.Rand
	if loss.Sectors {
		rng = rand.New(rand.NewPCG(loss.Seed, 0))
		kept := rng.IntN(len(v.ops) + 1)
		lost.Kept = int64(kept)
		v.settle(kept)
	}
	for i := len(v.ops) - 1; i >= 0; i-- {
		if err := v.takeBack(v.ops[i], &lost); err != nil {
			errs = append(errs, fmt.Errorf("take back a change of %q: %w", v.ops[i].changes[0].at.name, err))
		}
	}
	v.ops = nil
	v.dirtyMu.Lock()
	dirty := v.dirty
	v.dirty = map[*node]bool{}
	v.dirtyMu.Unlock()
	files := make([]*node, 0, len(dirty))
	for n := range dirty {
		if v.reachable(n) {
			files = append(files, n)
		}
	}
	slices.SortFunc(files, func(a, b *node) int { return int(a.id) - int(b.id) }) // draws follow from the seed
	for _, n := range files {
		if err := v.restore(n, rng, &lost); err != nil {
			errs = append(errs, fmt.Errorf("take back what was written to %s: %w", v.path(n), err))
		}
	}
	v.losses = append(v.losses, lost)
	return lost, errors.Join(errs...)
}

// reachable: it has a name in the tree.
func (v *Volume) reachable(n *node) bool {
	for n != v.root {
		i := slices.IndexFunc(n.places, func(p place) bool { return p.dir != nil })
		if i < 0 {
			return false
		}
		n = n.places[i].dir
	}
	return true
}

// restore gives a file its safe contents and size; with rng, some of the others.
func (v *Volume) restore(n *node, rng *rand.Rand, lost *Lost) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	f, err := v.openAt(n, unix.O_RDWR)
	if err != nil {
		return err
	}
	defer f.Close()
	before := lost.Bytes
	for _, u := range []**undo{&n.fresh, &n.under, &n.failed} {
		if *u != nil && err == nil {
			err = (*u).restore(f, n.size, rng, lost, &n.size)
		}
		v.forget(u)
	}
	if lost.Bytes > before {
		lost.Files++
	}
	return err
}

// restore takes back what was written since the moment of u to a file that is size long
// now, and sets what it is then.
func (u *undo) restore(f *os.File, size int64, rng *rand.Rand, lost *Lost, after *int64) error {
	*after = u.size
	// What dropped a part of the file, truncations and holes, happened as a whole or did not.
	dropped := rng != nil && (u.low < u.size || len(u.erased) > 0) && rng.IntN(2) == 0
	least := u.size
	if dropped {
		least = min(u.low, u.size)
	}
	if grown := size > least && (dropped || u.low == u.size); rng != nil && grown {
		sectors := (size - least + sector - 1) / sector
		*after = min(size, least+rng.Int64N(sectors+1)*sector)
	} else {
		*after = least
	}
	lost.Bytes += max(size-*after, 0)
	if err := f.Truncate(*after); err != nil {
		return err
	}
	now := make([]byte, block)
	for _, b := range sortedKeys(u.blocks) {
		have := min(block, *after-b*block)
		if have <= 0 {
			continue
		}
		old := make([]byte, have)
		copy(old, u.blocks[b])
		now = now[:have]
		clear(now)
		if _, err := f.ReadAt(now, b*block); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		for at := int64(0); at < have; at += sector {
			end := min(at+sector, have)
			kept := rng != nil && rng.IntN(2) == 0
			for i := at; i < end; i++ {
				switch gone := u.dropped(b*block + i); {
				case rng != nil && gone && dropped && !kept:
					old[i] = 0
				case kept && (dropped || !gone):
					old[i] = now[i]
				}
				if old[i] != now[i] {
					lost.Bytes++
				}
			}
		}
		if _, err := f.WriteAt(old, b*block); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys(m map[int64][]byte) []int64 {
	keys := make([]int64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
