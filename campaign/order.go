package campaign

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Shard is one of several parts of a night, from 1/n to n/n.
type Shard struct {
	Number int `json:"number"`
	Of     int `json:"of"`
}

// Whole is a night that is not split.
var Whole = Shard{1, 1}

// ParseShard reads "2/4".
func ParseShard(text string) (Shard, error) {
	number, of, _ := strings.Cut(text, "/")
	i, err1 := strconv.Atoi(number)
	n, err2 := strconv.Atoi(of)
	s := Shard{i, n}
	if err1 != nil || err2 != nil {
		return s, usage("read --shard: %q is not a part such as 2/4", text)
	}
	return s, s.check()
}

func (s Shard) check() error {
	if s.Of < 1 || s.Number < 1 || s.Number > s.Of || s.Of > 1000 {
		return usage("read --shard: %s is not a part from 1/n to n/n", s)
	}
	return nil
}

func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.Number, s.Of) }

// deal gives every cell and canary to a shard: the longest first, each to the one with
// the least to do. A cell is never split, so whatever follows from its results, such as
// repeats, is the same in whatever number of shards.
func (c *Campaign) deal() {
	var all []*Cell
	for i := range c.Canaries {
		all = append(all, &c.Canaries[i].Cell)
	}
	for i := range c.Cells {
		all = append(all, &c.Cells[i])
	}
	load := make([]float64, c.Shard.Of)
	slices.SortStableFunc(all, func(a, b *Cell) int { return cmp.Compare(b.work(), a.work()) })
	for _, cell := range all {
		least := 0
		for i := range load {
			if load[i] < load[least] {
				least = i
			}
		}
		cell.Shard = least + 1
		load[least] += cell.work()
	}
}

// work ignores what earlier nights measured: shards may have read different archives.
func (c *Cell) work() float64 { return c.Weight * c.guessed.Seconds() }

// shardOf is who runs the items of a cell; a cell of earlier nights that is no more is
// dealt by its name.
func (c *Campaign) shardOf(cell string) int {
	for i := range c.Cells {
		if c.Cells[i].Name == cell {
			return c.Cells[i].Shard
		}
	}
	return int(seedOf(cell)%int64(c.Shard.Of)) + 1
}

// queue is the order in which cells get new seeds: every cell once, in an order that
// differs from night to night, then always the one that has had the least of its share.
// A night whose time is up early has thus left out others than the last one.
type queue struct {
	campaign *Campaign
	cells    []Cell
	given    []int
}

func (c *Campaign) queue() *queue {
	q := &queue{campaign: c}
	for _, cell := range c.Cells {
		if cell.Shard == c.Shard.Number {
			q.cells = append(q.cells, cell)
		}
	}
	shuffle := rand.New(rand.NewPCG(uint64(c.base), 1))
	shuffle.Shuffle(len(q.cells), func(i, j int) { q.cells[i], q.cells[j] = q.cells[j], q.cells[i] })
	q.given = make([]int, len(q.cells))
	return q
}

// next is the next item and how long it is expected to take; io.EOF when every cell has
// had its budget.per-cell.
func (q *queue) next() (Item, time.Duration, error) {
	best := -1
	share := math.Inf(1)
	for i, cell := range q.cells {
		limit := q.campaign.File.Budget.PerCell
		if limit > 0 && q.given[i] >= cell.seeds(limit) {
			continue
		}
		if s := float64(q.given[i]) / cell.Weight; s < share {
			best, share = i, s
		}
	}
	if best < 0 {
		return Item{}, 0, io.EOF
	}
	cell := q.cells[best]
	q.given[best]++
	it, err := cell.item(Item{Kind: Search}, cell.seed(q.campaign.base, q.given[best]))
	return it, cell.Expected, err
}

// seeds is how many a cell gets when one of weight 1 gets perCell: at least one.
func (c Cell) seeds(perCell int) int { return max(1, int(math.Round(c.Weight*float64(perCell)))) }
