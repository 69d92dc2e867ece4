// Package kubernetes runs attempts as Jobs of a Kubernetes cluster, which is found as
// kubectl finds it, or is the one that this process runs in.
//
// Package kube says what the objects of an attempt are and what the cluster shows of
// them means; here they are made, watched and deleted. The Job of an attempt is named
// by it, so that making it may be repeated until the API server has answered: one that
// is there already and has our labels is the attempt's own. An attempt that was
// acknowledged and has no Job any more is lost; it is never made anew. To that end
// nothing is deleted before the attempt is released, and, where an owner of its run may
// have been paused meanwhile, not for some time after ([Options].Keep). What a crash
// leaves behind the next engine finds by our labels, and Kubernetes deletes it itself
// after a week.
//
// A run of one step takes three calls: the Job is created, the output of its Pod
// followed, the Job deleted. A fourth makes the Secret, where there is one; it owns the
// Job, and is deleted in its place. Everything else comes by one watch for Jobs and one
// for Pods in each namespace.
//
// While the API server does not answer nothing is decided. Output is read by the lines'
// own times, so that it goes on where it broke off, and gives the same log when the
// next engine reads all of it again. Kubernetes has one output for both streams: what is
// printed on standard error is standard output here.
package kubernetes
