package faultfs

import (
	"cmp"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// corrupt damages what is stored of the files that a rule matches, in an order that its
// seed draws, and counts in the rule. It is no change that somebody made: no power loss
// takes it back, unless what was overwritten since was written before it.
func (v *Volume) corrupt(a *active) error {
	rng := rand.New(rand.NewPCG(a.Seed, 2))
	v.mu.Lock() // no name changes meanwhile
	defer v.mu.Unlock()
	type file struct {
		path string
		n    *node
	}
	var files []file
	for _, n := range v.ids {
		if p := v.path(n); n.isRegular() && v.reachable(n) && n.sized() > 0 && a.matchesPath(p) {
			files = append(files, file{p, n})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.path, b.path) }) // draws follow from the seed
	rng.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	var errs []error
	c := Counts{Calls: int64(len(files))}
	for _, f := range files {
		if a.Times > 0 && c.Struck >= a.Times {
			break
		}
		if a.Share > 0 && rng.Float64() >= a.Share {
			continue
		}
		damaged, err := v.corruptFile(f.n, a.Do, rng)
		errs = append(errs, err)
		if damaged > 0 {
			c.Struck, c.Bytes, c.LastPath = c.Struck+1, c.Bytes+damaged, f.path
		}
	}
	a.mu.Lock()
	a.counts = c
	a.mu.Unlock()
	return errors.Join(errs...)
}

// corruptFile damages one file where it has data, and returns how many bytes of it are
// wrong or missing. v.mu is held.
func (v *Volume) corruptFile(n *node, do string, rng *rand.Rand) (int64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f, err := v.openAt(n, unix.O_RDWR)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	blocks, err := dataBlocks(f, n.size)
	if err != nil || len(blocks) == 0 {
		return 0, err
	}
	from := rng.IntN(len(blocks))
	at := blocks[from] * block
	switch do {
	case CorruptFlip:
		at += rng.Int64N(min(block, n.size-at))
		one := make([]byte, 1)
		if _, err := f.ReadAt(one, at); err != nil {
			return 0, err
		}
		one[0] ^= 1 << rng.IntN(8)
		_, err := f.WriteAt(one, at)
		return 1, err
	case CorruptZero:
		count := 1 + rng.IntN(len(blocks)-from)
		damaged := int64(0)
		for _, b := range blocks[from : from+count] {
			zero := make([]byte, min(block, n.size-b*block))
			if _, err := f.WriteAt(zero, b*block); err != nil {
				return damaged, err
			}
			damaged += int64(len(zero))
		}
		return damaged, nil
	}
	at += rng.Int64N(min(block, n.size-at)) // CorruptTruncate
	if err := f.Truncate(at); err != nil {
		return 0, err
	}
	damaged := n.size - at
	n.size = at
	return damaged, nil
}

// mostScanned bounds how much of a file is read to find where it has data.
const mostScanned = 1 << 30

// dataBlocks are the numbers of the blocks that are not all zeros: what a server has
// allocated ahead means nothing to it.
func dataBlocks(f *os.File, size int64) ([]int64, error) {
	var blocks []int64
	err := eachDataBlock(f, min(size, mostScanned), func(b int64, _ []byte) { blocks = append(blocks, b) })
	return blocks, err
}

// eachDataBlock calls do for each block of the first size bytes that is not all zeros.
func eachDataBlock(f *os.File, size int64, do func(b int64, content []byte)) error {
	buf := make([]byte, 64*block)
	for off := int64(0); off < size; {
		data, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
		switch {
		case errors.Is(err, unix.ENXIO): // nothing but a hole is left
			return nil
		case err == nil:
			off = max(off, data/block*block)
		}
		got, err := f.ReadAt(buf, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		got = int(min(int64(got), size-off))
		for i := 0; i < got; i += block {
			if content := buf[i:min(i+block, got)]; !zeros(content) {
				do((off+int64(i))/block, content)
			}
		}
		if got <= 0 {
			break
		}
		off += int64(len(buf))
	}
	return nil
}
