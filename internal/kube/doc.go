// Package kube says what an attempt is on Kubernetes, as pure functions: which
// objects are made for it ([Build]), what the cluster shows of it means ([Judge]),
// and what an answer of the API server means ([Refusal]). It has no client and no
// clock.
//
// One attempt is one Job with one Pod, ever: no retries by Kubernetes, nothing is
// started again in place. What the Pod's containers show decides, not the Job's
// summary, which comes later. Only where a user's manifest asks for more than one Pod
// the Job has the last word.
package kube
