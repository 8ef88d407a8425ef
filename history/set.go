package history

import (
	"encoding/json"
	"strconv"
)

// A set grows by elements, which are values of any kind; those of our workloads are whole
// numbers (EncodeInt).
//
//	add   the element  → ok
//	list  null         → ok all elements, as an array in any order
//
// Foreign histories ask for the elements with read.
const (
	FAdd  = "add"
	FList = "list"
)

// EncodeElements writes the elements of a set, or of a list, as an array; EachElement reads
// it. Every element must be JSON.
func EncodeElements(elements []json.RawMessage) json.RawMessage {
	size := 2
	for _, one := range elements {
		size += len(one) + 1
	}
	value := append(make([]byte, 0, size), '[')
	for i, one := range elements {
		if i > 0 {
			value = append(value, ',')
		}
		value = appendElement(value, one)
	}
	return append(value, ']')
}

// EncodeInts is EncodeElements for whole numbers.
func EncodeInts(elements []int64) json.RawMessage {
	value := append(make([]byte, 0, 2+8*len(elements)), '[')
	for i, n := range elements {
		if i > 0 {
			value = append(value, ',')
		}
		value = strconv.AppendInt(value, n, 10)
	}
	return append(value, ']')
}

// DecodeInts reads an array of whole numbers of 64 bits; nothing at all and null are empty.
func DecodeInts(value json.RawMessage) ([]int64, error) {
	var all []int64
	err := EachElement(value, func(one []byte) error {
		n, err := DecodeInt(one)
		all = append(all, n)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
