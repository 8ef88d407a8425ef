package nemesis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
)

// member changes who belongs to the cluster: it takes members out by the system's own means, as an operator would, and in again
// as new, empty ones.
type member struct{}

// The shapes of changes of members.
const (
	// removed: members are out for as long as the fault holds. Their servers go on, unless they end by themselves: nobody has
	// stopped them yet. When it heals they are wiped and added again.
	removed = "remove"
	// replaced: members are out and in again at once, empty.
	replaced = "replace"
)

// Info has forms that leave a quorum.
func (member) Info() Info {
	return Info{
		Name:    "member",
		Doc:     "take members out of the cluster, and in again as new, empty ones (where the system can change its members)",
		Class:   Out,
		Special: "member needs a system whose members can be changed",
		Forms: append([]Form{
			{Shape: removed, Target: "leader", Weight: 2, Least: 3},
			{Shape: removed, Target: "one", Weight: 2, Least: 3},
			{Shape: removed, Target: "minority", Weight: 2, Least: 5},
			{Shape: replaced, Target: "one", Weight: 2, Least: 3},
			{Shape: replaced, Target: "leader", Weight: 1, Least: 3},
		}, onLeases(Form{Shape: removed, Weight: 1, Least: 3})...),
	}
}

// Parameters: it has none.
func (member) Parameters(*rand.Rand, Options) (Dealer, error) { return nil, nil }

// Check refuses parameters.
func (member) Check(step history.Step) error { return noParameters(step) }

// Needs is a system whose members can be changed.
func (member) Needs(history.Step) Needs { return Needs{Effect: effects.MemberKind, Members: true} }

// Sentence says who goes.
func (member) Sentence(step history.Step) string {
	who := strings.Join(step.Nodes, " ")
	if role, _ := roleOf(step.Target); symbolic(step) {
		who = role.node
	}
	if step.Shape == replaced {
		return fmt.Sprintf("replace %s by a new, empty member", who)
	}
	return fmt.Sprintf("remove %s from the cluster, and add it again, empty", who)
}

// How long changes of members may take: etcd adds none until its members have been connected for five seconds.
const (
	memberApplyTime = 12 * time.Second
	memberUndoTime  = 25 * time.Second
)

// Bind changes the members one node at a time, each by its own agent. What would not leave two members is refused, and so is a node
// that is no member.
func (member) Bind(step history.Step, live Live) (Binding, error) {
	if live.Join == nil {
		return Binding{}, errors.New("the members of this system's clusters cannot be changed")
	}
	b := Binding{ApplyTime: live.patient(memberApplyTime), UndoTime: live.patient(memberUndoTime), ProbeTime: 2 * time.Second}
	if live.Voters != nil {
		for _, node := range step.Nodes {
			if !slices.Contains(live.Voters, node) {
				return b, fmt.Errorf("%s is no member of the cluster, of which are %s", node, strings.Join(live.Voters, " "))
			}
		}
		if left := len(live.Voters) - len(step.Nodes); left < 2 {
			return b, fmt.Errorf("of %d members it would leave %d", len(live.Voters), left)
		}
	}
	for _, node := range step.Nodes {
		effect, err := live.Join(node, step.ID)
		if err != nil {
			return b, err
		}
		effect.ID, effect.Replace = effectID(step), step.Shape == replaced
		a, err := live.onAgent(node, effect)
		if err != nil {
			return b, err
		}
		b.Actions = append(b.Actions, a)
	}
	return b, nil
}
