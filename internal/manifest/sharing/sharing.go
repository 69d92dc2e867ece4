// Package sharing reads what documents of several kinds say about runs that get in
// each other's way: the keys concurrency and pool.
package sharing

import (
	"slices"
	"strings"

	"github.com/heddle/heddle"
	"github.com/heddle/heddle/internal/manifest/doc"
	"github.com/heddle/heddle/internal/manifest/params"
)

// Concurrency reads the key concurrency of a document: the key that only one run at a
// time can have, or a map of key and busy, which says what to do when another run has
// it: queue (the default), cancel-old or reject. Nil when there is none.
func Concurrency(d *doc.Document, top *doc.Object, p *params.Set) *heddle.Concurrency {
	n := top.Get("concurrency")
	if n == nil {
		return nil
	}
	c := &heddle.Concurrency{}
	if n.Kind != doc.Map {
		c.Key = name(d, top, "concurrency", p)
		return c
	}
	o := d.Object(n)
	c.Key = name(d, o, "key", p)
	c.Busy = heddle.Concurrence(o.StringOnly("busy"))
	if b := o.Get("busy"); b != nil && b.Kind == doc.String && !slices.Contains(heddle.Concurrences(), c.Busy) {
		d.Faults.Errorf(b, "must be %s, is %q", words(), b.Text)
	}
	o.Rest()
	return c
}

func words() string {
	var all []string
	for _, c := range heddle.Concurrences() {
		all = append(all, string(c))
	}
	return strings.Join(all[:len(all)-1], ", ") + " or " + all[len(all)-1]
}

// Pool reads the key pool of what is run: the name of a pool of which each attempt
// takes a place, or a map of name and weight, the number of places (default 1).
func Pool(d *doc.Document, of *doc.Object, p *params.Set) (pool string, weight int) {
	n := of.Get("pool")
	if n == nil {
		return "", 0
	}
	if n.Kind != doc.Map {
		return name(d, of, "pool", p), 0
	}
	o := d.Object(n)
	pool, weight = name(d, o, "name", p), o.Int("weight")
	if w := o.Get("weight"); w != nil && w.Kind == doc.Number && weight == 0 && w.Text == "0" {
		d.Faults.Errorf(w, "must be at least 1, is 0")
	}
	o.Rest()
	return pool, weight
}

// name reads the name of a key or a pool, in which params may stand.
func name(d *doc.Document, o *doc.Object, key string, p *params.Set) string {
	n := o.Get(key)
	if n == nil {
		d.Faults.Errorf(o.Node(), "needs the key %s: a text", key)
		return ""
	}
	text := o.StringOnly(key)
	if n.Kind != doc.String {
		return ""
	}
	if text = p.Fill(n, text); text == "" || len(text) > heddle.MaxTurnName {
		d.Faults.Errorf(n, "must have 1 to %d bytes, has %d", heddle.MaxTurnName, len(text))
	}
	return text
}
