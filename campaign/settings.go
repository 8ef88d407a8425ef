package campaign

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"nemesis/history"
	"nemesis/run"
)

// Settings are those of nemesis run that a campaign does not decide by its matrix, under
// the names of the flags. One that is not there is left as it is.
type Settings run.Settings

// with is s with what is set in over laid over it.
func (s Settings) with(over Settings) Settings {
	return Settings(run.Settings(s).With(run.Settings(over)))
}

// keys are the settings that stand under run, by their names.
func keys() map[string]run.Setting {
	keys := map[string]run.Setting{}
	for _, s := range run.SettingTable() {
		if !s.Cell {
			keys[s.Name] = s
		}
	}
	return keys
}

// UnmarshalYAML reads a mapping of settings. Its errors tell the lines.
func (s *Settings) UnmarshalYAML(node *yaml.Node) error {
	values := map[string]yaml.Node{}
	if err := node.Decode(&values); err != nil {
		return err
	}
	*s = Settings{}
	known, wrong := keys(), &yaml.TypeError{}
	byLine := func(a, b string) int { return cmp.Compare(values[a].Line, values[b].Line) }
	for _, name := range slices.SortedFunc(maps.Keys(values), byLine) {
		value := values[name]
		if value.Tag == "!!null" {
			continue
		}
		setting, is := known[name]
		if !is {
			wrong.Errors = append(wrong.Errors, fmt.Sprintf("line %d: %s", value.Line, noKey(name, slices.Sorted(maps.Keys(known)))))
			continue
		}
		var several *yaml.TypeError
		if err := s.take(setting, &value); errors.As(err, &several) {
			wrong.Errors = append(wrong.Errors, several.Errors...)
		} else if err != nil {
			return err
		}
	}
	if len(wrong.Errors) > 0 {
		return wrong
	}
	return nil
}

// take reads the value of one setting, as its kind has it.
func (s Settings) take(setting run.Setting, node *yaml.Node) error {
	var err error
	switch setting.Kind {
	case history.DurationSetting:
		var v time.Duration
		err = node.Decode(&v)
		s[setting.Name] = v.String()
	case history.NumberSetting:
		var v float64
		err = node.Decode(&v)
		s[setting.Name] = strconv.FormatFloat(v, 'g', -1, 64)
	case history.WholeSetting:
		var v int
		err = node.Decode(&v)
		s[setting.Name] = strconv.Itoa(v)
	case history.SwitchSetting:
		var v bool
		err = node.Decode(&v)
		s[setting.Name] = strconv.FormatBool(v)
	case history.PairsSetting:
		var v map[string]string
		err = node.Decode(&v)
		for key, value := range v {
			s[run.Pair(setting.Name, key)] = value
		}
	default:
		var v string
		err = node.Decode(&v)
		s[setting.Name] = v
	}
	return err
}

// noKey says that a key is none, and which was likely meant.
func noKey(name string, known []string) string {
	if near := history.Nearest(name, known); near != "" {
		return fmt.Sprintf("there is no key %q here; did you mean %s? docs/nightly.md lists them", name, near)
	}
	return fmt.Sprintf("there is no key %q here; docs/nightly.md lists them", name)
}
