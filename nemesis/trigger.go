package nemesis

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"nemesis/history"
)

// A step with When waits for something to happen from its moment on, for up to half of its hold, and strikes then. It is healed when the plan
// has it, so it holds for at least half as long. What does not happen in time is told: the step is not injected.

// Trigger is what a step waits for, one of several things.
type Trigger struct {
	// Leader: another node leads, or none did before.
	Leader bool
	// Operations that clients complete, whatever their outcome; 0 for none.
	Operations int64
	// Healed: the fault before it has healed.
	Healed bool
	// Call is sync or write: a main server is about to make the Count-th such call, of files that match Path as faultfs.Rule has it; or with
	// After has made it and has no answer yet. The call is held until the step is in force.
	Call  string
	After bool
	Path  string
	// Line is a regular expression for a line of a main server's log, the Count-th that matches.
	Line string
	// Count is for calls and lines, counted from 1 since the step's moment.
	Count int64
	// On says whose calls and lines: a role, follower, a node, or any; "" is those whom the step is aimed at.
	On string
}

// How triggers are written: leader-change, healed, 500ops, and with conditions after slashes those with a count, such as
// sync:5/on=leader/path=*.wal and log:2/on=any/line=elected leader.
const (
	leaderChange   = "leader-change"
	healedBefore   = "healed"
	operationsUnit = "ops"
	logLine        = "log"
	mostOperations = 1e12

	onAny      = "any"
	onFollower = "follower"

	triggerForms = "leader-change, healed, a number of operations such as 500ops, a call such as sync:5/path=*.wal or write:100/on=leader, or a line of a log such as log/line=elected leader"
)

// callOps are the calls that triggers tell apart, and the operations of a disk that each is.
func callOps(call string) []string {
	switch call {
	case "sync":
		return []string{"sync", "syncdir"}
	case "write":
		return []string{"write"}
	}
	return nil
}

// ParseTrigger reads a trigger. The error is a clause.
func ParseTrigger(text string) (Trigger, error) {
	switch text {
	case leaderChange:
		return Trigger{Leader: true}, nil
	case healedBefore:
		return Trigger{Healed: true}, nil
	}
	if digits, is := strings.CutSuffix(text, operationsUnit); is {
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil && n >= 1 && n <= mostOperations {
			return Trigger{Operations: n}, nil
		}
	}
	head, rest, _ := strings.Cut(text, "/")
	kind, digits, counted := strings.Cut(head, ":")
	t := Trigger{Count: 1}
	if counted {
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 1 || n > mostOperations {
			return Trigger{}, fmt.Errorf("%q is not a number of calls or lines", digits)
		}
		t.Count = n
	}
	switch {
	case kind == logLine:
	case callOps(kind) != nil:
		t.Call = kind
	default:
		return Trigger{}, fmt.Errorf("%q is nothing to wait for; give %s", text, triggerForms)
	}
	for rest != "" {
		// A path and a line may have slashes in them, so they come last.
		if last, is := strings.CutPrefix(rest, "path="); is && t.Call != "" {
			t.Path, rest = last, ""
			break
		}
		if last, is := strings.CutPrefix(rest, "line="); is && t.Call == "" {
			t.Line, rest = last, ""
			break
		}
		var condition string
		condition, rest, _ = strings.Cut(rest, "/")
		on, is := strings.CutPrefix(condition, "on=")
		switch {
		case is && on != "":
			t.On = on
		case condition == "after" && t.Call != "":
			t.After = true
		default:
			return Trigger{}, fmt.Errorf("%q is no condition of %s; give %s", condition, kind, triggerForms)
		}
	}
	return t, t.check()
}

func (t Trigger) check() error {
	if t.Call == "" && t.Line == "" {
		return errors.New("it does not say which line of the log; give log/line= and a regular expression")
	}
	if _, err := path.Match(t.Path, ""); err != nil {
		return fmt.Errorf("%q is no pattern of paths", t.Path)
	}
	if _, err := regexp.Compile(t.Line); err != nil {
		return fmt.Errorf("%q is no regular expression", t.Line)
	}
	return nil
}

// String is a clause: "another node leads".
func (t Trigger) String() string {
	switch {
	case t.Leader:
		return "another node leads"
	case t.Healed:
		return "the fault before it has healed"
	case t.Operations > 0:
		return fmt.Sprintf("clients have completed %d operations more", t.Operations)
	}
	whose := map[string]string{"": "a server that it is aimed at", onAny: "any server", onFollower: "a follower"}[t.On]
	if role, is := roleOf(t.On); is {
		whose = role.server
	} else if whose == "" {
		whose = "the server on " + t.On
	}
	if t.Call == "" {
		return fmt.Sprintf("%s has logged %q (line %d of those)", whose, t.Line, t.Count)
	}
	files := ""
	if t.Path != "" {
		files = " of " + t.Path
	}
	if t.After {
		return fmt.Sprintf("%s has made %s %d%s and has no answer yet", whose, t.Call, t.Count, files)
	}
	return fmt.Sprintf("%s is about to make %s %d%s", whose, t.Call, t.Count, files)
}

// checkTrigger says why a step cannot wait for what it says; nil for one that waits for nothing.
func checkTrigger(step *history.Step, opt Options) error {
	if step.When == "" {
		return nil
	}
	t, err := ParseTrigger(step.When)
	if err != nil {
		return err
	}
	role, isRole := roleOf(t.On)
	switch {
	case (t.Leader || role.leads || t.On == onFollower) && opt.Leaderless:
		return errors.New("no node leads in this system, so none can begin to")
	case role.leases && !opt.Leases && len(opt.Nodes) > 0: // of a plan's steps it shows when they fire
		return fmt.Errorf("no node plays %s where there are no leases", t.On)
	case t.Healed && step.While != 0:
		return errors.New("it strikes while another is in force, which has not healed then; let it wait for something else")
	case len(opt.Nodes) > 0 && t.On != "" && t.On != onAny && t.On != onFollower && !isRole && !slices.Contains(opt.Nodes, t.On):
		return fmt.Errorf("%q is neither a node of this cluster nor a role", t.On)
	}
	return nil
}

// WaitsForCalls reports whether a step waits for calls of a server, which takes a disk of ours below its data.
func WaitsForCalls(steps []history.Step) bool {
	return slices.ContainsFunc(steps, func(step history.Step) bool {
		t, err := ParseTrigger(step.When)
		return err == nil && t.Call != ""
	})
}

// triggered waits for what a step waits for, for up to half of its hold. why says what happened, or why it did not come. release lets go of
// what was held for it, and may be called more than once.
func (in *Injector) triggered(ctx context.Context, step history.Step) (why string, release func(), err error) {
	release = func() {}
	if step.When == "" {
		return "", release, nil
	}
	t, err := ParseTrigger(step.When)
	if err != nil {
		return "", release, fmt.Errorf("resolve step %d: %w", step.ID, err)
	}
	if t.Healed {
		if in.healed == 0 {
			return "", release, errors.New("the fault before it was not injected, so it did not heal")
		}
		return fmt.Sprintf("fault %d had healed", in.healed), release, nil
	}
	patience := time.Duration(step.Hold) / 2
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var nodes []string
	if t.Call != "" || t.Line != "" {
		if nodes, err = in.watched(within, step, t); err != nil {
			return "", release, err
		}
	}
	switch {
	case t.Call != "":
		why, release, err = in.awaitCall(within, step, t, nodes)
	case in.Happens == nil:
		return "", release, fmt.Errorf("resolve step %d: nobody tells when %s", step.ID, t)
	default:
		why, err = in.Happens(within, t, nodes)
	}
	switch {
	case err == nil:
		return why, release, nil
	case ctx.Err() != nil:
		return "", release, fmt.Errorf("the run ended before %s", t)
	case within.Err() == nil:
		return "", release, fmt.Errorf("nobody can tell when %s: %w", t, err)
	}
	return "", release, fmt.Errorf("within %s of its time it did not happen that %s", patience, t)
}

// watched are the nodes whose servers' calls or logs a step waits for.
func (in *Injector) watched(ctx context.Context, step history.Step, t Trigger) ([]string, error) {
	all := in.names()
	_, isRole := roleOf(t.On)
	switch {
	case t.On == "" && symbolic(step), t.On == onFollower, isRole:
		role := t.On
		if t.On == "" {
			role = step.Target
		} else if t.On == onFollower {
			role = "leader"
		}
		node, err := in.who(ctx, role)
		if err != nil {
			return nil, err
		}
		if t.On == onFollower {
			return slices.DeleteFunc(all, func(n string) bool { return n == node }), nil
		}
		return []string{node}, nil
	case t.On == "" && len(step.Nodes) > 0:
		return step.Nodes, nil
	case t.On == "" || t.On == onAny:
		return all, nil
	case !slices.Contains(all, t.On):
		return nil, fmt.Errorf("resolve step %d: %q is not a node of this cluster", step.ID, t.On)
	}
	return []string{t.On}, nil
}
