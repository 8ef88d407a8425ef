package main

import (
	"os"
	"regexp"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nemesis/history"
	"nemesis/run"
)

// storeFlag is the store in which short names of runs are looked up.
type storeFlag struct{ dir string }

const defaultStore = "store"

func (s *storeFlag) register(flags *pflag.FlagSet) {
	flags.StringVar(&s.dir, "store", defaultStore, "directory of the runs that short names such as latest are looked up in")
}

// open finds a run directory; a wrong name, or one without a plan that can be
// read, is the user's mistake.
func (s storeFlag) open(name string) (history.Dir, error) {
	dir, err := history.FindDir(s.dir, name)
	if err == nil {
		_, err = run.ReadPlan(dir)
	}
	if err != nil {
		return "", &run.UsageError{Err: err}
	}
	return dir, nil
}

// path is the directory of a run that has a short name. What is there stays as it is: it may
// be something else than a run.
func (s storeFlag) path(name string) (string, error) {
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	dir, err := history.FindDir(s.dir, name)
	if err != nil {
		return "", &run.UsageError{Err: err}
	}
	return string(dir), nil
}

// takesRuns marks commands whose arguments are runs.
var takesRuns = map[string]string{"runs": "true"}

var negative = regexp.MustCompile(`^-[1-9]\d{0,8}$`)

// withoutNegatives is a command line in which runs called -1, -2, … have their other names,
// latest, latest~1, …: the reader of flags would take them for some.
func withoutNegatives(root *cobra.Command, args []string) []string {
	cmd, _, err := root.Find(args)
	if err != nil || cmd.Annotations["runs"] == "" {
		return args
	}
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = arg
		if arg == "--" {
			copy(out[i:], args[i:])
			break
		}
		if !negative.MatchString(arg) || i > 0 && takesValue(cmd, args[i-1]) {
			continue
		}
		if n, err := strconv.Atoi(arg[1:]); err == nil && n > 1 {
			out[i] = history.Latest + "~" + strconv.Itoa(n-1)
		} else if err == nil {
			out[i] = history.Latest
		}
	}
	return out
}

// takesValue reports whether an argument is a flag whose value is the next argument.
func takesValue(cmd *cobra.Command, arg string) bool {
	if len(arg) < 3 || arg[:2] != "--" {
		return false
	}
	flag := cmd.Flags().Lookup(arg[2:])
	return flag != nil && flag.NoOptDefVal == ""
}
