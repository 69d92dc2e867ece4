package kubernetes

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/kube"
)

// Options are the options of [Open].
type Options struct {
	// StoreID names the store that the attempts are of. Objects with another store's
	// label are never touched.
	StoreID string
	Sink    executor.Sink
	// Logs returns the log of an attempt, emptied: all of the output is written to
	// it, again if it was read before. Nil: no logs are kept.
	Logs func(heddle.AttemptID) (io.WriteCloser, error)
	// Env looks variables of the environment up, to find the cluster. Nil: [os.Getenv].
	Env func(name string) string
	// Context and Namespace are taken instead of those of the kubeconfig; "": they are not.
	Context, Namespace string
	// Namespaces are those in which attempts may be besides. Who is allowed to list Jobs
	// and Pods in the whole cluster need not name any.
	Namespaces []string
	// Bare makes Pods without Jobs.
	Bare bool
	// QPS and Burst bound the calls to the API server, per second and at once. Reading
	// logs has the same bounds of its own. Defaults: 50 and twice QPS.
	QPS   float32
	Burst int
	// Waited is told of each call that those bounds have held up.
	Waited func(time.Duration)
	// Patience is how long a container may be unable to start, for want of its image for
	// instance, before the attempt is refused. A step's shorter timeout counts instead
	// (kog). Default: 60 s.
	Patience time.Duration
	// Pending is how long an attempt may wait for a node or a quota. 0: as long as it takes.
	Pending time.Duration
	// Keep is how long the objects of an attempt stay after its release. It must be 2
	// minutes where somebody who was paused may wake up and start the attempt again,
	// which is with all stores whose owners have leases. Default: 0, they are deleted with
	// the release.
	Keep time.Duration
	Log  *slog.Logger
}

// backstop is when Kubernetes deletes a Job that has ended and that no engine has
// deleted: long enough for an engine that was away to learn of the end.
const backstop = 7 * 24 * time.Hour

// Executor runs attempts as Jobs of one cluster.
type Executor struct {
	opts    Options
	cluster *Cluster
	api     *api
	place   string
	build   kube.Options

	ctx    context.Context // done when closed
	cancel context.CancelFunc

	mu       sync.Mutex
	tasks    sync.WaitGroup // added to under mu while not closed
	closed   bool
	attempts map[heddle.AttemptID]*attempt
	scopes   map[string]*scope
	released map[heddle.AttemptID]bool // and perhaps not deleted yet
	anywhere *bool                     // we may list the whole cluster; nil: not asked yet
}

// scope is a namespace that is watched.
type scope struct {
	jobs, pods *informer
}

var (
	_ executor.Executor = (*Executor)(nil)
	_ executor.Lister   = (*Executor)(nil)
)

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Env == nil {
		o.Env = os.Getenv
	}
	if o.QPS <= 0 {
		o.QPS = 50
	}
	if o.Burst <= 0 {
		o.Burst = int(2 * o.QPS)
	}
	if o.Patience <= 0 {
		o.Patience = time.Minute
	}
	if o.Waited == nil {
		log := o.Log
		o.Waited = func(d time.Duration) {
			log.Debug("a call to the API server was held up by the limit of calls", "for", d)
		}
	}
	return o
}

// Open finds the cluster and watches what the store has there. An error is
// [heddle.CodeUnavailable] and says what was tried, or [heddle.CodeInvalid].
func Open(ctx context.Context, opts Options) (*Executor, error) {
	if opts.Sink == nil || opts.StoreID == "" {
		return nil, heddle.Errorf(heddle.CodeInvalid, "opening the kubernetes executor: sink and store are needed")
	}
	opts = opts.withDefaults()
	cluster, err := Find(opts.Env, opts.Context, opts.Namespace)
	if err != nil {
		return nil, err
	}
	return open(ctx, opts, cluster)
}

func open(ctx context.Context, opts Options, cluster *Cluster) (*Executor, error) {
	client, err := newAPI(cluster.config, limits{opts.QPS, opts.Burst, opts.Waited}, opts.Log)
	if err != nil {
		return nil, cluster.unavailable(err)
	}
	e := &Executor{
		opts: opts, cluster: cluster, api: client,
		build:    kube.Options{Store: opts.StoreID, Namespace: cluster.Namespace, Bare: opts.Bare, Keep: backstop},
		attempts: map[heddle.AttemptID]*attempt{}, scopes: map[string]*scope{}, released: map[heddle.AttemptID]bool{},
	}
	if e.place, err = e.findPlace(ctx); err != nil {
		return nil, cluster.unavailable(err)
	}
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, namespace := range append([]string{cluster.Namespace}, opts.Namespaces...) {
		if _, err := e.scope(ctx, namespace); err != nil {
			return nil, errors.Join(err, e.Close())
		}
	}
	return e, nil
}

func (c *Cluster) unavailable(err error) error {
	return heddle.Errorf(heddle.CodeUnavailable,
		"the Kubernetes cluster at %s, from %s, does not answer: %w; see that it is up, or set KUBECONFIG", c.Host, c.From, err)
}

// findPlace names the cluster by the identity of our namespace, which can be read by a
// Role in it; who may not read it goes by the address.
func (e *Executor) findPlace(ctx context.Context) (string, error) {
	namespace := e.cluster.Namespace
	uid, err := e.api.namespaceUID(ctx, namespace)
	switch {
	case apierrors.IsForbidden(err):
		uid = e.cluster.Host
	case apierrors.IsNotFound(err):
		return "", heddle.Errorf(heddle.CodeUnavailable, "there is no namespace %q; make it, or name another", namespace)
	case err != nil:
		return "", err
	}
	return "kubernetes:" + namespace + ":" + uid, nil
}

// Place names the cluster and the namespace.
func (e *Executor) Place() string { return e.place }

// Close stops reporting. Jobs go on running.
func (e *Executor) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	e.tasks.Wait()
	return nil
}

// task runs f in the background, until the executor is closed.
func (e *Executor) task(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.tasks.Go(f)
	}
}

// scope watches a namespace, and returns when what is there is known.
func (e *Executor) scope(ctx context.Context, namespace string) (*scope, error) {
	e.mu.Lock()
	s := e.scopes[namespace]
	first := s == nil
	if first {
		s = &scope{newInformer(e, jobs(), namespace), newInformer(e, pods(), namespace)}
		e.scopes[namespace] = s
	}
	e.mu.Unlock()
	if first {
		e.task(s.jobs.run)
		e.task(s.pods.run)
	}
	for _, i := range []*informer{s.jobs, s.pods} {
		select {
		case <-i.answered:
			if err := i.fault(); err != nil {
				return nil, heddle.Errorf(heddle.CodeUnavailable,
					"listing what is in namespace %s: %w; heddle doctor --executor kubernetes says what is missing", namespace, err)
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-e.ctx.Done():
			return nil, e.ctx.Err()
		}
	}
	return s, nil
}

// findable reports whether an attempt in a namespace can be found again by the next
// engine, which is not told where it is.
func (e *Executor) findable(ctx context.Context, namespace string) (bool, error) {
	if namespace == e.cluster.Namespace || slices.Contains(e.opts.Namespaces, namespace) {
		return true, nil
	}
	e.mu.Lock()
	anywhere := e.anywhere
	e.mu.Unlock()
	if anywhere != nil {
		return *anywhere, nil
	}
	all := true
	for _, attributes := range []authorizationv1.ResourceAttributes{
		{Group: "batch", Resource: "jobs", Verb: "list"}, {Resource: "pods", Verb: "list"},
	} {
		may, err := e.api.may(ctx, attributes)
		if err != nil {
			return false, temporary("asking what is allowed", err)
		}
		all = all && may
	}
	e.mu.Lock()
	e.anywhere = &all
	e.mu.Unlock()
	return all, nil
}

// attempt returns an attempt's entry, made when there is none.
func (e *Executor) attempt(id heddle.AttemptID) *attempt {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.attempts[id]
	if a == nil {
		a = newAttempt(e, id)
		e.attempts[id] = a
	}
	return a
}

// known returns an attempt's entry, or nil.
func (e *Executor) known(id heddle.AttemptID) *attempt {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.attempts[id]
}

// those returns the objects that the cluster shows of an attempt.
func (e *Executor) those(id heddle.AttemptID) (objects []metav1.Object) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.scopes {
		objects = append(append(objects, s.jobs.those(id)...), s.pods.those(id)...)
	}
	return objects
}

func (e *Executor) elsewhere(id heddle.AttemptID, place string) error {
	return heddle.Errorf(heddle.CodeUnavailable,
		"attempt %s runs at %s, and here is %s; point KUBECONFIG, its context and its namespace there", id, place, e.place)
}

// Adopt takes acknowledged attempts over. Those that another cluster has are left
// alone, and named in the error.
func (e *Executor) Adopt(ctx context.Context, adoptions []executor.Adoption) error {
	var faults []error
	var missing []heddle.AttemptID
	for _, adoption := range adoptions {
		at := adoption.Attempt
		if at.Place != e.place {
			faults = append(faults, e.elsewhere(at.ID, at.Place))
			continue
		}
		a := e.attempt(at.ID)
		a.masks(adoption.Mask)
		if at.Stop != "" {
			a.setEnding(kube.Ending{Reason: heddle.Stopped, Message: at.Stop})
		}
		if len(e.those(at.ID)) > 0 {
			a.begin()
		} else if !a.begun() {
			missing = append(missing, at.ID)
		}
	}
	if len(missing) > 0 {
		found, err := e.search(ctx)
		if err != nil {
			return errors.Join(append(faults, err)...)
		}
		for _, id := range missing {
			a := e.attempt(id)
			if !found[id] {
				a.isGone()
			}
			a.begin()
		}
	}
	return errors.Join(faults...)
}

// search returns the attempts of which the cluster has something, as it is now, and
// sees to it that their namespaces are watched.
func (e *Executor) search(ctx context.Context) (map[heddle.AttemptID]bool, error) {
	found := map[heddle.AttemptID]bool{}
	namespaces := []string{""}
	for i := 0; i < len(namespaces); i++ {
		for _, k := range []kind{jobs(), pods()} {
			list, err := e.api.list(ctx, k, namespaces[i], kube.Selector(e.opts.StoreID, ""))
			if apierrors.IsForbidden(err) && namespaces[i] == "" {
				// Then nothing was started in others than those we watch.
				namespaces = append(namespaces, append([]string{e.cluster.Namespace}, e.opts.Namespaces...)...)
				break
			}
			var items []runtime.Object
			if err == nil {
				items, err = meta.ExtractList(list)
			}
			if err != nil {
				return nil, temporary("looking for attempts", err)
			}
			for _, item := range items {
				object, err := meta.Accessor(item)
				if err != nil {
					return nil, temporary("looking for attempts", err)
				}
				found[attemptOf(object)] = true
				if _, err := e.scope(ctx, object.GetNamespace()); err != nil {
					return nil, err
				}
			}
		}
	}
	return found, nil
}

// Stop ends an attempt: its Pod is deleted, with grace in whole seconds and one at least.
func (e *Executor) Stop(ctx context.Context, id heddle.AttemptID, reason string, grace time.Duration) error {
	a := e.known(id)
	if a == nil || a.isOver() {
		return nil
	}
	return a.end(ctx, kube.Ending{Reason: heddle.Stopped, Message: reason}, grace)
}

func temporary(what string, err error) error {
	return heddle.Errorf(heddle.CodeUnavailable, "%s: %w", what, err)
}
