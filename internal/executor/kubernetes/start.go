package kubernetes

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/kube"
)

func refusal(format string, args ...any) error {
	return &executor.Refusal{Message: fmt.Sprintf(format, args...)}
}

// Start makes the objects of an attempt. Those that are there already are taken as
// they are.
func (e *Executor) Start(ctx context.Context, spec executor.Spec) error {
	if e.ctx.Err() != nil {
		return heddle.Errorf(heddle.CodeUnavailable, "starting attempt %s: the kubernetes executor is closed", spec.Attempt)
	}
	if spec.Place != e.place {
		return e.elsewhere(spec.Attempt, spec.Place)
	}
	if spec.Shared != "" {
		return refusal("the kubernetes executor has no directory that the steps of a run share; give them a volume (pvc:NAME:/path)")
	}
	objects, err := kube.Build(spec, e.build)
	if err != nil {
		return err
	}
	root := rootOfNew(objects)
	findable, err := e.findable(ctx, root.namespace)
	if err != nil {
		return err
	}
	if !findable {
		return refusal("namespace %s: an engine that takes over could not find what runs there; "+
			"name it in HEDDLE_KUBE_NAMESPACES, or allow Heddle to list jobs and pods in all namespaces", root.namespace)
	}
	if _, err := e.scope(ctx, root.namespace); err != nil {
		return err
	}
	a := e.attempt(spec.Attempt)
	a.starting.Lock()
	defer a.starting.Unlock()
	a.masks(spec.Mask)
	if a.begun() {
		return nil
	}
	if len(e.those(spec.Attempt)) == 0 {
		a.makes(root)
		if err := a.create(ctx, objects); err != nil {
			if _, refused := executor.Refused(err); refused {
				a.withdraw(ctx, objects)
			}
			return executor.MaskError(err, spec.Mask)
		}
	}
	a.begin()
	return nil
}

// create makes the Secret, if there is one, and then the Job or the Pod.
func (a *attempt) create(ctx context.Context, objects *kube.Objects) error {
	if objects.Secret != nil {
		var made corev1.Secret
		if err := a.createOne(ctx, secrets(), objects.Secret, &made); err != nil {
			return err
		}
		objects.Own(&made)
	}
	if objects.Job != nil {
		return a.createOne(ctx, jobs(), objects.Job, &batchv1.Job{})
	}
	return a.createOne(ctx, pods(), objects.Pod, &corev1.Pod{})
}

// object is one of ours.
type object interface {
	runtime.Object
	metav1.Object
}

func (a *attempt) createOne(ctx context.Context, k kind, wanted, made object) error {
	namespace, name := wanted.GetNamespace(), wanted.GetName()
	err := a.e.api.create(ctx, k, namespace, wanted, made)
	if apierrors.IsAlreadyExists(err) {
		if err = a.e.api.get(ctx, k, namespace, name, made); err == nil && !kube.Ours(made, a.id, a.e.opts.StoreID) {
			return refusal("there is one of the %s in namespace %s, called %s, that another store, or somebody else, has made; "+
				"delete it, or choose another run ID", k.resource, namespace, name)
		}
		if apierrors.IsNotFound(err) {
			return temporary(fmt.Sprintf("making %s of the %s", name, k.resource), err) // it has just been deleted
		}
	}
	if message, refused := kube.Refusal(err); refused {
		return refusal("the cluster does not accept it: %s", message)
	}
	if err != nil {
		return temporary(fmt.Sprintf("making %s of the %s", name, k.resource), err)
	}
	return nil
}

// withdraw deletes the Secret of an attempt that was refused.
func (a *attempt) withdraw(ctx context.Context, objects *kube.Objects) {
	a.e.mu.Lock()
	delete(a.e.attempts, a.id)
	a.e.mu.Unlock()
	a.cancel()
	if objects.Secret == nil {
		return
	}
	if err := a.e.deleteSecret(ctx, a.id, objects.Secret.Namespace); err != nil {
		a.e.opts.Log.Debug("a Secret is left behind", "attempt", a.id, "error", err)
	}
}
