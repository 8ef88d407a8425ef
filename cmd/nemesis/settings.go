package main

import (
	"slices"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"nemesis/history"
	"nemesis/run"
)

// registerSettings makes a flag of every setting of a run.
func registerSettings(flags *pflag.FlagSet, only ...string) {
	for _, s := range run.SettingTable() {
		if only != nil && !slices.Contains(only, s.Name) {
			continue
		}
		switch s.Kind {
		case history.DurationSetting:
			byDefault, _ := time.ParseDuration(s.Default) // "" is 0, which help does not show
			flags.Duration(s.Name, byDefault, s.Doc)
		case history.NumberSetting:
			byDefault, _ := strconv.ParseFloat(s.Default, 64)
			flags.Float64(s.Name, byDefault, s.Doc)
		case history.WholeSetting:
			byDefault, _ := strconv.ParseInt(s.Default, 10, 64)
			flags.Int64(s.Name, byDefault, s.Doc)
		case history.SwitchSetting:
			flags.Bool(s.Name, s.Default == "true", s.Doc)
		case history.PairsSetting:
			flags.StringToString(s.Name, nil, s.Doc)
		default:
			flags.String(s.Name, s.Default, s.Doc)
		}
	}
}

// givenSettings are those that the user gave.
func givenSettings(flags *pflag.FlagSet) (run.Settings, error) {
	given := run.Settings{}
	for _, s := range run.SettingTable() {
		if !flags.Changed(s.Name) {
			continue
		}
		if s.Kind != history.PairsSetting {
			given[s.Name] = flags.Lookup(s.Name).Value.String()
			continue
		}
		pairs, err := flags.GetStringToString(s.Name)
		if err != nil {
			return nil, err
		}
		for key, value := range pairs {
			given[run.Pair(s.Name, key)] = value
		}
	}
	return given, nil
}
