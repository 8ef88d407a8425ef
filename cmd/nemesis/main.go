// Command nemesis finds out whether a distributed system keeps its promises when
// things go wrong: it deploys real servers to machines over SSH, breaks the
// network and the processes while clients record every operation, and decides
// from that history alone whether a promise was broken.
//
// Each file here is one subcommand: flags in, one call into the packages below,
// a sentence and an exit code out. The exit codes are checker.Outcome's, and 64
// for a mistake on the command line.
//
//	go run ./cmd/nemesis run etcd
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"nemesis/checker"
	"nemesis/nodes/local"
	"nemesis/nodes/ssh"
	"nemesis/reports/visible"
	"nemesis/run"
)

const (
	// usageCode is the exit status for bad flags or a bad file (sysexits EX_USAGE).
	usageCode = 64
	// interruptedCode is what a shell makes of a program that SIGINT ended.
	interruptedCode = 128 + int(syscall.SIGINT)
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == local.Command {
		os.Exit(local.Main(os.Args[2:]))
	}
	exit(execute(os.Args[1:]))
}

// execute runs one command line and returns its exit status.
func execute(args []string) int {
	if len(args) == 0 || args[0] != agentName {
		abortOnCrash()
	}
	ctx, stop := endOnSignals()
	defer stop()
	root, accepted := newRoot()
	root.SetArgs(withoutNegatives(root, args))
	root.SetOut(output{os.Stdout})
	root.SetErr(output{os.Stderr})
	err := root.ExecuteContext(ctx)
	if message := complaint(err); message != "" {
		fmt.Fprintln(os.Stderr, message)
	}
	return status(err, *accepted)
}

// complaint is the one line for a command that failed, "" when all was said.
func complaint(err error) string {
	var exit exitStatus
	if err == nil || errors.As(err, &exit) {
		return ""
	}
	return "nemesis: " + oneLine(err)
}

// status is the exit status for what a command returned.
func status(err error, accepted bool) int {
	var (
		exit exitStatus
		bad  *run.UsageError
		host *ssh.UsageError
	)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	case ofThisMachine(err):
	case !accepted, errors.As(err, &bad), errors.As(err, &host):
		return usageCode
	}
	return checker.Harness.ExitCode()
}

// ofThisMachine reports whether something failed for want of what this machine has to give,
// so that nothing is known of what the user named.
func ofThisMachine(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && slices.Contains([]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS, syscall.EIO}, errno)
}

// exitStatus ends the program with a status after everything was already said.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func statusOf(outcome checker.Outcome) error {
	if code := outcome.ExitCode(); code != 0 {
		return exitStatus(code)
	}
	return nil
}

// oneLine makes an error fit for a terminal: several joined errors become one
// line of a length that can be read, and nothing a server said reaches the terminal as a control character.
func oneLine(err error) string {
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' })
	return visible.Line(strings.Join(lines, "; "), longestLine)
}

// longestLine is more than any error of ours takes, in bytes; one that quotes a file may take
// megabytes.
const longestLine = 4000

// newRoot builds the command tree. accepted becomes true once a command line was
// understood: errors from then on are not the user's spelling.
func newRoot() (root *cobra.Command, accepted *bool) {
	accepted = new(bool)
	root = &cobra.Command{
		Use:   "nemesis",
		Short: "Find out whether a distributed system keeps its promises when things go wrong",
		Long: `nemesis deploys real servers to machines over SSH, breaks the network and the
processes while clients record every operation, and decides from that history
alone whether the system broke a promise.

Wherever a command takes a RUN, these name one: its directory or a file in it, latest,
latest~2 (the second before it), -1 and -3 (the same two), the beginning of its start time
where no other run begins so, and etcd/latest or etcd-register-kill/-2 among the runs of
one system or plan.

Exit status: 0 valid, 1 violation, 2 unknown, 3 vacuous, 4 exceeded,
5 harness trouble, 64 a mistake on the command line.`,
		Example: `  nemesis run etcd
  nemesis run etcd --nodes local:3 --time-limit 30s --seed 7
  nemesis check latest
  nemesis replay etcd/-2`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRun:  func(*cobra.Command, []string) { *accepted = true },
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	root.AddCommand(
		runCommand(), newCommand(), systemCommand(), clientCommand(), replayCommand(), checkCommand(), reportCommand(), traceCommand(),
		campaignCommand(), compareCommand(),
		listCommand(), nodesCommand(), benchCommand(), versionCommand(),
		agentCommand(), captureCommand(), insideCommand(), serverCommand(), membersCommand(),
	)
	version := root.Flags().Bool("version", false, "tell which nemesis this is, as nemesis version does")
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if !*version {
			return cmd.Help()
		}
		_, err := fmt.Fprint(cmd.OutOrStdout(), versionText(run.Program()))
		return err
	}
	return root, accepted
}
