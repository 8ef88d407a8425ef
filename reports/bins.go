package reports

import (
	"math"
	"math/bits"

	"nemesis/history"
)

// timeBins is how many slices of time the run is drawn in. One pass over the
// operations fills them, so that the drawing's size and the memory behind it do
// not depend on how long the run was.
const timeBins = 240

// Latencies are counted in buckets that grow by 1/16 of an octave from 1 µs:
// a quantile read from them is off by at most 4.5 %, which is two pixels.
const (
	perOctave = 16
	octaves   = 31 // up to 36 minutes
	buckets   = octaves * perOctave
)

// bucket is where a latency is counted.
func bucket(ns int64) int {
	us := ns / 1000
	if us < 1 {
		return 0
	}
	octave := bits.Len64(uint64(us)) - 1
	// The position inside the octave on a logarithmic scale.
	part := int(math.Log2(float64(us)/float64(uint64(1)<<octave)) * perOctave)
	return min(octave*perOctave+min(part, perOctave-1), buckets-1)
}

// latencyOf is the middle of a bucket, in nanoseconds.
func latencyOf(bucket int) float64 {
	return 1000 * math.Exp2((float64(bucket)+0.5)/perOctave)
}

// outcomes counts operations by how they ended.
type outcomes struct{ ok, fail, info uint32 }

func (o *outcomes) add(t history.Type) {
	switch t {
	case history.OK:
		o.ok++
	case history.Fail:
		o.fail++
	default:
		o.info++
	}
}

func (o outcomes) all() uint32 { return o.ok + o.fail + o.info }

// slice is one bin of time.
type slice struct {
	ended outcomes // operations by when they ended
	calls uint32   // of latency: ok operations by when they were called
	ok    [buckets]uint32
	fail  [buckets]uint32
	info  [buckets]uint32
	max   int64 // the longest ok operation, exactly
}

// quantile reads a latency in nanoseconds; 0 when nothing was counted.
func (s *slice) quantile(q float64) float64 {
	if s.calls == 0 {
		return 0
	}
	want := uint32(math.Ceil(q * float64(s.calls)))
	var seen uint32
	for b, n := range s.ok {
		if seen += n; seen >= max(want, 1) {
			return min(latencyOf(b), float64(s.max))
		}
	}
	return float64(s.max)
}

// binned is the whole run in slices.
type binned struct {
	end    int64
	slices []slice
	nodes  map[string][]outcomes // per node, by when the operation ended
	total  outcomes
}

func bin(operations []history.Operation, end int64) *binned {
	for _, op := range operations {
		end = max(end, finish(op))
	}
	b := &binned{end: max(end, 1), slices: make([]slice, timeBins), nodes: map[string][]outcomes{}}
	for i := range operations {
		op := &operations[i]
		called, ended := b.at(op.Call), b.at(finish(*op))
		b.total.add(op.Type)
		b.slices[ended].ended.add(op.Type)
		at := bucket(finish(*op) - op.Call)
		s := &b.slices[called]
		switch op.Type {
		case history.OK:
			s.calls++
			s.ok[at]++
			s.max = max(s.max, finish(*op)-op.Call)
		case history.Fail:
			s.fail[at]++
		default:
			s.info[at]++
		}
		node := b.nodes[op.Node]
		if node == nil {
			node = make([]outcomes, timeBins)
			b.nodes[op.Node] = node
		}
		node[ended].add(op.Type)
	}
	return b
}

func (b *binned) at(t int64) int {
	return int(min(max(float64(t)/float64(b.end)*timeBins, 0), timeBins-1))
}

// merged is the run in n slices, a divisor of timeBins.
func (b *binned) merged(n int) []slice {
	out := make([]slice, n)
	for i := range b.slices {
		from, to := &b.slices[i], &out[i*n/timeBins]
		to.calls += from.calls
		to.max = max(to.max, from.max)
		for k := range from.ok {
			to.ok[k] += from.ok[k]
		}
	}
	return out
}

// width is the length of one slice in seconds.
func (b *binned) width() float64 { return float64(b.end) / timeBins / 1e9 }
