package kubernetes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/heddle/heddle"
)

const twoContexts = `
apiVersion: v1
kind: Config
current-context: one
clusters:
  - {name: a, cluster: {server: "https://a:6443"}}
  - {name: b, cluster: {server: "https://b:6443"}}
contexts:
  - {name: one, context: {cluster: a}}
  - {name: two, context: {cluster: b, namespace: jobs}}
`

func TestFind(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	usual := filepath.Join(home, ".kube", "config")
	other := filepath.Join(home, "other")
	damaged := filepath.Join(home, "damaged")
	if err := os.Mkdir(filepath.Dir(usual), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		usual: twoContexts, other: strings.ReplaceAll(twoContexts, "one", "three"), damaged: "current-context: [",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		kubeconfig         string
		home               string
		context, namespace string
		host, ns, from     string
		wantErr            string
	}{
		"the usual place":             {home: home, host: "https://a:6443", ns: "default", from: "context one of " + usual},
		"KUBECONFIG":                  {kubeconfig: other, home: home, host: "https://a:6443", ns: "default", from: "context three of KUBECONFIG"},
		"the first of several":        {kubeconfig: filepath.Join(home, "none") + string(filepath.ListSeparator) + other, host: "https://a:6443", ns: "default", from: "context three of KUBECONFIG"},
		"another context":             {home: home, context: "two", host: "https://b:6443", ns: "jobs", from: "context two of " + usual},
		"another namespace":           {home: home, context: "two", namespace: "mine", host: "https://b:6443", ns: "mine", from: "context two of " + usual},
		"a context that is not there": {home: home, context: "nine", wantErr: `context "nine" does not exist`},
		"a damaged file":              {kubeconfig: damaged, wantErr: "reading the kubeconfig, KUBECONFIG: "},
		"nothing at all":              {home: filepath.Join(home, "empty"), wantErr: "no Kubernetes cluster: "},
		"KUBECONFIG names nothing":    {kubeconfig: filepath.Join(home, "none"), home: home, wantErr: "no Kubernetes cluster: KUBECONFIG names none"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := func(name string) string {
				return map[string]string{"KUBECONFIG": test.kubeconfig, "HOME": test.home, "USERPROFILE": test.home}[name]
			}
			c, err := Find(env, test.context, test.namespace)
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) || heddle.CodeOf(err) != heddle.CodeUnavailable {
					t.Fatalf("got error %v, want %q", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.Host != test.host || c.Namespace != test.ns || c.From != test.from {
				t.Errorf("got %s, %s, %s", c.Host, c.Namespace, c.From)
			}
		})
	}
	if InCluster(func(string) string { return "" }) {
		t.Error("this is taken for a Pod")
	}
}
