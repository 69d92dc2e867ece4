package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// defaultMessage is where programs expect their message file, as with Kubernetes.
const defaultMessage = "/dev/termination-log"

// copiedMessage is where it is if it can only be copied: what is copied into a
// container that is not running yet does not show below /dev.
const copiedMessage = filesDir + "/termination-log"

// maxCopied is the largest message file that is fetched through the daemon, which
// hands out whole files only, in bytes.
const maxCopied = 1 << 20

// messagePath returns where the container of an attempt finds its message file.
func messagePath(m *heddle.MessageFile, mounted bool) (string, error) {
	p := m.Path
	if p == "" {
		p = defaultMessage
	}
	if !path.IsAbs(p) || path.Clean(p) == "/" || strings.HasSuffix(p, "/") {
		return "", fmt.Errorf("message file %q: the path of a file in the container, such as %s, is needed", m.Path, defaultMessage)
	}
	p = path.Clean(p)
	for _, dir := range []string{"/dev/", "/proc/", "/sys/"} {
		if !mounted && strings.HasPrefix(p, dir) {
			return copiedMessage, nil
		}
	}
	return p, nil
}

// messageSource is the file of this machine that is an attempt's message file.
func (e *Executor) messageSource(id heddle.AttemptID) string {
	return filepath.Join(e.messages, string(id))
}

// makeMessage makes the file that the container's message file is to be, for every
// user of the container to write to. It returns "" if the daemon does not see the
// files of this machine, or there can be none.
func (e *Executor) makeMessage(id heddle.AttemptID, m *heddle.MessageFile) string {
	if m == nil || e.messages == "" || e.apart.Load() {
		return ""
	}
	source := e.messageSource(id)
	err := os.MkdirAll(e.messages, 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(source, os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			err = errors.Join(f.Chmod(0o666), f.Close())
		}
	}
	if err != nil {
		e.opts.Log.Debug("a message file goes through the daemon", "attempt", id, "error", err)
		return ""
	}
	return source
}

// removeMessage deletes an attempt's message file on this machine, if there is one.
func (e *Executor) removeMessage(id heddle.AttemptID) error {
	if e.messages == "" || string(id) != filepath.Base(string(id)) {
		return nil
	}
	if err := os.Remove(e.messageSource(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting a message file: %w", err)
	}
	return nil
}

// heldMessages returns the attempts that have a message file on this machine.
func (e *Executor) heldMessages() ([]heddle.AttemptID, error) {
	if e.messages == "" {
		return nil, nil
	}
	found, err := os.ReadDir(e.messages)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "listing message files: %w", err)
	}
	var ids []heddle.AttemptID
	for _, file := range found {
		ids = append(ids, heddle.AttemptID(file.Name()))
	}
	return ids, nil
}

// runsApart notes that the daemon does not see the files of this machine.
func (e *Executor) runsApart(id heddle.AttemptID) {
	if !e.apart.Swap(true) {
		e.opts.Log.Info("the docker daemon does not see the files of this machine: message files are copied, and none are below /dev")
	}
	if err := e.removeMessage(id); err != nil {
		e.opts.Log.Debug("a message file is left behind", "attempt", id, "error", err)
	}
}

// mountedMessage returns the file of the daemon's machine that is the container's
// message file; "" if that is one of its own.
func mountedMessage(config *container.Config, host *container.HostConfig) string {
	if host == nil {
		return ""
	}
	for _, m := range host.Mounts {
		if m.Type == mount.TypeBind && m.Target == config.Labels[labelMessage] {
			return m.Source
		}
	}
	return ""
}

// copiedTo returns where in a container its message file has to be made; "" if it
// has none, or one that is mounted.
func copiedTo(config *container.Config, host *container.HostConfig) string {
	if mountedMessage(config, host) != "" {
		return ""
	}
	return config.Labels[labelMessage]
}

// placeMessage makes an empty message file in a container that has none mounted,
// and the directories that lead to it.
func (a *attempt) placeMessage(ctx context.Context, target string) error {
	dir := path.Dir(target)
	for dir != "/" {
		_, err := a.e.cli.ContainerStatPath(ctx, a.containerID(), client.ContainerStatPathOptions{Path: dir})
		if err == nil {
			break
		}
		if !errdefs.IsNotFound(err) && !errdefs.IsInternal(err) { // internal: a file is on the way
			return temporary("looking for the folder of the message file", err)
		}
		dir = path.Dir(dir)
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(target, dir), "/"), "/")
	var fault error
	for i := range parts {
		header := &tar.Header{Typeflag: tar.TypeDir, Name: path.Join(parts[:i+1]...) + "/", Mode: 0o755}
		if i == len(parts)-1 {
			header = &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(parts...), Mode: 0o666}
		}
		fault = errors.Join(fault, w.WriteHeader(header))
	}
	if fault = errors.Join(fault, w.Close()); fault != nil {
		return fmt.Errorf("packing the message file: %w", fault)
	}
	return a.unpack(ctx, "making the message file "+target, dir, buf.Bytes())
}

// unpack has a tar archive unpacked in a directory of the container. What the daemon
// cannot do again and again is refused.
func (a *attempt) unpack(ctx context.Context, what, dir string, archive []byte) error {
	retry := executor.NewPause(firstRetry)
	for try := 1; ; try++ {
		_, err := a.e.cli.CopyToContainer(ctx, a.containerID(), client.CopyToContainerOptions{DestinationPath: dir, Content: bytes.NewReader(archive)})
		switch {
		case err == nil:
			return nil
		case userError(err), errdefs.IsInternal(err) && try == maxTries:
			return refusal("%s: %v", what, err)
		case !errdefs.IsInternal(err) || !retry.Wait(ctx, nil):
			return temporary(what, err)
		}
	}
}

// readMessage puts what the program left in its message file into exit. An error
// is a reason to try again.
func (a *attempt) readMessage(c container.InspectResponse, mask *executor.Masker, exit *heddle.Exit) error {
	target := c.Config.Labels[labelMessage]
	if target == "" {
		return nil
	}
	err := a.localMessage(exit, c, mask)
	if errors.Is(err, fs.ErrNotExist) {
		err = a.copyMessage(exit, c.ID, target, mask)
		if errdefs.IsNotFound(err) {
			err = nil
		} else if err != nil && !userError(err) && !errdefs.IsInternal(err) && !errors.Is(err, errMessage) {
			return err
		}
	}
	if err != nil {
		exit.TerminationFault = mask.String(err.Error())
		a.e.opts.Log.Warn("a message file cannot be read", "attempt", a.id, "error", err)
		if exit.Message == "" {
			exit.Message = mask.String(err.Error())
		}
	}
	return nil
}

// localMessage reads a message file that is a file of this machine; else the error
// is [fs.ErrNotExist].
func (a *attempt) localMessage(exit *heddle.Exit, c container.InspectResponse, mask *executor.Masker) error {
	source := mountedMessage(c.Config, c.HostConfig)
	if source == "" {
		return fs.ErrNotExist
	}
	if _, err := os.Lstat(source); err != nil {
		return err
	}
	return executor.ReadTermination(exit, source, mask)
}

// errMessage is in errors that say what a program has made of its message file.
var errMessage = errors.New("the message file is not read")

// copyMessage fetches a message file from a container.
func (a *attempt) copyMessage(exit *heddle.Exit, id, target string, mask *executor.Masker) error {
	copied, err := a.e.cli.CopyFromContainer(a.ctx, id, client.CopyFromContainerOptions{SourcePath: target})
	if err != nil {
		return fmt.Errorf("reading the message file: %w", err)
	}
	defer copied.Content.Close()
	if !copied.Stat.Mode.IsRegular() {
		return fmt.Errorf("%w: it is no longer a regular file", errMessage)
	}
	if copied.Stat.Size > maxCopied {
		return fmt.Errorf("%w: it has %d bytes, and no more than %d are fetched from a container", errMessage, copied.Stat.Size, maxCopied)
	}
	content := tar.NewReader(copied.Content)
	if _, err := content.Next(); err != nil {
		return fmt.Errorf("reading the message file: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(content, maxCopied))
	if err != nil {
		return fmt.Errorf("reading the message file: %w", err)
	}
	window := int(executor.TerminationWindow(mask))
	executor.SetTermination(exit, text[max(0, len(text)-window):], mask)
	return nil
}

// maskedNames returns, as JSON, the names of the variables whose values are to be
// masked: a label of the container by which a later engine knows them again.
func maskedNames(env map[string]string, mask []string) string {
	secret := map[string]bool{}
	for _, text := range mask {
		secret[text] = true
	}
	var names []string
	for name, value := range env {
		if value != "" && secret[value] {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	label, err := json.Marshal(names)
	if err != nil {
		return "" // never: names are strings
	}
	return string(label)
}

// masker returns what is masked in the output of a container: what is known here,
// and the values that its secret variables have.
func (a *attempt) masker(c container.InspectResponse) *executor.Masker {
	a.mu.Lock()
	texts := append([]string(nil), a.mask...)
	a.mu.Unlock()
	var names []string
	// A label of ours is well-formed; without it there are no names.
	_ = json.Unmarshal([]byte(c.Config.Labels[labelMask]), &names)
	for _, name := range names {
		for _, variable := range c.Config.Env {
			if value, ok := strings.CutPrefix(variable, name+"="); ok {
				texts = append(texts, value)
			}
		}
	}
	return executor.NewMasker(texts)
}
