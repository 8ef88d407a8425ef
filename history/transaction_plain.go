package history

// PlainMicroOp is a micro-operation of which every value is a whole number.
type PlainMicroOp struct {
	F string
	// Key is JSON, a text without escapes or a whole number; it is a part of what was read.
	Key []byte
	// Value is what a write or an append brings, or what a read of a register found.
	Value int64
	// List is what a read of a list found. It is valid until the next Read.
	List []int64
	// Null: there is no Value; IsList: there is a List.
	Null, IsList bool

	from, to int
}

// PlainReader reads transactions whose values are whole numbers of at most 18 digits,
// spelled as EncodeTransaction and EncodeInts do, without allocation: histories of our own
// workloads have no others. The zero value is ready. It is not safe for concurrent use.
type PlainReader struct {
	Ops     []PlainMicroOp
	numbers []int64
}

// Read reads a transaction into Ops. It reports false for anything that is spelled another
// way, or is no transaction at all; EachMicroOp then says more.
func (r *PlainReader) Read(value []byte) bool {
	r.Ops, r.numbers = r.Ops[:0], r.numbers[:0]
	if len(value) < 2 || value[0] != '[' {
		return false
	}
	if value[1] == ']' {
		return len(value) == 2
	}
	for i := 1; ; i++ {
		var is bool
		if i, is = r.micro(value, i); !is || i >= len(value) {
			return false
		}
		switch value[i] {
		case ',':
		case ']':
			for n := range r.Ops {
				if o := &r.Ops[n]; o.IsList {
					o.List = r.numbers[o.from:o.to:o.to]
				}
			}
			return i+1 == len(value)
		default:
			return false
		}
	}
}

// micro reads one micro-operation from i on and returns where it ends.
func (r *PlainReader) micro(b []byte, i int) (int, bool) {
	r.Ops = append(r.Ops, PlainMicroOp{})
	op := &r.Ops[len(r.Ops)-1]
	switch rest := b[i:]; {
	case len(rest) > 4 && string(rest[:5]) == `["r",`:
		op.F, i = MicroRead, i+5
	case len(rest) > 9 && string(rest[:10]) == `["append",`:
		op.F, i = MicroAppend, i+10
	case len(rest) > 4 && string(rest[:5]) == `["w",`:
		op.F, i = MicroWrite, i+5
	default:
		return 0, false
	}
	end, is := plainKey(b, i)
	if !is || end >= len(b) || b[end] != ',' {
		return 0, false
	}
	op.Key, i = b[i:end], end+1
	switch {
	case i >= len(b):
		return 0, false
	case b[i] == 'n':
		if len(b) < i+4 || string(b[i:i+4]) != "null" {
			return 0, false
		}
		op.Null, i = true, i+4
	case b[i] == '[':
		op.IsList, op.from = true, len(r.numbers)
		if i+1 < len(b) && b[i+1] == ']' {
			op.to, i = op.from, i+2
			break
		}
		for {
			n, end := plainNumber(b, i+1)
			if end == 0 || end >= len(b) {
				return 0, false
			}
			r.numbers = append(r.numbers, n)
			i = end
			if b[i] == ']' {
				i++
				break
			}
			if b[i] != ',' {
				return 0, false
			}
		}
		op.to = len(r.numbers)
	default:
		if op.Value, end = plainNumber(b, i); end == 0 {
			return 0, false
		}
		i = end
	}
	if i >= len(b) || b[i] != ']' {
		return 0, false
	}
	return i + 1, true
}

// plainKey returns where a key that begins at i ends.
func plainKey(b []byte, i int) (int, bool) {
	if i < len(b) && b[i] == '"' {
		_, end, is := plainString(b, i)
		return end, is
	}
	_, end := plainNumber(b, i)
	return end, end > 0
}

// PlainInt reads a whole number of at most 18 digits that is spelled in the one usual way.
func PlainInt(value []byte) (int64, bool) {
	n, end := plainNumber(value, 0)
	return n, end > 0 && end == len(value)
}

// plainNumber reads a whole number at i, and returns where it ends; 0 for none.
func plainNumber(b []byte, i int) (n int64, end int) {
	negative := i < len(b) && b[i] == '-'
	if negative {
		i++
	}
	from := i
	for ; i < len(b); i++ {
		c := b[i] - '0'
		if c > 9 {
			break
		}
		n = n*10 + int64(c)
	}
	digits := i - from
	if digits == 0 || digits > 18 || b[from] == '0' && (digits > 1 || negative) {
		return 0, 0
	}
	if negative {
		n = -n
	}
	return n, i
}
