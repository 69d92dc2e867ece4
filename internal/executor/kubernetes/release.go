package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/kube"
)

// ref names an object, with which all others of its attempt are deleted.
type ref struct {
	kind            kind
	namespace, name string
}

// rootOf finds the object that owns all others: the Secret, or the Job, or the Pod.
func rootOf(objects []metav1.Object) (root ref, ok bool) {
	for _, object := range objects {
		found := ref{kind: pods(), namespace: object.GetNamespace(), name: object.GetName()}
		if _, job := object.(*batchv1.Job); job {
			found.kind = jobs()
		}
		for _, owner := range object.GetOwnerReferences() {
			switch {
			case owner.Kind == "Secret" && owner.Name == kube.SecretName(attemptOf(object)):
				found.kind, found.name = secrets(), owner.Name
			case owner.Kind == "Job":
				found.kind, found.name = jobs(), owner.Name
			}
		}
		// The Pod of a Job tells less than the Job.
		if !ok || found.kind.resource == "secrets" || found.kind.resource == "jobs" && root.kind.resource == "pods" {
			root, ok = found, true
		}
	}
	return root, ok
}

// rootOfNew is rootOf for objects that are about to be made.
func rootOfNew(objects *kube.Objects) ref {
	switch {
	case objects.Secret != nil:
		return ref{secrets(), objects.Secret.Namespace, objects.Secret.Name}
	case objects.Job != nil:
		return ref{jobs(), objects.Job.Namespace, objects.Job.Name}
	}
	return ref{pods(), objects.Pod.Namespace, objects.Pod.Name}
}

// Held returns the attempts of the store of which the cluster has something.
func (e *Executor) Held(context.Context) ([]heddle.AttemptID, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := map[heddle.AttemptID]bool{}
	var ids []heddle.AttemptID
	for _, s := range e.scopes {
		for _, id := range append(s.jobs.held(), s.pods.held()...) {
			if !seen[id] && !e.released[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// Release deletes the objects of attempts, running or not, when [Options].Keep has
// passed. What is not deleted by then, because the executor is closed, the next one
// that is opened finds.
func (e *Executor) Release(ctx context.Context, ids []heddle.AttemptID) error {
	var roots []ref
	var unseen []heddle.AttemptID
	for _, id := range ids {
		if root, ok := e.root(id); ok {
			roots = append(roots, root)
		} else {
			unseen = append(unseen, id)
		}
	}
	if e.opts.Keep <= 0 {
		return errors.Join(e.deleteAll(ctx, roots), e.deleteSecrets(ctx, unseen))
	}
	e.task(func() {
		timer := time.NewTimer(e.opts.Keep)
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
			case <-e.ctx.Done():
				return
			}
			err := errors.Join(e.deleteAll(e.ctx, roots), e.deleteSecrets(e.ctx, unseen))
			if err == nil || e.ctx.Err() != nil {
				return
			}
			e.opts.Log.Warn("what has ended could not be deleted; trying again", "error", err, "in", e.opts.Keep)
			timer.Reset(e.opts.Keep)
		}
	})
	return nil
}

// deleteSecrets deletes the Secrets of attempts of which the cluster shows neither Job
// nor Pod: a crash between the two calls of a start leaves one. Secrets are not listed,
// so each is looked up by its name, wherever attempts may be.
func (e *Executor) deleteSecrets(ctx context.Context, ids []heddle.AttemptID) error {
	var faults []error
	for _, id := range ids {
		for _, namespace := range e.watched() {
			if err := e.deleteSecret(ctx, id, namespace); err != nil {
				faults = append(faults, err)
			}
		}
	}
	return errors.Join(faults...)
}

func (e *Executor) deleteSecret(ctx context.Context, id heddle.AttemptID, namespace string) error {
	var secret corev1.Secret
	name := kube.SecretName(id)
	err := e.api.get(ctx, secrets(), namespace, name, &secret)
	switch {
	case apierrors.IsNotFound(err) || apierrors.IsForbidden(err):
		return nil // who may not look cannot tell, and asking again does not help
	case err != nil:
		return fmt.Errorf("looking for secret %s: %w", name, err)
	case !kube.Ours(&secret, id, e.opts.StoreID):
		return nil
	}
	return e.deleteAll(ctx, []ref{{secrets(), namespace, name}})
}

// watched returns the namespaces in which attempts are or may be.
func (e *Executor) watched() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Sorted(maps.Keys(e.scopes))
}

// root forgets an attempt and returns what is to be deleted of it.
func (e *Executor) root(id heddle.AttemptID) (ref, bool) {
	objects := e.those(id)
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(objects) > 0 {
		e.released[id] = true
	}
	a := e.attempts[id]
	delete(e.attempts, id)
	if a != nil {
		a.cancel()
		if root, ok := a.made(); ok {
			return root, true
		}
	}
	return rootOf(objects)
}

// isDeleted drops the note that an attempt is released, when the last of it is gone.
func (e *Executor) isDeleted(id heddle.AttemptID) {
	if len(e.those(id)) > 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.released, id)
}

func (e *Executor) deleteAll(ctx context.Context, roots []ref) error {
	var g errgroup.Group
	g.SetLimit(8)
	faults := make([]error, len(roots))
	for i, root := range roots {
		g.Go(func() error {
			err := e.api.delete(ctx, root.kind, root.namespace, root.name, metav1.DeletePropagationBackground, nil)
			if err != nil && !apierrors.IsNotFound(err) {
				faults[i] = fmt.Errorf("deleting %s %s: %w", root.kind.resource, root.name, err)
			}
			return nil
		})
	}
	_ = g.Wait() // has none
	return errors.Join(faults...)
}
