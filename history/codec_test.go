package history_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nemesis/history"
)

// Everything that is encoded is decoded as it was, and is what encoding/json would write:
// histories recorded before the codecs read the same.
func TestEncodedValuesDecodeToWhatTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		same := func(encoded json.RawMessage, want any, decoded any, err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", encoded, err)
			}
			if d := cmp.Diff(want, decoded); d != "" {
				t.Fatalf("%s is decoded differently (-want +got):\n%s", encoded, d)
			}
			if text, err := json.Marshal(want); err != nil || !bytes.Equal(text, encoded) {
				t.Fatalf("encoded as %s, encoding/json writes %s (%v)", encoded, text, err)
			}
		}
		grant := aGrant(t)
		g, err := history.DecodeGrant(grant.Encode())
		same(grant.Encode(), grant, g, err)
		refusal := history.Refusal{Held: rapid.Bool().Draw(t, "held"), Gone: rapid.Bool().Draw(t, "gone"), Rejected: rapid.Bool().Draw(t, "rejected"), Token: rapid.Int64().Draw(t, "token")}
		r, err := history.DecodeRefusal(refusal.Encode())
		same(refusal.Encode(), refusal, r, err)
		write := history.GuardedWrite{Token: rapid.Int64().Draw(t, "token"), Value: rapid.Int64().Draw(t, "value")}
		w, err := history.DecodeGuardedWrite(write.Encode())
		same(write.Encode(), write, w, err)
		belief := history.Belief{Grant: grant, At: rapid.Int64().Draw(t, "at"), Sent: rapid.Int64().Draw(t, "sent")}
		b, err := history.DecodeBelief(belief.Encode())
		same(belief.Encode(), belief, b, err)
		p := history.Predicate{Group: aText(t), Mod: rapid.Int64Range(1, 9).Draw(t, "mod")}
		p.Rest = rapid.Int64Range(0, p.Mod-1).Draw(t, "rest")
		p2, err := history.DecodePredicate(p.Encode())
		same(p.Encode(), p, p2, err)
		balances := history.Balances(rapid.MapOf(rapid.Custom(aText), rapid.Custom(someJSON(1))).Draw(t, "balances"))
		bs, err := history.DecodeBalances(balances.Encode())
		same(balances.Encode(), balances, bs, err)
		transfer := history.Transfer{From: aText(t), To: aText(t), Amount: rapid.Int64().Draw(t, "amount")}
		if tr, err := history.DecodeTransfer(transfer.Encode()); err != nil || tr != transfer {
			t.Fatalf("%s is decoded as %v, %v", transfer.Encode(), tr, err)
		}
		var rows, back []history.Row
		for range rapid.IntRange(0, 3).Draw(t, "rows") {
			rows = append(rows, history.Row{Key: aText(t), Value: someJSON(1)(t)})
		}
		err = history.EachRow(history.EncodeRows(rows), func(r history.Row) error {
			back = append(back, r)
			return nil
		})
		if err != nil || !cmp.Equal(rows, back) {
			t.Fatalf("%s is decoded as %v, %v", history.EncodeRows(rows), back, err)
		}
		offset := history.Offset{Major: rapid.Uint64().Draw(t, "major"), Pair: rapid.Bool().Draw(t, "pair")}
		spelled := json.RawMessage(offset.String())
		if offset.Pair {
			offset.Minor = rapid.Uint64().Draw(t, "minor")
			spelled = history.EncodeText(offset.String())
		}
		if o, err := history.DecodeOffset(spelled); err != nil || o != offset {
			t.Fatalf("%s is decoded as %v, %v", spelled, o, err)
		}
		entries := []history.Entry{{Offset: spelled, Value: someJSON(1)(t)}, {Offset: history.EncodeNull(), Value: someJSON(2)(t)}}
		var found []history.Entry
		err = history.EachEntry(history.EncodeEntries(entries), func(e history.Entry) error {
			found = append(found, e)
			return nil
		})
		if err != nil || !cmp.Equal(entries, found) {
			t.Fatalf("%s is decoded as %v, %v", history.EncodeEntries(entries), found, err)
		}
		move := history.Move{Low: rapid.Uint64().Draw(t, "low"), High: rapid.Uint64().Draw(t, "high"), From: aText(t), To: aText(t)}
		m, err := history.DecodeMove(move.Encode())
		same(move.Encode(), move, m, err)
		number := rapid.Int64().Draw(t, "number")
		n, err := history.DecodeInt(history.EncodeInt(number))
		same(history.EncodeInt(number), number, n, err)
		text := aText(t)
		s, err := history.DecodeText(history.EncodeText(text))
		same(history.EncodeText(text), text, s, err)
		numbers := rapid.SliceOf(rapid.Int64()).Draw(t, "numbers")
		ns, err := history.DecodeInts(history.EncodeInts(numbers))
		same(history.EncodeInts(numbers), numbers, append([]int64{}, ns...), err)

		elements := rapid.SliceOf(rapid.Custom(someJSON(2))).Draw(t, "elements")
		var es []json.RawMessage
		err = history.EachElement(history.EncodeElements(elements), func(one []byte) error {
			es = append(es, one)
			return nil
		})
		same(history.EncodeElements(elements), append([]json.RawMessage{}, elements...), append([]json.RawMessage{}, es...), err)
		cas := history.CompareAndSet{Expected: someJSON(1)(t), New: someJSON(1)(t)}
		c, err := history.DecodeCompareAndSet(cas.Encode())
		if err != nil || !cmp.Equal(c, cas) {
			t.Fatalf("%s is decoded as %s, %v", cas.Encode(), c, err)
		}
		var txn []history.MicroOp
		var plain [][3]any
		for range rapid.IntRange(0, 4).Draw(t, "parts") {
			op := history.MicroOp{F: rapid.SampledFrom([]string{history.MicroRead, history.MicroAppend, history.MicroWrite, "?"}).Draw(t, "f"), Key: someJSON(0)(t), Value: someJSON(2)(t)}
			txn, plain = append(txn, op), append(plain, [3]any{op.F, op.Key, op.Value})
		}
		ops, err := history.DecodeTransaction(history.EncodeTransaction(txn))
		if err != nil || !cmp.Equal(ops, txn) {
			t.Fatalf("%s is decoded as %v, %v", history.EncodeTransaction(txn), ops, err)
		}
		if text, _ := json.Marshal(append([][3]any{}, plain...)); !bytes.Equal(text, history.EncodeTransaction(txn)) {
			t.Fatalf("encoded as %s, encoding/json writes %s", history.EncodeTransaction(txn), text)
		}
	})
}

func aText(t *rapid.T) string {
	return rapid.OneOf(rapid.StringMatching(`[a-z0-9/]{0,8}`), rapid.String().Filter(utf8.ValidString)).Draw(t, "text")
}

func aGrant(t *rapid.T) history.Grant {
	return history.Grant{Lease: aText(t), Token: rapid.Int64().Draw(t, "token"), TTL: rapid.Int64().Draw(t, "ttl"), Owner: aText(t)}
}

// someJSON draws JSON in encoding/json's spelling, which nests so deep.
func someJSON(depth int) func(*rapid.T) json.RawMessage {
	return func(t *rapid.T) json.RawMessage {
		kinds := 4
		if depth > 0 {
			kinds = 6
		}
		var v any
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			v = rapid.Int64().Draw(t, "number")
		case 1:
			v = aText(t)
		case 2:
			v = rapid.Bool().Draw(t, "flag")
		case 3:
		case 4:
			v = rapid.SliceOfN(rapid.Custom(someJSON(depth-1)), 0, 3).Draw(t, "array")
		case 5:
			v = rapid.MapOfN(rapid.String().Filter(utf8.ValidString), rapid.Custom(someJSON(depth-1)), 0, 3).Draw(t, "object")
		}
		text, _ := json.Marshal(v)
		return text
	}
}

// hostileValue draws what a server or a damaged file might say: JSON of almost the right
// form, JSON of any form, pieces of JSON, bytes.
func hostileValue(t *rapid.T) json.RawMessage {
	fields := []string{"lease", "owner", "token", "ttl", "held", "gone", "rejected", "value", "at", "sent", "low", "high", "from", "to", "Lease", "other"}
	scalars := []string{"0", "7", "-0", "-7", "+7", "007", "1e3", "7.0", "1e999", "9223372036854775807", "9223372036854775808",
		"18446744073709551615", strings.Repeat("9", 4000), `"x"`, `"1"`, `""`, `"\u0041"`, `"\n"`, "\"\n\"", "\"\xff\"", "\"é\"", "null", "true", "false", "tru", "[]", "{}", ""}
	scalar := func() string { return rapid.SampledFrom(scalars).Draw(t, "scalar") }
	space := func() string { return rapid.SampledFrom([]string{"", "", "", " ", "\n", "\t "}).Draw(t, "space") }
	list := func(one func() string) string {
		var parts []string
		for range rapid.IntRange(0, 4).Draw(t, "length") {
			parts = append(parts, space()+one()+space())
		}
		return "[" + strings.Join(parts, ",") + space() + "]"
	}
	switch rapid.IntRange(0, 6).Draw(t, "shape") {
	case 0:
		return json.RawMessage(scalar())
	case 1:
		var parts []string
		for range rapid.IntRange(0, 5).Draw(t, "fields") {
			parts = append(parts, space()+fmt.Sprintf("%q", rapid.SampledFrom(fields).Draw(t, "field"))+":"+space()+scalar())
		}
		return json.RawMessage("{" + strings.Join(parts, ",") + "}")
	case 2:
		return json.RawMessage(list(scalar))
	case 3:
		return json.RawMessage(list(func() string {
			f := rapid.SampledFrom([]string{`"r"`, `"append"`, `"w"`, `"x"`, "1"}).Draw(t, "f")
			return "[" + f + space() + "," + scalar() + "," + list(scalar) + "]"
		}))
	case 4:
		return someJSON(3)(t)
	case 5: // deeper than anybody reads
		n := rapid.SampledFrom([]int{1, 100, 20000}).Draw(t, "depth")
		return json.RawMessage(strings.Repeat("[", n) + strings.Repeat("]", rapid.SampledFrom([]int{0, n}).Draw(t, "closed")))
	}
	return rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
}

// decoders are all that reads values, each with what encoding/json makes of the same; nil
// where there is no such reading.
var decoders = []struct {
	name   string
	decode func(json.RawMessage) (any, error)
	plain  func(json.RawMessage) (any, error)
}{
	{"grant", func(v json.RawMessage) (any, error) { return history.DecodeGrant(v) }, plainly[history.Grant]},
	{"refusal", func(v json.RawMessage) (any, error) { return history.DecodeRefusal(v) }, plainly[history.Refusal]},
	{"guarded write", func(v json.RawMessage) (any, error) { return history.DecodeGuardedWrite(v) }, plainly[history.GuardedWrite]},
	{"belief", func(v json.RawMessage) (any, error) { return history.DecodeBelief(v) }, plainly[history.Belief]},
	{"predicate", func(v json.RawMessage) (any, error) { return history.DecodePredicate(v) }, nil},
	{"transfer", func(v json.RawMessage) (any, error) { return history.DecodeTransfer(v) }, nil},
	{"balances", func(v json.RawMessage) (any, error) { return history.DecodeBalances(v) }, nil},
	{"rows", func(v json.RawMessage) (any, error) {
		return nil, history.EachRow(v, func(history.Row) error { return nil })
	}, nil},
	{"move", func(v json.RawMessage) (any, error) { return history.DecodeMove(v) }, plainly[history.Move]},
	{"int", func(v json.RawMessage) (any, error) { return history.DecodeInt(v) }, func(v json.RawMessage) (any, error) {
		n, err := plainly[*int64](v)
		if err != nil || n.(*int64) == nil {
			return int64(0), errors.New("none")
		}
		return *n.(*int64), nil
	}},
	{"text", func(v json.RawMessage) (any, error) { return history.DecodeText(v) }, nil},
	{"lease value", func(v json.RawMessage) (any, error) {
		var l history.LeaseValue
		return nil, l.Decode(v)
	}, nil},
	{"compact", func(v json.RawMessage) (any, error) { return history.Compact(v) }, func(v json.RawMessage) (any, error) {
		var b bytes.Buffer
		err := json.Compact(&b, v)
		return json.RawMessage(b.Bytes()), err
	}},
	{"elements", func(v json.RawMessage) (any, error) {
		all := [][]byte{}
		err := history.EachElement(v, func(one []byte) error {
			all = append(all, one)
			return nil
		})
		return all, err
	}, func(v json.RawMessage) (any, error) {
		if history.IsNull(v) {
			return [][]byte{}, nil
		}
		list, err := plainly[[]json.RawMessage](v)
		all := [][]byte{}
		for _, one := range list.([]json.RawMessage) {
			all = append(all, one)
		}
		return all, err
	}},
	{"ints", func(v json.RawMessage) (any, error) { return history.DecodeInts(v) }, nil},
	{"compare and set", func(v json.RawMessage) (any, error) { return history.DecodeCompareAndSet(v) }, nil},
	{"transaction", func(v json.RawMessage) (any, error) {
		ops, err := history.DecodeTransaction(v)
		for _, op := range ops {
			_ = op.KeyName()
		}
		return ops, err
	}, func(v json.RawMessage) (any, error) {
		if history.IsNull(v) {
			return []history.MicroOp(nil), nil
		}
		list, err := plainly[[][]json.RawMessage](v)
		var ops []history.MicroOp
		for _, parts := range list.([][]json.RawMessage) {
			var op history.MicroOp
			if len(parts) != 3 || parts == nil || json.Unmarshal(parts[0], &op.F) != nil {
				return []history.MicroOp(nil), errors.New("none")
			}
			op.Key, op.Value = parts[1], parts[2]
			ops = append(ops, op)
		}
		return ops, err
	}},
}

func plainly[T any](v json.RawMessage) (any, error) {
	var into T
	err := json.Unmarshal(v, &into)
	return into, err
}

// Whatever a value is, no decoder panics, what encoding/json would read is read, as it
// would be, and an error is one bounded line of visible text.
func TestHostileValuesAreReadAsJSONOrRefusedInOneLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := hostileValue(t)
		before := slices.Clone(value)
		for _, d := range decoders {
			got, err := d.decode(value)
			if err != nil {
				if s := err.Error(); len(s) > 600 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) || !utf8.ValidString(s) {
					t.Fatalf("%s of %q: an error that is no bounded line: %q", d.name, value, s)
				}
			}
			if d.plain == nil {
				continue
			}
			want, plainErr := d.plain(value)
			if (err == nil) != (plainErr == nil) {
				t.Fatalf("%s of %q: %v, encoding/json says %v", d.name, value, err, plainErr)
			}
			if diff := cmp.Diff(want, got); err == nil && diff != "" {
				t.Fatalf("%s of %q (-encoding/json +history):\n%s", d.name, value, diff)
			}
		}
		_, _, _, _ = history.IsNull(value), history.IsObject(value), history.DecodeAny(value), history.Quote(value)
		if !bytes.Equal(before, value) {
			t.Fatalf("decoding changed the value %q to %q", before, value)
		}
	})
}

func TestEachElementAgreesWithTheJSONDecoder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.OneOf(
			rapid.StringMatching(`\[[0-9, ]{0,12}\]`),
			rapid.StringMatching(`\[("[a-c,]"|[0-9]{1,3}|null|\[1,2\])?(,("[a-c,]"|[0-9]{1,3}|null)){0,4}\]`),
			rapid.Just("null"),
		).Draw(t, "raw")
		var want []json.RawMessage
		wantErr := json.Unmarshal([]byte(raw), &want) != nil
		var got []json.RawMessage
		gotErr := history.EachElement(json.RawMessage(raw), func(b []byte) error {
			got = append(got, append([]byte(nil), b...))
			return nil
		}) != nil
		if diff := cmp.Diff(len(want), len(got)); diff != "" || wantErr != gotErr {
			t.Fatalf("%s: %s (errors %v, %v)", raw, diff, wantErr, gotErr)
		}
		for i := range want {
			if string(want[i]) != string(got[i]) {
				t.Fatalf("%s: element %d is %s, not %s", raw, i, got[i], want[i])
			}
		}
	})
}

func TestErrorsOfValuesSayWhatIsWrong(t *testing.T) {
	long := json.RawMessage(strings.Repeat("9", 5000))
	for _, test := range []struct {
		err  error
		want string
	}{
		{last(history.DecodeInt(json.RawMessage("7.5"))), "7.5 is no whole number of 64 bits"},
		{last(history.DecodeInt(nil)), "nothing is no whole number of 64 bits"},
		{last(history.DecodeInt(long)), string(long[:100]) + "… is no whole number of 64 bits"},
		{last(history.DecodeGrant(nil)), "read a grant: there is no value"},
		{last(history.DecodeGrant(json.RawMessage("\"\xff\n\""))), `read a grant: "\xff\n" is none`},
		{last(history.DecodeRefusal(json.RawMessage(`{"held":3}`))), `read a refusal: {"held":3} is none`},
		{last(history.DecodeGuardedWrite(json.RawMessage(`7`))), `read a guarded write: 7 is none`},
		{last(history.DecodeBelief(json.RawMessage(`[]`))), `read a belief: [] is none`},
		{last(history.DecodeMove(json.RawMessage(`{"low":-1}`))), `read a move: {"low":-1} is none`},
		{last(history.DecodeText(json.RawMessage(`[1]`))), `[1] is neither a string nor a number`},
		{last(history.DecodeInts(json.RawMessage(`{}`))), `read an array: {} is none`},
		{last(history.DecodeInts(json.RawMessage(`[1,2`))), `read an array: [1,2 is none`},
		{last(history.DecodeCompareAndSet(json.RawMessage(`[1]`))), `1 values where [expected, new] belong`},
		{last(history.DecodeTransaction(json.RawMessage(`[["r","k"]]`))), `a micro-operation of 2 parts where [function, key, value] belongs`},
		{last(history.DecodeTransaction(json.RawMessage(`[7]`))), `a micro-operation 7 where [function, key, value] belongs`},
		{last(history.DecodeTransaction(json.RawMessage(`[[7,1,2]]`))), `a micro-operation with 7 where a function belongs`},
	} {
		if test.err == nil || test.err.Error() != test.want {
			t.Errorf("got %v, want %s", test.err, test.want)
		}
	}
}

func last[T any](_ T, err error) error { return err }

func BenchmarkValues(b *testing.B) {
	set := history.EncodeInts(make([]int64, 100_000))
	grant := (&history.Grant{Lease: "694d7d1a2b3c4d5e", Token: 41, TTL: 4000, Owner: "n3"}).Encode()
	txn := json.RawMessage(`[["append","k3",7],["r","k3",[1,2,3,4,5,6]],["r","k4",[1,2]]]`)
	for _, bench := range []struct {
		name string
		run  func() error
	}{
		{"elements", func() error { return history.EachElement(set, func([]byte) error { return nil }) }},
		{"grant", func() error { return last(history.DecodeGrant(grant)) }},
		{"lease value", func() error {
			var v history.LeaseValue
			return v.Decode(grant)
		}},
		{"transaction", func() error { return history.EachMicroOp(txn, func(history.MicroOp) error { return nil }) }},
		{"cas", func() error { return last(history.DecodeCompareAndSet(json.RawMessage("[5,7]"))) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := bench.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
