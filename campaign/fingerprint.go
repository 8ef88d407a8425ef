package campaign

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nemesis/checker"
	"nemesis/history"
)

// Fingerprint names a finding so that its next occurrence has the same name:
//
//	etcd/linear/non-linearizable/3f9a0c12d4e5
//
// The words are the system, the checker, which stands for the claim that it judges, and
// the class of the anomaly. The hash is of the core's shape: its operations by the time
// they were called, with which of them overlap, and with keys, values and processes
// renamed in the order in which they appear. Moments, nodes, versions and error texts are no
// part of it. Neither is what one operation of the core alone has to do with, as a
// transaction's other keys, and elements of a list that nobody else in the core appended: they
// contradict nobody, and no two runs have them in common.
//
// The same defect can show in cores of several shapes, so two fingerprints do not mean two
// defects; one fingerprint means one anomaly. Quarantines may therefore name the first three words.
func Fingerprint(system, judge string, f checker.Anomaly) string {
	n := namer{names: map[string]map[string]string{}, touched: touched(f.Core)}
	var b bytes.Buffer
	core := slices.Clone(f.Core)
	slices.SortStableFunc(core, func(x, y history.Operation) int {
		if x.Call != y.Call {
			return int(min(1, max(-1, x.Call-y.Call)))
		}
		return int(min(1, max(-1, x.Index-y.Index)))
	})
	for i, op := range core {
		fmt.Fprintf(&b, "%s %s %s %s in ", op.Type, op.F, n.of("process", strconv.Itoa(op.Process)), n.of("key", op.Key))
		n.value(&b, op.Input)
		b.WriteString(" out ")
		if op.Type == history.OK { // what others answer is no observation
			n.value(&b, op.Output)
		}
		for j := range i {
			if core[j].Return >= op.Call {
				fmt.Fprintf(&b, " with %d", j)
			}
		}
		b.WriteByte('\n')
	}
	sum := sha256.Sum256(b.Bytes())
	return strings.Join([]string{word(system), word(judge), word(f.Class), hex.EncodeToString(sum[:6])}, "/")
}

// anomaly is what a fingerprint is without its hash: what the shapes of one defect share.
func anomaly(fingerprint string) string {
	words := strings.SplitN(fingerprint, "/", 4)
	return strings.Join(words[:min(3, len(words))], "/")
}

// word makes a name fit between slashes.
func word(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-_.", r):
			return r
		}
		return '_'
	}, s)
}

// touched tells of the keys of transactions which ones several operations of a core have to do
// with, and of their values which ones were written: by key, and by key and value. An
// operation that contradicts itself is all there is.
func touched(core []history.Operation) map[[2]string]bool {
	by := map[string]int{}
	all := map[[2]string]bool{}
	for i, op := range core {
		for _, raw := range []json.RawMessage{op.Input, op.Output} {
			parts, _ := history.DecodeAny(raw).([]any)
			for _, one := range parts {
				_, key, value, is := part(one)
				if !is {
					continue
				}
				if before, known := by[key]; known && before != i || len(core) == 1 {
					all[[2]string{key}] = true
				}
				by[key] = i
				if _, isList := value.([]any); value != nil && !isList {
					all[[2]string{key, fmt.Sprint(value)}] = true
				}
			}
		}
	}
	return all
}

// part is what a transaction is made of, such as ["append", "k1", 5].
func part(v any) (f, key string, value any, is bool) {
	words, _ := v.([]any)
	if len(words) != 3 {
		return "", "", nil, false
	}
	f, is = words[0].(string)
	return f, fmt.Sprint(words[1]), words[2], is
}

// namer renames in order of appearance: the first key is key1, the second key2.
type namer struct {
	names   map[string]map[string]string
	touched map[[2]string]bool
}

func (n namer) of(kind, name string) string {
	if name == "" {
		return "-"
	}
	if n.names[kind] == nil {
		n.names[kind] = map[string]string{}
	}
	if n.names[kind][name] == "" {
		n.names[kind][name] = kind + strconv.Itoa(len(n.names[kind])+1)
	}
	return n.names[kind][name]
}

// value writes JSON with its scalars renamed. Names of fields stay, and so do booleans,
// null, and the word that begins a part of a transaction, ["append", 5, 2], since these are
// what the operation is rather than what it is about.
func (n namer) value(b *bytes.Buffer, raw json.RawMessage) {
	if len(raw) == 0 {
		b.WriteString("-")
		return
	}
	v := history.DecodeAny(raw)
	if v == nil && !history.IsNull(raw) {
		b.WriteString(n.of("value", string(raw)))
		return
	}
	n.any(b, v)
}

// written is a value without the elements of a list that nobody in the core wrote.
func (n namer) written(key string, value any) any {
	list, is := value.([]any)
	if !is {
		return value
	}
	return slices.DeleteFunc(slices.Clone(list), func(one any) bool { return !n.touched[[2]string{key, fmt.Sprint(one)}] })
}

func (n namer) any(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		fmt.Fprint(b, v)
	case json.Number:
		b.WriteString(n.of("value", v.String()))
	case string:
		b.WriteString(n.of("value", strconv.Quote(v)))
	case []any:
		b.WriteByte('[')
		for _, one := range v {
			if f, key, value, is := part(one); !is {
				n.any(b, one)
				b.WriteByte(',')
			} else if n.touched[[2]string{key}] {
				fmt.Fprintf(b, "%s %s ", f, n.of("key", key))
				n.any(b, n.written(key, value))
				b.WriteByte(',')
			}
		}
		b.WriteByte(']')
	case map[string]any:
		b.WriteByte('{')
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			b.WriteString(k + ":")
			n.any(b, v[k])
			b.WriteByte(',')
		}
		b.WriteByte('}')
	}
}

// sameFinding tells whether a fingerprint is the named one or begins with its words.
func sameFinding(fingerprint, named string) bool {
	return fingerprint == named || strings.HasPrefix(fingerprint, strings.TrimSuffix(named, "/")+"/")
}
