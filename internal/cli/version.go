package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// versionOptions are what heddle version is called with.
type versionOptions struct{ *factory }

func newVersion(f *factory, runF func(context.Context, *versionOptions) error) *cobra.Command {
	opts := &versionOptions{factory: f}
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which Heddle this is",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	settingFlag(cmd.Flags(), "output", &f.Config.Output)
	return cmd
}

func runVersion(_ context.Context, o *versionOptions) error {
	return writeResult(o.Out, o.Config.Output, o.Build, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "heddle %s (%s, %s/%s)\n", o.Build.Version, o.Build.Go, o.Build.OS, o.Build.Arch)
		return err
	})
}
