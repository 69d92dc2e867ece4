package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle/internal/config"
)

// newHelp makes the command that explains others. Cobra's own takes a command that
// does not exist for a wish to see everything.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command or a topic",
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			group, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, cmd := range group.Commands() {
				if cmd.IsAvailableCommand() || cmd.IsAdditionalHelpTopicCommand() {
					names = append(names, cmd.Name()+"\t"+cmd.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return unknownCommand(cmd, rest[0])
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

// exitCodesTopic is the help topic "exit-codes".
func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: `heddle run, runs resume and runs retry end with the outcome of the run:

    0   success
    1   failure
    2   abort: a step said so, something was missing, or the run was cancelled
    3   timeout

With --use-job-rc=false these four become 0. For every command:

    0   done
    1   runs cancel, retry or prune of several: it failed for some of them
  125   trouble of Heddle itself: wrong usage, a document that is unreadable or
        invalid, no executor or no store
  130   interrupted while there was no run to wait for, or a second time

The first Ctrl-C or SIGTERM cancels the run, lets its finally steps run and ends
with the code of the run, usually 2. The second ends Heddle at once with 130; the
run is then left as it is, for 'heddle runs resume' or 'heddle runs cancel'.`,
	}
}

// environmentTopic is the help topic "environment".
func environmentTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("A flag wins over its variable, the variable over the default.\n\n")
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	writeSettings(w, config.Settings())
	w.Flush()
	b.WriteString("\nOf heddle serve, which also reads a file .env in the working directory:\n\n")
	writeSettings(w, config.ServerSettings())
	w.Flush()
	b.WriteString(`
  NO_COLOR     when set, nothing is coloured
  TERM         "dumb": a run is shown as log lines, not live
  XDG_DATA_HOME, HOME: where the data directory is unless it is given`)
	return &cobra.Command{Use: "environment", Short: "Which environment variables are read", Long: b.String()}
}

func writeSettings(w io.Writer, settings []config.Setting) {
	for _, s := range settings {
		help, flag := s.Help, ""
		if s.Values != nil {
			help += ": " + strings.Join(s.Values, ", ")
		}
		if s.Flag != "" {
			flag = "--" + s.Flag
		}
		fmt.Fprintf(w, "  %s\t%s\t%s (default: %s)\n", s.Env, flag, help, s.Default)
	}
}
