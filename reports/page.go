package reports

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"path/filepath"
	"sort"
	"strings"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/columns"
	"nemesis/reports/visible"
)

//go:embed assets/page.html assets/report.css assets/report.js
var assets embed.FS

// page is what the template shows. Every string in it is already visible text;
// html/template escapes it; template.HTML comes from drawing alone.
type page struct {
	Policy                        string
	Style                         template.CSS
	Script                        template.JS
	Icon                          template.URL
	Class                         string
	Word, Mark, Meaning, Sentence string
	Run, Subject, Facts           string
	Text                          string
	Options                       string
	Beside                        []string // the sentence: the verdict's notes
	Reasons                       []string
	HeldTo                        string
	Claimed                       []string
	Allowed                       []allowed
	Assumptions                   []assumption
	Findings                      []findingCard
	MoreFindings                  int
	FaultSentence                 string
	Faults                        []faultRow
	MoreFaults                    int
	Coverage                      []coverageItem
	Clocks                        []nodeClocks
	ClockFaults                   []clockFaultRow
	MoreClockFaults               int
	Limits                        []limit
	Believed                      *beside
	Promised                      []string
	Bounds                        []boundRow
	Excesses                      []excess
	MoreExcesses                  int
	Exceeded                      bool
	Timeline                      template.HTML
	Stalled                       bool
	Unread                        string
	Recovery                      recovery
	Checks                        []checkRow
	Nodes                         []nodeCard
	Notes                         []string
	Commands                      []command
	Tree, PlanJSON                string
	Environment                   [][2]string
	Data                          string
}

type assumption struct {
	Exceeded        bool
	Name, Text, Why string
}

type findingCard struct {
	N                        int
	Open                     bool
	Class, Claim, Key, Count string
	SameAsSentence           bool
	Holders                  bool    // drawn as lanes
	Beside                   *beside // who held the lock that was to prevent it
	Timeline                 []string
	Late                     bool // not in time, rather than impossible
	Picture, Cycle           template.HTML
	Core                     []coreRow
	Proof                    []proofRow
	Start, State, Culprit    string
	Meanwhile, Rule, HeldTo  string
	Text                     string
}

type coreRow struct {
	Bad                                          bool
	Mark, Client, Operation, When, Ending, Error string
}

// opRef points from a proof to a bar of the picture.
type opRef struct {
	N    int
	Mark string
}

type proofRow struct {
	Text string
	Refs []opRef
}

type faultRow struct {
	ID                                   int
	Intent, Nodes, When, Spread          string
	Asked, Injected, Confirmed, Restored bool
	Evidence, Error                      string
}

type checkRow struct {
	Name, Word, Mark, Class, Summary, Count, Took, Details string
}

type nodeCard struct {
	Name  string
	Facts string
	Exits []string
	More  int
	Logs  []excerpt
	// Packets is the path of its captured packets, from the run directory; "" for none.
	Packets string
	// Open: its server ended by itself, which somebody will want to look into.
	Open bool
}

// Most of each list that the page spells out, so that no run makes a page that
// a browser cannot lay out; what is left out is counted and is in verdict.json.
const (
	mostFindings = 20
	mostFaults   = 100
	mostNodes    = 64
	mostExits    = 20
	mostNotes    = 50
	detailsBytes = 64 << 10
)

// mostOperations is how many operations the page carries. Beyond it a browser
// would still draw them, but nobody could mail the file.
const mostOperations = 1_000_000

// Page writes report.html. It streams: apart from the log itself it holds one
// block of operations at a time.
func (r *Run) Page(w io.Writer) error {
	set, err := template.ParseFS(assets, "assets/page.html")
	if err != nil {
		return fmt.Errorf("read page template: %w", err)
	}
	p, err := r.page()
	if err != nil {
		return err
	}
	if err := set.ExecuteTemplate(w, "head", p); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	// The data stands after everything that a reader sees first.
	if err := r.writeData(w); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	if err := set.ExecuteTemplate(w, "tail", p); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// carried are the operations that the page carries: all of them, or when there
// are too many, those of the findings.
func (r *Run) carried() ([]history.Operation, string) {
	if r.Log == nil || len(r.Log.Operations) == 0 {
		return nil, "The page carries no operations."
	}
	if n := len(r.Log.Operations); n > mostOperations {
		var ops []history.Operation
		for _, f := range r.findings() {
			ops = append(ops, f.Core...)
			ops = append(ops, f.Around...)
		}
		sort.Slice(ops, func(i, j int) bool { return ops[i].Index < ops[j].Index })
		kept := ops[:0]
		for i, op := range ops {
			if (i == 0 || op.Index != ops[i-1].Index) && len(kept) < mostOperations {
				kept = append(kept, op)
			}
		}
		sort.SliceStable(kept, func(i, j int) bool { return kept[i].Call < kept[j].Call })
		return kept, fmt.Sprintf("The run has %s, more than a page can carry; it carries the %d around the findings. All are in %s.",
			count(n, "operation"), len(kept), history.HistoryFile)
	}
	return r.Log.Operations, fmt.Sprintf("The page carries all %s as binary columns.", count(len(r.Log.Operations), "operation"))
}

func (r *Run) writeData(w io.Writer) error {
	ops, _ := r.carried()
	enc := columns.NewEncoder()
	for at := 0; at < len(ops); at += columns.BlockSize {
		block := ops[at:min(at+columns.BlockSize, len(ops))]
		data, err := enc.Block(block)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "<script type=\"application/octet-stream\" class=\"ops\" data-n=\"%d\">", len(block)); err != nil {
			return err
		}
		b64 := base64.NewEncoder(base64.StdEncoding, w)
		if _, err := b64.Write(data); err != nil {
			return err
		}
		if err := b64.Close(); err != nil {
			return err
		}
		if _, err := io.WriteString(w, "</script>\n"); err != nil {
			return err
		}
	}
	// encoding/json writes <, > and & as escapes, so no string can end the script.
	meta, err := json.Marshal(enc.Meta())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "<script type=\"application/json\" id=\"meta\">%s</script>\n", meta)
	return err
}

func asset(name string) (string, string, error) {
	text, err := assets.ReadFile("assets/" + name)
	if err != nil {
		return "", "", fmt.Errorf("read page asset: %w", err)
	}
	sum := sha256.Sum256(text)
	return string(text), "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'", nil
}

func (r *Run) page() (*page, error) {
	style, styleHash, err := asset("report.css")
	if err != nil {
		return nil, err
	}
	script, scriptHash, err := asset("report.js")
	if err != nil {
		return nil, err
	}
	v := r.Verdict
	p := &page{
		Policy: "default-src 'none'; script-src " + scriptHash + "; style-src " + styleHash +
			"; img-src data:; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
		Style: template.CSS(style), Script: template.JS(script),
		Icon: favicon(v.Outcome), Class: outcomeClass(v.Outcome),
		Word: word(v.Outcome), Mark: icon(v.Outcome), Meaning: meaning(v.Outcome), Sentence: visible.Text(v.Sentence),
		Run: visible.Text(filepath.Base(r.Dir)), Subject: r.subject(), Options: r.options(), Facts: r.facts(),
		Text: r.Text(100), HeldTo: r.heldTo(), Claimed: r.claimed(), Allowed: r.allowed(),
		FaultSentence: r.faultSentence(), Coverage: r.coverage(),
		Commands: r.commands(), Tree: r.planTree(), Unread: visible.Text(r.Unread),
		Environment: r.environment(), Recovery: r.recovery(),
	}
	p.Reasons = r.reasons()
	for _, note := range v.Notes {
		p.Beside = append(p.Beside, visible.Text(note))
	}
	p.Believed, p.Promised, p.Bounds = r.believed(), promised(r.Plan), r.bounds()
	p.ClockFaults, p.MoreClockFaults, p.Limits = r.clockFaults()
	p.Excesses, p.MoreExcesses = r.excesses()
	p.Exceeded = v.Outcome == checker.Exceeded
	for _, a := range v.Assumptions {
		p.Assumptions = append(p.Assumptions, assumption{a.Exceeded, visible.Text(a.Name), visible.Text(a.Text), visible.Text(a.Why)})
	}
	_, p.Data = r.carried()
	r.addFindings(p)
	r.addFaults(p)
	r.addRun(p)
	for _, c := range v.Results {
		row := checkRow{Name: visible.Text(c.Checker), Word: word(c.Outcome), Mark: icon(c.Outcome), Class: outcomeClass(c.Outcome),
			Summary: visible.Text(c.Summary), Count: number(c.Operations), Took: formatDuration(c.Took)}
		if len(c.Details) > 0 {
			row.Details = indented(c.Details)
		}
		p.Checks = append(p.Checks, row)
	}
	plan, err := json.MarshalIndent(r.Plan, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write plan: %w", err)
	}
	p.PlanJSON = visible.Block(string(plan))
	return p, nil
}

func indented(raw json.RawMessage) string {
	if len(raw) > detailsBytes {
		return fmt.Sprintf("%s of details are in %s.", count(len(raw), "byte"), history.VerdictFile)
	}
	text, err := json.MarshalIndent(raw, "", "  ")
	if err != nil {
		return visible.Block(string(raw))
	}
	return visible.Block(string(text))
}

// facts are the figures beside the verdict.
func (r *Run) facts() string {
	v := r.Verdict
	var s []string
	if r.Log != nil {
		s = append(s, formatDuration(r.Log.End))
	}
	s = append(s, count(v.OK+v.Fail+v.Info, "operation"))
	if n := len(v.Faults); n > 0 {
		confirmed := 0
		for _, f := range v.Faults {
			if f.Injected >= 0 && f.Confirmed {
				confirmed++
			}
		}
		s = append(s, fmt.Sprintf("%d of %s confirmed", confirmed, count(n, "fault")))
	}
	return strings.Join(s, " · ")
}

func (r *Run) environment() [][2]string {
	v := r.Verdict
	var rows [][2]string
	for _, e := range [][2]string{
		{"run directory", r.Dir}, {"started", v.Start}, {"nemesis", v.Version}, {"control host", v.Host},
		{"cluster", r.Plan.Cluster.Spec}, {"options", r.options()}, {"binary", r.Plan.System.Binary},
	} {
		if e[1] != "" {
			rows = append(rows, [2]string{e[0], visible.Text(e[1])})
		}
	}
	return rows
}

func (r *Run) addFindings(p *page) {
	all := r.findings()
	for i, f := range all {
		if i == mostFindings {
			p.MoreFindings = len(all) - i
			break
		}
		from, to := window(f.Core)
		card := findingCard{
			N: i + 1, Open: i == 0, Class: visible.Text(f.Class), Claim: visible.Text(f.Sentence), Key: visible.Cap(f.Key, longValue),
			SameAsSentence: i == 0 && f.Sentence == r.Verdict.Sentence,
			Start:          start(f), State: visible.Cap(f.State, 4*longValue), Meanwhile: meanwhile(r.Verdict.Faults, from, to),
			Rule: visible.Text(f.Rule), HeldTo: r.heldToBy(f),
		}
		card.Late = late(f)
		if aboutHolders(f) {
			card.Picture, card.Holders = drawLeases(i+1, f, r.Verdict.Faults, r.Log), true
			for _, x := range leaseTimeline(f, r.Verdict.Faults) {
				card.Timeline = append(card.Timeline, formatTime(x.at)+"  "+x.text)
			}
		} else {
			card.Picture = story(i+1, f, r.Verdict.Faults, r.countOn(f.Key))
			card.Cycle = drawCycle(f)
			card.Beside = r.besideLoss(i+1, f)
		}
		if f.Count > 1 {
			card.Count = fmt.Sprintf("one of %s like it", number(f.Count))
		}
		for j, op := range f.Core {
			row := coreRow{Mark: numeral(j + 1), Bad: j == f.Unexplained, Client: client(op), Operation: operationText(op, longValue), When: interval(op), Ending: ending(op), Error: visible.Cap(op.Error, longValue)}
			if row.Bad {
				card.Culprit = fmt.Sprintf("%s, %s, %s", row.Client, row.Operation, row.When)
			}
			card.Core = append(card.Core, row)
		}
		for _, step := range f.Proof {
			row := proofRow{Text: visible.Text(step.Text)}
			for _, at := range step.Core {
				if at >= 0 && at < len(f.Core) {
					row.Refs = append(row.Refs, opRef{at + 1, numeral(at + 1)})
				}
			}
			card.Proof = append(card.Proof, row)
		}
		t := &text{width: 100}
		r.findingText(t, i, len(all))
		card.Text = t.b.String()
		p.Findings = append(p.Findings, card)
	}
}

// countOn counts the operations called on a key within a stretch of time.
func (r *Run) countOn(key string) func(from, to int64) int {
	return func(from, to int64) int {
		if r.Log == nil {
			return 0
		}
		ops := r.Log.Operations
		n := 0
		for i := sort.Search(len(ops), func(i int) bool { return ops[i].Call >= from }); i < len(ops) && ops[i].Call <= to; i++ {
			if ops[i].Key == key {
				n++
			}
		}
		return n
	}
}

func (r *Run) addFaults(p *page) {
	for i, f := range r.Verdict.Faults {
		if i == mostFaults {
			p.MoreFaults = len(r.Verdict.Faults) - i
			break
		}
		row := faultRow{ID: f.Step.ID, Intent: intent(f.Step), Nodes: nodeList(hit(f)), Asked: true, Injected: f.Injected >= 0,
			Confirmed: f.Injected >= 0 && f.Confirmed, Restored: f.Recovered,
			Evidence: visible.Cap(f.Evidence, 4*longValue), Error: visible.Cap(f.Error, 4*longValue)}
		if row.Injected {
			row.When = formatTime(f.Injected) + " – "
			if f.Healed >= 0 {
				row.When += formatTime(f.Healed)
			}
			if f.Spread > 0 {
				row.Spread = formatDuration(f.Spread)
			}
		} else {
			row.When = "planned at " + f.Step.At.String()
		}
		p.Faults = append(p.Faults, row)
	}
}

// addRun adds everything that is read off the history.
func (r *Run) addRun(p *page) {
	log := r.Log
	if log == nil {
		log = &history.Log{}
	}
	bins := bin(log.Operations, log.End)
	nodes := rowsOf(r.Plan, bins)
	shown := nodes[:min(len(nodes), mostNodes)]
	if r.Log != nil && (len(log.Operations) > 0 || len(log.Events) > 0) {
		t := &timeline{nodes: shown, faults: r.Verdict.Faults, findings: r.findings(), events: log.Events, outages: r.outages(), bins: bins}
		p.Timeline, p.Stalled = t.draw(), len(stalls(log.Events)) > 0
	}
	for _, ev := range log.Events {
		if (ev.Type == history.Note || ev.Type == history.Interrupt) && len(p.Notes) < mostNotes {
			p.Notes = append(p.Notes, formatTime(ev.Time)+"  "+visible.Cap(ev.Message, 4*longValue))
		}
	}
	for _, node := range shown {
		p.Nodes = append(p.Nodes, r.node(node, bins))
		if panels := clockPanels(node, log.Events, r.Verdict.Faults, bins.end); len(panels) > 0 {
			p.Clocks = append(p.Clocks, nodeClocks{visible.Cap(node, shortValue), panels})
		}
	}
}

func (r *Run) node(node string, bins *binned) nodeCard {
	c := nodeCard{Name: visible.Cap(node, shortValue)}
	var total outcomes
	for _, o := range bins.nodes[node] {
		total.ok, total.fail, total.info = total.ok+o.ok, total.fail+o.fail, total.info+o.info
	}
	facts := []string{fmt.Sprintf("%s asked of it (%s ok, %s fail, %s info)", count(int(total.all()), "operation"), number(int(total.ok)), number(int(total.fail)), number(int(total.info)))}
	if r.Log != nil {
		for _, ev := range r.Log.Events {
			switch {
			case ev.Type == history.ServerExit && ev.Node == node && ev.Exit != nil:
				c.Open = c.Open || !ev.Exit.Expected
				if len(c.Exits) < mostExits {
					c.Exits = append(c.Exits, exitWords(ev))
				} else {
					c.More++
				}
			}
		}
		if led := becameLeader(r.Log.Events, node); led > 0 {
			facts = append(facts, "became leader "+count(led, "time"))
		}
		if n := len(c.Exits) + c.More; n > 0 {
			facts = append(facts, count(n, "server exit"))
		}
	}
	instants := r.instantsOn(node, r.findings())
	for _, f := range r.Files {
		if f.Node == node {
			c.Logs = append(c.Logs, f.read(instants))
		}
	}
	c.Packets = r.packets(node)
	c.Facts = strings.Join(facts, " · ")
	return c
}

// favicon is a dot in the verdict's colour with its mark.
func favicon(o checker.Outcome) template.URL {
	color := map[checker.Outcome]string{
		checker.Valid: "#1a7f4b", checker.Violation: "#cf222e", checker.Unknown: "#7d3fb5",
		checker.Vacuous: "#6b7480", checker.Exceeded: "#b35900", checker.Harness: "#3d4650",
	}[o]
	if color == "" {
		color = "#3d4650"
	}
	svg := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="16" fill="%s"/><text x="16" y="23" font-size="20" text-anchor="middle" fill="#fff" font-family="sans-serif">%s</text></svg>`, color, icon(o))
	return template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(svg)))
}
