package offsetlog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

const (
	ok, fail, info = history.OK, history.Fail, history.Info

	put, look, txn = history.FSend, history.FPoll, history.FTransaction
)

// op is an operation of a small history: in is what it asks for, out what it is answered.
type op struct {
	f         string
	outcome   history.Type
	call, ret int64
	in, out   string
	process   int // 0: one of its own
}

func logOf(ops []op) *history.Log {
	log := &history.Log{}
	for i, o := range ops {
		h := history.Operation{Index: int64(i), Completion: int64(i + len(ops)), Process: 100 + i, Node: "n1", F: o.f, Type: o.outcome, Call: o.call, Return: o.ret, End: o.ret, Input: json.RawMessage(o.in), Output: json.RawMessage(o.out)}
		if o.process > 0 {
			h.Process = o.process
		}
		if o.f != txn {
			h.Key = "k"
		}
		if o.outcome == info {
			h.Return, h.End = history.Never, o.call
		}
		log.Operations = append(log.Operations, h)
	}
	slices.SortStableFunc(log.Operations, func(a, b history.Operation) int { return int(a.Call - b.Call) })
	return log
}

func found(ops []op, o Options) (classes []string, result checker.Result) {
	result = Checker(o).Check(context.Background(), logOf(ops), checker.Budget{})
	for _, a := range result.Anomalies {
		classes = append(classes, fmt.Sprintf("%d × %s", a.Count, a.Class))
	}
	return classes, result
}

type story struct {
	ops  []op
	want string
	o    Options
}

func stories() map[string]story {
	var consumers = Options{Consumers: true}
	return map[string]story{
		"sent and polled":                     {[]op{{put, ok, 0, 1, "7", "12", 0}, {look, ok, 2, 3, "null", "[[12,7]]", 0}}, "[]", Options{}},
		"offsets have gaps":                   {[]op{{put, ok, 0, 1, "7", "1", 0}, {put, ok, 2, 3, "8", "5", 0}, {look, ok, 4, 5, "null", "[[1,7],[5,8]]", 0}}, "[]", Options{}},
		"offsets of two parts":                {[]op{{put, ok, 0, 1, "7", `"9-2"`, 0}, {put, ok, 2, 3, "8", `"10-1"`, 0}, {look, ok, 4, 5, `"9-2"`, `[["10-1",8]]`, 0}}, "[]", Options{}},
		"while it is sent":                    {[]op{{put, ok, 0, 9, "7", "12", 0}, {look, ok, 1, 2, "null", "[[12,7]]", 0}}, "[]", Options{}},
		"not yet there":                       {[]op{{put, ok, 0, 9, "7", "12", 0}, {look, ok, 1, 2, "null", "[]", 0}, {look, ok, 10, 11, "null", "[[12,7]]", 0}}, "[]", Options{}},
		"the poll began behind it":            {[]op{{put, ok, 0, 1, "7", "12", 0}, {look, ok, 2, 3, "null", "[[12,7]]", 0}, {look, ok, 4, 5, "12", "[]", 0}}, "[]", Options{}},
		"nobody polled":                       {[]op{{put, ok, 0, 1, "7", "12", 0}}, "[]", Options{}},
		"recovered":                           {[]op{{put, info, 0, 0, "7", "", 0}, {look, ok, 2, 3, "null", "[[12,7]]", 0}}, "[]", Options{}},
		"unknown and gone":                    {[]op{{put, info, 0, 0, "7", "", 0}, {look, ok, 2, 3, "null", "[]", 0}}, "[]", Options{}},
		"refused and not there":               {[]op{{put, fail, 0, 1, "7", "", 0}, {look, ok, 2, 3, "null", "[]", 0}}, "[]", Options{}},
		"polls of unknown outcome":            {[]op{{put, ok, 0, 1, "7", "12", 0}, {look, info, 2, 3, "null", "[]", 0}, {look, fail, 2, 3, "null", "[]", 0}}, "[]", Options{}},
		"lost at the end":                     {[]op{{put, ok, 0, 1, "7", "12", 0}, {look, ok, 2, 3, "null", "[]", 0}}, "[1 × lost-write]", Options{}},
		"two lost at the end":                 {[]op{{put, ok, 0, 1, "7", "12", 0}, {put, ok, 0, 1, "8", "13", 0}, {look, ok, 2, 3, "null", "[]", 0}}, "[2 × lost-write]", Options{}},
		"lost at the end, polled from behind": {[]op{{put, ok, 0, 1, "7", "12", 0}, {look, ok, 2, 3, "15", "[]", 0}}, "[]", Options{}},
		"lost in the middle": {[]op{{put, ok, 0, 5, "7", "12", 0}, {put, ok, 0, 5, "8", "13", 0}, {look, ok, 1, 2, "null", "[[13,8]]", 0}},
			"[1 × lost-write]", Options{}},
		"lost, as another value is there": {[]op{{put, ok, 0, 1, "7", "12", 0}, {put, ok, 2, 3, "8", "12", 0}, {look, ok, 4, 5, "null", "[[12,8]]", 0}},
			"[1 × lost-write 1 × inconsistent-offsets]", Options{}},
		"refused and there":         {[]op{{put, fail, 0, 1, "7", "", 0}, {look, ok, 2, 3, "null", "[[12,7]]", 0}}, "[1 × G1a]", Options{}},
		"from nowhere":              {[]op{{look, ok, 2, 3, "null", "[[12,7]]", 0}}, "[1 × garbage-read]", Options{}},
		"before it was sent":        {[]op{{look, ok, 0, 1, "null", "[[12,7]]", 0}, {put, ok, 2, 3, "7", "12", 0}}, "[1 × future-read]", Options{}},
		"at two offsets":            {[]op{{put, ok, 0, 1, "7", "12", 0}, {look, ok, 2, 3, "null", "[[12,7],[13,7]]", 0}}, "[1 × duplicate]", Options{}},
		"not where it was told":     {[]op{{put, ok, 0, 1, "7", "12", 0}, {look, ok, 2, 3, "null", "[[13,7]]", 0}}, "[1 × duplicate]", Options{}},
		"sent twice":                {[]op{{put, ok, 0, 1, "7", "12", 0}, {put, ok, 2, 3, "7", "13", 0}, {look, ok, 4, 5, "null", "[[12,7],[13,7]]", 0}}, "[]", Options{}},
		"two values at one offset":  {[]op{{put, ok, 0, 1, "7", "12", 0}, {put, ok, 0, 1, "8", "12", 0}}, "[1 × inconsistent-offsets]", Options{}},
		"a poll in the wrong order": {[]op{{put, ok, 0, 1, "7", "12", 0}, {put, ok, 2, 3, "8", "13", 0}, {look, ok, 4, 5, "null", "[[13,8],[12,7]]", 0}}, "[1 × nonmonotonic-poll]", Options{}},
		"a poll from before its beginning": {[]op{{put, ok, 0, 1, "7", "12", 0}, {put, ok, 2, 3, "8", "13", 0}, {look, ok, 4, 5, "12", "[[12,7],[13,8]]", 0}},
			"[1 × nonmonotonic-poll]", Options{}},
		"skipped": {[]op{{put, ok, 0, 8, "7", "12", 0}, {put, ok, 0, 1, "8", "13", 0}, {look, ok, 2, 3, "null", "[[13,8]]", 0}, {look, ok, 9, 10, "null", "[[12,7],[13,8]]", 0}},
			"[1 × poll-skip]", Options{}},
		"stale": {[]op{{put, ok, 0, 1, "7", "12", 0}, {look, ok, 2, 3, "null", "[]", 0}, {look, ok, 4, 5, "null", "[[12,7]]", 0}}, "[1 × stale-poll]", Options{}},
		"gone after a poll": {[]op{{put, info, 0, 0, "7", "", 0}, {look, ok, 2, 3, "null", "[[12,7]]", 0}, {look, ok, 4, 5, "null", "[]", 0}},
			"[1 × lost-write]", Options{}},
		"stale, and there again": {[]op{{put, info, 0, 0, "7", "", 0}, {look, ok, 2, 3, "null", "[[12,7]]", 0}, {look, ok, 4, 5, "null", "[]", 0}, {look, ok, 6, 7, "null", "[[12,7]]", 0}},
			"[1 × stale-poll]", Options{}},
		"lost after it was polled": {[]op{{put, ok, 0, 1, "7", "12", 0}, {look, ok, 2, 3, "null", "[[12,7]]", 0}, {put, ok, 4, 5, "8", "13", 0}, {look, ok, 6, 7, "null", "[[13,8]]", 0}},
			"[1 × lost-write]", Options{}},
		"two lost in the middle": {[]op{{put, ok, 0, 5, "7", "12", 0}, {put, ok, 0, 5, "8", "13", 0}, {put, ok, 0, 5, "9", "14", 0}, {look, ok, 1, 2, "null", "[[14,9]]", 0}},
			"[2 × lost-write]", Options{}},
		"skipped, polled, and lost": {[]op{{put, ok, 0, 1, "7", "12", 0}, {put, ok, 0, 1, "8", "13", 0}, {look, ok, 2, 3, "null", "[[13,8]]", 0}, {look, ok, 4, 5, "null", "[[12,7],[13,8]]", 0}, {look, ok, 6, 7, "null", "[[13,8]]", 0}},
			"[1 × lost-write]", Options{}},
		"two lost, and one of them seen again": {[]op{{put, ok, 0, 1, "7", "12", 0}, {put, ok, 2, 3, "8", "13", 0}, {look, ok, 4, 5, "null", "[[12,7],[13,8]]", 0}, {look, ok, 6, 7, "null", "[]", 0}, {look, ok, 8, 9, "null", "[[13,8]]", 0}},
			"[1 × lost-write 1 × stale-poll]", Options{}},
		"two looks, and one entry came between": {[]op{{put, ok, 0, 9, "7", "12", 0}, {txn, ok, 2, 3, `[["poll","k",null],["poll","k",null]]`, `[["poll","k",[]],["poll","k",[[12,7]]]]`, 0}}, "[1 × internal]", Options{}},
		"a process's sends go back":             {[]op{{put, ok, 0, 1, "7", "12", 1}, {put, ok, 2, 3, "8", "11", 1}}, "[1 × nonmonotonic-send]", Options{}},
		"sends go back in time":                 {[]op{{put, ok, 0, 1, "7", "12", 0}, {put, ok, 2, 3, "8", "11", 0}}, "[1 × nonmonotonic-send-realtime]", Options{}},
		"sent before what was polled": {[]op{{put, info, 0, 0, "7", "", 0}, {look, ok, 1, 2, "5", "[[12,7]]", 0}, {put, ok, 3, 4, "8", "4", 0}},
			"[1 × nonmonotonic-send-realtime]", Options{}},
		"sends at once, in any order": {[]op{{put, ok, 0, 3, "7", "12", 0}, {put, ok, 2, 3, "8", "11", 0}}, "[]", Options{}},

		"a transaction": {[]op{{txn, ok, 0, 1, `[["send","a",7],["send","b",8]]`, `[["send","a",[1,7]],["send","b",[4,8]]]`, 0},
			{txn, ok, 2, 3, `[["poll","a",null],["poll","b",null],["send","a",9]]`, `[["poll","a",[[1,7]]],["poll","b",[[4,8]]],["send","a",[2,9]]]`, 0}}, "[]", Options{}},
		"its own sends are polled": {[]op{{txn, ok, 0, 1, `[["send","a",7],["poll","a",null]]`, `[["send","a",[1,7]],["poll","a",[[1,7]]]]`, 0}}, "[]", Options{}},
		"its own sends are not polled": {[]op{{txn, ok, 0, 2, `[["send","a",7],["poll","a",null]]`, `[["send","a",[1,7]],["poll","a",[[2,8]]]]`, 0},
			{txn, ok, 1, 2, `[["send","a",8]]`, `[["send","a",[2,8]]]`, 0}, {txn, ok, 3, 4, `[["poll","a",null]]`, `[["poll","a",[[1,7],[2,8]]]]`, 0}}, "[]", Options{}},
		"its own sends, and others', are not polled": {[]op{{txn, ok, 0, 2, `[["send","a",7],["poll","a",null]]`, `[["send","a",[1,7]],["poll","a",[[3,9]]]]`, 0},
			{txn, ok, 1, 2, `[["send","a",8],["send","a",9]]`, `[["send","a",[2,8]],["send","a",[3,9]]]`, 0}, {txn, ok, 3, 4, `[["poll","a",null]]`, `[["poll","a",[[1,7],[2,8],[3,9]]]]`, 0}}, "[1 × poll-skip]", Options{}},
		"one of two logs": {[]op{{txn, ok, 0, 9, `[["send","a",7],["send","b",8]]`, `[["send","a",[1,7]],["send","b",[4,8]]]`, 0},
			{txn, ok, 2, 3, `[["poll","a",null],["poll","b",null]]`, `[["poll","a",[[1,7]]],["poll","b",[]]]`, 0}}, "[1 × fractured-read]", Options{}},
		"one of two entries": {[]op{{txn, ok, 0, 9, `[["send","a",7],["send","a",8]]`, `[["send","a",[1,7]],["send","a",[2,8]]]`, 0},
			{txn, ok, 2, 3, `[["poll","a",null]]`, `[["poll","a",[[1,7]]]]`, 0}}, "[1 × G1b]", Options{}},
		"two looks, and it came between": {[]op{{txn, ok, 0, 9, `[["send","a",7],["send","a",8]]`, `[["send","a",[1,7]],["send","a",[2,8]]]`, 0},
			{txn, ok, 2, 3, `[["poll","a",null],["poll","a",null]]`, `[["poll","a",[]],["poll","a",[[1,7],[2,8]]]]`, 0}}, "[1 × internal]", Options{}},
		"its sends in the wrong order": {[]op{{txn, ok, 0, 9, `[["send","a",7],["send","a",8]]`, `[["send","a",[2,7]],["send","a",[1,8]]]`, 0}}, "[1 × internal-nonmonotonic-send]", Options{}},
		"an unknown transaction took effect": {[]op{{txn, info, 0, 0, `[["send","a",7],["send","b",8]]`, ``, 0}, {txn, ok, 1, 2, `[["poll","a",null],["poll","b",null]]`, `[["poll","a",[[1,7]]],["poll","b",[]]]`, 0},
			{txn, ok, 3, 4, `[["poll","b",null]]`, `[["poll","b",[[1,8]]]]`, 0}}, "[1 × fractured-read]", Options{}},

		"a consumer gets some":                   {[]op{{put, ok, 0, 1, "7", "12", 0}, {put, ok, 2, 3, "8", "13", 0}, {look, ok, 4, 5, "null", "[[12,7]]", 0}}, "[]", consumers},
		"a consumer goes on where it is":         {[]op{{put, ok, 0, 1, "7", "12", 0}, {put, ok, 0, 1, "8", "13", 0}, {look, ok, 4, 5, "null", "[[13,8]]", 0}, {look, ok, 4, 5, "null", "[[12,7]]", 0}}, "[]", consumers},
		"a consumer skips":                       {[]op{{put, ok, 0, 1, "7", "12", 0}, {put, ok, 0, 1, "8", "13", 0}, {look, ok, 4, 5, "11", "[[13,8]]", 0}, {look, ok, 4, 5, "null", "[[12,7]]", 0}}, "[1 × poll-skip]", consumers},
		"consumers miss it, and not the later":   {[]op{{put, ok, 0, 1, "7", "12", 0}, {put, ok, 0, 1, "8", "13", 0}, {look, ok, 4, 5, "null", "[[13,8]]", 0}}, "[1 × lost-write]", consumers},
		"a consumer gets what it is sending":     {[]op{{txn, ok, 0, 1, `[["send","a",7],["poll","a",null]]`, `[["send","a",[1,7]],["poll","a",[[1,7]]]]`, 0}}, "[1 × precommitted-read]", consumers},
		"a consumer ends within a transaction's": {[]op{{txn, ok, 0, 1, `[["send","a",7],["send","a",8]]`, `[["send","a",[1,7]],["send","a",[2,8]]]`, 0}, {txn, ok, 2, 3, `[["poll","a",null]]`, `[["poll","a",[[1,7]]]]`, 0}}, "[]", consumers},
	}
}

func tell(name string, s story) error {
	classes, result := found(s.ops, s.o)
	if fmt.Sprint(classes) != s.want || (result.Outcome == checker.Valid) != (s.want == "[]") {
		return fmt.Errorf("%s: got %v (%s: %s), want %s", name, classes, result.Outcome, result.Summary, s.want)
	}
	var d Details
	if err := json.Unmarshal(result.Details, &d); err != nil || d.Lost+d.Unseen > max(d.Acknowledged, d.Lost) {
		return fmt.Errorf("%s: details are %s", name, result.Details)
	}
	for _, a := range result.Anomalies {
		for _, step := range a.Proof {
			if strings.Contains(step.Text, "explanation failed") {
				return fmt.Errorf("%s: %s cannot be told: %s", name, a.Class, step.Text)
			}
		}
	}
	return nil
}

func TestStories(t *testing.T) {
	for name, s := range stories() {
		if err := tell(name, s); err != nil {
			t.Error(err)
		}
	}
	for text, ops := range map[string][]op{
		"knows send, poll and txn":       {{"add", ok, 0, 1, "7", "", 0}},
		"is no offset":                   {{put, ok, 0, 1, "7", `"12"`, 0}},
		"acknowledged without an offset": {{put, ok, 0, 1, "7", "", 0}},
		"is no entry of a log":           {{look, ok, 0, 1, "null", "[7]", 0}},
		"is answered 1":                  {{txn, ok, 0, 1, `[["send","a",1],["send","a",2]]`, `[["send","a",[1,1]]]`, 0}},
		"without an answer":              {{txn, ok, 0, 1, `[["send","a",1]]`, ``, 0}},
		`parts send and poll, not "r"`:   {{txn, ok, 0, 1, `[["r","a",null]]`, `[["r","a",1]]`, 0}},
	} {
		if _, r := found(ops, Options{}); r.Outcome != checker.Harness || !strings.Contains(r.Summary, text) {
			t.Errorf("%v is judged %s: %s", ops, r.Outcome, r.Summary)
		}
	}
	_, r := found(stories()["nobody polled"].ops, Options{})
	if r.Unread == nil || r.Unread.Number != 1 || !strings.Contains(r.Summary, "of 1 nothing is known") {
		t.Errorf("what nobody polled is told as %+v: %s", r.Unread, r.Summary)
	}
	var d Details
	_, r = found(stories()["lost at the end"].ops, Options{})
	if err := json.Unmarshal(r.Details, &d); err != nil || d != (Details{Logs: 1, Sent: 1, Acknowledged: 1, Lost: 1}) {
		t.Errorf("details are %s", r.Details)
	}
}
