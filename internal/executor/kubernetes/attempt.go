package kubernetes

import (
	"context"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
	"github.com/heddle/heddle/internal/kube"
)

// tellAfter is how long an attempt waits before that is told in the log.
const tellAfter = 10 * time.Second

// attempt is one that was started or adopted here and is not released.
type attempt struct {
	e       *Executor
	id      heddle.AttemptID
	ctx     context.Context
	cancel  context.CancelFunc
	changed chan struct{} // has one while there is news

	starting sync.Mutex // held while it is started

	mu        sync.Mutex
	root      ref // what was or is to be made
	making    bool
	mask      []string // texts to be masked in what comes of it
	following bool     // somebody follows it, or has to the end
	over      bool
	told      bool // that it runs
	ending    kube.Ending
	timer     *time.Timer

	job     *batchv1.Job
	jobGone bool
	pods    map[types.UID]*corev1.Pod
	podGone map[types.UID]bool
	pending bool // a Pod has been seen that did not run yet
}

func newAttempt(e *Executor, id heddle.AttemptID) *attempt {
	a := &attempt{
		e: e, id: id, changed: make(chan struct{}, 1), pods: map[types.UID]*corev1.Pod{}, podGone: map[types.UID]bool{},
	}
	a.ctx, a.cancel = context.WithCancel(e.ctx)
	return a
}

// makes notes what is about to be made.
func (a *attempt) makes(root ref) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.root, a.making = root, true
}

// masks says what is to be masked in what comes of the attempt. Who knows nothing of
// that takes nothing back.
func (a *attempt) masks(texts []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(texts) > 0 {
		a.mask = texts
	}
}

func (a *attempt) masker() *executor.Masker {
	a.mu.Lock()
	defer a.mu.Unlock()
	return executor.NewMasker(a.mask)
}

// made returns what may have been made.
func (a *attempt) made() (ref, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.root, a.making
}

func (a *attempt) begun() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.following
}

func (a *attempt) isOver() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.over
}

// begin follows the attempt from now on, once.
func (a *attempt) begin() {
	for _, object := range a.e.those(a.id) {
		a.seen(object, false)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.following {
		a.following = true
		a.e.task(a.follow)
	}
}

// isGone notes that the cluster has nothing of the attempt.
func (a *attempt) isGone() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.jobGone = true
}

// seen takes news from the cluster.
func (a *attempt) seen(object metav1.Object, gone bool) {
	a.mu.Lock()
	switch o := object.(type) {
	case *batchv1.Job:
		a.job, a.jobGone = o, gone
		if !a.making { // what owns a Job can be told from it only
			a.root, a.making = rootOf([]metav1.Object{o})
		}
	case *corev1.Pod:
		a.pods[o.UID], a.podGone[o.UID] = o, gone
	}
	a.mu.Unlock()
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

func (a *attempt) setEnding(end kube.Ending) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ending.Reason == "" {
		a.ending = end
	}
}

// look says what the cluster shows.
func (a *attempt) look() (kube.View, kube.Verdict) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := kube.View{Job: a.job, JobGone: a.jobGone, PodsGone: len(a.pods) > 0}
	for uid, pod := range a.pods {
		v.Pods = append(v.Pods, pod)
		v.PodsGone = v.PodsGone && a.podGone[uid]
	}
	kube.Sort(v.Pods)
	verdict := kube.Judge(v, a.ending)
	if len(v.Pods) > 0 && verdict.Started.IsZero() {
		a.pending = true
	}
	return v, verdict
}

// follow watches the attempt until its end is reported.
func (a *attempt) follow() {
	out := newOutput(a)
	defer out.close()
	watch := &patience{a: a, timer: time.NewTimer(time.Hour)}
	defer watch.timer.Stop()
	late := executor.NewPause(0)
	for a.ctx.Err() == nil {
		view, verdict := a.look()
		if !verdict.Started.IsZero() {
			a.runs(verdict)
		}
		switch verdict.State {
		case kube.Over:
			if len(view.Pods) == 0 && a.hasPods(view) {
				late.Wait(a.ctx, a.changed)
				continue
			}
			a.finish(out, view, verdict)
			return
		case kube.Running:
			if verdict.Pod != nil {
				out.begin(verdict.Pod)
			}
		case kube.Waiting, kube.Stuck, kube.Hopeless:
		}
		watch.look(verdict)
		select {
		case <-a.changed:
		case <-watch.timer.C:
		case <-a.ctx.Done():
			return
		}
	}
}

// hasPods asks for the Pods of an attempt whose Job tells of its end: news of Jobs and
// of Pods come on ways of their own, and those of Pods may be late.
func (a *attempt) hasPods(view kube.View) bool {
	if view.Job == nil {
		return false
	}
	for pause := executor.NewPause(0); ; {
		list, err := a.e.api.list(a.ctx, pods(), view.Job.Namespace, kube.Selector(a.e.opts.StoreID, a.id))
		if err == nil {
			return len(list.(*corev1.PodList).Items) > 0
		}
		if !pause.Wait(a.ctx, nil) {
			return false
		}
	}
}

// patience bounds how long an attempt may be unable to start.
type patience struct {
	a     *attempt
	timer *time.Timer
	state kube.State
	since time.Time
	told  bool
}

// look refuses the attempt when it has been unable to start for too long, and sets the
// timer for the next look.
func (p *patience) look(v kube.Verdict) {
	if v.State != p.state || p.since.IsZero() {
		p.state, p.since, p.told = v.State, time.Now(), false
	}
	limit := time.Duration(0)
	switch v.State {
	case kube.Hopeless:
		p.a.refuse(v.Message)
		return
	case kube.Stuck:
		limit = p.a.e.opts.Patience
		if t := p.a.terms(v.Pod).Timeout; t > 0 {
			limit = min(limit, t)
		}
	case kube.Waiting:
		limit = p.a.e.opts.Pending
	case kube.Running, kube.Over:
		return
	}
	passed := time.Since(p.since)
	if limit > 0 && passed >= limit {
		p.a.refuse(v.Message)
		return
	}
	if !p.told && passed >= tellAfter {
		p.told = true
		p.a.e.opts.Log.Info("a step waits for its cluster", "attempt", p.a.id, "why", v.Message)
	}
	next := time.Hour
	if limit > 0 {
		next = limit - passed
	}
	if !p.told {
		next = min(next, tellAfter-passed)
	}
	p.timer.Reset(next)
}

// terms reads what was agreed from the attempt's objects.
func (a *attempt) terms(pod *corev1.Pod) kube.Terms {
	if pod != nil {
		return kube.TermsOf(pod.Annotations)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.job != nil {
		return kube.TermsOf(a.job.Annotations)
	}
	return kube.Terms{}
}

// refuse ends an attempt that cannot start.
func (a *attempt) refuse(message string) {
	a.mu.Lock()
	ending := a.ending.Reason != ""
	a.mu.Unlock()
	if ending {
		return
	}
	a.setEnding(kube.Ending{Reason: heddle.Refused, Message: message})
	a.e.task(func() { a.endSurely(kube.Ending{Reason: heddle.Refused, Message: message}, 0) })
}

// runs reports that the program runs and sets the timer, once.
func (a *attempt) runs(v kube.Verdict) {
	a.mu.Lock()
	told := a.told
	a.told = true
	pending := a.pending
	a.mu.Unlock()
	if told {
		return
	}
	a.e.opts.Sink(executor.Report{Attempt: a.id, Started: v.Started})
	t := a.terms(v.Pod)
	if v.State != kube.Running || t.Timeout <= 0 {
		return
	}
	// Kubernetes tells whole seconds, by its own clock. Who has seen the program start
	// goes by ours.
	deadline := time.Until(v.Started.Add(time.Second + t.Timeout))
	if pending {
		deadline = t.Timeout
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.timer = time.AfterFunc(deadline, func() {
		a.e.task(func() {
			a.endSurely(kube.Ending{Reason: heddle.TimedOut, Message: kube.TimeoutMessage(t.Timeout)}, t.Grace)
		})
	})
}

// endSurely ends the attempt, as soon as the API server lets us.
func (a *attempt) endSurely(end kube.Ending, grace time.Duration) {
	for pause := executor.NewPause(0); ; {
		err := a.end(a.ctx, end, grace)
		if err == nil || !pause.Wait(a.ctx, nil) {
			return
		}
		a.e.opts.Log.Warn("a step is to be ended and the cluster does not do it; trying again", "attempt", a.id, "error", err)
	}
}

// end deletes the Pod of an attempt, or its Job where that has no Pod yet or may make
// another.
func (a *attempt) end(ctx context.Context, end kube.Ending, grace time.Duration) error {
	a.setEnding(end)
	view, verdict := a.look()
	if verdict.State == kube.Over {
		return nil
	}
	seconds := max(1, int64((grace+time.Second-1)/time.Second))
	if view.Job != nil && (len(view.Pods) == 0 || !kube.Single(view.Job)) {
		return a.endOne(ctx, ref{jobs(), view.Job.Namespace, view.Job.Name}, metav1.DeletePropagationForeground, nil)
	}
	if len(view.Pods) > 0 {
		pod := view.Pods[0]
		return a.endOne(ctx, ref{pods(), pod.Namespace, pod.Name}, metav1.DeletePropagationBackground, &seconds)
	}
	root, making := a.made()
	if !making {
		return nil
	}
	// It has been made, and we have not heard of it yet.
	return a.endOne(ctx, root, metav1.DeletePropagationForeground, nil)
}

func (a *attempt) endOne(ctx context.Context, object ref, how metav1.DeletionPropagation, grace *int64) error {
	err := a.e.api.delete(ctx, object.kind, object.namespace, object.name, how, grace)
	if err != nil && !apierrors.IsNotFound(err) {
		return temporary("ending attempt "+string(a.id), err)
	}
	return nil
}

// bury deletes a Job whose Pod the cluster has ended, lest it makes another one: a
// queue that takes a Job's place away suspends it, and goes on with it later.
func (a *attempt) bury(job *batchv1.Job) {
	for pause := executor.NewPause(0); ; {
		err := a.endOne(a.ctx, ref{jobs(), job.Namespace, job.Name}, metav1.DeletePropagationBackground, nil)
		if err == nil || !pause.Wait(a.ctx, nil) {
			return
		}
	}
}

// finish reports the end, after what is left of the output.
func (a *attempt) finish(out *output, view kube.View, verdict kube.Verdict) {
	a.mu.Lock()
	a.over = true
	if a.timer != nil {
		a.timer.Stop()
	}
	a.mu.Unlock()
	exit, mask := verdict.Exit, a.masker()
	if exit.Reason == heddle.Broken && view.Job != nil && !view.JobGone {
		a.bury(view.Job)
	}
	if !verdict.Started.IsZero() {
		read := view.Pods
		if verdict.Pod != nil {
			read = []*corev1.Pod{verdict.Pod}
		}
		if err := out.complete(read); err != nil && exit.Message == "" {
			exit.Message = "the output could not be read: " + err.Error()
		}
	}
	if err := out.finish(&exit); err != nil {
		a.e.opts.Log.Warn("the output could not be kept", "attempt", a.id, "error", err)
		if exit.Message == "" {
			exit.Message = "the output could not be kept: " + err.Error()
		}
	}
	exit.Message = mask.String(exit.Message)
	executor.SetTermination(&exit, []byte(exit.Termination), mask)
	if a.ctx.Err() == nil {
		a.e.opts.Sink(executor.Report{Attempt: a.id, Started: exit.Started, Exit: &exit})
	}
}
