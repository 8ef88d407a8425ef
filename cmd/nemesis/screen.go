package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"nemesis/history"
	"nemesis/reports/visible"
	"nemesis/run"
)

// presentation is how the user wants to see a run, and what becomes of it after.
type presentation struct {
	Out         string
	JSON, Quiet bool
	Keep        bool
	AgentBinary string
}

func (p *presentation) register(flags *pflag.FlagSet) {
	flags.StringVar(&p.Out, "out", defaultStore, "directory for run directories")
	flags.BoolVar(&p.JSON, "json", false, "print one JSON object a line for everything that happens")
	flags.BoolVar(&p.Quiet, "quiet", false, "print the verdict only")
	flags.BoolVar(&p.Keep, "keep", false, "leave the servers running (a local cluster stays until Ctrl-C)")
	flags.StringVar(&p.AgentBinary, "agent-binary", "", "nemesis executable for the nodes, when theirs is another architecture")
}

// screen shows a run while it goes on. It is safe for concurrent use.
type screen struct {
	presentation
	w        io.Writer
	terminal bool
	mu       sync.Mutex
	live     bool // a status line stands on the terminal
	lastLine time.Time
}

// plainStatusEvery is how often a log file or a pipe gets a status line.
const plainStatusEvery = 5 * time.Second

func newScreen(w io.Writer, p presentation) *screen {
	f, isFile := w.(interface{ Fd() uintptr })
	return &screen{presentation: p, w: w, terminal: isFile && term.IsTerminal(int(f.Fd()))}
}

func (s *screen) started(dir history.Dir) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.JSON:
		s.encode(run.Progress{Action: "directory", Directory: string(dir)})
	case !s.Quiet:
		s.line("writing to " + string(dir))
	}
}

// show tells one step of the run.
func (s *screen) show(p run.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.JSON {
		s.encode(p)
		return
	}
	if s.Quiet {
		return
	}
	at := fmt.Sprintf("%7.2fs  ", float64(p.Time)/1e9)
	switch p.Action {
	case "status":
		s.status(at, p.Status)
	case "phase":
		if p.Phase != history.PhaseDone {
			s.line(at + p.Phase)
		}
	case "fault":
		if text := faultLine(p.Fault); text != "" {
			s.line(at + text)
		}
	case "leader":
		s.line(at + leadersLine(p.Leaders))
	case "exit":
		if !p.Exit.Expected {
			s.line(fmt.Sprintf("%s%s on %s exited by itself: code %d %s", at, p.Exit.Server, p.Node, p.Exit.Code, p.Exit.Signal))
		}
	case "restart":
		why := p.Restart.LastWords
		if p.Restart.Waited > 0 {
			why = "it runs and " + p.Restart.Unready
		}
		s.line(fmt.Sprintf("%s%s on %s does not come up again: %s", at, p.Restart.Server, p.Node, why))
	case "trouble":
		s.line(at + "trouble: " + p.Message)
	case "note":
		s.line(at + p.Message)
	}
}

// leadersLine says who leads what, and of nodes that claim the same that they do.
func leadersLine(leads []history.Lead) string {
	if len(leads) == 0 {
		return "nobody leads"
	}
	var clauses []string
	for _, l := range leads {
		clause := l.Node + " leads"
		if l.Of != "" {
			clause += " " + l.Of
		}
		clauses = append(clauses, clause)
	}
	text := strings.Join(clauses, ", ")
	if len(history.Rivals(leads)) > 0 {
		text += ": two of them claim the same"
	}
	return text
}

func faultLine(f *history.Fault) string {
	problem := ""
	if f.Error != "" {
		problem = ": " + f.Error
	}
	switch f.Stage {
	case history.Active:
		return fmt.Sprintf("fault %d: %s%s", f.ID, f.Description, problem)
	case history.Healed:
		if f.Confirmed {
			return fmt.Sprintf("fault %d healed", f.ID)
		}
		return fmt.Sprintf("fault %d healed, but nothing shows that it was%s", f.ID, problem)
	}
	return ""
}

func (s *screen) status(at string, st *run.Status) {
	text := fmt.Sprintf("%s%.0fs left  %.0f ops/s  %d ok  %d fail  %d info", at,
		time.Duration(st.Left).Seconds(), st.Rate, st.Completions[0], st.Completions[1], st.Completions[2])
	if len(st.Faults) > 0 {
		text += "  in force: " + strings.Join(st.Faults, "; ")
	}
	if s.terminal {
		fmt.Fprintf(s.w, "\r\x1b[K%s", cut(visible.Text(text), terminalWidth()-1))
		s.live = true
		return
	}
	if time.Since(s.lastLine) >= plainStatusEvery {
		s.lastLine = time.Now()
		s.line(text)
	}
}

func (s *screen) line(text string) {
	if s.live {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.live = false
	}
	fmt.Fprintln(s.w, visible.Text(text))
}

func (s *screen) encode(p run.Progress) {
	if line, err := json.Marshal(p); err == nil {
		s.w.Write(append(line, '\n'))
	}
}

// end leaves the status line behind.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.live = false
	}
}

func cut(s string, width int) string {
	if r := []rune(s); len(r) > width {
		return string(r[:width])
	}
	return s
}

func terminalWidth() int {
	if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && width >= 40 {
		return width
	}
	return 100
}
