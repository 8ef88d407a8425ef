package nemesis

import (
	"fmt"
	"slices"

	"nemesis/history"
)

// FaultSetting is one thing that a user can say about the steps of some faults.
type FaultSetting struct {
	history.Setting
	// Example is a value other than the default that changes what the fault does.
	Example string
	// Check refuses a value that cannot be read, and one of which the run's faults make
	// no use. It is not asked about the default.
	Check func(value string, opt Options) error
}

// usedBy is the error of a setting that the only fault which heeds it, and does this, is not there for; nil where it is.
func usedBy(fault, does, setting string, opt Options) error {
	if slices.Contains(opt.Faults, fault) {
		return nil
	}
	return fmt.Errorf("schedule faults: no fault of this run %s as --%s says; add %s to --faults", does, setting, fault)
}

// Settings are what a user can say about how faults strike: for all faults, which are
// Options.Targets and Options.Holds, and for some, which are Options.Settings.
func Settings() []history.Setting {
	all := []history.Setting{
		{Name: "fault-target", Doc: "whom faults strike, some of leader,one,half,minority,blocking,majority,all,holder,grantor (default: all that a fault knows)"},
		{Name: "fault-hold", Doc: "how long a fault holds, such as 6s, 1.5lease or 0.5election, or a list to draw from (default: a part of --fault-interval)"},
	}
	all = append(all, history.Setting{Name: "fault-when", Doc: "what faults wait for, each from its moment on: leader-change, a number of operations such as 500ops, a call of a server such as sync:5/path=*.wal or write:100/on=leader, a line of a log such as log/line=elected leader, or healed, which lets every second fault strike when the one before it heals; of pairs the second waits (default: nothing)"})
	for _, s := range faultSettings() {
		all = append(all, s.Setting)
	}
	return all
}

// faultSettings are the settings of all faults, each once, in table order.
func faultSettings() []FaultSetting {
	var all []FaultSetting
	for _, f := range Faults() {
		for _, s := range f.Info().Settings {
			if !slices.ContainsFunc(all, func(known FaultSetting) bool { return known.Name == s.Name }) {
				all = append(all, s)
			}
		}
	}
	return all
}
