package pipeline

import (
	"regexp"
	"slices"
	"strings"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/podspec"
	"github.com/heddle/heddle/internal/manifest/sharing"
)

var jobName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// readJob reads a job. Its keys that chainr does not have: env, variables, over
// those of the pipeline, whose values may come from elsewhere, outputs of other jobs
// among them; timeout, a duration that bounds each attempt; retries, see
// readRetry; tolerate (true: its failure does not count for the verdict, and the
// jobs that depend on it without a condition run after a failure too); finally
// (true: it runs when all else is over, after a cancel as well; only finally jobs
// can depend on it, and it only on them); workdir, the working directory; matrix,
// see readMatrix; pool, see [sharing.Pool]; kubernetes, see [podspec.Kubernetes].
func (r *reader) readJob(f doc.Field) job {
	o := r.d.Object(f.Value)
	if f.Value.Kind != doc.Map {
		return job{name: f.Key}
	}
	if !jobName.MatchString(f.Key) {
		r.d.Faults.Errorf(f.Value, "%q cannot be the name of a job: at most 63 letters, digits, dots, dashes and underscores can, a letter or digit first", f.Key)
	}
	j := job{
		name:     f.Key,
		needs:    r.readNeeds(o),
		timeout:  o.Duration("timeout"),
		retry:    r.readRetry(o),
		tolerate: o.Bool("tolerate"),
		finally:  o.Bool("finally"),
	}
	j.work = r.readWork(o, &j)
	j.work.Kubernetes = podspec.Kubernetes(r.d, o)
	j.pool, j.weight = sharing.Pool(r.d, o, r.params)
	if n := o.Get("matrix"); n != nil {
		j.matrix = r.readMatrix(n)
	}
	o.Rest()
	return j
}

func (r *reader) readWork(o *doc.Object, j *job) *heddle.Work {
	image := r.readText(o, "image")
	if n := o.Get("image"); n != nil && n.Kind == doc.String && strings.TrimSpace(image) == "" {
		r.d.Faults.Errorf(n, "a job needs an image, such as busybox:1.36: this is empty")
	}
	run := r.readText(o, "run")
	env := r.withCommon(o.Node(), r.readSources(o.Object("env"), &j.takes))
	work := &heddle.Work{
		Image:      image,
		Entrypoint: []string{"sh", "-c", run},
		Env:        env.env,
		From:       env.from,
		Dir:        r.fill(o.Get("workdir"), o.StringOnly("workdir")),
	}
	if strings.Contains(run, outputEnv) {
		work.Message = messageFile() // whether or not its outputs are asked for
	}
	return work
}

// readText reads a key that every job must have.
func (r *reader) readText(o *doc.Object, key string) string {
	n := o.Node().Get(key)
	if n == nil {
		r.d.Faults.Errorf(o.Node(), "a job needs the key %s", key)
		return ""
	}
	return r.fill(n, o.StringOnly(key))
}

// readNeeds reads the key dependsOn. The conditions of an entry say which outcomes
// of the job meet it: failure is met by every bad one (failure, abort and timeout:
// chainr knows only failure). Those that chainr does not have are success, timeout,
// skipped and always, which is met by all five. With several any of their
// outcomes meets the entry, with none success does.
func (r *reader) readNeeds(o *doc.Object) []need {
	var needs []need
	for _, item := range o.List("dependsOn") {
		e := r.d.Object(item)
		if item.Kind != doc.Map {
			continue
		}
		n := need{job: e.StringOnly("job"), node: e.Node().Get("job")}
		if n.node == nil {
			r.d.Faults.Errorf(e.Node(), "an entry of dependsOn needs the key job")
		}
		conditions := e.Object("conditions")
		met := map[heddle.Outcome]bool{}
		for _, c := range []struct {
			key string
			on  []heddle.Outcome
		}{
			{"success", []heddle.Outcome{heddle.Success}},
			{"failure", []heddle.Outcome{heddle.Failure, heddle.Abort, heddle.Timeout}},
			{"timeout", []heddle.Outcome{heddle.Timeout}},
			{"skipped", []heddle.Outcome{heddle.Skipped}},
			{"always", heddle.Outcomes()},
		} {
			if conditions.Bool(c.key) {
				for _, on := range c.on {
					met[on] = true
				}
			}
		}
		n.on = slices.DeleteFunc(heddle.Outcomes(), func(on heddle.Outcome) bool { return !met[on] })
		conditions.Rest()
		e.Rest()
		if n.node != nil && n.node.Kind == doc.String {
			needs = append(needs, n)
		}
	}
	return needs
}

// readRetry reads the key retries: the number of attempts after the first that
// failed or timed out, or a map of limit (that number), delay (a duration, before
// the second attempt), factor (by which the delay grows, at least 1, default 2) and
// maxDelay.
func (r *reader) readRetry(o *doc.Object) heddle.Retry {
	n := o.Get("retries")
	if n == nil || n.Kind != doc.Map {
		return heddle.Retry{Limit: o.Int("retries")}
	}
	m := r.d.Object(n)
	retry := heddle.Retry{
		Limit:    m.Int("limit"),
		Delay:    m.Duration("delay"),
		Factor:   m.Float("factor", 0),
		MaxDelay: m.Duration("maxDelay"),
	}
	if factor := m.Get("factor"); factor != nil && factor.Kind == doc.Number && retry.Factor < 1 {
		r.d.Faults.Errorf(factor, "must be at least 1, is %s", factor.Text)
	}
	m.Rest()
	return retry
}
