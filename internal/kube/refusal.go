package kube

import (
	"errors"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Refusal returns the words of an API server that will not make an object, whenever
// it is asked; false: asking again may help. A quota that is used up is waited for.
func Refusal(err error) (message string, refused bool) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return "", false
	}
	text := status.Status().Message
	switch status.Status().Code {
	case http.StatusForbidden:
		// There is no other sign of a quota than the words of its admission plugin.
		if strings.Contains(text, "exceeded quota") || strings.Contains(text, "status unknown for quota") {
			return "", false
		}
		if strings.Contains(text, "User \"") && strings.Contains(text, "cannot ") {
			text += "; grant it: heddle doctor --executor kubernetes shows how"
		}
		return text, true
	case http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity,
		http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType:
		return text, true
	}
	return "", false
}
