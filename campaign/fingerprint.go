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
// they were called, with which of them overlap, and with keys, values, nodes and
// processes renamed in the order in which they appear. Moments, versions and error texts
// are no part of it.
//
// The same defect can show in cores of several shapes, so two fingerprints do not mean two
// defects; one fingerprint means one anomaly. Quarantines may therefore name the first three words.
func Fingerprint(system, judge string, f checker.Finding) string {
	n := namer{}
	var b bytes.Buffer
	core := slices.Clone(f.Core)
	slices.SortStableFunc(core, func(x, y history.Operation) int {
		if x.Call != y.Call {
			return int(min(1, max(-1, x.Call-y.Call)))
		}
		return int(min(1, max(-1, x.Index-y.Index)))
	})
	for i, op := range core {
		fmt.Fprintf(&b, "%s %s %s %s %s in ", op.Type, op.F, n.of("process", strconv.Itoa(op.Process)), n.of("node", op.Node), n.of("key", op.Key))
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

// namer renames in order of appearance: the first key is key1, the second key2.
type namer map[string]map[string]string

func (n namer) of(kind, name string) string {
	if name == "" {
		return "-"
	}
	if n[kind] == nil {
		n[kind] = map[string]string{}
	}
	if n[kind][name] == "" {
		n[kind][name] = kind + strconv.Itoa(len(n[kind])+1)
	}
	return n[kind][name]
}

// value writes JSON with its scalars renamed. Names of fields stay, and so do booleans,
// null, and the word that begins a part of a transaction, ["append", 5, 2], since these are
// what the operation is rather than what it is about.
func (n namer) value(b *bytes.Buffer, raw json.RawMessage) {
	if len(raw) == 0 {
		b.WriteString("-")
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // 9007199254740993 is not 9007199254740992
	var v any
	if err := decoder.Decode(&v); err != nil {
		b.WriteString(n.of("value", string(raw)))
		return
	}
	n.any(b, v)
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
		f, isPart := "", false
		if len(v) == 3 {
			f, isPart = v[0].(string)
		}
		b.WriteByte('[')
		for i, one := range v {
			switch {
			case isPart && i == 0:
				b.WriteString(f)
			case isPart && i == 1:
				b.WriteString(n.of("key", fmt.Sprint(one)))
			default:
				n.any(b, one)
			}
			b.WriteByte(',')
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
