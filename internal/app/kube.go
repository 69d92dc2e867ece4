package app

import (
	"context"
	"time"

	"github.com/heddle/heddle/internal/executor/kubernetes"
)

// Kube is how the kubernetes executor finds its cluster and behaves there. See
// [kubernetes.Options].
type Kube struct {
	Context    string
	Namespaces []string // the first is that of steps that name none
	Bare       bool
	QPS        float64
	Patience   time.Duration
	Pending    time.Duration
}

// leaseKeep is how long what has ended stays in the cluster where runs are owned by
// leases: an owner that was paused for less, and does not know that it has lost its
// runs, cannot start a step again.
const leaseKeep = 2 * time.Minute

func (o Options) kubeOptions(store string) kubernetes.Options {
	k := kubernetes.Options{
		StoreID: store, Env: o.lookup, Context: o.Kube.Context, Bare: o.Kube.Bare, QPS: float32(o.Kube.QPS),
		Patience: o.Kube.Patience, Pending: o.Kube.Pending, Log: o.Log,
	}
	if len(o.Kube.Namespaces) > 0 {
		k.Namespace, k.Namespaces = o.Kube.Namespaces[0], o.Kube.Namespaces[1:]
	}
	if o.DBURL != "" {
		k.Keep = leaseKeep
	}
	return k
}

// Finding is something that [CheckKube] has found.
type Finding struct {
	What   string
	OK     bool
	Advice string // what to do about it
}

// CheckKube looks whether the kubernetes executor can work.
func CheckKube(ctx context.Context, o Options) []Finding {
	var findings []Finding
	for _, f := range kubernetes.Check(ctx, o.kubeOptions("doctor")) {
		findings = append(findings, Finding(f))
	}
	return findings
}
