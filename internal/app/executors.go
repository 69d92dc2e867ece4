package app

import (
	"context"
	"fmt"
	"os"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/executor/docker"
	"github.com/heddle/heddle/internal/executor/kubernetes"
	"github.com/heddle/heddle/internal/executor/process"
	"github.com/heddle/heddle/internal/store/logs"
)

// The names of the executors.
const (
	Process    = "process"    // processes of this machine
	Docker     = "docker"     // containers of a Docker Engine
	Kubernetes = "kubernetes" // Jobs of a Kubernetes cluster; k8s for short (kog)
)

// openExecutor makes the executor of that name for the store of that identity.
func (o Options) openExecutor(ctx context.Context, store, name string, sink executor.Sink) (executor.Executor, error) {
	dir := logs.Open(logDir(o.DataDir))
	switch name {
	case Process:
		binary, err := os.Executable()
		if err != nil {
			return nil, heddle.Errorf(heddle.CodeInternal, "finding this program's own file: %w", err)
		}
		return process.Open(ctx, process.Options{
			Dir: o.DataDir, StoreID: store, Sink: sink, Log: o.Log, WorkDir: o.WorkDir,
			Supervisor: []string{binary, "supervise", "--data-dir", o.DataDir},
		})
	case Docker:
		return docker.Open(ctx, docker.Options{
			StoreID: store, Dir: o.DataDir, Sink: sink, Logs: dir.Recreate, Env: o.lookup, WorkDir: o.WorkDir, Log: o.Log,
		})
	case Kubernetes:
		k := o.kubeOptions(store)
		k.Sink, k.Logs = sink, dir.Recreate
		return kubernetes.Open(ctx, k)
	}
	return nil, unknownExecutor(name)
}

func unknownExecutor(name string) error {
	return heddle.Errorf(heddle.CodeUnavailable, "executor %q is not known: choose --executor %s, %s or %s", name, Process, Docker, Kubernetes)
}

// ChooseExecutor turns what was asked for into an executor that can run the flow,
// and says what the user should know about it. auto is kubernetes in a cluster; else
// docker if a step names an image and a daemon answers, and process if none does:
// commands meant for a container are never run on the host unless process is asked
// for by name.
func ChooseExecutor(ctx context.Context, asked string, flow *heddle.Flow, env func(string) string) (name string, notes []string, err error) {
	step, image := firstImage(flow)
	switch asked {
	case Docker:
		return Docker, nil, nil
	case Kubernetes, "k8s":
		return Kubernetes, nil, nil
	case Process:
		if image != "" {
			notes = append(notes, "the process executor ignores images: the commands run on this machine as they are")
		}
		return Process, notes, nil
	case "auto":
		if kubernetes.InCluster(env) {
			return Kubernetes, nil, nil
		}
		if image == "" {
			return Process, nil, nil
		}
		daemon, err := docker.Find(env)
		if err == nil {
			_, err = daemon.Ping(ctx)
		}
		if err != nil {
			return "", nil, heddle.Errorf(heddle.CodeUnavailable, "step %q names an image (%s) and there is nothing here to run containers with: %w; "+
				"or choose --executor kubernetes, or --executor process, which runs the commands on this machine, without images", step, image, err)
		}
		return Docker, nil, nil
	}
	return "", nil, unknownExecutor(asked)
}

func firstImage(flow *heddle.Flow) (step, image string) {
	for _, s := range flow.Steps {
		if s.Work != nil && s.Work.Image != "" {
			return s.Name, s.Work.Image
		}
	}
	return "", ""
}

// CheckMounts says whether the executor can mount volumes.
func CheckMounts(executor string, volumes []string) error {
	if executor == Process && len(volumes) > 0 {
		return heddle.Errorf(heddle.CodeInvalid, "--volume: the %s executor has no mounts", executor)
	}
	return nil
}

// DockerVersion asks the Docker daemon that the environment names, or that is at
// one of the usual places, for its version.
func DockerVersion(ctx context.Context, env func(string) string) (where, version string, err error) {
	daemon, err := docker.Find(env)
	if err != nil {
		return "", "", fmt.Errorf("looking for Docker: %w", err)
	}
	version, err = daemon.Ping(ctx)
	return daemon.Host, version, err
}
