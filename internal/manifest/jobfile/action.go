package jobfile

import (
	"strconv"
	"strings"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/podspec"
	"github.com/heddle/heddle/internal/manifest/sharing"
	"github.com/heddle/heddle/internal/manifest/source"
)

// action is an action with its params filled in.
type action struct {
	work         heddle.Work
	needsEnv     []string
	needsContext []string
	pathNodes    []*doc.Node // of needsContext
	output       *doc.Node   // the declared shape of what it adds to the context
	result       heddle.ResultFrom
	retry        *heddle.Retry
	pool         string
	weight       int
}

func quote(s string) string { return strconv.Quote(s) }

// readActions reads the actions. Keys of an action that kog does not have:
// command and entrypoint (a list, or one string that a shell runs), result (line:
// the program prints a result line as kog's do, the default; exit-code: any
// program), retries, see readRetry, pool, see [sharing.Pool], and kubernetes, see
// [podspec.Kubernetes].
func (r *reader) readActions() {
	r.actions = map[string]*action{}
	for _, f := range r.job.Object("actions").Fields() {
		r.actions[f.Key] = r.readAction(r.d.Object(f.Value))
	}
}

func (r *reader) readAction(o *doc.Object) *action {
	a := &action{result: heddle.ResultLine, retry: r.readRetry(o)}
	a.pool, a.weight = sharing.Pool(r.d, o, r.params)
	a.work.Kubernetes = podspec.Kubernetes(r.d, o)
	a.work.Image = r.readImage(o)
	a.work.Env, a.work.From = r.readEnv(o.Object("env"))
	a.work.Command = r.readProgram(o, "command")
	a.work.Entrypoint = r.readProgram(o, "entrypoint")
	if n := o.Get("result"); n != nil {
		a.result = heddle.ResultFrom(o.String("result", ""))
		if a.result != heddle.ResultLine && a.result != heddle.ResultExitCode {
			r.d.Faults.Errorf(n, "must be %s or %s, is %q", heddle.ResultLine, heddle.ResultExitCode, a.result)
		}
	}
	req := o.Object("requirements")
	a.needsEnv = req.Strings("env")
	a.needsContext = req.Strings("context_paths")
	if n := req.Get("context_paths"); n != nil {
		a.pathNodes = n.Items
	}
	req.Rest()
	out := o.Object("output")
	a.output = out.Object("context").Node()
	out.Rest()
	o.Rest()
	return a
}

// readImage joins image and version: with a colon, a digest with an at sign.
// Without a version it is latest, unless the image carries a tag or digest itself.
func (r *reader) readImage(o *doc.Object) string {
	image := r.params.Fill(o.Get("image"), o.String("image", ""))
	node := o.Get("version")
	version := r.params.Fill(node, o.String("version", ""))
	carries := strings.Contains(image[strings.LastIndexByte(image, '/')+1:], ":") || strings.Contains(image, "@")
	switch {
	case image == "":
		return ""
	case version == "" && carries:
		return image
	case version == "":
		return image + ":latest"
	case carries:
		r.d.Faults.Warnf(node, "the image %s carries a version already: %s beside it makes no valid reference", image, version)
	}
	if strings.HasPrefix(version, "sha256:") {
		return image + "@" + version
	}
	return image + ":" + version
}

// readEnv reads the variables of an action. Other than with kog a value may be a map
// that says where it comes from, see [source.Read].
func (r *reader) readEnv(o *doc.Object) (env map[string]string, from map[string]heddle.Source) {
	for _, f := range o.Fields() {
		text := ""
		if f.Value.Kind != doc.Map {
			var ok bool
			if text, ok = r.d.Text(f.Value); !ok {
				continue
			}
		}
		switch {
		case f.Key == "" || strings.ContainsAny(f.Key, "=\x00"):
			r.d.Faults.Errorf(f.Value, "%q cannot be the name of a variable", f.Key)
		case strings.Contains(text, "\x00"):
			r.d.Faults.Errorf(f.Value, "a variable cannot hold the character 0")
		case f.Key == "KOG_CONTEXT":
			r.d.Faults.Warnf(f.Value, "the variable is always set to the context: this value is not used")
		}
		if f.Value.Kind != doc.Map {
			if env == nil {
				env = map[string]string{}
			}
			env[f.Key] = r.params.Fill(f.Value, text)
			continue
		}
		if s, ok := source.Read(r.d, f.Value, source.Options{Dir: r.options.Dir, Fill: r.params.Fill}); ok {
			if from == nil {
				from = map[string]heddle.Source{}
			}
			from[f.Key] = s
		}
	}
	return env, from
}

// readProgram reads command or entrypoint: a list, or one string for a shell.
func (r *reader) readProgram(o *doc.Object, key string) []string {
	list, one := o.StringOrList(key)
	node := o.Get(key)
	for i := range list {
		at := node
		if !one && i < len(node.Items) {
			at = node.Items[i]
		}
		if strings.Contains(list[i], "\x00") {
			r.d.Faults.Errorf(at, "an argument cannot hold the character 0")
		}
		list[i] = r.params.Fill(at, list[i])
	}
	if one {
		return []string{"sh", "-c", list[0]}
	}
	if len(list) == 0 {
		return nil
	}
	return list
}
