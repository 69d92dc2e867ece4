// Package orca decides what Tasks and Ignitors start, as orcaoperator does. It is
// pure: names in, names out. What plays a set of manifests on one machine and what
// watches them in a cluster both ask it.
package orca

import (
	"slices"

	"github.com/heddle/heddle"
)

// Task is what of a Task says when it starts. Each name in a list starts it by
// itself; names of nothing that exists are inert.
type Task struct {
	Name string
	// OnIgnition names Ignitors; OnSuccess and OnFailure name Tasks, itself perhaps.
	OnIgnition, OnSuccess, OnFailure []string
}

// Ignited returns the Tasks that an Ignitor starts, in their order. Running tells
// of a name whether that Task runs: such a one is not started again.
func Ignited(tasks []Task, ignitor string, running func(name string) bool) []string {
	return started(tasks, running, func(t *Task) bool { return slices.Contains(t.OnIgnition, ignitor) })
}

// Followers returns the Tasks that the end of the Task ended starts, in their
// order. Every outcome but success counts as a failure; one that was skipped starts
// nothing. Running is as for [Ignited]; the ended Task itself does not run any more.
func Followers(tasks []Task, ended string, outcome heddle.Outcome, running func(name string) bool) []string {
	return started(tasks, running, func(t *Task) bool {
		switch outcome {
		case heddle.Success:
			return slices.Contains(t.OnSuccess, ended)
		case heddle.Failure, heddle.Abort, heddle.Timeout:
			return slices.Contains(t.OnFailure, ended)
		case heddle.Skipped:
		}
		return false
	})
}

func started(tasks []Task, running func(string) bool, wanted func(*Task) bool) []string {
	var names []string
	for i := range tasks {
		if wanted(&tasks[i]) && !running(tasks[i].Name) {
			names = append(names, tasks[i].Name)
		}
	}
	return names
}

// Edges returns the edges of the graph that the Tasks make, one for each pair of
// which one starts the other, in the order of the started ones. Names of Tasks that
// do not exist have none.
func Edges(tasks []Task) []heddle.Edge {
	exists := map[string]bool{}
	for i := range tasks {
		exists[tasks[i].Name] = true
	}
	var edges []heddle.Edge
	for i := range tasks {
		t, at := &tasks[i], map[string]int{} // by source: its edge to t
		add := func(sources []string, on ...heddle.Outcome) {
			for _, from := range sources {
				k, has := at[from]
				switch {
				case !exists[from]:
				case !has:
					at[from] = len(edges)
					edges = append(edges, heddle.Edge{From: from, To: t.Name, On: on})
				case !slices.Contains(edges[k].On, on[0]):
					edges[k].On = slices.Concat(edges[k].On, on)
				}
			}
		}
		add(t.OnSuccess, heddle.Success)
		add(t.OnFailure, heddle.Failure, heddle.Abort, heddle.Timeout)
	}
	return edges
}
