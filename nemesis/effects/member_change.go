package effects

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// MemberKind is Member's kind.
const MemberKind = "member.change"

// memberTime bounds one command of a Member.
const memberTime = 10 * time.Second

// Member takes the node's server out of its cluster. Undoing it wipes the server's data and lets the cluster take it in again as a
// new, empty member; with Replace that is done at once, while it is applied.
//
// The change is the cluster's, and each node's agent makes it for its own server, by a command that speaks the system's
// protocol to the other servers. So the ledger of that node holds all that is needed to undo it, also when the control
// process is gone: the agent undoes it like any effect, as long as the other servers can decide.
type Member struct {
	ID string `json:"id"`
	// Process is the supervised process's name.
	Process string `json:"process"`
	// Command asks the other servers: "list", "remove" and "add" follow it, with the flags --id and --address. It answers with a
	// line of JSON: of list {"members":[{"id":…,"address":…}]}, of add {"arguments":[…]}, which are added to Argv.
	Command []string `json:"command"`
	// Address is where the other servers reach this one, as list has it.
	Address string `json:"address"`
	// NewID is the ID under which it is added; "" where the cluster gives it one.
	NewID string `json:"newId,omitempty"`
	// Argv is how the new member is started, without its arguments from add. First: it is started before it is added.
	Argv  []string `json:"argv"`
	First bool     `json:"first,omitempty"`
	// Data are the directories that are wiped, relative to the agent's.
	Data []string `json:"data"`
	// Replace: it is added again at once.
	Replace bool `json:"replace,omitempty"`
}

// belongs is one member of a list.
type belongs struct {
	ID      string `json:"id"`
	Address string `json:"address"`
}

// memberNote is what was there before.
type memberNote struct {
	// Was is the ID of the member that is taken out, Members how many there were with it.
	Was     string `json:"was"`
	Members int    `json:"members"`
	// Started: a server is started in its place, as an empty one.
	Started bool `json:"started,omitempty"`
}

// Kind is MemberKind.
func (m *Member) Kind() string { return MemberKind }

// String is the effect in one line.
func (m *Member) String() string {
	if m.Replace {
		return fmt.Sprintf("%s: %s replaced", m.ID, m.Address)
	}
	return fmt.Sprintf("%s: %s removed", m.ID, m.Address)
}

func (m *Member) by() string { return MemberKind + " " + m.ID }

// Check passes: what it takes is the system's to have.
func (m *Member) Check(*agent.Host) error { return nil }

// Apply removes the member. It notes which one that is before it asks, since a removal that nobody answers may happen later.
func (m *Member) Apply(h *agent.Host) error {
	if err := m.check(); err != nil {
		return err
	}
	note, n := noteOf(h, MemberKind, m.ID), memberNote{}
	there, err := note.read(&n)
	if err != nil {
		return err
	}
	if !there {
		members, err := m.members()
		if err != nil {
			return err
		}
		own := m.own(members)
		if own == nil {
			return fmt.Errorf("%s %s: %s is no member of its cluster (%s)", MemberKind, m.ID, m.Address, addresses(members))
		}
		n = memberNote{Was: own.ID, Members: len(members)}
		if err := note.write(n); err != nil {
			return err
		}
	}
	h.Processes.Expect(m.Process) // some end when they are removed
	if err := m.remove(n.Was); err != nil || !m.Replace {
		return err
	}
	return m.join(h, note, n)
}

// Undo adds it again, unless it was never removed or is there already.
func (m *Member) Undo(h *agent.Host) error {
	note, n := noteOf(h, MemberKind, m.ID), memberNote{}
	there, err := note.read(&n)
	if err != nil || !there {
		return err
	}
	// What was asked for and not answered may yet happen: it is done first.
	if err := m.remove(n.Was); err != nil {
		return err
	}
	if err := m.join(h, note, n); err != nil {
		return err
	}
	return note.remove()
}

// join lets the cluster take in an empty server, unless it has and the server runs.
func (m *Member) join(h *agent.Host, note note, n memberNote) error {
	state, err := h.Processes.State(m.Process)
	if err != nil {
		return err
	}
	members, err := m.members()
	if err != nil {
		return err
	}
	own := m.own(members)
	runs := state.State == agent.Running || state.State == agent.Paused
	if own != nil && n.Started && runs {
		return nil
	}
	start := func(arguments ...string) error {
		argv := append(slices.Clone(m.Argv), arguments...)
		return h.Processes.Replace(m.Process, m.by(), argv, func() error {
			// Not while the server of before may write, and never what the new member has written: so that is noted first.
			if n.Started {
				return nil
			}
			if err := m.wipe(h); err != nil {
				return err
			}
			n.Started = true
			return note.write(n)
		})
	}
	if m.First && !(n.Started && runs) {
		if err := start(); err != nil {
			return err
		}
	}
	var added struct {
		Arguments []string `json:"arguments"`
	}
	if err := m.run(&added, "add", "--id", m.NewID, "--address", m.Address); err != nil || m.First {
		return err
	}
	return start(added.Arguments...)
}

// wipe removes what the server of before kept.
func (m *Member) wipe(h *agent.Host) error {
	root, err := os.OpenRoot(h.Dir)
	if err != nil {
		return fmt.Errorf("wipe the data of %s: %w", m.Process, err)
	}
	defer root.Close()
	for _, dir := range m.Data {
		// The directory itself may be where something is mounted, and stays.
		opened, err := root.Open(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var names []string
		if err == nil {
			names, err = opened.Readdirnames(-1)
			opened.Close()
		}
		for _, name := range names {
			if err == nil {
				err = root.RemoveAll(path.Join(dir, name))
			}
		}
		if err != nil {
			return fmt.Errorf("wipe the data of %s: %w", m.Process, err)
		}
	}
	return nil
}

// Probe asks the servers who belongs to their cluster.
func (m *Member) Probe(h *agent.Host) (history.Evidence, error) {
	var n memberNote
	there, err := noteOf(h, MemberKind, m.ID).read(&n)
	if err != nil {
		return history.Evidence{}, err
	}
	state, err := h.Processes.State(m.Process)
	if err != nil {
		return history.Evidence{}, err
	}
	members, err := m.members()
	if err != nil {
		return history.Evidence{}, err
	}
	own := m.own(members)
	runs := state.State == agent.Running || state.State == agent.Paused
	e := history.Evidence{Measures: []history.Measure{
		{Name: "members", Value: float64(len(members))}, {Name: "pid", Value: float64(state.PID)},
	}}
	if there {
		e.Measures = append(e.Measures, history.Measure{Name: "members before", Value: float64(n.Members)})
	}
	now := fmt.Sprintf("the servers tell of %d members: %s", len(members), addresses(members))
	switch inForce := h.InForce(m); {
	case inForce && !there:
		e.Summary = "it was not done; " + now
	case inForce && m.Replace:
		e.Confirmed = own != nil && own.ID != n.Was && runs
		e.Summary = fmt.Sprintf("member %s was replaced by %s; %s", n.Was, memberID(own), now)
	case inForce:
		e.Confirmed, e.Undone = own == nil, own != nil && own.ID != n.Was
		e.Summary = fmt.Sprintf("member %s is out, of %d before; %s; its server is %s", n.Was, n.Members, now, state.State)
		if own != nil {
			e.Summary = fmt.Sprintf("%s is a member, %s; %s", m.Address, own.ID, now)
		}
	default:
		e.Confirmed = own != nil && (runs || h.Processes.Held(m.Process))
		e.Summary = fmt.Sprintf("it is member %s and its server is %s; %s", memberID(own), state.State, now)
	}
	return e, nil
}

func memberID(m *belongs) string {
	if m == nil {
		return "none"
	}
	return m.ID
}

// check refuses an effect that could not be undone.
func (m *Member) check() error {
	if err := checkID(MemberKind, m.ID); err != nil {
		return err
	}
	if len(m.Command) == 0 || len(m.Argv) == 0 || m.Address == "" || len(m.Data) == 0 {
		return fmt.Errorf("%s %s: it needs a command, a server's arguments, an address and directories", MemberKind, m.ID)
	}
	return nil
}

func (m *Member) own(members []belongs) *belongs {
	i := slices.IndexFunc(members, func(b belongs) bool { return b.Address == m.Address })
	if i < 0 {
		return nil
	}
	return &members[i]
}

func (m *Member) members() ([]belongs, error) {
	var list struct {
		Members []belongs `json:"members"`
	}
	err := m.run(&list, "list")
	if err == nil && len(list.Members) == 0 {
		err = errors.New("list the cluster's members: there are none")
	}
	return list.Members, err
}

// remove takes the member out; one that is out already stays so.
func (m *Member) remove(id string) error {
	return m.run(nil, "remove", "--id", id)
}

// run asks the other servers by the system's command.
func (m *Member) run(answer any, arguments ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), memberTime)
	defer cancel()
	argv := append(slices.Clone(m.Command), arguments...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = time.Second
	var said, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &complaint
	err := cmd.Run()
	switch text := strings.TrimSpace(complaint.String()); {
	case ctx.Err() != nil:
		return fmt.Errorf("%s a member: no answer within %s", arguments[0], memberTime)
	case err != nil && text != "":
		return fmt.Errorf("%s a member: %s", arguments[0], text)
	case err != nil:
		return fmt.Errorf("%s a member: %w", arguments[0], err)
	case answer == nil:
		return nil
	}
	if err := json.Unmarshal(said.Bytes(), answer); err != nil {
		return fmt.Errorf("%s a member: its answer cannot be read: %w", arguments[0], err)
	}
	return nil
}

func addresses(members []belongs) string {
	var all []string
	for _, m := range members {
		all = append(all, m.Address)
	}
	return strings.Join(all, " ")
}
