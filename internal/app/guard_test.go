package app

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/secret"
)

func TestRunsOfAServerMountNothingOfItsHost(t *testing.T) {
	t.Parallel()
	bounded := guard{places: secret.Places{Bounded: true}}
	for volume, want := range map[string]bool{
		"/etc:/x": true, "./a:/x:ro": true, "../a:/x": true, "~/a:/x": true, ".:/x": true, `C:\a:/x`: true, "a/../b:/x": true,
		"named:/x": false, "named.v1:/x": false, "/x": false, "pvc:claim:/x": false, "configmap:c:/x": false,
	} {
		err := bounded.check(&heddle.Flow{}, heddle.Input{Volumes: []string{volume}})
		if (err != nil) != want {
			t.Errorf("%s: %v", volume, err)
		}
		if err := (guard{}).check(&heddle.Flow{}, heddle.Input{Volumes: []string{volume}}); err != nil {
			t.Errorf("%s on the command line: %v", volume, err)
		}
	}
	const manifest = `{"spec": {"volumes": [{"name": "n", "hostPath": {"path": "/etc"}}]}}`
	for name, k := range map[string]*heddle.Kubernetes{
		"in the template": {Template: json.RawMessage(`{"spec": {"template": ` + manifest + `}}`)},
		"in a patch":      {PodTemplate: json.RawMessage(manifest)},
	} {
		flow := &heddle.Flow{Steps: []heddle.Step{{Name: "s", Work: &heddle.Work{Kubernetes: k}}}}
		if err := bounded.check(flow, heddle.Input{}); heddle.CodeOf(err) != heddle.CodeInvalid || !strings.Contains(err.Error(), `step "s": hostPath`) {
			t.Errorf("%s: %v", name, err)
		}
		if err := (guard{places: bounded.places, hostVolumes: true}).check(flow, heddle.Input{}); err != nil {
			t.Errorf("%s, allowed: %v", name, err)
		}
	}
	plain := &heddle.Kubernetes{Template: json.RawMessage(`{"spec": {"volumes": [{"name": "n", "hostPath": null, "emptyDir": {}}]}}`)}
	if err := bounded.check(&heddle.Flow{Steps: []heddle.Step{{Work: &heddle.Work{Kubernetes: plain}}}}, heddle.Input{}); err != nil {
		t.Error(err)
	}
}
