package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"nemesis/history"
)

// Effect is one reversible change to one node. Its exported fields are its
// whole state: it travels as JSON, lies in the ledger, and must be able to undo
// itself from these fields alone, in another process, after a reboot.
type Effect interface {
	// Kind is the stable name: "net.drop", "proc.pause", ….
	Kind() string
	// Check says why this host cannot do effects of this kind; nil when it can. It
	// changes nothing, and looks at no field: the agent asks an empty effect once, when
	// it starts, and refuses to apply what the host cannot do.
	Check(*Host) error
	// Apply and Undo are idempotent. An Apply that fails is followed by an Undo, which
	// must not do more than take back what that Apply did.
	Apply(*Host) error
	Undo(*Host) error
	// Probe measures whether the effect acts now. After Undo, Confirmed means
	// that nothing of it is left.
	Probe(*Host) (history.Evidence, error)
}

// Applied is an effect that is asked about in another way than it was applied. Applied is the
// effect as the ledger has it.
type Applied interface {
	Effect
	Applied() Effect
}

// Worker is an effect that is a process of its own; see Host.Workers.
type Worker interface {
	Effect
	// Work does it, in a process of its own, until ctx is done, which it is when the effect is
	// undone or the agent has ended. It has a moment then to end well; it does not return by
	// itself before, unless it fails.
	Work(ctx context.Context) error
}

// Kinds makes an empty effect of each kind, ready to be filled from JSON.
// nemesis/effects has the one table.
type Kinds map[string]func() Effect

// Decode rebuilds an effect from its kind and its JSON.
func (k Kinds) Decode(kind string, spec json.RawMessage) (Effect, error) {
	make, ok := k[kind]
	if !ok {
		names := []string{}
		for name := range k {
			names = append(names, name)
		}
		sort.Strings(names)
		return nil, fmt.Errorf("read effect: kind %q is not one of %s", kind, strings.Join(names, ", "))
	}
	e := make()
	if err := json.Unmarshal(spec, e); err != nil {
		return nil, fmt.Errorf("read effect %s: %w", kind, err)
	}
	return e, nil
}
