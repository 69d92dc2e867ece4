package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/heddle/heddle"
)

// sharedDir is where the directory that the attempts of a run share is in their
// containers.
const sharedDir = filesDir + "/shared"

// volumeName names the volume of a run; runs of different stores may have one ID.
func (e *Executor) volumeName(run heddle.RunID) string {
	sum := sha256.Sum256([]byte(e.opts.StoreID))
	return "heddle-" + string(run) + "-" + hex.EncodeToString(sum[:8])
}

// sharedMount is the volume of a run, which the daemon makes if there is none. What
// the image has at that place is not copied into it.
func (e *Executor) sharedMount(run heddle.RunID) mount.Mount {
	labels := map[string]string{labelStore: e.opts.StoreID, labelRun: string(run)}
	return mount.Mount{
		Type: mount.TypeVolume, Source: e.volumeName(run), Target: sharedDir,
		VolumeOptions: &mount.VolumeOptions{NoCopy: true, Labels: labels},
	}
}

// openShared lets every user of the container use the shared directory, which
// belongs to root at first.
func (a *attempt) openShared(ctx context.Context) error {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	header := &tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(sharedDir, filesDir+"/") + "/", Mode: 0o777}
	if err := errors.Join(w.WriteHeader(header), w.Close()); err != nil {
		return fmt.Errorf("packing the shared directory: %w", err)
	}
	return a.unpack(ctx, "opening the shared directory to all users", filesDir, buf.Bytes())
}

// Unshare deletes the shared directories of runs. One that a container still has is
// an error.
func (e *Executor) Unshare(ctx context.Context, runs []heddle.RunID) error {
	var faults []error
	for _, run := range runs {
		_, err := e.cli.VolumeRemove(ctx, e.volumeName(run), client.VolumeRemoveOptions{})
		if err != nil && !errdefs.IsNotFound(err) {
			faults = append(faults, heddle.Errorf(heddle.CodeUnavailable, "deleting the shared directory of run %s: %w", run, err))
		}
	}
	return errors.Join(faults...)
}

// Shares returns the runs of the store that have a shared directory.
func (e *Executor) Shares(ctx context.Context) ([]heddle.RunID, error) {
	filters := client.Filters{}.Add("label", labelStore+"="+e.opts.StoreID)
	list, err := e.cli.VolumeList(ctx, client.VolumeListOptions{Filters: filters})
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeUnavailable, "listing volumes: %w", err)
	}
	var runs []heddle.RunID
	for _, volume := range list.Items {
		if run := heddle.RunID(volume.Labels[labelRun]); run != "" {
			runs = append(runs, run)
		}
	}
	return runs, nil
}
