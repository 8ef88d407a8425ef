package history

// SettingKind is how the text of a setting is read.
type SettingKind int

const (
	// TextSetting is read by the setting itself.
	TextSetting SettingKind = iota
	// DurationSetting is what time.ParseDuration reads.
	DurationSetting
	// NumberSetting is a decimal number, WholeSetting one without a fraction.
	NumberSetting
	WholeSetting
	// SwitchSetting is true or false.
	SwitchSetting
	// PairsSetting is any number of name=value.
	PairsSetting
)

// Setting is one thing that a user can say about a run, as data: a flag of `nemesis run`,
// a key of a campaign file and a row of the documentation follow from it. Values travel as
// text by Name; a name without a value has its default.
type Setting struct {
	// Name is the flag without its dashes, and the key: fault-hold.
	Name string
	Kind SettingKind
	// Default is the value where nobody gives one; "" is none, which Doc explains.
	Default string
	// Unit is what a number counts; "" where the text says it, as in 5s or 1GiB.
	Unit string
	// Doc is the help text: a clause without a full stop.
	Doc string
}
