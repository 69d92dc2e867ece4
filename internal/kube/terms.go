package kube

import (
	"strconv"
	"time"

	"github.com/heddle/heddle/internal/executor"
)

// Terms are what an engine that takes an attempt over reads from its objects.
type Terms struct {
	Timeout time.Duration // from the start of the program; 0: none
	Grace   time.Duration
	Log     int64  // how many bytes of the output are kept
	Main    string // the container whose end is the attempt's; "": the first
}

// TermsOf reads the annotations of a Job or Pod. Ours are well-formed; what is not
// there is zero.
func TermsOf(annotations map[string]string) (t Terms) {
	t.Timeout, _ = time.ParseDuration(annotations[annotationTimeout])
	t.Grace, _ = time.ParseDuration(annotations[annotationGrace])
	t.Log, _ = strconv.ParseInt(annotations[annotationLog], 10, 64)
	t.Main = annotations[annotationContainer]
	return t
}

func annotate(spec executor.Spec, main string) map[string]string {
	a := map[string]string{annotationContainer: main}
	if spec.Timeout > 0 {
		a[annotationTimeout] = spec.Timeout.String()
	}
	if spec.Grace > 0 {
		a[annotationGrace] = spec.Grace.String()
	}
	if spec.Log > 0 {
		a[annotationLog] = strconv.FormatInt(spec.Log, 10)
	}
	return a
}

// seconds rounds up, to one at least: Kubernetes counts in whole seconds, and none
// means that nobody waits until the program has ended.
func seconds(d time.Duration) int64 {
	return max(1, int64((d+time.Second-1)/time.Second))
}
