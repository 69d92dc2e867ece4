package kubernetes

import (
	"errors"
	"fmt"
	"net/http"
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/kube"
)

// informer keeps up with the Jobs or the Pods of our store in one namespace. client-go
// has reflectors for that; after an outage they look again only a minute later, and
// they keep all objects twice.
type informer struct {
	e         *Executor
	kind      kind
	namespace string
	answered  chan struct{} // closed with the first answer of the API server

	mu      sync.Mutex
	err     error // why it does not know what is there; nil: it does
	objects map[types.UID]metav1.Object
	of      map[heddle.AttemptID]map[types.UID]metav1.Object
}

func newInformer(e *Executor, k kind, namespace string) *informer {
	return &informer{
		e: e, kind: k, namespace: namespace, answered: make(chan struct{}),
		objects: map[types.UID]metav1.Object{}, of: map[heddle.AttemptID]map[types.UID]metav1.Object{},
	}
}

// run lists and watches until the executor is closed.
func (i *informer) run() {
	pause := executor.NewPause(0)
	for i.e.ctx.Err() == nil {
		list, err := i.e.api.list(i.e.ctx, i.kind, i.namespace, kube.Selector(i.e.opts.StoreID, ""))
		if err == nil {
			pause = executor.NewPause(0)
			err = i.follow(list)
		} else {
			i.answer(err)
		}
		if i.e.ctx.Err() == nil {
			i.e.opts.Log.Debug("listing anew", "resource", i.kind.resource, "namespace", i.namespace, "error", err)
		}
		pause.Wait(i.e.ctx, nil)
	}
}

// follow takes a list, and the changes after it for as long as the server has them.
func (i *informer) follow(list runtime.Object) error {
	version, err := i.replace(list)
	if err != nil {
		return err
	}
	pause := executor.NewPause(0)
	for i.e.ctx.Err() == nil {
		stream, err := i.e.api.watch(i.e.ctx, i.kind, i.namespace, kube.Selector(i.e.opts.StoreID, ""), version)
		if err == nil {
			var heard bool
			heard, version, err = i.hear(stream, version)
			stream.Stop()
			if heard {
				pause = executor.NewPause(0)
			}
		}
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			return err
		}
		if i.e.ctx.Err() == nil {
			i.e.opts.Log.Debug("watching anew", "resource", i.kind.resource, "namespace", i.namespace, "error", err)
		}
		pause.Wait(i.e.ctx, nil)
	}
	return i.e.ctx.Err()
}

// hear takes changes until the stream ends.
func (i *informer) hear(stream watch.Interface, version string) (heard bool, newest string, err error) {
	for event := range stream.ResultChan() {
		if event.Type == watch.Error {
			return heard, version, apierrors.FromObject(event.Object)
		}
		object, err := meta.Accessor(event.Object)
		if err != nil {
			return heard, version, fmt.Errorf("reading a change: %w", err)
		}
		heard, version = true, object.GetResourceVersion()
		switch event.Type {
		case watch.Added, watch.Modified:
			i.put(object)
		case watch.Deleted:
			i.drop(object)
		case watch.Bookmark, watch.Error:
		}
	}
	return heard, version, nil
}

// replace takes a whole list: what is not in it is gone.
func (i *informer) replace(list runtime.Object) (version string, err error) {
	items, err := meta.ExtractList(list)
	if err != nil {
		return "", err
	}
	access, err := meta.ListAccessor(list)
	if err != nil {
		return "", err
	}
	there := map[types.UID]bool{}
	for _, item := range items {
		object, err := meta.Accessor(item)
		if err != nil {
			return "", err
		}
		there[object.GetUID()] = true
		i.put(object)
	}
	i.mu.Lock()
	var gone []metav1.Object
	for uid, object := range i.objects {
		if !there[uid] {
			gone = append(gone, object)
		}
	}
	i.mu.Unlock()
	for _, object := range gone {
		i.drop(object)
	}
	i.answer(nil)
	return access.GetResourceVersion(), nil
}

// answer notes whether what is there is known.
func (i *informer) answer(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.err = err
	select {
	case <-i.answered:
	default:
		close(i.answered)
	}
}

func (i *informer) fault() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.err
}

func (i *informer) put(object metav1.Object) {
	trim(object)
	id := attemptOf(object)
	i.mu.Lock()
	if i.of[id] == nil {
		i.of[id] = map[types.UID]metav1.Object{}
	}
	i.objects[object.GetUID()], i.of[id][object.GetUID()] = object, object
	i.mu.Unlock()
	if a := i.e.known(id); a != nil {
		a.seen(object, false)
	}
}

func (i *informer) drop(object metav1.Object) {
	trim(object)
	id := attemptOf(object)
	i.mu.Lock()
	delete(i.objects, object.GetUID())
	delete(i.of[id], object.GetUID())
	if len(i.of[id]) == 0 {
		delete(i.of, id)
	}
	i.mu.Unlock()
	if a := i.e.known(id); a != nil {
		a.seen(object, true)
	} else {
		i.e.isDeleted(id)
	}
}

// those returns the objects of an attempt.
func (i *informer) those(id heddle.AttemptID) (objects []metav1.Object) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, object := range i.of[id] {
		objects = append(objects, object)
	}
	return objects
}

// held returns the attempts of which there is an object.
func (i *informer) held() (ids []heddle.AttemptID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for id := range i.of {
		ids = append(ids, id)
	}
	return ids
}

func attemptOf(object metav1.Object) heddle.AttemptID {
	return heddle.AttemptID(object.GetLabels()[kube.LabelAttempt])
}

// trim drops what no verdict needs, and what should not be kept in memory.
func trim(object metav1.Object) {
	object.SetManagedFields(nil)
	switch o := object.(type) {
	case *corev1.Pod:
		trimPod(&o.Spec)
	case *batchv1.Job:
		trimPod(&o.Spec.Template.Spec)
	}
}

func trimPod(pod *corev1.PodSpec) {
	for i := range pod.Containers {
		c := &pod.Containers[i]
		c.Env, c.EnvFrom, c.Command, c.Args, c.VolumeMounts = nil, nil, nil, nil, nil
	}
	pod.Volumes = nil
}

// away reports whether an error means that the API server does not answer, or not now.
func away(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return err != nil
	}
	code := status.Status().Code
	return code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable || code == http.StatusGatewayTimeout
}
