package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Task runs a pod when an Ignitor or the end of another Task starts it.
//
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:resource:singular=task,shortName=tk
// +kubebuilder:printcolumn:name="state",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="lastSuccess",type=string,JSONPath=`.status.lastSuccess`
// +kubebuilder:printcolumn:name="lastFailure",type=string,JSONPath=`.status.lastFailure`
// +kubebuilder:printcolumn:name="failuresCount",type=integer,JSONPath=`.status.failuresCount`
// +kubebuilder:printcolumn:name="ignitors",type=string,JSONPath=`.spec.startOnIgnition`
// +kubebuilder:printcolumn:name="onSuccessTask",type=string,JSONPath=`.spec.startOnSuccess`
// +kubebuilder:printcolumn:name="onFailureTask",type=string,JSONPath=`.spec.startOnFailure`
type Task struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   TaskSpec   `json:"spec,omitempty"`
	Status TaskStatus `json:"status,omitempty"`
}

// TaskList is a list of Tasks.
//
// +kubebuilder:object:root=true
type TaskList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Task `json:"items"`
}

// TaskSpec is what a Task runs, and when. Each name in a list starts it, whatever
// the others do; a name of nothing that exists is inert. The lists may be null, as
// in orcaoperator's own samples.
type TaskSpec struct {
	Description string `json:"description,omitempty"`
	// StartOnIgnition names Ignitors.
	//
	// +nullable
	StartOnIgnition []string `json:"startOnIgnition,omitempty"`
	// StartOnSuccess and StartOnFailure name Tasks, this one perhaps.
	//
	// +nullable
	StartOnSuccess []string `json:"startOnSuccess,omitempty"`
	// +nullable
	StartOnFailure []string `json:"startOnFailure,omitempty"`
	// SuccessActions and FailureActions name what is to be told when the Task ends.
	//
	// +nullable
	SuccessActions []string `json:"successActions,omitempty"`
	// +nullable
	FailureActions []string `json:"failureActions,omitempty"`
	// Template is what the pod is made from.
	Template corev1.PodTemplateSpec `json:"template"`
}

// TaskStatus is what has become of a Task. All four keys are always written.
type TaskStatus struct {
	State TaskState `json:"state"`
	// LastSuccess and LastFailure have the layout 2006-01-02 15:04:05.
	LastSuccess string `json:"lastSuccess"`
	LastFailure string `json:"lastFailure"`
	// FailuresCount counts failures in a row.
	FailuresCount int `json:"failuresCount"`
}

// TaskState says whether a Task runs.
type TaskState string

// The states of a Task.
const (
	TaskPending TaskState = "Pending"
	TaskRunning TaskState = "Running"
)

// Ignitor starts Tasks at a time.
//
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:resource:singular=ignitor,shortName=ig
// +kubebuilder:printcolumn:name="scheduled",type=string,JSONPath=`.spec.scheduled`
type Ignitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   IgnitorSpec   `json:"spec,omitempty"`
	Status IgnitorStatus `json:"status,omitempty"`
}

// IgnitorList is a list of Ignitors.
//
// +kubebuilder:object:root=true
type IgnitorList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Ignitor `json:"items"`
}

// IgnitorSpec is when an Ignitor fires, and what it hands to the Tasks.
type IgnitorSpec struct {
	// Description is in orcaoperator's samples, though not in its types.
	Description string `json:"description,omitempty"`
	// Scheduled is NOW in any case, an instant (RFC 3339), or a cron expression of 5
	// to 7 fields.
	Scheduled string `json:"scheduled,omitempty"`
	// Data is what the Tasks get in ORCA_DATA.
	Data string `json:"data,omitempty"`
}

// IgnitorStatus is what has become of an Ignitor.
type IgnitorStatus struct {
	State IgnitorState `json:"state,omitempty"`
}

// IgnitorState says how far an Ignitor is.
type IgnitorState string

// The states of an Ignitor.
const (
	IgnitorPending IgnitorState = "PENDING"
	IgnitorRunning IgnitorState = "RUNNING"
	IgnitorSuccess IgnitorState = "SUCCESS"
	IgnitorFail    IgnitorState = "FAIL"
)
