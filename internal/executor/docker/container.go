package docker

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"math"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// Our labels.
const (
	labelAttempt = "heddle.dev/attempt"
	labelStore   = "heddle.dev/store"
	labelRun     = "heddle.dev/run"
	labelTimeout = "heddle.dev/timeout"
	labelGrace   = "heddle.dev/grace"
	labelLog     = "heddle.dev/log"
	labelMessage = "heddle.dev/message"
	labelMask    = "heddle.dev/mask"
)

// kog's variables.
const (
	envContext     = "KOG_CONTEXT"      // the context, in base64
	envContextFile = "KOG_CONTEXT_FILE" // ours, for one too long for a variable
	envNoStdin     = "KOG_ENV_CONTEXT"  // true: the image does not read standard input
)

// filesDir is where the files of an attempt are in its container.
const filesDir = "/heddle"

// terms are what an engine that adopts a container reads from its labels.
type terms struct {
	timeout, grace time.Duration
	log            int64
}

func termsOf(labels map[string]string) (t terms) {
	// Labels of ours are well-formed; what is not there is zero.
	t.timeout, _ = time.ParseDuration(labels[labelTimeout])
	t.grace, _ = time.ParseDuration(labels[labelGrace])
	t.log, _ = strconv.ParseInt(labels[labelLog], 10, 64)
	return t
}

func labels(spec executor.Spec, storeID string) map[string]string {
	l := maps.Clone(spec.Labels)
	if l == nil {
		l = map[string]string{}
	}
	l[labelAttempt], l[labelStore] = string(spec.Attempt), storeID
	if spec.Timeout > 0 {
		l[labelTimeout] = spec.Timeout.String()
	}
	if spec.Grace > 0 {
		l[labelGrace] = spec.Grace.String()
	}
	if spec.Log > 0 {
		l[labelLog] = strconv.FormatInt(spec.Log, 10)
	}
	if names := maskedNames(spec.Work.Env, spec.Mask); names != "" {
		l[labelMask] = names
	}
	return l
}

// creation says how the container of an attempt is made. Message is the file of this
// machine that is its message file; "": it has one of its own, or none.
func (e *Executor) creation(a *attempt, spec executor.Spec, stdin bool, message string) (client.ContainerCreateOptions, error) {
	binds, volumes, err := mounts(spec.Volumes, e.opts.WorkDir)
	if err != nil {
		return client.ContainerCreateOptions{}, err
	}
	work, env := spec.Work, environment(spec)
	config := &container.Config{
		Image: work.Image, Entrypoint: work.Entrypoint, Cmd: work.Command, WorkingDir: work.Dir, User: work.User,
		Volumes: volumes, Labels: labels(spec, e.opts.StoreID),
		OpenStdin: stdin, StdinOnce: stdin,
	}
	if spec.Grace > 0 {
		grace := seconds(spec.Grace)
		config.StopTimeout = &grace // for others who stop it, the daemon's own end among them
	}
	host := &container.HostConfig{
		Binds: binds, NetworkMode: container.NetworkMode(work.Network),
		Resources: container.Resources{Memory: work.Memory, NanoCPUs: int64(work.CPUs * 1e9)},
	}
	if work.Memory > 0 {
		host.MemorySwap = work.Memory // no swap on top, which docker would allow
	}
	if e.jsonFile {
		host.LogConfig.Type = "json-file"
	}
	if spec.Shared != "" {
		host.Mounts = append(host.Mounts, e.sharedMount(spec.Shared))
	}
	if m := work.Message; m != nil {
		target, err := messagePath(m, message != "")
		if err != nil {
			return client.ContainerCreateOptions{}, err
		}
		if message != "" {
			host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeBind, Source: message, Target: target})
		}
		if config.Labels[labelMessage] = target; m.Env != "" {
			env[m.Env] = target
		}
	}
	config.Env = list(env)
	return client.ContainerCreateOptions{Name: a.name, Config: config, HostConfig: host}, nil
}

// environment returns the variables of an attempt, that of its message file aside.
func environment(spec executor.Spec) map[string]string {
	env := maps.Clone(spec.Work.Env)
	if env == nil {
		env = map[string]string{}
	}
	for _, file := range spec.Files {
		env[file.Env] = path.Join(filesDir, file.Name)
	}
	if spec.Shared != "" {
		env[executor.SharedVar] = sharedDir
	}
	return env
}

func list(env map[string]string) []string {
	var l []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		l = append(l, name+"="+env[name])
	}
	return l
}

// mounts sorts volumes in the syntax of docker's --volume into binds (a host path
// or a volume's name, a path in the container, options) and anonymous volumes. Host
// paths that begin with a dot are relative to dir, as they are for docker to its
// working directory. What else is wrong with them the daemon says.
func mounts(volumes []string, dir string) (binds []string, anonymous map[string]struct{}, err error) {
	for _, volume := range volumes {
		source, rest, ok := cutSource(volume)
		if !ok {
			if anonymous == nil {
				anonymous = map[string]struct{}{}
			}
			anonymous[volume] = struct{}{}
			continue
		}
		if strings.HasPrefix(source, ".") {
			if source, err = filepath.Abs(filepath.Join(dir, source)); err != nil {
				return nil, nil, fmt.Errorf("volume %q: %w", volume, err)
			}
		}
		binds = append(binds, source+":"+rest)
	}
	return binds, anonymous, nil
}

// cutSource cuts at the first colon that does not belong to a Windows drive.
func cutSource(volume string) (source, rest string, ok bool) {
	skip := 0
	if len(volume) > 2 && volume[1] == ':' && (volume[2] == '\\' || volume[2] == '/' && volume[0] != '.') {
		skip = 2
	}
	i := strings.IndexByte(volume[skip:], ':')
	if i < 0 {
		return "", volume, false
	}
	return volume[:skip+i], volume[skip+i+1:], true
}

// contextText returns the kog context of an attempt, as JSON; false without one.
func contextText(spec executor.Spec) ([]byte, bool) {
	for _, file := range spec.Files {
		if file.Env == envContextFile {
			return file.Data, true
		}
	}
	text, err := base64.StdEncoding.DecodeString(spec.Work.Env[envContext])
	return text, err == nil && len(text) > 0
}

// isTrue reads the value of [envNoStdin].
func isTrue(value string) bool { return value == "1" || strings.EqualFold(value, "true") }

// archive packs files for copying to the root of a container.
func archive(files []executor.File) (io.Reader, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	dir := strings.TrimPrefix(filesDir, "/")
	faults := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755})
	for _, file := range files {
		if faults != nil {
			break
		}
		if faults = w.WriteHeader(&tar.Header{Name: path.Join(dir, file.Name), Mode: 0o444, Size: int64(len(file.Data))}); faults == nil {
			_, faults = w.Write(file.Data)
		}
	}
	if faults == nil {
		faults = w.Close()
	}
	if faults != nil {
		return nil, fmt.Errorf("packing files: %w", faults)
	}
	return &buf, nil
}

// ours reports whether a container is the one of this attempt of this store.
func (a *attempt) ours(c container.InspectResponse) bool {
	return c.Config != nil && c.Config.Labels[labelAttempt] == string(a.id) && c.Config.Labels[labelStore] == a.e.opts.StoreID
}

// seconds rounds up: the daemon knows whole seconds only.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// containerTime reads a time of inspection; one that has not come yet is zero.
func containerTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

func refusal(format string, args ...any) error {
	return &executor.Refusal{Message: fmt.Sprintf(format, args...)}
}

func temporary(what string, err error) error {
	return heddle.Errorf(heddle.CodeUnavailable, "%s: %w", what, err)
}
