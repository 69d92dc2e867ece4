// Package v1alpha1 holds the Go types of the API group sirocco.cloud, as
// orcaoperator defines them: Tasks that start each other, and Ignitors that start
// the first ones.
//
// +k8s:deepcopy-gen=package
// +kubebuilder:object:generate=true
// +groupName=sirocco.cloud
package v1alpha1

//go:generate go tool -modfile=../../../tools/go.mod controller-gen object paths=.
//go:generate go tool -modfile=../../../tools/go.mod register-gen --output-file zz_generated.register.go .
