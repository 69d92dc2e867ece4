// Package v1alpha1 holds the Go types of the API group batch.cs.sap.com, as
// reactivejob-operator defines them: a Job that runs anew whenever its template
// changes.
//
// +k8s:deepcopy-gen=package
// +kubebuilder:object:generate=true
// +groupName=batch.cs.sap.com
package v1alpha1

//go:generate go tool -modfile=../../../tools/go.mod controller-gen object paths=.
//go:generate go tool -modfile=../../../tools/go.mod register-gen --output-file zz_generated.register.go .
