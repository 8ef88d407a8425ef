package clients

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"nemesis/history"
)

// Setting is an Option together with how its value is read into O, a system's own form of all its options.
type Setting[O any] struct {
	Option
	// Allowed says in an error what values there are; "" lists Values.
	Allowed string
	// Read puts a value into O and says whether it is allowed. It need not check Values.
	Read func(*O, string) bool
}

// OptionsOf is a table of settings as System.Options returns it.
func OptionsOf[O any](table []Setting[O]) []Option {
	var options []Option
	for _, s := range table {
		options = append(options, s.Option)
	}
	return options
}

// ReadSettings reads what was given with --set for a system of that name, and the defaults of all other settings.
func ReadSettings[O any](system string, table []Setting[O], given map[string]string) (O, error) {
	var o, none O
	var names []string
	for _, s := range table {
		names = append(names, s.Name)
		value, ok := given[s.Name]
		if !ok {
			value = s.Default
		}
		allowed := s.Allowed
		good := s.Values == nil || slices.Contains(s.Values, value)
		if s.Values != nil {
			allowed = strings.Join(s.Values, " or ")
		}
		if !good || !s.Read(&o, value) {
			return none, fmt.Errorf("set %s option %s: %q is not allowed; it takes %s", system, s.Name, value, allowed)
		}
	}
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(names, name) {
			unknown = append(unknown, strconv.Quote(name))
		}
	}
	if len(unknown) > 0 {
		return none, fmt.Errorf("set %s option: there is no %s; %s has %s", system, strings.Join(unknown, ", "), system, strings.Join(names, ", "))
	}
	return o, nil
}

// ClaimNothing is the claim of a system whose options cannot be read. Nothing is held against it: whoever prepares the
// system says what is wrong with them.
func ClaimNothing(err error) history.Claim {
	return history.Claim{Origin: history.Documented, Sources: []history.Source{{Sentence: "Nothing is promised: " + err.Error() + "."}}}
}

// ReadDuration reads whole milliseconds between two limits.
func ReadDuration[O any](least, most time.Duration, set func(*O, time.Duration)) func(*O, string) bool {
	return func(o *O, v string) bool {
		d, err := time.ParseDuration(v)
		set(o, d)
		return err == nil && d >= least && d <= most && d%time.Millisecond == 0
	}
}

// ReadNumber reads a whole number between two limits.
func ReadNumber[O any](least, most int, set func(*O, int)) func(*O, string) bool {
	return func(o *O, v string) bool {
		n, err := strconv.Atoi(v)
		set(o, n)
		return err == nil && n >= least && n <= most
	}
}
