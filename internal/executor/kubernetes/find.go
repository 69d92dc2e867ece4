package kubernetes

import (
	"os"
	"path/filepath"
	"runtime"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/heddle/heddle"
)

// serviceAccount is where a Pod finds who it is.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// Cluster is where a Kubernetes cluster should be.
type Cluster struct {
	Host string // the address of its API server
	From string // what named it, in words
	// Namespace is the one for attempts that name none.
	Namespace string

	config *rest.Config
}

// InCluster reports whether this process runs in a Pod that has a service account.
func InCluster(env func(name string) string) bool {
	if env("KUBERNETES_SERVICE_HOST") == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(serviceAccount, "token"))
	return err == nil
}

// Find says where the cluster is, as kubectl does it: the current context of the files
// in KUBECONFIG or of ~/.kube/config; where there are none, the cluster in which this
// process runs (kog). Context and namespace, if not empty, are taken instead of those
// that are set there. Env looks variables up. Whether an API server answers is not
// asked. An error is [heddle.CodeUnavailable].
func Find(env func(name string) string, context, namespace string) (*Cluster, error) {
	rules := &clientcmd.ClientConfigLoadingRules{Precedence: []string{filepath.Join(homeDir(env), ".kube", "config")}}
	from := rules.Precedence[0]
	if files := env("KUBECONFIG"); files != "" {
		rules.Precedence, from = filepath.SplitList(files), "KUBECONFIG"
	}
	overrides := &clientcmd.ConfigOverrides{CurrentContext: context}
	overrides.Context.Namespace = namespace
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "reading the kubeconfig, %s: %w", from, err)
	}
	if len(raw.Clusters) == 0 {
		return inCluster(env, namespace, from)
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "the kubeconfig, %s: %w; see kubectl config get-contexts", from, err)
	}
	ns, _, err := loader.Namespace()
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "the kubeconfig, %s: %w", from, err)
	}
	if context == "" {
		context = raw.CurrentContext
	}
	return &Cluster{Host: config.Host, From: "context " + context + " of " + from, Namespace: ns, config: config}, nil
}

func inCluster(env func(string) string, namespace, tried string) (*Cluster, error) {
	if !InCluster(env) {
		return nil, heddle.Errorf(heddle.CodeUnavailable,
			"no Kubernetes cluster: %s names none, and this is not a Pod with a service account; set KUBECONFIG, or put one at ~/.kube/config", tried)
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "the service account of this Pod: %w", err)
	}
	if namespace == "" {
		text, err := os.ReadFile(filepath.Join(serviceAccount, "namespace"))
		if err != nil {
			return nil, heddle.Errorf(heddle.CodeUnavailable, "the service account of this Pod: %w", err)
		}
		namespace = string(text)
	}
	return &Cluster{Host: config.Host, From: "the service account of this Pod", Namespace: namespace, config: config}, nil
}

func homeDir(env func(string) string) string {
	if runtime.GOOS == "windows" {
		return env("USERPROFILE")
	}
	return env("HOME")
}
