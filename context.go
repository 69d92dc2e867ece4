package heddle

import "maps"

// MergeContext lays src over dst, as kog does with what a step returns: objects
// are merged key by key, everything else replaces, and null is stored as null.
// Both are left unchanged; what did not differ is shared.
func MergeContext(dst, src map[string]any) map[string]any {
	out := maps.Clone(dst)
	if out == nil {
		out = make(map[string]any, len(src))
	}
	for key, value := range src {
		below, isObject := out[key].(map[string]any)
		above, isToo := value.(map[string]any)
		if isObject && isToo {
			value = MergeContext(below, above)
		}
		out[key] = value
	}
	return out
}
