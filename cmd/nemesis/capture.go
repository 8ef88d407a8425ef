package main

import (
	"net/netip"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"nemesis/nodes/capture"
	"nemesis/run"
)

// captureCommand is what runs beside the servers of a node when packets are captured. The
// agent starts it; it is of no use by hand.
func captureCommand() *cobra.Command {
	var (
		dir   string
		size  int64
		nodes []string
		ports []uint
	)
	cmd := &cobra.Command{
		Use:    run.CaptureCommand,
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var filter capture.Filter
			for _, text := range nodes {
				address, err := netip.ParseAddr(text)
				if err != nil {
					return &run.UsageError{Err: err}
				}
				filter.Nodes = append(filter.Nodes, address)
			}
			for _, port := range ports {
				filter.Ports = append(filter.Ports, uint16(port))
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM)
			defer stop()
			return capture.Run(ctx, filter, dir, size)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "directory of the ring")
	cmd.Flags().Int64Var(&size, "size", 16<<20, "bytes of the ring")
	cmd.Flags().StringSliceVar(&nodes, "node", nil, "addresses of the nodes")
	cmd.Flags().UintSliceVar(&ports, "port", nil, "ports of the servers")
	return cmd
}
