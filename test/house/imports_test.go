package house

import (
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// allowed holds, for each package of this module, the packages of this module
// that its non-test files may import. "." is the root; "internal/*" is everything
// in internal but the front doors and the aids for tests. A package without a row
// fails the test, and so does a row without a package: the table is the map of
// the code base. Packages that end in "test" are for _test.go files only.
var allowed = map[string][]string{
	".":                              {},
	"api/batch/v1alpha1":             {},
	"api/sirocco/v1alpha1":           {},
	"internal/cron":                  {"."},
	"internal/machine":               {"."},
	"internal/orca":                  {".", "internal/cron"},
	"internal/reactive":              {"."},
	"internal/engine":                {".", "internal/machine", "internal/store", "internal/executor", "internal/secret"},
	"internal/secret":                {"."},
	"internal/store":                 {"."},
	"internal/store/sqlite":          {".", "internal/store"},
	"internal/store/postgres":        {".", "internal/store"},
	"internal/store/logs":            {"."},
	"internal/store/storetest":       {".", "internal/store"},
	"internal/executor":              {"."},
	"internal/executor/process":      {".", "internal/executor"},
	"internal/executor/docker":       {".", "internal/executor"},
	"internal/executor/kubernetes":   {".", "internal/executor", "internal/kube"},
	"internal/executor/executortest": {".", "internal/executor"},
	"internal/kube":                  {".", "internal/executor"},
	"internal/manifest/doc":          {"."},
	"internal/manifest/params":       {"internal/manifest/doc"},
	"internal/manifest/podspec":      {".", "internal/manifest/doc"},
	"internal/manifest/taskdef":      {".", "internal/manifest/doc", "internal/manifest/podspec"},
	"internal/manifest/reactivejob":  {".", "internal/manifest/doc", "internal/manifest/podspec"},
	"internal/manifest/chain":        {".", "internal/manifest/doc", "internal/manifest/podspec", "internal/orca"},
	"internal/manifest/source":       {".", "internal/manifest/doc"},
	"internal/manifest/sharing":      {".", "internal/manifest/doc", "internal/manifest/params"},
	"internal/manifest/jobfile":      {".", "internal/manifest/doc", "internal/manifest/params", "internal/manifest/podspec", "internal/manifest/sharing", "internal/manifest/source"},
	"internal/manifest/pipeline":     {".", "internal/manifest/doc", "internal/manifest/params", "internal/manifest/podspec", "internal/manifest/sharing", "internal/manifest/source"},
	"internal/manifest":              {".", "internal/manifest/doc", "internal/manifest/params", "internal/manifest/jobfile", "internal/manifest/pipeline", "internal/manifest/taskdef", "internal/manifest/reactivejob", "internal/manifest/chain"},
	"internal/manifest/schematest":   {"internal/manifest/doc"},
	"internal/scenario":              {".", "internal/machine", "internal/manifest", "internal/manifest/doc"},
	"internal/diagram":               {"."},
	"internal/notify":                {".", "internal/store"},
	"internal/rest/rego":             {".", "internal/scope", "internal/rest/auth"},
	"internal/schedule":              {".", "internal/store", "internal/cron"},
	"internal/janitor":               {".", "internal/store"},
	"internal/config":                {"."},
	"internal/keys":                  {".", "internal/store"},
	"internal/scope":                 {"."},
	"internal/metrics":               {".", "internal/engine"},
	"internal/app":                   {".", "internal/*"},
	"internal/cli":                   {".", "internal/config", "internal/manifest", "internal/manifest/doc", "internal/manifest/jobfile", "internal/manifest/params", "internal/manifest/pipeline", "internal/manifest/taskdef", "internal/manifest/reactivejob", "internal/manifest/chain", "internal/scenario", "internal/diagram", "internal/machine", "internal/app", "internal/secret", "internal/rest", "internal/rest/auth", "internal/rest/rego"},
	"internal/rest":                  {".", "internal/rest/auth", "internal/rest/chainr", "internal/scope", "internal/manifest", "internal/manifest/doc", "internal/diagram", "internal/machine"},
	"internal/rest/chainr":           {".", "internal/rest/auth", "internal/scope", "internal/manifest", "internal/manifest/doc"},
	"internal/rest/auth":             {"."},
	"test/testbed/nologs":            {},
	"cmd/heddle":                     {"internal/cli"},
	"bench":                          {},
	"test/house":                     {},
}

// frontDoors are built on the object graph and so cannot be part of it.
var frontDoors = []string{"internal/cli", "internal/rest"}

// owned names what only some packages may import, of what is not ours: each
// technology stays behind the adapter that is named after it. The key is a path
// or the beginning of one.
var owned = map[string][]string{
	"database/sql":                   {"internal/store/sqlite"},
	"modernc.org/sqlite":             {"internal/store/sqlite"},
	"github.com/pressly/goose":       {"internal/store/sqlite", "internal/store/postgres"},
	"github.com/jackc":               {"internal/store/postgres"},
	"github.com/moby":                {"internal/executor/docker"},
	"github.com/docker":              {"internal/executor/docker"},
	"github.com/spf13":               {"internal/cli"},
	"github.com/hashicorp/cronexpr":  {"internal/cron"},
	"k8s.io/api":                     {"api/batch/v1alpha1", "api/sirocco/v1alpha1", "internal/reactive", "internal/manifest/podspec", "internal/manifest/taskdef", "internal/manifest/reactivejob", "internal/manifest/chain", "internal/kube", "internal/executor/kubernetes"},
	"k8s.io/apimachinery":            {"api/batch/v1alpha1", "api/sirocco/v1alpha1", "internal/reactive", "internal/kube", "internal/executor/kubernetes"},
	"github.com/nicholas-fedor":      {"internal/notify"},
	"github.com/google/uuid":         {"internal/schedule", "internal/rest/rego"},
	"github.com/prometheus":          {"internal/metrics"},
	"github.com/danielgtaylor":       {"internal/rest"},
	"k8s.io/client-go":               {"internal/executor/kubernetes"},
	"k8s.io/klog":                    {"internal/executor/kubernetes"},
	"github.com/go-logr":             {"internal/executor/kubernetes"},
	"sigs.k8s.io/controller-runtime": {},
	"sigs.k8s.io/json":               {"internal/manifest/podspec"},
}

func TestImports(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range sources(t) {
		seen[s.dir] = seen[s.dir] || !s.test
		if s.test {
			continue
		}
		if _, ok := allowed[s.dir]; !ok {
			t.Errorf("%s: package %s has no row in the table of imports", s.path, s.dir)
			continue
		}
		for imported := range s.imports() {
			checkImport(t, s, imported)
		}
	}
	for dir := range allowed {
		if !seen[dir] {
			t.Errorf("the table of imports has a row for %s, which holds no Go files", dir)
		}
	}
}

func checkImport(t *testing.T, s source, imported string) {
	t.Helper()
	for prefix, by := range owned {
		if within(imported, prefix) && !s.aid() && !slices.Contains(by, s.dir) {
			t.Errorf("%s imports %s, which only %v may", s.path, imported, by)
		}
	}
	if !within(imported, module) {
		return
	}
	dir := strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")
	if dir == "" {
		dir = "."
	}
	switch {
	case isTestPackage(dir):
		t.Errorf("%s imports %s, which is for _test.go files only", s.path, dir)
	case !mayImport(s.dir, dir):
		t.Errorf("%s: package %s may not import %s; it may import %v", s.path, s.dir, dir, allowed[s.dir])
	}
}

func mayImport(from, dir string) bool {
	if slices.Contains(allowed[from], dir) {
		return true
	}
	return slices.Contains(allowed[from], "internal/*") && within(dir, "internal") && !slices.ContainsFunc(frontDoors, func(door string) bool { return within(dir, door) })
}

// within reports whether p is parent or below it.
func within(p, parent string) bool { return p == parent || strings.HasPrefix(p, parent+"/") }

func TestBinaryIsLean(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("go", "list", "-deps", "./cmd/heddle")
	cmd.Dir = root
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	// expvar comes with the client for Prometheus; its handler is on the default mux,
	// which nothing here serves.
	unwanted := []string{
		"testing", "net/http/httptest", "net/http/pprof",
		"github.com/google/go-cmp", "github.com/santhosh-tekuri/jsonschema", "github.com/rogpeppe/go-internal", "github.com/stretchr/testify",
		"go.uber.org/goleak", "pgregory.net/rapid",
	}
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		for _, prefix := range unwanted {
			if within(dep, prefix) {
				t.Errorf("the binary links %s", dep)
			}
		}
		if within(dep, module) && isTestPackage(path.Base(dep)) {
			t.Errorf("the binary links %s", dep)
		}
	}
}
