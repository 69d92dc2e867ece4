package podspec

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

func number(n int64) string { return strconv.FormatInt(n, 10) }

// variables are those of a container with a value of their own. As in Kubernetes a
// value may use those before it, and the last of a name counts.
func variables(list []corev1.EnvVar) map[string]string {
	env := map[string]string{}
	for _, v := range list {
		if v.ValueFrom == nil {
			env[v.Name] = expand(v.Value, env)
		}
	}
	return env
}

func expandAll(words []string, env map[string]string) []string {
	var out []string
	for _, w := range words {
		out = append(out, expand(w, env))
	}
	return out
}

// expand puts variables in the place of $(NAME), as Kubernetes does: $$ is a dollar,
// and what names no variable stays.
func expand(text string, env map[string]string) string {
	var b strings.Builder
	for {
		at := strings.IndexByte(text, '$')
		if at < 0 || at == len(text)-1 {
			return b.String() + text
		}
		b.WriteString(text[:at])
		text = text[at:]
		end := strings.IndexByte(text, ')')
		switch {
		case text[1] == '$':
			b.WriteByte('$')
			text = text[2:]
		case text[1] == '(' && end > 0:
			if value, ok := env[text[2:end]]; ok {
				b.WriteString(value)
			} else {
				b.WriteString(text[:end+1])
			}
			text = text[end+1:]
		default:
			b.WriteString(text[:2])
			text = text[2:]
		}
	}
}
