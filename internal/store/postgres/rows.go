package postgres

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/store"
)

// shape names the columns of rows that are sent as one array per column: those of
// text first, then the numbers, then the one that holds a JSON document.
type shape struct{ texts, numbers, document string }

// The shapes of the rows that a group of changes consists of. Whoever adds rows
// lists the values in this order.
func madeShape() shape {
	return shape{"id kind name flow parent executor state outcome message stop last_change organization definition", "created started ended deadline visits seq due report", "input"}
}
func movedShape() shape {
	return shape{"id state outcome message stop last_change", "started ended deadline visits epoch seq steps", ""}
}
func labelShape() shape { return shape{"run key value", "created", ""} }
func visitShape() shape {
	return shape{"run step state outcome message", "no idx nth cause code attempts broken opened settled due", "output"}
}
func attemptShape() shape {
	return shape{"run place stop message", "visit no status exit_code created started ended infra", ""}
}
func noticeShape() shape { return shape{"run id target event", "created tries due", "body"} }

// columns returns all names, separated by commas, each after a prefix.
func (s shape) columns(prefix string) string {
	names := strings.Fields(s.texts + " " + s.numbers + " " + s.document)
	return prefix + strings.Join(names, ", "+prefix)
}

// unnest returns the function call that makes rows called u of the arrays, whose
// parameters are numbered on from *n.
func (s shape) unnest(n *int, extra string) string {
	var arrays []string
	for _, group := range []struct{ names, kind string }{{s.texts, "text"}, {s.numbers, "bigint"}, {s.document, "bytea"}} {
		for range strings.Fields(group.names) {
			*n++
			arrays = append(arrays, fmt.Sprintf("$%d::%s[]", *n, group.kind))
		}
	}
	columns := s.columns("")
	if extra != "" {
		return "unnest(" + strings.Join(arrays, ", ") + ") WITH ORDINALITY AS u (" + columns + ", " + extra + ")"
	}
	return "unnest(" + strings.Join(arrays, ", ") + ") AS u (" + columns + ")"
}

// rows holds rows of a shape by column.
type rows struct {
	texts     [][]string
	numbers   [][]int64
	documents [][][]byte
}

func newRows(s shape) *rows {
	return &rows{texts: make([][]string, len(strings.Fields(s.texts))), numbers: make([][]int64, len(strings.Fields(s.numbers))),
		documents: make([][][]byte, len(strings.Fields(s.document)))}
}

func (r *rows) len() int { return len(r.texts[0]) }

// put writes row i, which may be the one after the last.
func (r *rows) put(i int, texts []string, numbers []int64, document []byte) {
	for j, text := range texts {
		r.texts[j] = put(r.texts[j], i, encode(text))
	}
	for j, number := range numbers {
		r.numbers[j] = put(r.numbers[j], i, number)
	}
	for j := range r.documents {
		if document == nil {
			document = []byte{} // nil would be NULL
		}
		r.documents[j] = put(r.documents[j], i, document)
	}
}

func put[T any](column []T, i int, value T) []T {
	if i == len(column) {
		return append(column, value)
	}
	column[i] = value
	return column
}

func (r *rows) appendArgs(args []any) []any {
	for _, column := range r.texts {
		args = append(args, column)
	}
	for _, column := range r.numbers {
		args = append(args, column)
	}
	for _, column := range r.documents {
		args = append(args, column)
	}
	return args
}

// group collects the rows of chains of changes. A chain leaves one row of each
// thing, as its last change has it: what stood in between nobody can have seen.
type group struct {
	made, moved, labels, visits, attempts, notices *rows

	keys     map[heddle.RunID]store.Line // for which runs that are made stand in line
	releases map[heddle.RunID][]int      // visits, by run

	at map[rowKey]int // the places of visits, attempts and notices among their kind
}

type rowKey struct {
	in        *rows
	run       heddle.RunID
	visit, no int
	id        string
}

func newGroup() *group {
	return &group{made: newRows(madeShape()), moved: newRows(movedShape()), labels: newRows(labelShape()), visits: newRows(visitShape()),
		attempts: newRows(attemptShape()), notices: newRows(noticeShape()), keys: map[heddle.RunID]store.Line{}, releases: map[heddle.RunID][]int{}, at: map[rowKey]int{}}
}

// args are the parameters of [applyStatement].
func (g *group) args(session string) []any {
	args := []any{session}
	for _, r := range []*rows{g.made, g.moved, g.labels, g.visits, g.attempts, g.notices} {
		args = r.appendArgs(args)
	}
	return args
}

// create adds a run that first makes and last, after steps changes, leaves.
func (g *group) create(first, last *heddle.Change, steps int) error {
	input, err := encodeInput(first.Run.Input)
	if err != nil {
		return err
	}
	r, created := &last.Run, store.Nanos(first.Run.Created)
	f := &first.Run
	g.made.put(g.made.len(), []string{string(f.ID), string(f.Kind), f.Name, f.FlowHash, string(f.Parent), f.Executor,
		string(r.State), string(r.Outcome), r.Message, string(r.Stop), last.ID, f.Organization, f.Definition},
		[]int64{created, store.Nanos(r.Started), store.Nanos(r.Ended), store.Nanos(r.Deadline), int64(r.Visits), int64(steps), store.Nanos(f.Due), number(f.Definition != "")}, input)
	for key, value := range f.Labels {
		g.labels.put(g.labels.len(), []string{string(f.ID), key, value}, []int64{created}, nil)
	}
	return nil
}

// move adds the change of a run that is as first demands it to what last leaves.
func (g *group) move(first, last *heddle.Change, steps int) {
	r := &last.Run
	g.moved.put(g.moved.len(), []string{string(r.ID), string(r.State), string(r.Outcome), r.Message, string(r.Stop), last.ID},
		[]int64{store.Nanos(r.Started), store.Nanos(r.Ended), store.Nanos(r.Deadline), int64(r.Visits), first.Epoch, first.Seq, int64(steps)}, nil)
}

// add adds the rows below the run that a change brings.
func (g *group) add(c *heddle.Change) {
	run := string(c.Run.ID)
	if key, waits := store.KeyOf(c); waits {
		g.keys[c.Run.ID] = key
	}
	if len(c.Releases) > 0 {
		g.releases[c.Run.ID] = append(g.releases[c.Run.ID], c.Releases...)
	}
	for i := range c.Visits {
		v := &c.Visits[i]
		g.visits.put(g.place(rowKey{in: g.visits, run: c.Run.ID, visit: v.No}),
			[]string{run, v.Step, string(v.State), string(v.Outcome), v.Message},
			[]int64{int64(v.No), int64(v.Index), int64(v.Nth), int64(v.Cause), int64(v.Code), int64(v.Attempts), int64(v.Broken),
				store.Nanos(v.Opened), store.Nanos(v.Settled), store.Nanos(v.Due)}, v.Output)
	}
	for i := range c.Attempts {
		a := &c.Attempts[i]
		g.attempts.put(g.place(rowKey{in: g.attempts, run: c.Run.ID, visit: a.Visit, no: a.No}), []string{run, a.Place, a.Stop, a.Message},
			[]int64{int64(a.Visit), int64(a.No), int64(a.Status), int64(a.ExitCode),
				store.Nanos(a.Created), store.Nanos(a.Started), store.Nanos(a.Ended), number(a.Infra)}, nil)
	}
	for i := range c.Notices {
		n := &c.Notices[i]
		g.notices.put(g.place(rowKey{in: g.notices, run: c.Run.ID, id: n.ID}), []string{run, n.ID, n.Target, n.Event},
			[]int64{store.Nanos(n.Created), int64(n.Tries), store.Nanos(n.Due)}, n.Body)
	}
}

// number is how a yes or no is stored.
func number(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// place returns where a row belongs: over the one with its key, or at the end.
func (g *group) place(key rowKey) int {
	i, ok := g.at[key]
	if !ok {
		i = key.in.len()
		g.at[key] = i
	}
	return i
}

// encodeInput returns an input as JSON, nothing for one that says nothing.
func encodeInput(in heddle.Input) ([]byte, error) {
	data, err := json.Marshal(in)
	if err != nil {
		return nil, heddle.Errorf(heddle.CodeInvalid, "encoding the input: %w", err)
	}
	if string(data) == "{}" {
		return nil, nil
	}
	return data, nil
}
