package reports

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"nemesis/checker"
	"nemesis/checker/lease"
	"nemesis/checker/liveness"
	"nemesis/history"
	"nemesis/reports/junit"
	"nemesis/reports/visible"

	"golang.org/x/net/html"
)

// hostile is what a server might say to harm whoever reads the report. Executed,
// any of these marks the document or fetches from home; shown raw, the last ones
// break out of a context or hide what they are.
func hostile(home string) string {
	return strings.Join([]string{
		`<script>document.documentElement.setAttribute("data-pwned","1")</script>`,
		`<img src="` + home + `/img" onerror="document.documentElement.setAttribute('data-pwned','2')">`,
		`"><svg onload="document.documentElement.setAttribute('data-pwned','3')"><style>@import "` + home + `/css"</style>`,
		`'-alert(1)-' javascript:alert(1) {{.}} {{template "head"}} ${7*7}`,
		`</script></style></title></textarea></pre><!-- --><base href="` + home + `/"><iframe src="` + home + `/frame"></iframe>`,
		`<link rel=stylesheet href="` + home + `/link"><meta http-equiv=refresh content="0;url=` + home + `/go">`,
		"]]> &lt;b&gt; \x1b[2J\x1b]0;pwned\x07 \u202evil\u2066\u200b\ufeff\u2028 \x00\xff\xed\xa0\x80 \r\n\t",
	}, " ")
}

// poison puts h wherever a server, a node or a user could put a text.
func poison(t testing.TB, h string) *Run {
	r := fixture(t, "stale-read", true)
	quoted, _ := json.Marshal(h)
	op := func(o *history.Operation) {
		o.Node, o.F, o.Key, o.Input, o.Output, o.Error = h, h, h, quoted, json.RawMessage(h), h
	}
	r.Plan.System = history.System{Name: h, Version: h, Binary: h, Options: map[string]string{h: h}}
	r.Plan.Cluster = history.Cluster{Spec: h, Nodes: []string{h, "n2"}}
	r.Plan.Workload.Name, r.Plan.Faults = h, []string{h}
	for i := range r.Plan.Schedule {
		s := &r.Plan.Schedule[i]
		s.Kind, s.Shape, s.Target, s.Nodes = h, h, h, []string{h}
	}
	for i := range r.Log.Operations {
		if i%10 == 0 {
			op(&r.Log.Operations[i])
		}
	}
	for i := range r.Log.Events {
		ev := &r.Log.Events[i]
		ev.Node, ev.Message = h, h
		if ev.Exit != nil {
			ev.Exit.Server, ev.Exit.Signal, ev.Exit.Expected = h, h, false
		}
	}
	r.Log.Events = append(r.Log.Events, history.Event{Type: history.Note, Message: h})
	v := &r.Verdict
	v.Sentence, v.Reasons, v.Truncated, v.Start, v.Version, v.Host = h, []string{h + "!"}, h, h, h, h
	v.Claim = hostileClaim(h)
	v.Outcome = checker.Outcome(h)
	v.Assumptions = []checker.Assumption{{Name: h, Text: h, Why: h, Exceeded: true}}
	for i := range v.Faults {
		f := &v.Faults[i]
		f.Step.Kind, f.Step.Shape, f.Step.Target, f.Nodes, f.Evidence, f.Error = h, h, h, []string{h}, h, h
	}
	for i := range v.Results {
		c := &v.Results[i]
		if len(c.Anomalies) == 0 {
			continue // its details feed the tables, which follow below
		}
		c.Checker, c.Summary, c.Details, c.Outcome = h, h, quoted, checker.Violation
		c.Allowed = []checker.Anomaly{{Class: h, Sentence: h, Key: h, Breaks: []history.Model{history.Model(h)}, Count: 2}}
		for j := range c.Anomalies {
			f := &c.Anomalies[j]
			f.Class, f.Sentence, f.Rule, f.Key, f.State = h, h, h, h, h
			f.Start = []string{h, h}
			for k := range f.Core {
				op(&f.Core[k])
			}
			f.Core[0].Type = history.Type(h)
			for k := range f.Around {
				op(&f.Around[k])
			}
			for k := range f.Proof {
				f.Proof[k].Text = h
			}
		}
	}
	for i := range v.Results {
		v.Results[i].Details = json.RawMessage(strings.NewReplacer(`"n1"`, string(quoted), `"cas"`, string(quoted), `"compare failed"`, string(quoted), `"kill"`, string(quoted)).Replace(string(v.Results[i].Details)))
	}
	r.Dir, r.Unread = "store/"+h, h
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	if err := os.WriteFile(path, []byte(h+"\n2026-01-02T15:04:12.2Z "+h+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.Files = []LogFile{{Node: h, Name: h, Path: path}, {Node: h, Name: h, Path: filepath.Join(dir, h)}}
	return r
}

// poisonHolders is the same for runs with leases, clocks that were changed, and beliefs: h
// is every name of a node, a key, a lease and an owner, and every text of a fault.
func poisonHolders(name string) func(testing.TB, string) *Run {
	return func(t testing.TB, h string) *Run {
		r := leaseFixture(t, name, true)
		quoted := func(suffix string) string { return string(asJSON(h + suffix)) }
		all := strings.NewReplacer(`"n1"`, quoted("1"), `"n2"`, quoted("2"), `"n3"`, quoted("3"), `"r1"`, quoted(""), `"a1"`, quoted("a"), `"b2"`, quoted("b"))
		var parts struct {
			Plan    history.Plan
			Verdict checker.Verdict
			Log     history.Log
		}
		whole := asJSON(map[string]any{"Plan": r.Plan, "Verdict": r.Verdict, "Log": r.Log})
		if err := json.Unmarshal([]byte(all.Replace(string(whole))), &parts); err != nil {
			t.Fatal(err)
		}
		r.Plan, r.Verdict, r.Log = parts.Plan, parts.Verdict, &parts.Log
		r.Plan.Schedule[0].Said = h
		r.Plan.Schedule[0].Params = asJSON(history.ClockParameters{Said: h})
		for i := range r.Log.Events {
			ev := &r.Log.Events[i]
			switch {
			case ev.Fault != nil:
				ev.Fault.Limits = append(ev.Fault.Limits, h)
				for k := range ev.Fault.Effects {
					e := &ev.Fault.Effects[k]
					e.Kind, e.Evidence.Summary, e.Error = h, h, h
					for n := range e.Evidence.Measures {
						e.Evidence.Measures[n].Unit = h
					}
				}
			case ev.Type == history.Stall:
				r.Log.Events = append(r.Log.Events, history.Event{Type: history.Stall, Value: json.RawMessage(h)})
			}
		}
		r.Log.Events = append(r.Log.Events, history.Event{Type: history.BeliefChange, Key: h, F: "enter", Value: json.RawMessage(h)},
			history.Event{Type: history.FaultChange, Fault: &history.Fault{ID: 9, Kind: h, Stage: history.Active, Limits: []string{h}}})
		r.Log.Operations[1].Output, r.Log.Operations[2].Input, r.Log.Operations[3].F = json.RawMessage(h), json.RawMessage(h), h
		v := &r.Verdict
		v.Claim = hostileClaim(h)
		v.Sentence, v.Assumptions = h, []checker.Assumption{{Name: h, Text: h, Why: h, Exceeded: true}}
		v.Faults[0].Evidence, v.Faults[0].Step.Target = h, h
		told := func(f *checker.Anomaly) {
			f.Sentence, f.Rule, f.State = h, h, h
			for k := range f.Proof {
				f.Proof[k].Text = h
			}
			for k := range f.Core {
				f.Core[k].Error = h
			}
		}
		for i := range v.Results {
			c := &v.Results[i]
			c.Summary = h
			for j := range c.Anomalies {
				told(&c.Anomalies[j])
			}
			var d lease.Details
			if c.Checker == "lease" && json.Unmarshal(c.Details, &d) == nil && d.Believed != nil {
				told(d.Believed)
				c.Details = asJSON(d)
			}
			var l liveness.Details
			if c.Checker == "liveness" && json.Unmarshal(c.Details, &l) == nil {
				for k := range l.Properties {
					l.Properties[k].Name, l.Properties[k].Where = h, h
				}
				c.Details = asJSON(l)
			}
		}
		return r
	}
}

// poisons are all runs that want to do harm.
func poisons() map[string]func(testing.TB, string) *Run {
	return map[string]func(testing.TB, string) *Run{"register": poison, "lease": poisonHolders("lease"), "lock": poisonHolders("lock"), "exceeded": poisonHolders("exceeded")}
}

func rendered(t testing.TB, r *Run) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := r.Page(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// elements lists the distinct elements of a page with their attributes' names,
// and those values that a browser would act on.
func elements(t testing.TB, text []byte) map[string]bool {
	t.Helper()
	z := html.NewTokenizer(bytes.NewReader(text))
	found := map[string]bool{}
	for {
		switch z.Next() {
		case html.ErrorToken:
			if z.Err() != io.EOF {
				t.Fatal(z.Err())
			}
			return found
		case html.StartTagToken, html.SelfClosingTagToken:
			tok := z.Token()
			var names []string
			for _, a := range tok.Attr {
				name := a.Key
				switch a.Key {
				case "class": // only ever words of ours
					name += "=" + a.Val
				case "href":
					name += "=" + regexp.MustCompile(`\d+`).ReplaceAllString(strings.SplitN(a.Val, ",", 2)[0], "N")
				}
				names = append(names, name)
			}
			sort.Strings(names)
			found[tok.Data+" "+strings.Join(names, " ")] = true
		case html.CommentToken:
			found["comment"] = true
		}
	}
}

func TestHostileTextMakesNoMarkup(t *testing.T) {
	for name, poison := range poisons() {
		tame, wild := poison(t, "tame"), poison(t, hostile("http://127.0.0.1:9"))
		want, got := elements(t, rendered(t, tame)), elements(t, rendered(t, wild))
		for e := range got {
			if !want[e] {
				t.Errorf("%s: hostile text made %q", name, e)
			}
		}
		for _, class := range map[string][]string{"lease": {"story holders", "hold must", "core bad"}, "lock": {"story holders", "core bad"}, "exceeded": {"card beyond", "story holders", "clockcurve"}}[name] {
			if !bytes.Contains(rendered(t, wild), []byte(`class="`+class+`"`)) {
				t.Errorf("%s: the poisoned page has no %s", name, class)
			}
		}
		if len(got) < 40 {
			t.Errorf("%s: only %d kinds of element were compared; the page is not what this test thinks", name, len(got))
		}
	}
}

func TestHiddenCharactersAreShown(t *testing.T) {
	for name, poison := range poisons() {
		t.Run(name, func(t *testing.T) { nothingHidden(t, poison(t, hostile("http://127.0.0.1:9"))) })
	}
}

func nothingHidden(t *testing.T, r *Run) {
	xmlText, err := r.JUnit()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		// As a reader's program sees them: a character reference hides just as well.
		"page": html.UnescapeString(string(rendered(t, r))), "text": r.Text(80), "junit": html.UnescapeString(string(xmlText)),
	} {
		for i, line := range strings.Split(text, "\n") {
			if shown := visible.Block(line); shown != line {
				at := strings.IndexFunc(line, func(c rune) bool { return !unicode.IsGraphic(c) && c != '\t' })
				t.Fatalf("%s, line %d holds hidden characters: %q", name, i+1, line[max(at-60, 0):min(max(at, 0)+60, len(line))])
			}
		}
		if !strings.Contains(text, "⟨U+202E⟩") || !strings.Contains(text, "⟨U+001B⟩") {
			t.Errorf("%s does not show what was hidden", name)
		}
	}
	var parsed junit.Suites
	if err := xml.Unmarshal(xmlText, &parsed); err != nil {
		t.Errorf("junit.xml is not XML: %v", err)
	}
	whole := parsed.Suites[0].Cases[0]
	if trouble := cmp.Or(whole.Failure, whole.Error); !strings.Contains(trouble.Message, "<script>") {
		t.Error("junit.xml lost the message")
	}
}

// The page's own script keeps the discipline that the policy enforces only in
// some browsers, and neither it nor the template has styles or handlers inline.
func TestAssetsTurnNoTextIntoCode(t *testing.T) {
	banned := regexp.MustCompile(`(?i)innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setAttribute\(|srcdoc|https?://|import\(|createContextualFragment|DOMParser`)
	inline := regexp.MustCompile(`(?i)\sstyle\s*=|\son[a-z]+\s*=|javascript:`)
	for _, name := range []string{"page.html", "report.css", "report.js"} {
		text, err := assets.ReadFile("assets/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if hit := banned.Find(text); hit != nil {
			t.Errorf("%s uses %q", name, hit)
		}
		if name == "page.html" {
			if hit := inline.Find(text); hit != nil {
				t.Errorf("%s uses %q", name, hit)
			}
		}
		if bytes.Contains(bytes.ToLower(text), []byte("</script")) && name != "page.html" {
			t.Errorf("%s would end its own element", name)
		}
	}
	js, _ := assets.ReadFile("assets/report.js")
	css, _ := assets.ReadFile("assets/report.css")
	if n := len(js) + len(css); n > 60<<10 {
		t.Errorf("script and style are %d bytes, more than 60 KiB", n)
	}
}

// chromium runs a page headless and returns the document as it stands after the
// scripts ran, and what the browser complained about.
func chromium(t *testing.T, path string) (dom, log string) {
	t.Helper()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium is installed, so no browser can be asked what it makes of the page")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(),
		"--enable-logging=stderr", "--dump-dom", "file://"+path)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		t.Skipf("chromium does not run here: %v: %s", err, lastLine(errs.String()))
	}
	return out.String(), errs.String()
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

func TestBrowserExecutesNoHostileText(t *testing.T) {
	if testing.Short() {
		t.Skip("starting a browser takes seconds")
	}
	var requests atomic.Int32
	home := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer home.Close()
	for name, poison := range poisons() {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "report.html")
			if err := os.WriteFile(path, rendered(t, poison(t, hostile(home.URL))), 0o644); err != nil {
				t.Fatal(err)
			}
			dom, log := chromium(t, path)
			harmless(t, dom, log)
		})
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("the pages made %d requests", n)
	}
}

// harmless looks at what a browser made of a page.
func harmless(t *testing.T, dom, log string) {
	doc, err := html.Parse(strings.NewReader(dom))
	if err != nil {
		t.Fatal(err)
	}
	policy, ran := false, false
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "data-pwned" {
				t.Errorf("payload %s was executed", a.Val)
			}
			if a.Key == "http-equiv" && a.Val == "Content-Security-Policy" {
				policy = true
			}
		}
		if n.Type == html.ElementNode && n.Data == "button" {
			ran = true
			for _, a := range n.Attr {
				if a.Key == "hidden" {
					ran = false
				}
			}
		}
	}
	if !policy {
		t.Error("the page has no content policy")
	}
	if !ran {
		t.Error("the page's own script did not run, so this test proves nothing")
	}
	for _, line := range strings.Split(log, "\n") {
		if strings.Contains(line, "CONSOLE") {
			t.Errorf("the browser complains: %s", line)
		}
	}
}

// The proof that the test above can fail: the same payloads, unescaped and
// without a policy, do run.
func TestHostileTextWouldExecuteUnescaped(t *testing.T) {
	if testing.Short() {
		t.Skip("starting a browser takes seconds")
	}
	var requests atomic.Int32
	home := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer home.Close()
	path := filepath.Join(t.TempDir(), "naive.html")
	if err := os.WriteFile(path, fmt.Appendf(nil, "<!doctype html><body>%s", strings.Split(hostile(home.URL), "'-alert")[0]), 0o644); err != nil {
		t.Fatal(err)
	}
	dom, _ := chromium(t, path)
	if !strings.Contains(dom, "data-pwned") || requests.Load() == 0 {
		t.Error("the payloads do nothing even where nothing stops them")
	}
}

// hostileClaim says h wherever a claim has words.
func hostileClaim(h string) history.Claim {
	m := history.Model(h)
	return history.Claim{Model: m, Origin: history.AskedFor, Documented: m, Rules: []history.Model{m},
		Assumptions: []history.Assumption{{Name: h, Text: h}}, Sources: []history.Source{{Sentence: h, Address: h}, {Sentence: h, Address: h, Rules: true}}}
}
