package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
)

// Finding is something that [Check] has found.
type Finding struct {
	What   string
	OK     bool
	Advice string // what to do about it
}

// grant is a rule of the Role that the executor needs.
type grant struct {
	group, resource string
	verbs           []string
}

// grants returns the least that the executor works with.
func grants(bare bool) []grant {
	need := []grant{
		{"batch", "jobs", []string{"create", "get", "list", "watch", "delete"}},
		{"", "pods", []string{"list", "watch", "delete"}},
		{"", "pods/log", []string{"get"}},
		{"", "secrets", []string{"create", "get", "delete"}},
	}
	if bare {
		need[1].verbs = []string{"create", "get", "list", "watch", "delete"}
	}
	return need
}

// Check asks the cluster for its version, whether each call that the executor makes is
// allowed in its namespaces, and which quotas bound it there. The last finding is not
// OK if the executor cannot work.
func Check(ctx context.Context, opts Options) []Finding {
	opts = opts.withDefaults()
	cluster, err := Find(opts.Env, opts.Context, opts.Namespace)
	if err != nil {
		return []Finding{{What: err.Error(), Advice: "to run steps on Kubernetes, name a cluster"}}
	}
	client, err := newAPI(cluster.config, limits{opts.QPS, opts.Burst, opts.Waited}, opts.Log)
	if err != nil {
		return []Finding{{What: cluster.unavailable(err).Error()}}
	}
	version, err := client.version(ctx)
	if err != nil {
		return []Finding{{What: cluster.unavailable(err).Error(), Advice: "see kubectl cluster-info"}}
	}
	findings := []Finding{{What: fmt.Sprintf("Kubernetes %s at %s, from %s", version, cluster.Host, cluster.From), OK: true}}
	for _, namespace := range append([]string{cluster.Namespace}, opts.Namespaces...) {
		findings = append(findings, client.checkNamespace(ctx, namespace, opts.Bare)...)
	}
	return findings
}

func (a *api) checkNamespace(ctx context.Context, namespace string, bare bool) []Finding {
	if _, err := a.namespaceUID(ctx, namespace); apierrors.IsNotFound(err) {
		return []Finding{{What: "there is no namespace " + namespace, Advice: "kubectl create namespace " + namespace}}
	}
	var missing []grant
	for _, g := range grants(bare) {
		resource, sub, _ := strings.Cut(g.resource, "/")
		lacks := grant{group: g.group, resource: g.resource}
		for _, verb := range g.verbs {
			may, err := a.may(ctx, authorizationv1.ResourceAttributes{
				Namespace: namespace, Group: g.group, Resource: resource, Subresource: sub, Verb: verb,
			})
			if err != nil {
				return []Finding{{What: "asking what is allowed: " + err.Error()}}
			}
			if !may {
				lacks.verbs = append(lacks.verbs, verb)
			}
		}
		if len(lacks.verbs) > 0 {
			missing = append(missing, lacks)
		}
	}
	if len(missing) > 0 {
		var words []string
		for _, g := range missing {
			words = append(words, strings.Join(g.verbs, ", ")+" "+g.resource)
		}
		return []Finding{{
			What:   fmt.Sprintf("in namespace %s it is not allowed to %s", namespace, strings.Join(words, "; ")),
			Advice: "grant it, and bind the role to who Heddle is:\n" + role(namespace, missing),
		}}
	}
	findings := []Finding{{What: "namespace " + namespace + ": all that is needed is allowed", OK: true}}
	return append(findings, a.bounds(ctx, namespace)...)
}

// role is the manifest of a Role with the grants.
func role(namespace string, grants []grant) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: heddle, namespace: %s}\nrules:\n", namespace)
	for _, g := range grants {
		fmt.Fprintf(&b, "  - {apiGroups: [%q], resources: [%s], verbs: [%s]}\n", g.group, g.resource, strings.Join(g.verbs, ", "))
	}
	return b.String()
}

// bounds tells of quotas and limits, as far as we may see them.
func (a *api) bounds(ctx context.Context, namespace string) (findings []Finding) {
	quotas := kind{core, "resourcequotas", func() runtime.Object { return &corev1.ResourceQuotaList{} }}
	if list, err := a.list(ctx, quotas, namespace, ""); err == nil {
		for _, quota := range list.(*corev1.ResourceQuotaList).Items {
			var words []string
			for name, hard := range quota.Status.Hard {
				used := quota.Status.Used[name]
				words = append(words, fmt.Sprintf("%s %s of %s", name, used.String(), hard.String()))
			}
			findings = append(findings, Finding{OK: true, What: fmt.Sprintf(
				"namespace %s: quota %s: %s; steps beyond it wait", namespace, quota.Name, strings.Join(words, ", "))})
		}
	}
	limits := kind{core, "limitranges", func() runtime.Object { return &corev1.LimitRangeList{} }}
	if list, err := a.list(ctx, limits, namespace, ""); err == nil {
		for _, limit := range list.(*corev1.LimitRangeList).Items {
			findings = append(findings, Finding{OK: true, What: fmt.Sprintf(
				"namespace %s: limit range %s: steps beyond it are refused", namespace, limit.Name)})
		}
	}
	return findings
}

func (a *api) version(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(a.in(ctx), callTime)
	defer cancel()
	text, err := a.core.Get().AbsPath("/version").SetHeader("Accept", runtime.ContentTypeJSON).Do(ctx).Raw()
	if err != nil {
		return "", err
	}
	var info struct{ GitVersion string }
	if err := json.Unmarshal(text, &info); err != nil {
		return "", fmt.Errorf("reading the version: %w", err)
	}
	return info.GitVersion, nil
}
