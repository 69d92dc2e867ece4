package v1alpha1

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ReactiveJob runs a Job from its template, and another one whenever the template
// has changed.
//
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ReactiveJob struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ReactiveJobSpec `json:"spec,omitempty"`
	// Before a controller has looked at the object, its status must not pass for one
	// that has been reached; hence the default.
	//
	// +kubebuilder:default={"observedGeneration":-1}
	Status ReactiveJobStatus `json:"status,omitempty"`
}

// ReactiveJobList is a list of ReactiveJobs.
//
// +kubebuilder:object:root=true
type ReactiveJobList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ReactiveJob `json:"items"`
}

// ReactiveJobSpec is what a user wants of a ReactiveJob.
type ReactiveJobSpec struct {
	// JobTemplate is what Jobs are made from. It names neither a name nor a
	// namespace: the Jobs are called after the ReactiveJob and live beside it.
	JobTemplate batchv1.JobTemplateSpec `json:"jobTemplate"`
}

// ReactiveJobStatus is what has become of a ReactiveJob.
type ReactiveJobStatus struct {
	// ObservedGeneration is the generation that the rest of the status is about.
	ObservedGeneration int64                  `json:"observedGeneration,omitempty"`
	Conditions         []ReactiveJobCondition `json:"conditions,omitempty"`
	// +kubebuilder:validation:Enum=New;Processing;DeletionBlocked;Deleting;Ready;Error
	State ReactiveJobState `json:"state,omitempty"`
	// CurrentJobName is the Job that the status is about.
	CurrentJobName string `json:"currentJobName,omitempty"`
}

// ReactiveJobCondition is one condition of a ReactiveJob.
type ReactiveJobCondition struct {
	Type   ReactiveJobConditionType `json:"type"`
	Status corev1.ConditionStatus   `json:"status"`
	// LastUpdateTime is when the condition was last written.
	LastUpdateTime *metav1.Time `json:"lastUpdateTime,omitempty"`
	// LastTransitionTime is when Status last changed.
	LastTransitionTime *metav1.Time `json:"lastTransitionTime,omitempty"`
	Reason             string       `json:"reason,omitempty"`
	Message            string       `json:"message,omitempty"`
}

// ReactiveJobConditionType names a condition.
type ReactiveJobConditionType string

// The conditions, in the words of kstatus.
const (
	ReactiveJobConditionTypeReady       ReactiveJobConditionType = "Ready"
	ReactiveJobConditionTypeReconciling ReactiveJobConditionType = "Reconciling"
	ReactiveJobConditionTypeStalled     ReactiveJobConditionType = "Stalled"
)

// ReactiveJobState sums the status up in a word.
type ReactiveJobState string

// The states.
const (
	ReactiveJobStateNew             ReactiveJobState = "New"
	ReactiveJobStateProcessing      ReactiveJobState = "Processing"
	ReactiveJobStateDeletionBlocked ReactiveJobState = "DeletionBlocked"
	ReactiveJobStateDeleting        ReactiveJobState = "Deleting"
	ReactiveJobStateReady           ReactiveJobState = "Ready"
	ReactiveJobStateError           ReactiveJobState = "Error"
)
