package pipeline

import (
	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
)

// The bounds of matrices. Combinations count before any is excluded.
const (
	maxCombinations      = 10_000  // combinations of one job
	maxCombinationsInAll = 100_000 // combinations of a pipeline
	maxExcludes          = 1_000   // entries of one job's exclude
	maxAxes              = 100     // variables in one job's values
)

// axis is a variable of a matrix with its values.
type axis struct {
	name   string
	values []string
}

// readMatrix reads the key matrix of a job, which runs the job once for each
// combination of values: values, a map of variable names to lists, whose last
// name varies fastest; exclude, a list of maps, drops each combination that has all
// the values of one of them; include, a list of maps of variables, adds one
// combination for each after that; limit, how many may run at once (0: no bound);
// failFast (true: when one has failed the rest is stopped or not started, as
// skipped). The job succeeds if all of them do.
func (r *reader) readMatrix(n *doc.Node) *heddle.Matrix {
	o := r.d.Object(n)
	m := &heddle.Matrix{Limit: o.Int("limit"), FailFast: o.Bool("failFast")}
	axes, ok := r.readAxes(o)
	excludes := r.readExcludes(o, axes)
	includes := o.List("include")
	count := len(includes)
	if len(axes) > 0 {
		count += product(axes)
	}
	switch {
	case n.Kind != doc.Map || !ok:
	case count > maxCombinations:
		r.d.Faults.Errorf(n, "a matrix can have at most %d combinations", maxCombinations)
	case count > r.combinations:
		r.d.Faults.Errorf(n, "the matrices of all jobs can have at most %d combinations together", maxCombinationsInAll)
	default:
		r.combinations -= count
		r.combine(n, m, axes, excludes)
		r.include(m, includes)
		if len(m.Env) == 0 && r.room >= 0 {
			r.d.Faults.Errorf(n, "the matrix has no combination: it needs values, or entries in include")
		}
	}
	o.Rest()
	return m
}

// readAxes reads the key values; ok is false after a fault.
func (r *reader) readAxes(o *doc.Object) (axes []axis, ok bool) {
	values := o.Object("values")
	if len(values.Node().Fields) > maxAxes {
		r.d.Faults.Errorf(values.Node(), "a matrix can have at most %d variables", maxAxes)
		return nil, false
	}
	ok = true
	for _, f := range values.Fields() {
		r.checkVariable(f)
		a := axis{name: f.Key}
		for _, item := range values.List(f.Key) {
			text, isText := r.readValue(item)
			ok = ok && isText
			a.values = append(a.values, text)
		}
		if f.Value.Kind != doc.List {
			ok = false
			if f.Value.Kind == doc.Null {
				r.d.Faults.Errorf(f.Value, "must be a list, is empty")
			}
		} else if len(a.values) == 0 {
			ok = false
			r.d.Faults.Errorf(f.Value, "must hold a value at least: without one there are no combinations")
		}
		axes = append(axes, a)
	}
	return axes, ok
}

// product counts the combinations of the axes, up to one more than may be.
func product(axes []axis) int {
	count := 1
	for _, a := range axes {
		if count *= len(a.values); count > maxCombinations {
			return maxCombinations + 1
		}
	}
	return count
}

// want is a value that a combination must have to be excluded.
type want struct {
	axis  int
	value string
}

func (r *reader) readExcludes(o *doc.Object, axes []axis) [][]want {
	items := o.List("exclude")
	if len(items) > maxExcludes {
		r.d.Faults.Errorf(o.Get("exclude"), "can have at most %d entries", maxExcludes)
		return nil
	}
	names, index := make([]string, len(axes)), make(map[string]int, len(axes))
	for i, a := range axes {
		names[i], index[a.name] = a.name, i
	}
	var excludes [][]want
	for _, item := range items {
		var wants []want
		e := r.d.Object(item)
		for _, f := range e.Fields() {
			i, ok := index[f.Key]
			if !ok {
				r.d.Faults.Errorf(f.Value, "the matrix has no values for %q%s", f.Key, doc.DidYouMean(f.Key, names))
				continue
			}
			if text, ok := r.readValue(f.Value); ok {
				wants = append(wants, want{axis: i, value: text})
			}
		}
		if item.Kind == doc.Map && len(item.Fields) == 0 {
			r.d.Faults.Errorf(item, "an entry without values would exclude every combination")
		}
		excludes = append(excludes, wants)
	}
	return excludes
}

// combine adds the combinations of the axes, those that are excluded aside.
func (r *reader) combine(n *doc.Node, m *heddle.Matrix, axes []axis, excludes [][]want) {
	if len(axes) == 0 {
		return
	}
	at := make([]int, len(axes))
	for {
		if !excluded(axes, at, excludes) {
			env := make(map[string]string, len(axes))
			for i, a := range axes {
				env[a.name] = a.values[at[i]]
			}
			if !r.spend(n, sizeOf(env)) {
				return
			}
			m.Env = append(m.Env, env)
		}
		i := len(at) - 1
		for at[i]++; at[i] == len(axes[i].values); at[i]++ {
			if at[i] = 0; i == 0 {
				return
			}
			i--
		}
	}
}

func excluded(axes []axis, at []int, excludes [][]want) bool {
	for _, wants := range excludes {
		all := len(wants) > 0
		for _, w := range wants {
			if axes[w.axis].values[at[w.axis]] != w.value {
				all = false
				break
			}
		}
		if all {
			return true
		}
	}
	return false
}

// include adds a combination for each entry.
func (r *reader) include(m *heddle.Matrix, items []*doc.Node) {
	for _, item := range items {
		env := r.readVariables(r.d.Object(item))
		if env == nil {
			env = map[string]string{}
		}
		m.Env = append(m.Env, env)
	}
}
