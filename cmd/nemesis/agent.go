package main

import (
	"os"

	"github.com/spf13/cobra"

	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

// agentName is the hidden command of the program on a node.
const agentName = "agent"

// agentCommand is the program on a node. nemesis starts it over SSH; it speaks
// frames on its standard input and output, and is of no use by hand.
func agentCommand() *cobra.Command {
	return &cobra.Command{
		Use:                agentName,
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if code := agent.Main(args, effects.Kinds(), os.Stdin, os.Stdout, os.Stderr); code != 0 {
				return exitStatus(code)
			}
			return nil
		},
	}
}
