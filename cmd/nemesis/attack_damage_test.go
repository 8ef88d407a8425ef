//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// damage is a way in which a file is not what was written. It either changes the text or
// puts something else in its place.
type damage struct {
	name string
	text func(r *rand.Rand, text []byte) []byte
	file func(path string) error
	// textual: only for files that are text.
	textual bool
}

// part is a piece of a text, of at least a byte where there is one.
func part(r *rand.Rand, text []byte) (from, to int) {
	if len(text) == 0 {
		return 0, 0
	}
	from = r.IntN(len(text))
	return from, min(from+1+r.IntN(1+len(text)/4), len(text))
}

// inserted puts a piece in front of a place of a text.
func inserted(text []byte, at int, piece []byte) []byte {
	return bytes.Join([][]byte{text[:at], piece, text[at:]}, nil)
}

// token is the place of a value: just behind a colon, a comma, a bracket or a space.
func token(r *rand.Rand, text []byte) int {
	var places []int
	for i, c := range text {
		if bytes.IndexByte([]byte(":,[{( \t"), c) >= 0 {
			places = append(places, i+1)
		}
	}
	if len(places) == 0 {
		return len(text)
	}
	return places[r.IntN(len(places))]
}

func atToken(piece func() []byte) func(*rand.Rand, []byte) []byte {
	return func(r *rand.Rand, text []byte) []byte { return inserted(text, token(r, text), piece()) }
}

func damages() []damage {
	return []damage{
		{name: "bits flipped", text: func(r *rand.Rand, text []byte) []byte {
			for range 1 + r.IntN(3) {
				if len(text) > 0 {
					text[r.IntN(len(text))] ^= 1 << r.IntN(8)
				}
			}
			return text
		}},
		{name: "cut off", text: func(r *rand.Rand, text []byte) []byte { return text[:r.IntN(len(text)+1)] }},
		{name: "a hole", text: func(r *rand.Rand, text []byte) []byte {
			from, to := part(r, text)
			clear(text[from:to])
			return text
		}},
		{name: "a piece lost", text: func(r *rand.Rand, text []byte) []byte {
			from, to := part(r, text)
			return append(text[:from:from], text[to:]...)
		}},
		{name: "a piece twice", text: func(r *rand.Rand, text []byte) []byte {
			from, to := part(r, text)
			return inserted(text, to, bytes.Clone(text[from:to]))
		}},
		{name: "a piece overwritten", text: func(r *rand.Rand, text []byte) []byte {
			from, to := part(r, text)
			for i := from; i < to; i++ {
				text[i] = byte(r.Uint32())
			}
			return text
		}},
		{name: "two pieces exchanged", text: func(r *rand.Rand, text []byte) []byte {
			if len(text) < 4 {
				return nil
			}
			mid, n := len(text)/2, 1+r.IntN(len(text)/2)
			return bytes.Join([][]byte{text[mid : mid+n], text[n:mid], text[:min(n, mid)], text[min(mid+n, len(text)):]}, nil)
		}},
		{name: "empty", text: func(*rand.Rand, []byte) []byte { return nil }},
		{name: "a byte too many", text: func(r *rand.Rand, text []byte) []byte {
			return inserted(text, r.IntN(len(text)+1), []byte{byte(r.Uint32())})
		}},
		{name: "a terabyte long", file: func(path string) error { return os.Truncate(path, 1<<40) }},
		{name: "a pipe", file: pipe},
		{name: "a directory", file: func(path string) error { os.Remove(path); return os.Mkdir(path, 0o755) }},
		{name: "a link to itself", file: func(path string) error { os.Remove(path); return os.Symlink(path, path) }},
		{name: "a device without end", file: func(path string) error { os.Remove(path); return os.Symlink("/dev/zero", path) }},
		{name: "nobody may read it", file: func(path string) error { os.Remove(path); return os.Symlink("/proc/self/mem", path) }},
		{name: "brackets without end", textual: true, text: atToken(func() []byte { return bytes.Repeat([]byte("["), 1<<20) })},
		{name: "braces without end", textual: true, text: atToken(func() []byte { return bytes.Repeat([]byte(`{"a":`), 1<<18) })},
		{name: "a number without end", textual: true, text: atToken(func() []byte { return bytes.Repeat([]byte("9"), 1<<20) })},
		{name: "a number beyond any", textual: true, text: atToken(func() []byte { return []byte("1e999999999 ") })},
		{name: "a text without end", textual: true, text: atToken(func() []byte { return append([]byte{'"'}, bytes.Repeat([]byte("a"), 40<<20)...) })},
		{name: "half a character", textual: true, text: atToken(func() []byte { return []byte(`"\ud800\udfff\ud800"`) })},
		{name: "no character", textual: true, text: atToken(func() []byte { return []byte("\"\xff\xfe\xc3\x28\x00\x1b[2J\r\"") })},
		{name: "a list of lists", textual: true, text: atToken(func() []byte { return []byte("[" + strings.Repeat("[],", 1<<20) + "[]]") })},
		{name: "in UTF-16", textual: true, text: func(_ *rand.Rand, text []byte) []byte {
			wide := []byte{0xff, 0xfe}
			for _, c := range text {
				wide = append(wide, c, 0)
			}
			return wide
		}},
		{name: "a byte-order mark", textual: true, text: func(_ *rand.Rand, text []byte) []byte { return append([]byte("\xef\xbb\xbf"), text...) }},
		{name: "ended by CR", textual: true, text: func(_ *rand.Rand, text []byte) []byte { return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")) }},
	}
}

// damagedFiles are files that nemesis reads, each damaged in one way.
func damagedFiles(t *testing.T, r *rand.Rand, n int) []attack {
	files := attackedFiles(t)
	ways := damages()
	all := []attack{{"all of them, undamaged", func(t *testing.T) { wantUndamaged(t, files) }}}
	for i := range n {
		// Every file in turn, in a way of its own.
		file := files[i%len(files)]
		way := ways[r.IntN(len(ways))]
		for way.textual && !file.textual {
			way = ways[r.IntN(len(ways))]
		}
		seed := r.Uint64()
		all = append(all, attack{fmt.Sprintf("%03d %s, %s", i, file.name, way.name), func(t *testing.T) {
			file.attack(t, way, rand.New(rand.NewPCG(seed, 0)))
		}})
	}
	return all
}
