package l1

import (
	"context"
	"net/http"
	"time"
	"unsafe"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// Ask is a GET or HEAD without any condition on what is stored and without directives, as
// far as [Tier.Hit] needs it. Nothing of it is kept.
type Ask struct {
	Key     string       // the canonical bytes of [keying.Key]
	Plan    *policy.Plan // of a table
	Accepts keying.Accepts
	Header  http.Header // Accept-Encoding as the request is forwarded with it, and nothing else
	Now     time.Time
}

// Found is a fresh object, in the coding that its client gets. All of it is frozen.
type Found struct {
	Key    keying.Key
	Head   *rfc9111.Response
	Body   []byte
	File   *BodyFile     // which holds Body, too; nil mostly
	Varied bool          // as in an [rfc9111.Answer]
	TTL    time.Duration // what is left of its lifetime
	Ready  *ReadyHead    // what was kept for it and the plan, nil for nothing

	entry *entry
	open  *openHead
}

// ReadyHead is the head of a response as it is sent, by one plan, from the end of its status line
// on, but for two numbers: its age and how long it is fresh. It is immutable.
type ReadyHead struct {
	Table    string // version of the plan's table
	Plan     int    // number of the plan in it
	Bytes    []byte
	Age, TTL int  // where in Bytes the numbers are missing, Age first
	Ranges   bool // Accept-Ranges is this node's word, not the origin's
}

func (r *ReadyHead) cost() int64 {
	if r == nil {
		return 0
	}
	return int64(unsafe.Sizeof(*r)) + allocated(int64(cap(r.Bytes))) + int64(len(r.Table))
}

// noWait is the context of a look that must not ask anybody.
var noWait = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// Hit looks for what Fetch would answer with if that is a fresh object which needs no work
// and is as good as any: ok is false whenever there is doubt, and then Fetch decides. It
// asks nobody but the purges that are known here, and while the object's head is open it does not
// allocate. The use is counted by CountHit.
func (t *Tier) Hit(ask *Ask, found *Found) (ok bool) {
	e := t.store.find(t.hash(ask.Key))
	if e == nil || e.key.Bytes() != ask.Key || !t.current(e) {
		return false
	}
	o := t.plainly(e, ask)
	if o == nil || t.epochs.Sight(noWait, ask.Now, 0) != (Sight{}) || !t.vouched(e, o) || o.soft.Load() != nil { // Sight first: it may learn of purges
		return false
	}
	asked := rfc9111.Request{Method: http.MethodGet}
	if rfc9111.Judge(asked, &o.head.bare, &ask.Plan.Rules, ask.Now).Reuse != rfc9111.ReuseFresh || !t.ready(o, ask, found) {
		return false
	}
	if e.n() > 1 {
		o.used.Store(ask.Now.UnixNano())
	}
	found.entry, found.Key, found.TTL = e, e.key, o.head.bare.TTL(ask.Now)
	return true
}

// CountHit counts an answer that was made of what Hit found. After some with a large body it takes the time to put
// that into a [BodyFile]: who sent none, or to where a file cannot go, takes Body and File out of found before.
func (t *Tier) CountHit(found *Found) {
	found.entry.use()
	t.sent(found)
	t.counts.hits.Add(1)
}

// plainly returns the variant that a request selects, if that is plain to see.
func (t *Tier) plainly(e *entry, ask *Ask) *object {
	for o := range e.variants() {
		switch {
		case o.head.bare.Selection != "" && !o.head.bare.Selection.Only("Accept-Encoding"):
			return nil
		case o.head.bare.Selection.Matches(ask.Header):
			return o
		}
	}
	return nil
}

// ready gives the form of o that a client gets, unless it is still to be made or better
// asked for by the request itself. See Tier.answer.
func (t *Tier) ready(o *object, ask *Ask, found *Found) bool {
	h := &o.head
	found.Body, found.Varied = o.body, o.recodable && ask.Plan.Compress
	switch as := codingOf(ask.Accepts.Best()); {
	case h.bare.Parts != nil || o.coding == foreign:
		return false
	case o.coding != identity:
		if ask.Plan.Compress && !ask.Accepts.Has(codingNames[o.coding]) {
			return false
		}
	case found.Varied && as != identity && o.worthIt:
		f := o.form(as)
		if f == nil && len(o.body) >= minCodable {
			return false
		}
		if f.ready() {
			h, found.Body = &f.head, f.body
		}
	}
	found.open = t.store.heads.open(h)
	found.Head, found.File, found.Ready = &found.open.resp, found.open.file.Load(), found.open.by(ask.Plan)
	return true
}

// Keep keeps a head that was made for what Hit found, beside it and within the budget, until it
// has not been asked for in a while.
func (t *Tier) Keep(found *Found, ready *ReadyHead) { t.store.heads.keep(found.open, ready) }
