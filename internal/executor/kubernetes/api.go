package kubernetes

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/klog/v2"
)

// callTime bounds a call that is no stream.
const callTime = 30 * time.Second

// api is the client. It knows three groups of resources and no more, because the
// clientset with all of them would double the size of the program.
type api struct {
	core, batch, auth rest.Interface
	logs              rest.Interface // core again, with a limiter of its own
	params            runtime.ParameterCodec
	log               logr.Logger
}

// limits are how fast the API server is asked, in calls per second and at once.
type limits struct {
	qps   float32
	burst int
	// waited is told of each call that had to wait.
	waited func(time.Duration)
}

// newAPI makes a client, without asking anything.
func newAPI(config *rest.Config, l limits, log *slog.Logger) (*api, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, batchv1.AddToScheme, authorizationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	config = rest.CopyConfig(config)
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	config.UserAgent = "heddle"
	config.WarningHandler = rest.NoWarnings{}
	config.RateLimiter = newLimiter(l)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	a := &api{params: runtime.NewParameterCodec(scheme), log: logr.FromSlogHandler(quiet{log.Handler()})}
	if a.core, err = restClient(config, client, corev1.SchemeGroupVersion); err != nil {
		return nil, err
	}
	if a.batch, err = restClient(config, client, batchv1.SchemeGroupVersion); err != nil {
		return nil, err
	}
	if a.auth, err = restClient(config, client, authorizationv1.SchemeGroupVersion); err != nil {
		return nil, err
	}
	config.RateLimiter = newLimiter(l)
	a.logs, err = restClient(config, client, corev1.SchemeGroupVersion)
	return a, err
}

func restClient(config *rest.Config, client *http.Client, group schema.GroupVersion) (rest.Interface, error) {
	config = rest.CopyConfig(config)
	config.GroupVersion, config.APIPath = &group, "/apis"
	if group.Group == "" {
		config.APIPath = "/api"
	}
	return rest.RESTClientForConfigAndClient(config, client)
}

// quiet demotes what the client library says: it is news for who looks into it.
type quiet struct{ slog.Handler }

// Handle implements [slog.Handler].
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if r.Level = slog.LevelDebug; !q.Enabled(ctx, r.Level) {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

// in makes the client library log to our log.
func (a *api) in(ctx context.Context) context.Context { return klog.NewContext(ctx, a.log) }

// limiter tells how long calls had to wait.
type limiter struct {
	flowcontrol.RateLimiter
	waited func(time.Duration)
}

func newLimiter(l limits) flowcontrol.RateLimiter {
	return &limiter{RateLimiter: flowcontrol.NewTokenBucketRateLimiter(l.qps, l.burst), waited: l.waited}
}

// Wait implements [flowcontrol.RateLimiter].
func (l *limiter) Wait(ctx context.Context) error {
	if l.TryAccept() {
		return nil
	}
	before := time.Now()
	err := l.RateLimiter.Wait(ctx)
	l.waited(time.Since(before))
	return err
}

// kind is a kind of object that we have to do with.
type kind struct {
	client   func(*api) rest.Interface
	resource string
	list     func() runtime.Object
}

func core(a *api) rest.Interface { return a.core }

func jobs() kind {
	batch := func(a *api) rest.Interface { return a.batch }
	return kind{batch, "jobs", func() runtime.Object { return &batchv1.JobList{} }}
}

func pods() kind { return kind{core, "pods", func() runtime.Object { return &corev1.PodList{} }} }

func secrets() kind {
	return kind{core, "secrets", func() runtime.Object { return &corev1.SecretList{} }}
}

// create makes an object; into gets it as the server has it.
func (a *api) create(ctx context.Context, k kind, namespace string, object, into runtime.Object) error {
	ctx, cancel := context.WithTimeout(a.in(ctx), callTime)
	defer cancel()
	return k.client(a).Post().Namespace(namespace).Resource(k.resource).Body(object).Do(ctx).Into(into)
}

func (a *api) get(ctx context.Context, k kind, namespace, name string, into runtime.Object) error {
	ctx, cancel := context.WithTimeout(a.in(ctx), callTime)
	defer cancel()
	return k.client(a).Get().Namespace(namespace).Resource(k.resource).Name(name).Do(ctx).Into(into)
}

// delete deletes an object. Grace is for Pods, in seconds; nil: their own.
func (a *api) delete(ctx context.Context, k kind, namespace, name string, how metav1.DeletionPropagation, grace *int64) error {
	ctx, cancel := context.WithTimeout(a.in(ctx), callTime)
	defer cancel()
	options := &metav1.DeleteOptions{PropagationPolicy: &how, GracePeriodSeconds: grace}
	return k.client(a).Delete().Namespace(namespace).Resource(k.resource).Name(name).Body(options).Do(ctx).Error()
}

// list lists what the selector selects, as it is now. Namespace "" is all of them.
func (a *api) list(ctx context.Context, k kind, namespace, selector string) (runtime.Object, error) {
	ctx, cancel := context.WithTimeout(a.in(ctx), callTime)
	defer cancel()
	list := k.list()
	err := k.client(a).Get().Namespace(namespace).Resource(k.resource).
		VersionedParams(&metav1.ListOptions{LabelSelector: selector}, a.params).Do(ctx).Into(list)
	return list, err
}

// watch follows what the selector selects, from a version on.
func (a *api) watch(ctx context.Context, k kind, namespace, selector, version string) (watch.Interface, error) {
	return k.client(a).Get().Namespace(namespace).Resource(k.resource).
		VersionedParams(&metav1.ListOptions{
			LabelSelector: selector, ResourceVersion: version, Watch: true, AllowWatchBookmarks: true,
		}, a.params).Watch(a.in(ctx))
}

// output reads the log of a container, each line with its time before it.
func (a *api) output(ctx context.Context, namespace, pod string, options *corev1.PodLogOptions) (io.ReadCloser, error) {
	return a.logs.Get().Namespace(namespace).Resource("pods").Name(pod).SubResource("log").
		VersionedParams(options, a.params).Stream(a.in(ctx))
}

// namespaceUID returns the identity of a namespace.
func (a *api) namespaceUID(ctx context.Context, name string) (string, error) {
	ctx, cancel := context.WithTimeout(a.in(ctx), callTime)
	defer cancel()
	var namespace corev1.Namespace
	err := a.core.Get().Resource("namespaces").Name(name).Do(ctx).Into(&namespace)
	return string(namespace.UID), err
}

// may asks whether we are allowed to do something.
func (a *api) may(ctx context.Context, attributes authorizationv1.ResourceAttributes) (bool, error) {
	ctx, cancel := context.WithTimeout(a.in(ctx), callTime)
	defer cancel()
	review := &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &attributes},
	}
	err := a.auth.Post().Resource("selfsubjectaccessreviews").Body(review).Do(ctx).Into(review)
	return review.Status.Allowed, err
}
