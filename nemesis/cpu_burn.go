package nemesis

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

// cpuBurn lets other work take a share of a node's CPU cores, as a neighbour on the
// machine, a backup or a compaction does. The servers go on, late: timeouts strike that
// nobody meant to.
type cpuBurn struct{}

// burn are the parameters of its steps.
type burn struct {
	// Share is of all cores of the node, above 0 and up to 1.
	Share float64 `json:"share"`
}

// servers is what it has in common with the faults of server processes.
func (cpuBurn) servers() serverFault {
	return serverFault{name: "cpu-burn", doc: "take a share of the CPU cores of the servers' nodes", verb: "burn CPU beside", needs: effects.CPUBurnKind, class: Load}
}

// Info has the forms of server faults.
func (f cpuBurn) Info() Info {
	info := f.servers().Info()
	info.Settings = append(info.Settings, FaultSetting{
		Setting: history.Setting{
			Name: info.Name,
			Doc:  "share of a node's CPU cores that cpu-burn takes, a list to draw from, such as 50%,100% (default: 50%, 90% or 100%)",
		},
		Example: "50%",
		Check: func(value string, opt Options) error {
			if _, err := parseBurns(value); err != nil {
				return err
			}
			return usedBy(info.Name, "burns CPU", info.Name, opt)
		},
	})
	return info
}

// Parameters deals shares.
func (f cpuBurn) Parameters(rng *rand.Rand, opt Options) (Dealer, error) {
	burns := []burn{{0.5}, {0.9}, {1}}
	if asked := opt.Settings[f.servers().name]; asked != "" {
		var err error
		if burns, err = parseBurns(asked); err != nil {
			return nil, err
		}
	}
	cards := newDeck(rng, burns)
	return func(history.Step) any { return cards.deal() }, nil
}

// parseBurns reads shares separated by commas.
func parseBurns(spec string) ([]burn, error) {
	var burns []burn
	for _, text := range strings.Split(spec, ",") {
		digits, is := strings.CutSuffix(strings.TrimSpace(text), "%")
		percent, err := strconv.ParseFloat(digits, 64)
		if !is || err != nil || !(percent >= 1 && percent <= 100) {
			return nil, fmt.Errorf("read --cpu-burn: %q is not a share of the cores from 1%% to 100%%", strings.TrimSpace(text))
		}
		burns = append(burns, burn{percent / 100})
	}
	return burns, nil
}

// Check refuses a share that cannot be.
func (cpuBurn) Check(step history.Step) error {
	_, err := readBurn(step)
	return err
}

// readBurn gives a step's share, or says why it cannot be.
func readBurn(step history.Step) (burn, error) {
	b, err := parametersOf[burn](step)
	if err == nil && !(b.Share > 0 && b.Share <= 1) {
		err = fmt.Errorf("a share of %v is not above 0 and up to 1", b.Share)
	}
	return b, err
}

// Needs is a process of the agent's.
func (f cpuBurn) Needs(step history.Step) Needs { return f.servers().Needs(step) }

// Sentence says how much is taken beside whom.
func (f cpuBurn) Sentence(step history.Step) string {
	b, err := readBurn(step)
	if err != nil {
		return "burn CPU, which does not say how much"
	}
	return fmt.Sprintf("burn %s %% of the cores beside %s", number(100*b.Share), serversOf(step))
}

// Bind burns beside a server of every target: a share of a node's cores is burnt once,
// however many servers it has.
func (f cpuBurn) Bind(step history.Step, live Live) (Binding, error) {
	b, err := readBurn(step)
	if err != nil {
		return Binding{}, err
	}
	servers := f.servers()
	servers.effect = func(id, process string, _ []uint16, _ history.Step) agent.Effect {
		return &effects.CPUBurn{ID: id, Process: process, Share: b.Share}
	}
	all := live.Servers
	live.Servers = func(node, role string) []string { return all(node, role)[:min(1, len(all(node, role)))] }
	bound, err := servers.Bind(step, live)
	bound.ProbeTime = time.Second // the agent wants a core as well
	return bound, err
}
