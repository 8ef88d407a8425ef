package nemesis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strconv"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/faultfs"
)

// powerLoss is what taking machines' power does to their servers, on nodes whose power
// nobody can take: all servers of a node are killed at once, and what they had not synced
// is gone, data and names of files alike (package faultfs). They start again when it heals.
type powerLoss struct{}

// loss are the parameters of its steps.
type loss struct {
	// Some: not all that was not synced is lost, but what Seed draws, in sectors.
	Some bool   `json:"some,omitempty"`
	Seed uint64 `json:"seed,omitempty"`
	// Recent: what is older had been written by the kernel, whether or not it was synced.
	Recent history.Duration `json:"recent,omitempty"`
	// Sync is the call of the main server, counted from 1, at which the power goes: before
	// it is made, or After it is made and before it is answered; 0 is at once. Path is a
	// pattern of its file.
	Sync  int64  `json:"sync,omitempty"`
	After bool   `json:"after,omitempty"`
	Path  string `json:"path,omitempty"`
}

// Info has the forms of power faults.
func (powerLoss) Info() Info {
	info := powerFault{}.Info()
	info.Name = "power-loss"
	for i := range info.Forms { // a server alone, without a leader, may lose it, too
		if info.Forms[i].Target == "one" {
			info.Forms[i].Least = 1
		}
	}
	info.Doc = "kill all servers of nodes at once, and lose what they had not synced (where FUSE can be mounted)"
	info.Special = info.Name + " puts a file system of nemesis below the servers' data, which needs FUSE on the nodes"
	info.Settings = []FaultSetting{{
		Setting: history.Setting{
			Name: info.Name,
			Doc:  "how power-loss strikes, a list to draw from: all or some of what was not synced, or what of it is recent, and at which sync, such as all,some,recent:1s,all@sync:5,some@sync:3/after/*.wal (default: all, some or recent:1s)",
		},
		Example: "all@sync:5",
		Check: func(value string, opt Options) error {
			if _, err := parseLosses(value); err != nil {
				return err
			}
			return usedBy(info.Name, "loses what was not synced", info.Name, opt)
		},
	}}
	return info
}

// Parameters deals losses, each with a seed of its own.
func (f powerLoss) Parameters(rng *rand.Rand, opt Options) (Dealer, error) {
	losses := []loss{{}, {Some: true}, {Recent: history.Duration(time.Second)}}
	if asked := opt.Settings[f.Info().Name]; asked != "" {
		var err error
		if losses, err = parseLosses(asked); err != nil {
			return nil, err
		}
	}
	cards := newDeck(rng, losses)
	return func(history.Step) any {
		l := cards.deal()
		if l.Some {
			l.Seed = uint64(rng.Uint32())
		}
		return l
	}, nil
}

// parseLosses reads the value of --power-loss.
func parseLosses(spec string) ([]loss, error) {
	var losses []loss
	for _, text := range strings.Split(spec, ",") {
		text = strings.TrimSpace(text)
		l, err := parseLoss(text)
		if err != nil {
			return nil, fmt.Errorf("read --power-loss: %q: %w", text, err)
		}
		losses = append(losses, l)
	}
	return losses, nil
}

func parseLoss(text string) (loss, error) {
	var l loss
	what, at, _ := strings.Cut(text, "@")
	recent, is := strings.CutPrefix(what, "recent:")
	if is {
		d, err := time.ParseDuration(recent)
		if err != nil || d <= 0 {
			return l, fmt.Errorf("%q is not a time such as 1s", recent)
		}
		l.Recent = history.Duration(d)
	}
	if !is && what != "all" && what != "some" {
		return l, fmt.Errorf("%q is not how much is lost: all, some or recent:1s", what)
	}
	l.Some = what == "some"
	if what == text {
		return l, l.check()
	}
	number, rest, _ := strings.Cut(at, "/")
	digits, is := strings.CutPrefix(number, "sync:")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !is || err != nil || n < 1 {
		return l, fmt.Errorf("%q is not the sync at which the power goes, such as sync:5", number)
	}
	l.Sync = n
	if rest == "after" || strings.HasPrefix(rest, "after/") {
		l.After = true
		rest = strings.TrimPrefix(strings.TrimPrefix(rest, "after"), "/")
	}
	l.Path = rest
	return l, l.check()
}

func (l loss) check() error {
	switch _, err := path.Match(l.Path, ""); {
	case err != nil:
		return fmt.Errorf("%q is no pattern of paths", l.Path)
	case l.Recent < 0 || time.Duration(l.Recent) > time.Minute:
		return errors.New("recent is up to a minute")
	case l.Sync < 0:
		return errors.New("syncs are counted from 1")
	case l.Sync == 0 && (l.After || l.Path != ""):
		return errors.New("it does not say at which sync")
	case !l.Some && l.Seed != 0:
		return errors.New("where all is lost nothing is drawn from a seed")
	}
	return nil
}

// Check refuses what cannot be.
func (powerLoss) Check(step history.Step) error {
	l, err := parametersOf[loss](step)
	if err == nil {
		err = l.check()
	}
	return err
}

// Needs is a disk of ours.
func (powerLoss) Needs(history.Step) Needs { return Needs{Effect: effects.PowerLossKind, Disk: true} }

// Sentence says whose servers lose power, and what is lost.
func (powerLoss) Sentence(step history.Step) string {
	l, err := parametersOf[loss](step)
	if err != nil {
		return "power-loss, which does not say what is lost"
	}
	role, _ := roleOf(step.Target)
	whose := strings.Join(step.Nodes, " ")
	switch {
	case symbolic(step):
		whose = role.node
	case step.Target == "all":
		whose = "every node"
	}
	what := "all"
	if l.Some {
		what = "some"
	}
	text := fmt.Sprintf("kill the servers of %s and lose %s that was not synced", whose, what)
	if l.Recent > 0 {
		text += fmt.Sprintf(" of the last %s", time.Duration(l.Recent))
	}
	if l.Sync > 0 {
		when := "before"
		if l.After {
			when = "after"
		}
		text += fmt.Sprintf(", %s sync %d", when, l.Sync)
		if l.Path != "" {
			text += " of " + l.Path
		}
	}
	return text
}

// Bind strikes all servers of each node.
func (powerLoss) Bind(step history.Step, live Live) (Binding, error) {
	l, err := parametersOf[loss](step)
	if err == nil {
		err = l.check()
	}
	if err != nil {
		return Binding{}, err
	}
	// How fast a kernel ends servers does not depend on how long the fault holds.
	b := Binding{ApplyTime: live.patient(callTime) + time.Duration(l.Recent), Limits: []string{
		"the kernel goes on: connections of the killed servers are closed, where a machine without power would fall silent",
	}}
	if l.Recent == 0 {
		b.Limits = append(b.Limits, "what a kernel would have written by itself after some seconds counts as lost, too")
	}
	if l.Sync > 0 {
		b.ApplyTime += time.Duration(step.Hold) / 2
	}
	for i, node := range step.Nodes {
		mains := live.Servers(node, "")
		if len(mains) == 0 {
			return b, fmt.Errorf("%s has no server", node)
		}
		processes := mains
		if live.Components != nil {
			processes = live.Components(node)
		}
		effect := &effects.PowerLoss{ID: effectID(step), Processes: processes, Main: mains[0], Recent: l.Recent, Loss: faultfs.Loss{Sectors: l.Some}}
		if l.Some {
			effect.Loss.Seed = l.Seed + uint64(i) // or all would keep the same
		}
		if live.Ports != nil {
			effect.Ports = live.Ports(node, mains[0])
		}
		if l.Sync > 0 {
			effect.At = &faultfs.Rule{Do: faultfs.HoldBefore, Ops: []string{"sync", "syncdir"}, Path: l.Path, From: l.Sync}
			if l.After {
				effect.At.Do = faultfs.HoldAfter
			}
			effect.Patience = step.Hold / 2
		}
		a, err := live.onAgent(node, effect)
		if err != nil {
			return b, err
		}
		b.Actions = append(b.Actions, &serverAction{agentAction: a, name: mains[0], restarts: true})
	}
	return b, nil
}
