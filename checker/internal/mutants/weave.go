package mutants

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// weave returns the package with all mutants in it that stand in functions, and the numbers
// of the others. A function with mutants begins with
//
//	switch mutantInForce {
//	case 3:
//		return func() (int, error) { the body with mutant 3 in it }()
//	}
//
// so that one compilation is enough for all of them. A body is a function of its own
// because labels would be defined twice; one that calls recover would miss the panic.
func weave(sources map[string]string, all []Mutant) (woven map[string]string, others []int, err error) {
	woven = make(map[string]string)
	for file, text := range sources {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, fmt.Errorf("read the package to break: %w", err)
		}
		cases := make(map[int]string) // by where the function's body begins
		for k, m := range all {
			if m.File != file {
				continue
			}
			from := strings.Index(text, m.From)
			to := from + len(m.From)
			kind, body := function(parsed, from, to)
			if body == nil {
				others = append(others, k)
				continue
			}
			begin, end := offset(body.Lbrace)+1, offset(body.Rbrace)
			broken := "{" + text[begin:from] + m.To + text[to:end] + "}()\n"
			if results := kind.Results; results != nil {
				broken = "return func() " + text[offset(results.Pos()):offset(results.End())] + broken
			} else {
				broken = "func() " + broken + "return\n"
			}
			cases[begin] += fmt.Sprintf("case %d:\n%s", k, broken)
		}
		var b strings.Builder
		for at := range len(text) {
			if c := cases[at]; c != "" {
				b.WriteString("\nswitch mutantInForce {\n" + c + "}\n")
			}
			b.WriteByte(text[at])
		}
		woven[file] = b.String()
	}
	return woven, others, nil
}

// function is the outermost function around a part of a file, nil if there is none.
func function(file *ast.File, from, to int) (kind *ast.FuncType, body *ast.BlockStmt) {
	ast.Inspect(file, func(n ast.Node) bool {
		var t *ast.FuncType
		var b *ast.BlockStmt
		switch f := n.(type) {
		case *ast.FuncDecl:
			t, b = f.Type, f.Body
		case *ast.FuncLit:
			t, b = f.Type, f.Body
		}
		if body == nil && b != nil && offset(b.Lbrace) < from && to <= offset(b.Rbrace) {
			kind, body = t, b
		}
		return body == nil
	})
	return kind, body
}

// offset is a position's place in the text of its file, the only one in its set.
func offset(p token.Pos) int { return int(p) - 1 }
