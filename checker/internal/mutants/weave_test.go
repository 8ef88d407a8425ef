package mutants

import (
	"slices"
	"strings"
	"testing"
)

const source = `package p

const first = 1

var next = func(n int) int { return n + first }

func sum[T int | string](all ...T) (total T) {
	for _, one := range all {
		total += one
	}
	return total
}

func grow(at *int) {
	*at++
}
`

func TestMutantsOfFunctionsAreWovenIn(t *testing.T) {
	var all List
	all.In("p.go",
		[3]string{"a constant", "first = 1", "first = 2"},
		[3]string{"a function without a name", "n + first", "n"},
		[3]string{"a function with results", "total += one", "total = one"},
		[3]string{"the same function", "return total", "return"},
		[3]string{"a function without results", "*at++", "*at--"},
		[3]string{"a signature", "all ...T", "none, all ...T"})
	woven, others, err := weave(map[string]string{"p.go": source}, all)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(others, []int{0, 5}) {
		t.Errorf("outside of functions: %d", others)
	}
	want := `package p

const first = 1

var next = func(n int) int {
switch mutantInForce {
case 1:
return func() int{ return n }()
}
 return n + first }

func sum[T int | string](all ...T) (total T) {
switch mutantInForce {
case 2:
return func() (total T){
	for _, one := range all {
		total = one
	}
	return total
}()
case 3:
return func() (total T){
	for _, one := range all {
		total += one
	}
	return
}()
}

	for _, one := range all {
		total += one
	}
	return total
}

func grow(at *int) {
switch mutantInForce {
case 4:
func() {
	*at--
}()
return
}

	*at++
}
`
	if woven["p.go"] != want {
		t.Errorf("got\n%s", strings.ReplaceAll(woven["p.go"], "\t", "→"))
	}
}
