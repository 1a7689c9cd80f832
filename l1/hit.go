package l1

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
	"unsafe"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// Ask is a GET or HEAD without any condition on what is stored and without directives, as
// far as [Tier.Hit] needs it. Nothing of it is kept.
type Ask struct {
	Key     string // the canonical bytes of [keying.Key]
	Plan    *policy.Plan
	Accepts keying.Accepts
	Header  http.Header // Accept-Encoding as the request is forwarded with it, and nothing else
	Now     time.Time
}

// Found is a fresh object, in the coding that its client gets. All of it is frozen.
type Found struct {
	Key    keying.Key
	Head   *rfc9111.Response
	Body   []byte
	Varied bool          // as in an [rfc9111.Answer]
	TTL    time.Duration // what is left of its lifetime

	// Ready is where a head can be kept that was made for this object. What is kept may
	// not be larger than [RoomFor] says.
	Ready *atomic.Pointer[ReadyHead]
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

// Room for what a plan and this node add to a head: status line, what happened, Via.
const readyRoom = 320

// RoomFor is how long the Bytes of a ReadyHead for a response may be.
func RoomFor(resp *rfc9111.Response) int {
	size := readyRoom
	for name, values := range resp.Header {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	return size
}

// noWait is the context of a look that must not ask anybody.
var noWait = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// Hit looks for what Fetch would answer with if that is a fresh object which needs no work
// and is as good as any: ok is false whenever there is doubt, and then Fetch decides. It
// neither waits nor allocates.
func (t *Tier) Hit(ask *Ask, found *Found) (ok bool) {
	e := t.store.get(t.hash(ask.Key))
	if e == nil || e.key.Bytes() != ask.Key || !t.current(e) {
		return false
	}
	o := t.plainly(e, ask)
	if o == nil || t.epochs.Sight(noWait, ask.Now, 0) != (Sight{}) || !t.surely(o) { // Sight first: it may learn of purges
		return false
	}
	asked := rfc9111.Request{Method: http.MethodGet}
	if rfc9111.Judge(asked, o.resp, &ask.Plan.Rules, ask.Now).Reuse != rfc9111.ReuseFresh || !o.ready(ask, found) {
		return false
	}
	if len(e.variants) > 1 {
		o.used.Store(ask.Now.UnixNano())
	}
	found.Key, found.TTL = e.key, o.resp.TTL(ask.Now)
	return true
}

// CountHit counts an answer that was made of what Hit found.
func (t *Tier) CountHit() { t.counts.hits.Add(1) }

// plainly returns the variant that a request selects, if that is plain to see.
func (t *Tier) plainly(e *entry, ask *Ask) *object {
	for _, o := range e.variants {
		switch {
		case o.resp.Selection != "" && !o.resp.Selection.Only("Accept-Encoding"):
			return nil
		case o.resp.Selection.Matches(ask.Header):
			return o
		}
	}
	return nil
}

// ready gives the form of o that a client gets, unless it is still to be made or better
// asked for by the request itself. See Tier.answer.
func (o *object) ready(ask *Ask, found *Found) bool {
	found.Head, found.Body, found.Ready = o.resp, o.body, &o.head
	found.Varied = o.recodable && ask.Plan.Compress
	switch {
	case o.resp.Parts != nil || o.coding == foreign:
		return false
	case o.coding != identity:
		return !ask.Plan.Compress || ask.Accepts.Has(codingNames[o.coding])
	case !found.Varied:
		return true
	}
	as := codingOf(ask.Accepts.Best())
	if as == identity || !o.worthIt {
		return true
	}
	f := o.forms[as].Load()
	if f.ready() {
		found.Head, found.Body, found.Ready = f.head, f.body, &f.wire
	}
	return f != nil || len(o.body) < minCodable
}

// readyCost is what the ready head of a response may come to hold.
func readyCost(resp *rfc9111.Response) int64 {
	return int64(unsafe.Sizeof(ReadyHead{})) + int64(RoomFor(resp))
}
