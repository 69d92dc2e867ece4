package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/heddle/heddle"
)

// doctorOptions are what heddle doctor is called with.
type doctorOptions struct{ *factory }

func newDoctor(f *factory, runF func(context.Context, *doctorOptions) error) *cobra.Command {
	opts := &doctorOptions{factory: f}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check that Heddle can work here, and say what to do where it cannot",
		Long: `Check that Heddle can work here, and say what to do where it cannot. An executor that
does not work is a warning, unless it is asked for by --executor.`,
		Example: `  heddle doctor
  heddle doctor --executor kubernetes --kube-namespace jobs`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	settingFlag(cmd.Flags(), "output", &f.Config.Output)
	settingFlag(cmd.Flags(), "executor", &f.Config.Executor)
	kubeFlags(cmd.Flags(), &f.Config)
	return cmd
}

// check is one finding of the doctor.
type check struct {
	Name    string     `json:"name"`
	State   checkState `json:"state"`
	Message string     `json:"message"`
	Advice  string     `json:"advice,omitempty"` // what to do about it
}

type checkState string

const (
	checkOK   checkState = "ok"
	checkWarn checkState = "warn"
	checkFail checkState = "fail"
)

func runDoctor(ctx context.Context, o *doctorOptions) error {
	checks := []check{{Name: "version", State: checkOK, Message: fmt.Sprintf("heddle %s, %s, %s/%s", o.Build.Version, o.Build.Go, o.Build.OS, o.Build.Arch)}}
	checks = append(checks, o.dataDir())
	if checks[1].State == checkOK {
		checks = append(checks, o.store(ctx)...)
		checks = append(checks, o.process(ctx))
	}
	checks = append(checks, o.docker(ctx))
	checks = append(checks, o.kubernetes(ctx)...)
	failed := false
	for _, c := range checks {
		failed = failed || c.State == checkFail
	}
	err := writeResult(o.Out, o.Config.Output, checks, func(w io.Writer) error {
		t := newTable(w)
		for _, c := range checks {
			row(t, string(c.State), c.Name, c.Message)
			for i, line := range strings.Split(c.Advice, "\n") {
				switch {
				case line == "":
				case i == 0:
					row(t, "", "", "-> "+line)
				default:
					row(t, "", "", "   "+line)
				}
			}
		}
		return t.Flush()
	})
	if err == nil && failed {
		err = exitError(exitTrouble)
	}
	return err
}

// dataDir checks that files can be made in the data directory.
func (o *doctorOptions) dataDir() check {
	dir := o.Config.DataDir
	c := check{Name: "data directory", State: checkOK, Message: dir + " can be written"}
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var file *os.File
		if file, err = os.CreateTemp(dir, ".doctor-*"); err == nil {
			err = file.Close()
			if removeErr := os.Remove(file.Name()); err == nil {
				err = removeErr
			}
		}
	}
	if err != nil {
		c.State, c.Message = checkFail, err.Error()
		c.Advice = "make it writable, or name another with --data-dir or HEDDLE_DATA_DIR"
	}
	return c
}

// store checks that the database opens, and how the runs in it do.
func (o *doctorOptions) store(ctx context.Context) []check {
	var checks []check
	err := o.history(ctx, func(r reader) error {
		page, err := r.Runs().List(ctx, heddle.RunFilter{States: openStates(), Limit: 1000})
		if err != nil {
			return err
		}
		checks = append(checks, check{Name: "store", State: checkOK, Message: "opens; " + plural(len(page.Runs), "run is open", "runs are open")})
		left := 0
		for _, run := range page.Runs {
			if detail, err := r.Runs().Get(ctx, run.ID); err == nil && orphaned(detail) {
				left++
			}
		}
		if left > 0 {
			checks = append(checks, check{Name: "interrupted runs", State: checkWarn,
				Message: plural(left, "run was interrupted", "runs were interrupted"), Advice: "go on with them: heddle runs resume"})
		}
		return nil
	})
	if err != nil {
		checks = append(checks, check{Name: "store", State: checkFail, Message: err.Error(),
			Advice: "free disk space, or use a data directory on a local file system"})
	}
	return checks
}

// doctorPatience bounds how long an executor may take to answer.
const doctorPatience = 15 * time.Second

// process has a program run that does nothing.
func (o *doctorOptions) process(ctx context.Context) check {
	done := o.waitingFor("running a program")
	defer done()
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	c := check{Name: "executor process", State: checkOK, Message: "runs commands on this machine, without images"}
	if err := o.CheckProcess(ctx, o.options(o.log())); err != nil {
		c.State, c.Message = checkFail, err.Error()
		c.Advice = "look into supervisor.log in the data directory; a local file system is needed, and a shell (sh) on the PATH"
	}
	return c
}

// docker asks the daemon for its version.
func (o *doctorOptions) docker(ctx context.Context) check {
	done := o.waitingFor("asking Docker")
	defer done()
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	where, version, err := o.DockerVersion(ctx, o.variable)
	if err != nil {
		return check{Name: "executor docker", State: o.unlessAsked("docker"), Message: err.Error(),
			Advice: "start Docker or set DOCKER_HOST to run containers; --executor process does without"}
	}
	return check{Name: "executor docker", State: checkOK, Message: "Docker " + version + " at " + where}
}

// kubernetes asks the cluster for its version and for what is allowed.
func (o *doctorOptions) kubernetes(ctx context.Context) []check {
	done := o.waitingFor("asking Kubernetes")
	defer done()
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	var checks []check
	for _, f := range o.CheckKube(ctx, o.options(o.log())) {
		c := check{Name: "executor kubernetes", State: checkOK, Message: f.What, Advice: f.Advice}
		if !f.OK {
			c.State = o.unlessAsked("kubernetes", "k8s")
		}
		checks = append(checks, c)
	}
	return checks
}

// unlessAsked is a warning, or a failure if the executor is asked for by one of its names.
func (o *doctorOptions) unlessAsked(names ...string) checkState {
	if slices.Contains(names, o.Config.Executor) {
		return checkFail
	}
	return checkWarn
}
