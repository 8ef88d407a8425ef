package history_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// elsewhere are the files that read JSON which looks like a value of an operation and is
// none, with what it is.
var elsewhere = map[string]string{
	"clients/etcd/election.go":    "what a leader proclaims in etcd's own store",
	"checker/clocks/requested.go": "the specification of a clock effect",
	"reports/page.go":             "a plan or a checker's details, to be shown",
}

// Values of operations are read and written by the codecs of this package. So in the
// packages that deal with operations, encoding/json is given no Value, Input or Output and
// nothing that came from one or from a json.RawMessage, and what it writes becomes none.
func TestOnlyHistoryReadsOperationValues(t *testing.T) {
	used := map[string]bool{}
	files := 0
	for _, room := range []string{"workload", "clients", "checker", "reports", "run", "campaign"} {
		err := filepath.WalkDir(filepath.Join("..", room), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files++
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, use := range valueUses(file) {
				name := strings.TrimPrefix(filepath.ToSlash(path), "../")
				used[name] = true
				if elsewhere[name] == "" {
					t.Errorf("%s: %s takes a value of an operation apart, or makes one, by encoding/json; use the codec of its family in package history", set.Position(use.at), use.function)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 100 {
		t.Errorf("only %d files were looked at", files)
	}
	for name := range elsewhere {
		if !used[name] {
			t.Errorf("%s is excused, but reads no such JSON any more", name)
		}
	}
}

func TestUsesOfOperationValuesAreFound(t *testing.T) {
	for name, test := range map[string]struct {
		source string
		found  bool
	}{
		"a field":                  {`func f(ev Event) { json.Unmarshal(ev.Value, &x) }`, true},
		"a pointer's field":        {`func f(o *Operation) { _ = json.Valid(o.Output) }`, true},
		"a variable":               {`func f(o *Operation) { raw := o.Input; if json.Unmarshal(raw, &x) != nil {} }`, true},
		"a variable of a variable": {`func f(o *Operation) { a := o.Input; b := a[1:]; json.Compact(&x, b) }`, true},
		"a raw parameter":          {`func f(raw json.RawMessage) { json.Unmarshal(raw, &x) }`, true},
		"a file's bytes":           {`func f(raw []byte) { json.Unmarshal(raw, &x) }`, false},
		"a closure's parameter":    {`func f() { each(func(raw []byte) { json.Unmarshal(raw, &x) }) }`, true},
		"a list of both":           {`func f(o Operation) { for _, raw := range []json.RawMessage{o.Input, o.Output} { json.Unmarshal(raw, &x) } }`, true},
		"a decoder":                {`func f(o Operation) { json.NewDecoder(bytes.NewReader(o.Input)).Decode(&x) }`, true},
		"a field written":          {`func f(op *Op) { op.Value, _ = json.Marshal(grant) }`, true},
		"a completion written":     {`func f() Completion { value, _ := json.Marshal(grant); return Completion{Value: value} }`, true},
		"details":                  {`func f(r *Result) { r.Details, _ = json.Marshal(d) }`, false},
		"a file":                   {`func f(path string) { text, _ := os.ReadFile(path); json.Unmarshal(text, &x) }`, false},
		"a codec":                  {`func f(ev Event) { history.DecodeGrant(ev.Value) }`, false},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), name, "package p\n"+test.source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if found := len(valueUses(file)) > 0; found != test.found {
			t.Errorf("%s: found %v in %s", name, found, test.source)
		}
	}
}

type valueUse struct {
	function string
	at       token.Pos
}

// valueUses are the calls of encoding/json in a file that are given, or make, a value of
// an operation.
func valueUses(file *ast.File) []valueUse {
	var uses []valueUse
	for _, declared := range file.Decls {
		function, is := declared.(*ast.FuncDecl)
		if !is || function.Body == nil {
			continue
		}
		values, made := map[string]bool{}, map[string]token.Pos{}
		isValue := func(n ast.Node) bool { return mentionsValue(n, values) }
		parameters := func(of *ast.FuncType, raw func(ast.Expr) bool) {
			for _, p := range of.Params.List {
				for _, name := range p.Names {
					values[name.Name] = values[name.Name] || raw(p.Type)
				}
			}
		}
		found := func(at token.Pos) { uses = append(uses, valueUse{function.Name.Name, at}) }
		// Twice, so that what is assigned below its use in a loop counts too.
		for range 2 {
			uses = slices.DeleteFunc(uses, func(u valueUse) bool { return u.function == function.Name.Name })
			ast.Inspect(function, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					parameters(n.Type, isRaw)
				case *ast.FuncLit: // an element of a value is bytes
					parameters(n.Type, func(t ast.Expr) bool { return isRaw(t) || isBytes(t) })
				case *ast.RangeStmt:
					if name, is := n.Value.(*ast.Ident); is && isValue(n.X) {
						values[name.Name] = true
					}
				case *ast.AssignStmt:
					for i, left := range n.Lhs {
						right := n.Rhs[min(i, len(n.Rhs)-1)]
						if i > 0 && len(n.Rhs) == 1 {
							break // an error, or whether it is there
						}
						marshals := jsonCall(right, "Marshal")
						switch left := left.(type) {
						case *ast.Ident:
							if marshals {
								made[left.Name] = right.Pos()
							} else if isValue(right) && !isCall(right) {
								values[left.Name] = true
							}
						case *ast.SelectorExpr:
							if marshals && valueField(left.Sel.Name) {
								found(right.Pos())
							}
							if name, is := right.(*ast.Ident); is && made[name.Name].IsValid() && valueField(left.Sel.Name) {
								found(made[name.Name])
							}
						}
					}
				case *ast.KeyValueExpr:
					key, is := n.Key.(*ast.Ident)
					name, plain := n.Value.(*ast.Ident)
					if is && plain && valueField(key.Name) && made[name.Name].IsValid() {
						found(made[name.Name])
					}
				case *ast.CallExpr:
					if jsonCall(n, "") && slices.ContainsFunc(n.Args, func(a ast.Expr) bool { return isValue(a) }) {
						found(n.Pos())
					}
				}
				return true
			})
		}
	}
	return uses
}

func valueField(name string) bool { return name == "Value" || name == "Input" || name == "Output" }

// mentionsValue: the expression has a field of an operation's value in it, or one of these variables.
func mentionsValue(n ast.Node, variables map[string]bool) (is bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			is = is || valueField(n.Sel.Name)
		case *ast.Ident:
			is = is || variables[n.Name]
		}
		return true
	})
	return is
}

// jsonCall tells calls of encoding/json's functions whose names begin so.
func jsonCall(n ast.Expr, prefix string) bool {
	call, is := n.(*ast.CallExpr)
	if !is {
		return false
	}
	function, is := call.Fun.(*ast.SelectorExpr)
	if !is {
		return false
	}
	of, is := function.X.(*ast.Ident)
	return is && of.Name == "json" && function.Sel.Name != "RawMessage" && strings.HasPrefix(function.Sel.Name, prefix)
}

func isCall(n ast.Expr) bool {
	_, is := n.(*ast.CallExpr)
	return is
}

func isRaw(n ast.Expr) bool {
	selected, is := n.(*ast.SelectorExpr)
	return is && selected.Sel.Name == "RawMessage"
}

func isBytes(n ast.Expr) bool {
	array, is := n.(*ast.ArrayType)
	if !is || array.Len != nil {
		return false
	}
	element, is := array.Elt.(*ast.Ident)
	return is && element.Name == "byte"
}
