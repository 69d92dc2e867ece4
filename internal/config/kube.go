package config

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/heddle/heddle"
)

// Kube is how the kubernetes executor finds its cluster and behaves there.
type Kube struct {
	Context    string   // of the kubeconfig; "": the current one
	Namespaces []string // the first is that of steps that name none; none: the context's
	Bare       bool     // Pods without Jobs
	QPS        float64  // calls to the API server per second
	// Patience is how long a container may be unable to start.
	Patience time.Duration
	// Pending is how long a step may wait for a node; 0: as long as it takes.
	Pending time.Duration
}

var namespace = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// Kube returns what the settings say, or all faults in them.
func (c *Config) Kube() (Kube, []error) {
	k := Kube{Context: c.KubeContext}
	var faults []error
	for _, s := range Settings() {
		var err error
		switch s.Flag {
		case "kube-namespace":
			if c.KubeNamespace != "" {
				k.Namespaces = strings.Split(c.KubeNamespace, ",")
			}
			for _, name := range k.Namespaces {
				if !namespace.MatchString(name) {
					err = heddle.Errorf(heddle.CodeInvalid, "%q is no name of a namespace", name)
				}
			}
		case "kube-bare":
			if k.Bare, err = strconv.ParseBool(c.KubeBare); err != nil {
				err = heddle.Errorf(heddle.CodeInvalid, "%q is neither true nor false", c.KubeBare)
			}
		case "kube-qps":
			if k.QPS, err = strconv.ParseFloat(c.KubeQPS, 32); err != nil || !(k.QPS > 0) {
				err = heddle.Errorf(heddle.CodeInvalid, "%q is not a number above 0", c.KubeQPS)
			}
		case "kube-patience":
			k.Patience, err = ParseDuration(c.KubePatience)
		case "kube-pending":
			k.Pending, err = ParseDuration(c.KubePending)
		}
		if err != nil {
			faults = append(faults, fault(s, err.Error()))
		}
	}
	return k, faults
}
