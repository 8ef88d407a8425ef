// Package executions says how long properties of checkers are tried: on how many
// generated histories whose truth is known.
package executions

import (
	"os"
	"strconv"
)

// Count is NEMESIS_EXECUTIONS where that is a number of 1 or more, else what the test
// takes by default.
func Count(byDefault int) int {
	if n, err := strconv.Atoi(os.Getenv("NEMESIS_EXECUTIONS")); err == nil && n > 0 {
		return n
	}
	return byDefault
}
