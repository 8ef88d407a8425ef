// Package ownership decides whether every key had one owner at a time, in a system
// whose ranges of keys (shards) move between owners.
//
// An owner is whoever answers for a key. A client cannot see who owns a key; it sees
// answers, each at some unknown moment between its call and its return. What follows
// from them all the same:
//
//	serve    an owner answered for a shard, under an epoch if the system has them
//	holder   somebody told who owns a shard, and under which epoch
//	move     a range was given to another owner
//	acquire, renew, release: an owner held a shard under a lease
//
// # Certain ownership
//
// A move takes effect at one instant between its call and its return; one of unknown
// outcome at any time after its call, or never; a refused one never. While no change of
// a key is called, its owner stays who it is. So from the return of a move that was the
// only change of a key under way since its own call, until the call of the next one,
// its target certainly owns the key. A lease is certain from the return of its acquire
// until its earliest end: the call of the acquire, or of the last acknowledged renewal,
// and its TTL by the fastest clock allowed; or until a release or a move of the range is
// called, its holder tells that it stops, or its process ends with an unknown outcome. Of a
// lease that was named before the acquire, as sessions are, only renewals count. All of this is taken as short as the record allows, so what is found
// to overlap did overlap, in every execution that could have left this history.
//
// Certain ownership is a set of rectangles, keys by time. The rules:
//
//   - two-owners: rectangles of leases of different owners do not intersect.
//   - served-by-another: nobody answers, from the call to the return of the request, inside
//     a rectangle of another owner.
//   - interleaved-owners: where no epochs are told: of three answers for the same shard,
//     each over before the next was called, the outer ones by one owner and the middle one
//     by another, with no change of the shard called or under way from the first call to
//     the last return: there was none that could have brought the shard there and back.
//   - epoch-shared: a shard has one owner in an epoch, whoever tells.
//   - epoch-went-back: an answer under an epoch is not called after one under a later epoch
//     has returned.
//
// The last two need no clock and no knowledge of moves, and mostly find a defect first.
// The second and third rest on the changes being recorded: Automatic switches them
// off for systems that move shards by themselves.
//
// two-owners rests on the clocks of whoever counts the leases. Where a clock was beyond the
// bounds of the claim (checker/clocks) between the acquire and the overlap, it is no
// violation but exceeded. So it is with epoch-went-back where the claim says that it rests on clocks (Clocked), for clocks
// beyond the bounds less than two leases before the answers.
//
// # How data passes through
//
// Operations are parted by plane: all shards whose keys are numbers share one, and any
// other name is a plane of its own. In each, a sweep in time keeps a territory, an
// interval map of keys; with n operations that takes O(n log n), plus the segments that
// changes of different standing leave behind.
//
// Example: move of [0,100) to n2 is acknowledged at 5 s, and n1 answers a read of key 17
// called at 6 s and returned at 7 s. If no other move of key 17 was called before 7 s, and
// none was under way when this one was called, n1 served what n2 owned.
package ownership

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/checker/clocks"
	"nemesis/history"
)

// Options are what a run is held to.
type Options struct {
	// Bounds are those of the claim; only the clock bounds are used.
	Bounds history.Bounds
	// TTL is how long a lease lasts whose grant does not say.
	TTL time.Duration
	// Clocked: that no answer is given under an old epoch rests on the clocks of whoever holds leases.
	Clocked bool
	// Automatic: the system also changes owners by itself.
	Automatic bool
	// Range tells the keys of a shard, both included; nil reads "17" as one key and
	// "10-19" as ten. ok is false for a name that is no range of keys.
	Range func(shard string) (low, high uint64, ok bool)
}

// ForPlan are the options of a planned run.
func ForPlan(plan history.Plan) Options {
	ttl := plan.Workload.TTL
	if ttl == 0 {
		ttl = plan.Timing.Lease
	}
	return Options{Bounds: plan.Claim.Bounds, TTL: time.Duration(ttl), Automatic: plan.Claim.MovesItself, Clocked: plan.Claim.Clocked}
}

// Details is the form of Result.Details: what there was to judge.
type Details struct {
	Shards int `json:"shards"`
	Owners int `json:"owners"`
	// Moves are acknowledged, Leases granted, Answers given by owners.
	Moves   int `json:"moves"`
	Leases  int `json:"leases"`
	Answers int `json:"answers"`
	// Handovers is how often a shard's next answer or lease was another owner's.
	Handovers int `json:"handovers"`
	// Epochs is the number of epochs that were told, over all shards.
	Epochs int `json:"epochs"`
	// Certain is how many answers fell into a time in which the owner was certain.
	Certain int `json:"certain"`
}

// classes of anomalies, worst first.
var classes = []checker.Class{
	{Name: "two-owners", Breaks: []history.Model{history.SingleOwner}},
	{Name: "served-by-another", Breaks: []history.Model{history.SingleOwner}},
	{Name: "epoch-shared", Breaks: []history.Model{history.FencingTokens}},
	{Name: "interleaved-owners", Breaks: []history.Model{history.SingleOwner}},
	{Name: "epoch-went-back", Breaks: []history.Model{history.FencingTokens}},
}

// Checker judges the rules of the package comment. It is Vacuous when no shard changed
// its owner.
func Checker(options Options) checker.Checker { return judge{options} }

type judge struct{ Options }

func (judge) Name() string { return "ownership" }

func (j judge) Check(ctx context.Context, log *history.Log, _ checker.Budget) checker.Result {
	result := checker.Result{Checker: "ownership", Operations: len(log.Operations)}
	if err := checker.Validate(log); err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return result
	}
	w := &work{
		Options: j.Options, ops: log.Operations, windows: clocks.Windows(log.Events, j.Bounds),
		found: &checker.Anomalies{Worst: classes}, beyond: &checker.Anomalies{Worst: classes},
	}
	done := checker.Paced(ctx, func(pace *checker.Pace) {
		w.pace = pace
		w.beliefs(log.Events)
		for _, p := range w.load() {
			pace.Step()
			w.epochs(p)
			w.leases(p)
			if !w.Automatic {
				w.moves(p)
			}
		}
	})
	w.pace = nil // explanations are short, and told however late it is
	if !done {
		result.Outcome = checker.Unknown
		result.Summary = "the check " + checker.Stopped(ctx)
	}
	result.Details, _ = json.Marshal(w.details)
	result.Operations = w.judged
	switch found, beyond := w.found.List(), w.beyond.List(); {
	case len(found) > 0:
		result.Beside = w.beside(result.Outcome)
		result.Outcome, result.Anomalies = checker.Violation, append(found, beyond...)
		result.Summary = w.found.Summary()
		if len(beyond) > 0 {
			result.Summary += "; beyond the clock bounds also " + w.beyond.Summary()
		}
	case result.Outcome == checker.Unknown:
	case len(beyond) > 0:
		result.Beside = w.beside(result.Outcome)
		result.Outcome, result.Anomalies = checker.Exceeded, beyond
		result.Summary = w.beyond.Summary() + ", with clocks beyond the bounds of the claim"
	case w.details.Handovers+w.details.Moves == 0:
		result.Outcome, result.Summary = checker.Vacuous, "no shard changed its owner"
	case w.details.Answers+w.details.Leases == 0:
		result.Outcome, result.Summary = checker.Vacuous, "shards were moved, and nobody answered for any"
	default:
		result.Outcome = checker.Valid
		d := w.details
		result.Summary = fmt.Sprintf("%s of %s by %s; %s, %s, %s; the owner was certain for %s",
			checker.Plural(d.Answers, "answer"), checker.Plural(d.Shards, "shard"), checker.Plural(d.Owners, "owner"),
			checker.Plural(d.Moves, "move"), checker.Plural(d.Leases, "lease"), checker.Plural(d.Handovers, "hand-over"),
			checker.Plural(d.Certain, "answer"))
	}
	return result
}

// beside is what there is to conclude beside anomalies, where the check came so far.
func (w *work) beside(soFar checker.Outcome) checker.Outcome {
	switch {
	case soFar != "":
		return soFar
	case w.details.Handovers+w.details.Moves == 0 || w.details.Answers+w.details.Leases == 0:
		return checker.Vacuous
	}
	return checker.Valid
}

// work is one check under way.
type work struct {
	Options
	pace    *checker.Pace
	ops     []history.Operation
	windows clocks.List
	owners  names
	shards  names
	grants  map[string]history.Grant
	named   map[string]int64 // by lease: when it was named first, or renewed before that
	exits   map[holder][]int64
	retired map[int]int64 // by process
	details Details
	judged  int
	// found are violations, beyond those that a clock beyond the bounds may explain.
	found, beyond *checker.Anomalies
}

// names numbers texts from 0.
type names struct {
	texts  []string
	number map[string]int32
}

func (n *names) of(text string) int32 {
	if i, known := n.number[text]; known {
		return i
	}
	if n.number == nil {
		n.number = map[string]int32{}
	}
	i := int32(len(n.texts))
	n.number[text] = i
	n.texts = append(n.texts, text)
	return i
}

// kind is what an entry says.
type kind uint8

const (
	serve kind = iota
	told       // holder
	move
	acquire
	renew
	release
)

// entry is what one operation says about the ownership of keys.
type entry struct {
	kind kind
	// done: it was acknowledged. Others have an unknown outcome.
	done  bool
	op    int32
	shard int32
	owner int32 // who answered, or got it; -1 when it does not say
	named bool  // the system said so
	epoch int64
	// low and high are the keys, both included; later ranks, high excluded.
	low, high uint64
	from, to  int
	call, ret int64
	ttl       int64 // nanoseconds
	older     bool  // the lease was there before the acquire
	process   int
}

// plane is operations on keys that have an order.
type plane struct {
	entries []entry // by call
	size    int     // how many ranks there are
}

// load reads what the operations say. What cannot be read says nothing.
func (w *work) load() []*plane {
	byName := map[string]*plane{}
	var planes []*plane
	for i := range w.ops {
		w.pace.Step()
		e, name, ok := w.read(int32(i))
		if !ok {
			continue
		}
		p := byName[name]
		if p == nil {
			p = &plane{}
			byName[name] = p
			planes = append(planes, p)
		}
		p.entries = append(p.entries, e)
		w.judged++
	}
	for _, p := range planes {
		w.pace.Step()
		p.rank()
	}
	w.details.Shards, w.details.Owners = len(w.shards.texts), len(w.owners.texts)
	return planes
}

// read makes an entry of an operation; name is its plane.
func (w *work) read(i int32) (e entry, name string, ok bool) {
	o := &w.ops[i]
	e = entry{op: i, owner: -1, call: o.Call, ret: o.Return, done: o.Type == history.OK, process: o.Process}
	switch o.F {
	case history.FServe:
		e.kind = serve
	case history.FHolder:
		e.kind = told
	case history.FMove:
		e.kind = move
	case history.FAcquire:
		e.kind = acquire
	case history.FRenew:
		e.kind = renew
	case history.FRelease:
		e.kind = release
	default:
		return e, "", false
	}
	if o.Type == history.Fail || !e.done && (e.kind == serve || e.kind == told || e.kind == renew) {
		return e, "", false // it says nothing that is certain
	}
	low, high, numbered := w.keys(o.Key)
	numbered = numbered || e.kind == move && o.Key == ""
	if !numbered {
		name = "=" + o.Key
	}
	e.low, e.high = low, high
	if e.kind == move {
		return e, name, w.readMove(o, &e, numbered)
	}
	e.shard = w.shards.of(o.Key)
	var grant history.Grant
	if e.done && e.kind != release {
		grant = w.grant(o.Output)
	}
	e.epoch, e.ttl = grant.Token, w.lasts(grant.TTL)
	if first, known := w.named[grant.Lease]; known {
		e.older = first < e.call
	}
	switch {
	case grant.Owner != "":
		e.owner, e.named = w.owners.of(grant.Owner), true
	case e.kind == acquire && e.done:
		// A lease without a name is its client's.
		e.owner = w.owners.of("client " + strconv.Itoa(o.Process))
	case e.kind == serve || e.kind == told:
		return e, "", false
	}
	return e, name, true
}

// grant reads who owns a shard; what cannot be read names nobody. Most answers say the
// same as an earlier one.
func (w *work) grant(value []byte) history.Grant {
	if g, known := w.grants[string(value)]; known {
		return g
	}
	g, _ := history.DecodeGrant(value)
	if w.grants == nil || len(w.grants) >= maxGrants {
		w.grants = map[string]history.Grant{}
	}
	w.grants[string(value)] = g
	return g
}

// maxGrants bounds the grants that are remembered as they were written.
const maxGrants = 1 << 16

// readMove takes in a move; of a shard that is no range of keys all of it moves.
func (w *work) readMove(o *history.Operation, e *entry, numbered bool) bool {
	m, err := history.DecodeMove(o.Input)
	if err != nil || m.To == "" {
		return false
	}
	e.owner = w.owners.of(m.To)
	if numbered {
		if m.High != 0 && m.High <= m.Low {
			return false
		}
		e.low, e.high = m.Low, m.High-1 // 0 is the end of all keys
	}
	return true
}

// keys are the keys of a shard; of a name that is no range they are all of its plane.
func (w *work) keys(shard string) (low, high uint64, ok bool) {
	read := w.Range
	if read == nil {
		read = numbers
	}
	if low, high, ok = read(shard); ok && low <= high {
		return low, high, true
	}
	return 0, ^uint64(0), false
}

// numbers reads "17" and "10-19".
func numbers(shard string) (low, high uint64, ok bool) {
	first, last, isRange := strings.Cut(shard, "-")
	if !isRange {
		last = first
	}
	low, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		return 0, 0, false
	}
	high, err = strconv.ParseUint(last, 10, 64)
	return low, high, err == nil
}

// lasts is a TTL in milliseconds by the fastest clock allowed, in nanoseconds. Two wall
// clocks, where leases rest on them, may disagree by twice their error.
func (w *work) lasts(ttl int64) int64 {
	length := float64(w.TTL)
	if ttl > 0 {
		length = float64(ttl) * float64(time.Millisecond)
	}
	offset, _ := clocks.Offset(w.Bounds)
	return max(0, int64(min(length*(1-clocks.Rate(w.Bounds)), float64(history.Never/4)))-2*offset)
}

// rank turns keys into ranks among the borders of the plane.
func (p *plane) rank() {
	borders := []uint64{0}
	for i := range p.entries {
		e := &p.entries[i]
		borders = append(borders, e.low)
		if e.high != ^uint64(0) {
			borders = append(borders, e.high+1)
		}
	}
	slices.Sort(borders)
	borders = slices.Compact(borders)
	p.size = len(borders)
	at := func(key uint64) int { i, _ := slices.BinarySearch(borders, key); return i }
	for i := range p.entries {
		e := &p.entries[i]
		e.from, e.to = at(e.low), p.size
		if e.high != ^uint64(0) {
			e.to = at(e.high + 1)
		}
	}
}

// byReturn are the positions of the entries that pass, by return.
func (p *plane) byReturn(pass func(*entry) bool) []int32 {
	var list []int32
	for i := range p.entries {
		if pass(&p.entries[i]) {
			list = append(list, int32(i))
		}
	}
	slices.SortStableFunc(list, func(a, b int32) int { return cmp.Compare(p.entries[a].ret, p.entries[b].ret) })
	return list
}
