// Package values turns the JSON values of a history into small numbers, so that
// checkers compare and index numbers instead of text.
//
// A Table numbers values in order of first use. Two values are the same when
// history.Canonical spells them alike. There is a path without allocation for whole
// numbers, which is what workloads write.
//
// Example: a fresh Table numbers "1", "7", "1" as 0, 1, 0.
package values

import (
	"bytes"
	"fmt"
	"strconv"

	"nemesis/history"
)

// Table numbers values from 0. The zero Table is empty and ready. It is not safe
// for concurrent use.
type Table struct {
	// all has for each value itself, if it is a small whole number, else the bitwise
	// complement of its position in texts.
	all    []int32
	texts  []string
	dense  []int32 // number+1 of small whole numbers
	byText map[string]int32
}

// Text is the canonical JSON of a numbered value.
func (t *Table) Text(id int32) string {
	if n := t.all[id]; n >= 0 {
		return strconv.Itoa(int(n))
	}
	return t.texts[^t.all[id]]
}

// Number finds or gives the number of a value. Nothing at all counts as null.
func (t *Table) Number(raw []byte) (int32, error) {
	if len(raw) == 0 {
		raw = []byte("null")
	}
	n, isSmall := small(raw)
	if isSmall && n < len(t.dense) && t.dense[n] > 0 {
		return t.dense[n] - 1, nil
	}
	if id, known := t.byText[string(raw)]; known {
		return id, nil
	}
	if !isSmall {
		canonical, err := history.Canonical(raw)
		if err != nil {
			return 0, fmt.Errorf("read a value: %w", err)
		}
		if !bytes.Equal(canonical, raw) {
			return t.Number(canonical)
		}
	}
	id := int32(len(t.all))
	if isSmall {
		t.all = append(t.all, int32(n))
		// Spend no more on the direct index than a few words for each value.
		if most := 64 + 8*len(t.all); n < most {
			if n >= len(t.dense) {
				wider := make([]int32, min(max(n+1, 2*len(t.dense)), most))
				copy(wider, t.dense)
				t.dense = wider
			}
			t.dense[n] = id + 1
			return id, nil
		}
	} else {
		t.all = append(t.all, ^int32(len(t.texts)))
		t.texts = append(t.texts, string(raw))
	}
	if t.byText == nil {
		t.byText = make(map[string]int32)
	}
	t.byText[string(raw)] = id
	return id, nil
}

// small reads a canonical whole number of at most nine digits.
func small(raw []byte) (int, bool) {
	if len(raw) == 0 || len(raw) > 9 || (raw[0] == '0' && len(raw) > 1) {
		return 0, false
	}
	n := 0
	for _, c := range raw {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
