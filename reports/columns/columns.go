// Package columns is the form in which a report carries the operations of its
// run: small enough to mail, quick enough to draw.
//
// A million operations as JSON lines are more than a hundred megabytes. Here
// they are cut into blocks of 65 536, each block into columns, each column
// coded by what is known about it (starts ascend, values of one key climb), and
// the whole block deflated: about six bytes an operation.
//
//	enc := columns.NewEncoder()
//	for each block of operations, sorted by call:
//		data, err := enc.Block(ops)   // deflate-raw bytes, for base64 in the page
//	meta := enc.Meta()                // the tables that the numbers refer to
//
// A block, once inflated, is
//
//	base     u64 little endian, µs since the run began
//	lengths  8 × u32 little endian, bytes of each column in order
//	start    uvarint, µs since the block's base, then since the operation before
//	duration uvarint, µs until the client stopped waiting
//	process  uvarint
//	kind     u8: outcome (2 bits: 0 ok, 1 fail, 2 info), form of the value
//	         (2 bits: 0 none, 1 integer, 2 pair of integers, 3 text), function
//	         (4 bits, position in Meta.Functions, 15 for any other)
//	key      uvarint, position in Meta.Keys
//	value    integer: zigzag varint, difference from the key's last integer;
//	         pair: two of those, one after the other; text: uvarint, position in
//	         Meta.Texts; the value is the result where there is one, else the argument
//	node     uvarint, position in Meta.Nodes
//	error    uvarint, position in Meta.Texts, only for operations that are not ok
//
// "The key's last integer" starts at 0 in every block, so blocks can be decoded in
// any order. Times are rounded down to microseconds: two moments closer than
// that may look swapped, and nothing may be concluded from their order here. The
// exact nanoseconds are in the history file.
package columns

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"

	"nemesis/history"
	"nemesis/reports/visible"
)

// Version is the version of the form above.
const Version = 1

// BlockSize is how many operations a block holds at most.
const BlockSize = 65536

const columnCount = 8

// limits of the tables, so that hostile values cannot swell the page.
const (
	maxFunctions = 15
	maxTexts     = 1 << 16
	maxKeys      = 1 << 20
	textLength   = 256     // characters of one text
	textsBytes   = 2 << 20 // of all texts together
)

// Meta is what the numbers of all blocks refer to.
type Meta struct {
	Version   int      `json:"version"`
	Total     int      `json:"total"`
	Blocks    []Block  `json:"blocks"`
	Functions []string `json:"functions"`
	Keys      []string `json:"keys"`
	Nodes     []string `json:"nodes"`
	// Texts[0] stands for any text that was not kept, because the table was full.
	Texts []string `json:"texts"`
}

// Block says what one block holds, so that a reader can go straight to a moment.
type Block struct {
	Count int   `json:"count"`
	First int64 `json:"first"` // µs, the first call
	Last  int64 `json:"last"`  // µs, the last end
}

// Encoder turns operations into blocks. It is not safe for concurrent use.
type Encoder struct {
	meta      Meta
	functions index
	keys      index
	nodes     index
	texts     map[string]int
	textsUsed int
	last      []int64 // by key, its last integer in this block
	columns   [columnCount][]byte
	deflated  bytes.Buffer
	deflater  *flate.Writer
}

// NewEncoder makes an encoder with empty tables.
func NewEncoder() *Encoder {
	e := &Encoder{
		meta:      Meta{Version: Version, Texts: []string{"(not kept)"}},
		functions: newIndex(maxFunctions, maxFunctions), keys: newIndex(maxKeys, maxKeys-1), nodes: newIndex(maxKeys, maxKeys-1),
		texts: map[string]int{},
	}
	// Level 1 is ten times as fast as the default and four percent larger.
	e.deflater, _ = flate.NewWriter(&e.deflated, flate.BestSpeed) // fails for unknown levels only
	return e
}

// Meta describes all blocks made so far.
func (e *Encoder) Meta() Meta {
	m := e.meta
	m.Functions, m.Keys, m.Nodes = e.functions.names, e.keys.names, e.nodes.names
	return m
}

// Block encodes at most BlockSize operations, sorted by call. The result is
// valid until the next call.
func (e *Encoder) Block(ops []history.Operation) ([]byte, error) {
	if len(ops) == 0 || len(ops) > BlockSize {
		return nil, fmt.Errorf("encode operations: a block holds 1 to %d, not %d", BlockSize, len(ops))
	}
	for i := range e.columns {
		e.columns[i] = e.columns[i][:0]
	}
	base := ops[0].Call / 1000
	block := Block{Count: len(ops), First: base}
	before := base
	clear(e.last)
	for i := range ops {
		op := &ops[i]
		start := max(op.Call/1000, before) // a reader must be able to trust that starts ascend
		end := start
		if op.End != history.Never {
			end = max(op.End/1000, start)
		}
		block.Last = max(block.Last, end)
		e.uvarint(0, uint64(start-before))
		e.uvarint(1, uint64(end-start))
		before = start
		e.uvarint(2, uint64(max(op.Process, 0)))
		key := e.keys.position(op.Key)
		e.uvarint(4, uint64(key))
		form := e.value(op, key)
		e.columns[3] = append(e.columns[3], outcome(op.Type)|form<<2|byte(e.functions.position(op.F))<<4)
		e.uvarint(6, uint64(e.nodes.position(op.Node)))
		if op.Type != history.OK {
			e.uvarint(7, uint64(e.text(op.Error)))
		}
	}
	e.deflated.Reset()
	e.deflater.Reset(&e.deflated)
	head := binary.LittleEndian.AppendUint64(nil, uint64(base))
	for i := range e.columns {
		head = binary.LittleEndian.AppendUint32(head, uint32(len(e.columns[i])))
	}
	e.deflater.Write(head) // writes to memory do not fail
	for i := range e.columns {
		e.deflater.Write(e.columns[i])
	}
	if err := e.deflater.Close(); err != nil {
		return nil, fmt.Errorf("encode operations: %w", err)
	}
	e.meta.Total += len(ops)
	e.meta.Blocks = append(e.meta.Blocks, block)
	return e.deflated.Bytes(), nil
}

func (e *Encoder) uvarint(column int, v uint64) {
	e.columns[column] = binary.AppendUvarint(e.columns[column], v)
}

func (e *Encoder) varint(column int, v int64) {
	e.columns[column] = binary.AppendVarint(e.columns[column], v)
}

func outcome(t history.Type) byte {
	switch t {
	case history.OK:
		return 0
	case history.Fail:
		return 1
	}
	return 2
}

const (
	formNone = iota
	formInteger
	formPair
	formText
)

// value writes an operation's value and returns its form.
func (e *Encoder) value(op *history.Operation, key int) byte {
	raw := bytes.TrimSpace(op.Output)
	if len(raw) == 0 || string(raw) == "null" {
		raw = bytes.TrimSpace(op.Input)
	}
	if len(raw) == 0 || string(raw) == "null" {
		return formNone
	}
	if key >= len(e.last) {
		e.last = append(e.last, make([]int64, key+1-len(e.last))...)
	}
	put := func(v int64) {
		e.varint(5, v-e.last[key]) // wraps around at the ends of int64, and so does the reader
		e.last[key] = v
	}
	if v, ok := integer(raw); ok {
		put(v)
		return formInteger
	}
	if len(raw) > 2 && raw[0] == '[' && raw[len(raw)-1] == ']' {
		if a, b, ok := bytes.Cut(raw[1:len(raw)-1], []byte(",")); ok {
			v, first := integer(bytes.TrimSpace(a))
			w, second := integer(bytes.TrimSpace(b))
			if first && second {
				put(v)
				put(w)
				return formPair
			}
		}
	}
	e.uvarint(5, uint64(e.text(string(raw))))
	return formText
}

// integer reads the canonical decimal form only: anything else keeps its own
// spelling as a text.
func integer(raw []byte) (int64, bool) {
	digits, negative := raw, false
	if len(raw) > 1 && raw[0] == '-' {
		digits, negative = raw[1:], true
	}
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' && (len(digits) > 1 || negative) {
		return 0, false
	}
	var v uint64 // 19 digits do not overflow it
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	if negative {
		return -int64(v), v <= 1<<63
	}
	return int64(v), v < 1<<63
}

// text is the position of s, made visible and cut; what was cut keeps its
// length and hash, so that two long texts do not look the same.
func (e *Encoder) text(s string) int {
	shown := visible.Cap(s, textLength)
	if len(s) > textLength && len(shown) < len(s) {
		h := fnv.New64a()
		h.Write([]byte(s))
		shown = fmt.Sprintf("%s #%016x", shown, h.Sum64())
	}
	if at, ok := e.texts[shown]; ok {
		return at
	}
	if len(e.meta.Texts) == maxTexts || e.textsUsed+len(shown) > textsBytes {
		return 0
	}
	e.textsUsed += len(shown)
	at := len(e.meta.Texts)
	e.texts[shown] = at
	e.meta.Texts = append(e.meta.Texts, shown)
	return at
}

// index numbers the strings of one column in the order they are met.
type index struct {
	at         map[string]int
	names      []string // as shown
	room, full int      // how many it takes, and what is answered beyond
	// Neighbours are mostly of one key, so the last answer is remembered.
	last   string
	lastAt int
}

func newIndex(room, full int) index {
	return index{at: map[string]int{}, room: room, full: full, lastAt: -1}
}

func (x *index) position(s string) int {
	if x.lastAt >= 0 && s == x.last {
		return x.lastAt
	}
	at, ok := x.at[s]
	switch {
	case ok:
	case len(x.names) >= x.room:
		return x.full
	default:
		at = len(x.names)
		x.at[s] = at
		x.names = append(x.names, visible.Cap(s, textLength))
	}
	x.last, x.lastAt = s, at
	return at
}

// Row is one operation as a block tells it.
type Row struct {
	Start, Duration int64 // µs
	Process         int
	Type            history.Type
	Function        string // "" for any beyond the table
	Key, Node       string
	// Value is JSON for integers and pairs; a text is as the table has it.
	Value string
	Error string
}

// Decode reads a block back. It never panics, whatever the bytes.
func Decode(deflated []byte, meta Meta, count int) ([]Row, error) {
	r := flate.NewReader(bytes.NewReader(deflated))
	defer r.Close()
	var all bytes.Buffer
	if _, err := all.ReadFrom(r); err != nil {
		return nil, fmt.Errorf("decode operations: %w", err)
	}
	data := all.Bytes()
	const head = 8 + 4*columnCount
	if len(data) < head {
		return nil, fmt.Errorf("decode operations: the block has %d bytes, fewer than its head", len(data))
	}
	at := int64(binary.LittleEndian.Uint64(data))
	var columns [columnCount]reader
	rest := data[head:]
	for i := range columns {
		n := int(binary.LittleEndian.Uint32(data[8+4*i:]))
		if n > len(rest) {
			return nil, fmt.Errorf("decode operations: column %d has %d bytes, the block only %d more", i, n, len(rest))
		}
		columns[i], rest = reader{b: rest[:n]}, rest[n:]
	}
	types := []history.Type{history.OK, history.Fail, history.Info, history.Info}
	last := map[uint64]int64{}
	var rows []Row
	for i := 0; i < count; i++ {
		at += int64(columns[0].uvarint())
		kind := columns[3].byte()
		key := columns[4].uvarint()
		row := Row{
			Start: at, Duration: int64(columns[1].uvarint()), Process: int(columns[2].uvarint()),
			Type: types[kind&3], Function: entry(meta.Functions, uint64(kind>>4)),
			Key: entry(meta.Keys, key), Node: entry(meta.Nodes, columns[6].uvarint()),
		}
		next := func() int64 {
			last[key] += columns[5].varint()
			return last[key]
		}
		switch kind >> 2 & 3 {
		case formInteger:
			row.Value = strconv.FormatInt(next(), 10)
		case formPair:
			pair, _ := json.Marshal([]int64{next(), next()}) // integers always marshal
			row.Value = string(pair)
		case formText:
			row.Value = entry(meta.Texts, columns[5].uvarint())
		}
		if row.Type != history.OK {
			row.Error = entry(meta.Texts, columns[7].uvarint())
		}
		rows = append(rows, row)
	}
	for i := range columns {
		if columns[i].short {
			return nil, fmt.Errorf("decode operations: column %d ends before its %d operations", i, count)
		}
	}
	return rows, nil
}

func entry(table []string, at uint64) string {
	if at < uint64(len(table)) {
		return table[at]
	}
	return ""
}

// reader takes numbers off a column; short is set once it had too few.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.short = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.short, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.short, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}
