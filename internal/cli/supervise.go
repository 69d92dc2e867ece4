package cli

import (
	"github.com/spf13/cobra"
)

// newSupervise makes the command by which the process executor starts its
// supervisor; it is nothing for people.
func newSupervise(f *factory) *cobra.Command {
	return &cobra.Command{
		Use:    "supervise",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.Supervise(cmd.Context(), f.Config.DataDir, f.log())
		},
	}
}
