package executortest

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/executor"
)

// shareCases are about the directory that the attempts of a run share.
func shareCases() map[string]func(*kit) {
	return map[string]func(*kit){
		"what one attempt leaves another finds": func(k *kit) {
			run := k.shares()
			writer := k.sharing(run, `mkdir "$HEDDLE_SHARED/dir" && echo well > "$HEDDLE_SHARED/dir/file"; exit 7`)
			writer.Work.User = "4321:4321"
			k.want(k.run(writer), heddle.Exited, 7)
			reader := k.sharing(run, `cat "$HEDDLE_SHARED/dir/file"; echo more > "$HEDDLE_SHARED/file"`)
			k.want(k.run(reader), heddle.Exited, 0)
			if d := cmp.Diff([]string{"well"}, k.lines(reader.Attempt)["stdout"]); d != "" {
				k.Errorf("(-want +got):\n%s", d)
			}
		},
		"runs share nothing with each other": func(k *kit) {
			k.run(k.sharing(k.shares(), `touch "$HEDDLE_SHARED/file"`))
			other := k.sharing(k.shares(), `ls "$HEDDLE_SHARED"`)
			k.want(k.run(other), heddle.Exited, 0)
			if d := cmp.Diff(map[string][]string{}, k.lines(other.Attempt)); d != "" {
				k.Errorf("(-want +got):\n%s", d)
			}
		},
		"shared until it is no more":           unshares,
		"stores share nothing with each other": storesApart,
	}
}

// shares returns a run whose shared directory is deleted after the case, or skips it.
func (k *kit) shares() heddle.RunID {
	k.Helper()
	sharer, ok := k.exec.(executor.Sharer)
	if !ok {
		k.Skip("nothing is shared")
	}
	run := heddle.RunID("t-" + strings.ToLower(rand.Text()))
	k.Cleanup(func() {
		if err := sharer.Unshare(context.Background(), []heddle.RunID{run}); err != nil {
			k.Errorf("clearing up: %v", err)
		}
	})
	return run
}

func (k *kit) sharing(run heddle.RunID, script string) executor.Spec {
	k.Helper()
	spec := k.spec(script)
	spec.Shared = run
	return spec
}

func (k *kit) has(sharer executor.Sharer, run heddle.RunID) bool {
	k.Helper()
	runs, err := sharer.Shares(k.ctx)
	if err != nil {
		k.Fatalf("listing: %v", err)
	}
	return slices.Contains(runs, run)
}

const scriptStubbornFiles = `mkdir -p "$HEDDLE_SHARED/dir"; touch "$HEDDLE_SHARED/dir/file"; chmod 500 "$HEDDLE_SHARED/dir"; exit 7`

func unshares(k *kit) {
	run, kept := k.shares(), k.shares()
	sharer := k.exec.(executor.Sharer)
	specs := []executor.Spec{k.sharing(run, scriptStubbornFiles), k.sharing(kept, scriptStubbornFiles)}
	for _, spec := range specs {
		k.want(k.run(spec), heddle.Exited, 7)
		if !k.has(sharer, spec.Shared) {
			k.Error("a shared directory is not listed")
		}
	}
	if err := k.exec.Release(k.ctx, []heddle.AttemptID{specs[0].Attempt}); err != nil {
		k.Errorf("releasing: %v", err)
	}
	for range 2 { // the second time it is unknown
		if err := sharer.Unshare(k.ctx, []heddle.RunID{run}); err != nil {
			k.Errorf("unsharing: %v", err)
		}
	}
	if k.has(sharer, run) || !k.has(sharer, kept) {
		k.Error("not that one directory is gone")
	}
	again := k.sharing(run, `[ -z "$(ls "$HEDDLE_SHARED")" ]`)
	k.want(k.run(again), heddle.Exited, 0)
}

func storesApart(k *kit) {
	if k.h.OtherStore == nil {
		k.Skip("there is no other store")
	}
	run := k.shares()
	spec := k.sharing(run, scriptStubbornFiles)
	k.want(k.run(spec), heddle.Exited, 7)
	if err := k.exec.Release(k.ctx, []heddle.AttemptID{spec.Attempt}); err != nil {
		k.Errorf("releasing: %v", err)
	}
	e := k.h.OtherStore(k.T, func(executor.Report) {})
	defer e.Close()
	other := e.(executor.Sharer)
	if k.has(other, run) {
		k.Error("another store sees it")
	}
	if err := other.Unshare(k.ctx, []heddle.RunID{run}); err != nil {
		k.Errorf("unsharing: %v", err)
	}
	if !k.has(k.exec.(executor.Sharer), run) {
		k.Error("another store has deleted it")
	}
}
