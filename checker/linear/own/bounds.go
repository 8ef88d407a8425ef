package own

import (
	"fmt"
	"reflect"
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Starlark ends by itself, as it has no recursion here, but not soon: and one expression, such
// as [0] * 1000000000, takes all the memory there is. So each call of a model is bounded in
// steps, which Starlark counts, and in the memory of what it makes, which is counted here.
// For that the program is changed before it is compiled: what multiplies, joins or formats
// goes through functions that look at the sizes first, and what else makes new values is
// counted once it is there; it grows to twice of what there was at most.

// Bounds of one call of a model.
const (
	// mostSteps are Starlark's own steps, some tens of nanoseconds each.
	mostSteps = 200_000
	// mostValue bounds one text or list, mostMade all that a call makes, in bytes.
	mostValue, mostMade = 1 << 20, 32 << 20
	// mostBits bounds a number.
	mostBits = 4096
)

// thread is a Starlark thread that counts.
type thread struct {
	*starlark.Thread
	made int64
	// expected is what matches last compared an output with in vain.
	expected starlark.Value
}

const local = "nemesis"

func newThread() *thread {
	t := &thread{Thread: &starlark.Thread{Name: "model", Print: func(*starlark.Thread, string) {}}}
	t.SetLocal(local, t)
	return t
}

// begin gives the thread the bounds of one call.
func (t *thread) begin() {
	t.made, t.expected = 0, nil
	t.Uncancel()
	t.SetMaxExecutionSteps(t.ExecutionSteps() + mostSteps)
}

// size is what a value takes, itself, in bytes.
func size(v starlark.Value) int64 {
	switch v := v.(type) {
	case starlark.String:
		return int64(len(v))
	case starlark.Bytes:
		return int64(len(v))
	case starlark.Int:
		if _, small := v.Int64(); small {
			return 0
		}
		return int64(v.BigInt().BitLen()/8) + 24
	case *starlark.List:
		return 16 * int64(v.Len())
	case starlark.Tuple:
		return 16 * int64(len(v))
	case *starlark.Dict:
		return 64 * int64(v.Len())
	case *starlark.Set:
		return 64 * int64(v.Len())
	}
	return 16
}

// charge counts a value that was made.
func charge(on *starlark.Thread, v starlark.Value) (starlark.Value, error) {
	t := on.Local(local).(*thread)
	n := size(v)
	if t.made += n; t.made > mostMade {
		return nil, fmt.Errorf("it makes more than %d MiB of values in one call; keep states small", mostMade>>20)
	}
	if n > mostValue {
		return nil, fmt.Errorf("a %s takes more than %d MiB; keep states small", v.Type(), mostValue>>20)
	}
	if i, is := v.(starlark.Int); is && n > mostBits/8+24 {
		return nil, fmt.Errorf("a number has %d bits; %d are the most", i.BigInt().BitLen(), mostBits)
	}
	return v, nil
}

// small refuses values whose text would be very long.
func small(v starlark.Value) error {
	left := mostNodes
	var walk func(v starlark.Value, depth int) bool
	walk = func(v starlark.Value, depth int) bool {
		left -= 1 + int(size(v)/16)
		if left < 0 || depth > mostDepth {
			return false
		}
		if d, is := v.(*starlark.Dict); is {
			return !slices.ContainsFunc(d.Items(), func(item starlark.Tuple) bool { return !walk(item, depth+1) })
		}
		if all, is := v.(starlark.Iterable); is {
			for one := range starlark.Elements(all) {
				if !walk(one, depth+1) {
					return false
				}
			}
		}
		return true
	}
	if !walk(v, 0) {
		return fmt.Errorf("a %s is too large to be put into a text", v.Type())
	}
	return nil
}

// Names of the functions that take the place of operators: no program can name them.
const (
	guardTimes   = "*"
	guardPercent = "%"
	guardPlus    = "+"
	guardMade    = "made"
	guardJoin    = ".join"
)

// makers are functions whose results are counted.
var makers = []string{"bytes", "dict", "enumerate", "list", "reversed", "set", "sorted", "tuple", "zip"}

// predeclared is what models find besides Starlark's own.
func predeclared() starlark.StringDict {
	function := func(name string, least, most int, f func(*starlark.Thread, starlark.Tuple) (starlark.Value, error)) *starlark.Builtin {
		return starlark.NewBuiltin(name, func(on *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			if len(args) < least || len(args) > most || len(kwargs) > 0 {
				return nil, fmt.Errorf("%s takes %d values without names, not %d", name, least, len(args)+len(kwargs))
			}
			return f(on, args)
		})
	}
	universe := func(name string) *starlark.Builtin { return starlark.Universe[name].(*starlark.Builtin) }
	text := func(name string) *starlark.Builtin {
		return function(name, 1, 1, func(on *starlark.Thread, args starlark.Tuple) (starlark.Value, error) {
			if err := small(args[0]); err != nil {
				return nil, err
			}
			v, err := universe(name).CallInternal(on, args, nil)
			if err != nil {
				return nil, err
			}
			return charge(on, v)
		})
	}
	given := starlark.StringDict{
		"unknown": unknown{},
		"matches": function("matches", 2, 2, func(on *starlark.Thread, args starlark.Tuple) (starlark.Value, error) {
			if _, is := args[0].(unknown); is {
				return starlark.True, nil
			}
			same, err := starlark.EqualDepth(args[0], args[1], mostDepth+1)
			if err == nil && !same {
				on.Local(local).(*thread).expected = args[1]
			}
			return starlark.Bool(same), err
		}),
		"str": text("str"), "repr": text("repr"),
		"range": starlark.NewBuiltin("range", func(on *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			v, err := universe("range").CallInternal(on, args, kwargs)
			if err == nil && starlark.Len(v) > mostValue/16 {
				return nil, fmt.Errorf("range has %d numbers; %d are the most", starlark.Len(v), mostValue/16)
			}
			return v, err
		}),
		guardMade: function("this", 1, 1, func(on *starlark.Thread, args starlark.Tuple) (starlark.Value, error) { return charge(on, args[0]) }),
		guardPlus: function("+", 2, 2, func(on *starlark.Thread, args starlark.Tuple) (starlark.Value, error) {
			v, err := starlark.Binary(syntax.PLUS, args[0], args[1])
			if err != nil {
				return nil, err
			}
			return charge(on, v)
		}),
		guardTimes: function("*", 2, 2, func(on *starlark.Thread, args starlark.Tuple) (starlark.Value, error) {
			for i, v := range args {
				n, err := starlark.AsInt32(args[1-i])
				if starlark.Len(v) > 0 && (err != nil || size(v)*int64(max(n, 0)) > mostValue) {
					return nil, fmt.Errorf("a repeated %s takes more than %d MiB; keep states small", v.Type(), mostValue>>20)
				}
			}
			v, err := starlark.Binary(syntax.STAR, args[0], args[1])
			if err != nil {
				return nil, err
			}
			return charge(on, v)
		}),
		guardPercent: function("%", 2, 2, func(on *starlark.Thread, args starlark.Tuple) (starlark.Value, error) {
			if format, is := args[0].(starlark.String); is {
				if len(format) > 4096 {
					return nil, fmt.Errorf("a text to be filled in has more than %d bytes", 4096)
				}
				if err := small(args[1]); err != nil {
					return nil, err
				}
			}
			v, err := starlark.Binary(syntax.PERCENT, args[0], args[1])
			if err != nil {
				return nil, err
			}
			return charge(on, v)
		}),
		guardJoin: function("join", 2, 2, func(on *starlark.Thread, args starlark.Tuple) (starlark.Value, error) {
			if err := small(args[1]); err != nil {
				return nil, err
			}
			if n := starlark.Len(args[1]); n > 0 && int64(n)*size(args[0]) > mostValue {
				return nil, fmt.Errorf("a text takes more than %d MiB; keep it small", mostValue>>20)
			}
			with, is := args[0].(starlark.HasAttrs)
			if !is {
				return nil, fmt.Errorf("%s has no join", args[0].Type())
			}
			join, err := with.Attr("join")
			if err != nil || join == nil {
				return nil, fmt.Errorf("%s has no join", args[0].Type())
			}
			v, err := starlark.Call(on, join, args[1:], nil)
			if err != nil {
				return nil, err
			}
			return charge(on, v)
		}),
	}
	for _, name := range makers {
		given[name] = starlark.NewBuiltin(name, func(on *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			v, err := universe(name).CallInternal(on, args, kwargs)
			if err != nil {
				return nil, err
			}
			return charge(on, v)
		})
	}
	return given
}

// refused are names that would go around what is guarded.
var refused = map[string]string{"getattr": "write x.name", "hash": "compare the values themselves"}

// guard changes a program so that what it makes is counted. The error is a thing that models
// cannot have.
func guard(f *syntax.File) error {
	g := &guarding{called: map[*syntax.DotExpr]bool{}}
	for _, s := range f.Stmts {
		g.inside(reflect.ValueOf(s))
	}
	return g.err
}

type guarding struct {
	err error
	// called are the methods that are called where they are named.
	called map[*syntax.DotExpr]bool
}

func (g *guarding) refuse(at syntax.Position, format string, args ...any) {
	if g.err == nil {
		g.err = fmt.Errorf("%s: %s", at, fmt.Sprintf(format, args...))
	}
}

var (
	expression = reflect.TypeFor[syntax.Expr]()
	nodes      = []reflect.Type{reflect.TypeFor[syntax.Expr](), reflect.TypeFor[syntax.Stmt](), reflect.TypeFor[syntax.Node]()}
)

// inside guards all that a node, behind a pointer, holds.
func (g *guarding) inside(pointer reflect.Value) {
	switch s := pointer.Interface().(type) {
	case *syntax.Ident:
		if instead := refused[s.Name]; instead != "" {
			g.refuse(s.NamePos, "models have no %s; %s", s.Name, instead)
		}
	case *syntax.CallExpr:
		if method, is := s.Fn.(*syntax.DotExpr); is {
			g.called[method] = true
		}
	case *syntax.LoadStmt:
		g.refuse(s.Load, "a model cannot load others; put everything into one file")
		return
	case *syntax.AssignStmt:
		switch s.Op {
		case syntax.PLUS_EQ:
			defer func() { s.RHS = made(s.RHS, s.OpPos) }()
		case syntax.STAR_EQ, syntax.PERCENT_EQ:
			g.refuse(s.OpPos, "write x = x %s y", s.Op.String()[:1])
		}
	}
	v := pointer.Elem()
	for i := range v.NumField() {
		field := v.Field(i)
		if !field.CanSet() {
			continue
		}
		one := func(at reflect.Value) {
			if at.IsNil() {
				return
			}
			g.inside(at.Elem())
			if at.Type() == expression {
				at.Set(reflect.ValueOf(g.replaced(at.Interface().(syntax.Expr))))
			}
		}
		switch {
		case slices.Contains(nodes, field.Type()):
			one(field)
		case field.Kind() == reflect.Slice && slices.Contains(nodes, field.Type().Elem()):
			for i := range field.Len() {
				one(field.Index(i))
			}
		}
	}
}

// replaced is an expression that counts what it makes, or the same. Its parts are guarded.
func (g *guarding) replaced(e syntax.Expr) syntax.Expr {
	switch e := e.(type) {
	case *syntax.BinaryExpr:
		switch e.Op {
		case syntax.PLUS:
			return call(guardPlus, e.OpPos, e.X, e.Y)
		case syntax.STAR:
			return call(guardTimes, e.OpPos, e.X, e.Y)
		case syntax.PERCENT:
			return call(guardPercent, e.OpPos, e.X, e.Y)
		}
	case *syntax.SliceExpr:
		return made(e, e.Lbrack)
	case *syntax.CallExpr:
		if f, is := e.Fn.(*syntax.DotExpr); is {
			if f.Name.Name == "join" && len(e.Args) == 1 {
				return call(guardJoin, f.Dot, f.X, e.Args[0])
			}
			if f.Name.Name == "extend" && len(e.Args) == 1 {
				e.Args[0] = made(e.Args[0], e.Lparen)
			}
			return made(e, e.Lparen)
		}
	case *syntax.DotExpr:
		switch name := e.Name.Name; {
		case name == "format" || name == "replace":
			g.refuse(e.Dot, "models have no %s; use %% to fill in texts", name)
		case (name == "join" || name == "extend") && !g.called[e]:
			g.refuse(e.Dot, "call %s where it is named", name)
		}
	}
	return e
}

// made counts what an expression makes.
func made(e syntax.Expr, at syntax.Position) syntax.Expr {
	return call(guardMade, at, e)
}

func call(name string, at syntax.Position, args ...syntax.Expr) *syntax.CallExpr {
	return &syntax.CallExpr{Fn: &syntax.Ident{NamePos: at, Name: name}, Lparen: at, Args: args, Rparen: at}
}
