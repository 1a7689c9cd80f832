package shield

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// A flight is one fetch for a key and everyone who waits for it or reads from it.
// It has its own goroutine and context. Its life:
//
//	started -> claimed at the headers (storable) -> settled sharing -> ended -> drained
//	started -> settled otherwise -> ended -> drained
//
// A flight is listed while newcomers may join it. Everyone in it holds a seat.
type flight struct {
	key        keying.Key      // read by its function, or with flights.mu
	req        *policy.Request // the request that is forwarded; likewise
	part       string          // the range that it is for, "" for the whole; read by its function
	asked      http.Header     // of the request that began it
	epoch      uint64          // of the durable purges, noted before anything is asked
	began      moment          // those who come after a later purge do not join
	alone      bool            // nobody waits with it before its headers
	ownCodings bool            // asks with its client's Accept-Encoding unless something is to be validated
	detail     string          // why it goes alone, for people who debug
	leaderless bool            // a refresh: no client has a seat when it begins
	body       body
	early      bulletin // what the origin sent before its response; it ends with that

	ctx    context.Context
	ctxEnd context.CancelCauseFunc
	leash  leash // of the connection that its origin is asked on

	out outcome // read only after early has ended

	// The function's own until it has ended; what is left then goes when the flight
	// drains.
	stored    Object            // what is to be validated, or answered with
	parts     Object            // what an answer to a range is put together with
	ranged    http.Header       // the range that is asked for, nil for the whole
	rest      rfc9111.Range     // of a whole of which parts has the rest: what reply has
	reply     *reply            // of the origin
	supply    supply            // its body
	own       *rfc9111.Response // head for the leader, whom the origin answered
	overtaken bool              // another one fetches the same for those who came later: nothing is stored
	above     bool              // the parent answered, not the origin
	apart     bool              // the reply is for another Accept-Encoding than the key's

	// Guarded by flights.mu.
	listed  bool
	barred  bool              // was taken off the list for good
	claimed bool              // its headers are known and may be shared: head is set
	head    *rfc9111.Response // of what is claimed; nil while nothing is known but the key
	open    bool              // claimed, and what it fetches is for newcomers too
	settled bool
	ended   bool
	allowed allowance
	prev    *flight // of those that are not drained
	next    *flight
	wanted  bool       // a cache wants the body: it is fetched without readers too
	waiting int        // seats taken before it settled
	leader  *reader    // the seat of the client it was started for
	slot    [1]*flight // room for the list of its key
}

// outcomeKind says what a flight came to.
type outcomeKind int

const (
	failed  outcomeKind = iota // err for everyone
	sharing                    // head, and the body as it comes
	object                     // head, and whole or held: a stored response
	passing                    // head and the flight's reply for the leader, nothing for others
)

type outcome struct {
	kind     outcomeKind
	err      error
	head     *rfc9111.Response
	was      *rfc9111.Response // the head of the object before it was validated, or of the parts that are in it
	own      *rfc9111.Response // head for the leader, with fields that are for nobody else; nil: no such
	whole    []byte            // of an object in memory
	held     Object            // of one that is not: the flight's stored
	onError  bool              // the object is stale, and there only because the origin failed
	asked    bool              // the origin was asked
	replaced bool              // something newer than the object is stored
	decision rfc9111.Decision
	trailer  *rfc9111.Trailer // of a body as it comes
}

// headFor is the head that a seat gets.
func (o *outcome) headFor(s seat) *rfc9111.Response {
	if s.leader && o.own != nil {
		return o.own
	}
	return o.head
}

// A seat is one client's place in a flight. It is given back exactly once, with
// flights.leave.
type seat struct {
	*reader
	f      *flight
	leader bool
	taken  moment
}

// outdated says whether what the flight came to was purged between its beginning and
// the taking of the seat: only its head tells which tags and groups it has.
func (s seat) outdated(p *Purges) bool {
	f := s.f
	return s.taken != f.began &&
		(p.overtaken(f.key, f.out.head, f.began) || p.overtaken(f.key, f.out.was, f.began))
}

// flights is the table of flights. mu guards it and the marked fields of every
// flight, so that these decisions are atomic with regard to each other: join or
// start, leave or be joined, share at the headers, leave the table.
//
// Why join and leave need one lock: let A be the only client of a flight whose
// body no cache wants, and B a newcomer.
//
//  1. A leaves and sees that nobody else reads.
//  2. B finds the flight in the table and joins it.
//  3. A cancels the fetch.
//  4. B gets the cancellation of a request that it never gave up.
//
// Here A's look and its cancelling, and B's look and its joining, are one step
// each: B is either counted before A looks, or does not find the flight.
type flights struct {
	opts   *Options
	purges *Purges
	memory atomic.Int64 // bytes of bodies in memory

	mu      sync.Mutex
	slots   map[string][]*flight // listed flights by key bytes
	first   *flight              // that is not drained, and by its links the others
	running int
	closed  bool
	alarm   alarm
	most    int
	waiting int
}

func newFlights(opts *Options, purges *Purges) *flights {
	return &flights{opts: opts, purges: purges, slots: map[string][]*flight{}}
}

// ticket is what a client joins with.
type ticket struct {
	req        *policy.Request
	part       string              // the range that is enough, "" for the whole
	known      []rfc9111.Selection // selections by which the key's variants are told apart
	alone      bool                // waits for nobody
	ownCodings bool                // and asks with its own Accept-Encoding
	detail     string              // why
}

func (k *ticket) key() keying.Key {
	if k.part != "" {
		return k.req.Keyed.Key.Part(k.part)
	}
	return k.req.Keyed.Key
}

// join takes a seat in a flight that answers the ticket, or starts one; then
// started is true and the caller must run it.
//
// The racy interleaving that the second look into the store answers, in fly.go:
//
//  1. A looks into the store and finds nothing.
//  2. B's flight for the same key stores its response and leaves the table.
//  3. A finds no flight and starts one.
//  4. A's flight looks into the store again, finds B's response, and asks nobody.
//
// It holds because a flight leaves the table only after its response can be seen.
func (t *flights) join(ctx context.Context, k ticket) (s seat, started bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	whole := k
	whole.part = ""
	f := t.findLocked(whole) // has any part, too
	if f == nil && k.part != "" {
		f = t.findLocked(k)
	}
	if f == nil || !f.settled {
		if t.waiting >= t.opts.MaxWaiters || f != nil && f.waiting >= t.opts.MaxFlightWaiters {
			return seat{}, false, ErrOverloaded
		}
	}
	if f == nil {
		if f, err = t.startLocked(k); err != nil {
			return seat{}, false, err
		}
		started = true
	}
	if !f.settled {
		f.waiting++
		t.waiting++
	}
	s = seat{reader: f.body.attach(ctx), f: f, leader: started, taken: t.purges.moment()}
	if started {
		f.leader = s.reader
	}
	return s, started, nil
}

// startUnless starts a refresh, a flight without seats, unless one is listed that
// answers the ticket or there are too many.
func (t *flights) startUnless(k ticket) *flight {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.findLocked(k) != nil {
		return nil
	}
	k.req = forRefresh(k.req)
	f, err := t.startLocked(k)
	if err != nil {
		return nil
	}
	f.leaderless = true
	return f
}

func (t *flights) startLocked(k ticket) (*flight, error) {
	if t.closed {
		return nil, ErrClosed
	}
	if t.running >= t.opts.MaxFlights {
		return nil, ErrOverloaded
	}
	if len(t.slots[k.key().Bytes()]) >= t.opts.MaxVariants {
		k.alone = true
	}
	f := &flight{
		key:        k.key(),
		req:        k.req,
		part:       k.part,
		asked:      k.req.Header,
		epoch:      t.purges.fillEpoch(),
		began:      t.purges.moment(),
		alone:      k.alone,
		ownCodings: k.ownCodings,
		detail:     k.detail,
		wanted:     !k.alone,
	}
	f.body.init(t.opts, &t.memory)
	f.ctx, f.ctxEnd = context.WithCancelCause(context.Background()) // close ends it, too
	t.beginLocked(f)
	if !k.alone {
		t.listLocked(f)
	}
	return f, nil
}

func (t *flights) listLocked(f *flight) {
	f.listed = true
	k := f.key.Bytes()
	slot := t.slots[k]
	if slot == nil {
		slot = f.slot[:0]
	}
	t.slots[k] = append(slot, f)
}

// barLocked takes f off the list for good.
func (t *flights) barLocked(f *flight) {
	f.barred = true
	if !f.listed {
		return
	}
	f.listed = false
	k := f.key.Bytes()
	slot := slices.DeleteFunc(t.slots[k], func(o *flight) bool { return o == f })
	if len(slot) == 0 {
		delete(t.slots, k)
	} else {
		t.slots[k] = slot
	}
}

// widen makes a flight for a range one for the whole.
func (t *flights) widen(f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.part, f.ranged = "", nil
	t.moveLocked(f, f.req.Keyed.Key)
}

// moveLocked lists f under another key, if it is listed.
func (t *flights) moveLocked(f *flight, key keying.Key) {
	listed := f.listed
	if listed {
		t.barLocked(f)
		f.barred = false
	}
	f.key = key
	if listed {
		t.listLocked(f)
	}
}

// findLocked returns the listed flight that answers k. Flights that a purge has
// overtaken are taken off the list: they serve those who came before it.
func (t *flights) findLocked(k ticket) *flight {
	slot := slices.Clone(t.slots[k.key().Bytes()])
	known := k.known
	for _, f := range slot {
		// Before the headers nothing is known but the key: whoever joins looks again
		// when they are there, see seat.outdated.
		if t.purges.overtaken(f.key, f.head, f.began) {
			t.barLocked(f)
			continue
		}
		if f.claimed {
			if f.open && f.head.Selection.Matches(k.req.Header) && (!k.alone || t.answers(f.head, k.req)) {
				return f
			}
			known = append(slices.Clip(known), f.head.Selection)
		}
	}
	if k.alone {
		return nil
	}
	for _, f := range slot {
		if f.listed && !f.claimed && !f.alone && sameVariant(known, f.req, k.req) {
			return f
		}
	}
	return nil
}

// answers says whether a head could answer req from a store: whoever waits for nobody may have what is
// known already, but no less than what it asks for, RFC 9111 5.2.1.
func (t *flights) answers(head *rfc9111.Response, req *policy.Request) bool {
	v := rfc9111.Judge(verdictRequest(req), head, &req.Plan.Rules, t.opts.Now())
	return v.Reuse == rfc9111.ReuseFresh || v.Reuse == rfc9111.ReuseStale
}

// sameVariant says whether two requests select the same variant, as far as is known.
func sameVariant(known []rfc9111.Selection, a, b *policy.Request) bool {
	for _, k := range known {
		if k.Reselect(a.Header) != k.Reselect(b.Header) {
			return false
		}
	}
	return true
}

// A claim is what the headers of a storable response say about its flight.
type claim struct {
	head   *rfc9111.Response
	open   bool // others may have the response too
	wanted bool // a cache wants the body
}

// left says whether a newer flight may have begun for the same as f.
func (t *flights) left(f *flight) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return f.barred
}

// claim says that f's headers are known and its body may be stored. It is false
// when another flight is already storing the same variant, and for flights of
// clients that wait for nobody also when the key has too many variants.
func (t *flights) claim(f *flight, c claim) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	slot := t.slots[f.key.Bytes()]
	taken := slices.ContainsFunc(slot, func(o *flight) bool {
		return o != f && o.claimed && o.head.Selection == c.head.Selection
	})
	switch {
	case f.barred:
		// One that a purge has overtaken shares what it has with those who came before,
		// whoever fetches the same now.
		f.overtaken = taken || t.purges.overtaken(f.key, c.head, f.began)
	case taken, f.alone && len(slot) >= t.opts.MaxVariants:
		return false
	case f.alone:
		t.listLocked(f)
	}
	f.claimed, f.head, f.open, f.wanted = true, c.head, c.open, c.wanted && !f.overtaken
	return true
}

// settle publishes what f came to; only the first time counts. A flight that does
// not share its body is complete, and leaves the table with it.
func (t *flights) settle(f *flight, out outcome) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.settled {
		return false
	}
	f.settled, f.out = true, out
	t.waiting -= f.waiting
	f.waiting = 0
	if out.kind != sharing {
		f.wanted = false
		t.barLocked(f)
	}
	f.early.end()
	return true
}

// overrun gives up waiting for f although its function may still run.
func (t *flights) overrun(f *flight, err error) {
	t.mu.Lock()
	t.barLocked(f)
	t.mu.Unlock()
	t.settle(f, outcome{kind: failed, err: err})
	f.body.end(err)
	f.cancel(err)
}

// disown says that no cache wants f's body any more: nobody joins it from now on,
// and without readers it ends.
func (t *flights) disown(f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.wanted = false
	t.barLocked(f)
	if !f.body.occupied() {
		f.cancel(errAbandoned)
	}
}

// leave gives a seat back.
func (t *flights) leave(s seat) {
	t.mu.Lock()
	f := s.f
	if !f.settled {
		f.waiting--
		t.waiting--
	}
	if f.leader == s.reader {
		f.leader = nil
	}
	occupied := f.body.detach(s.reader)
	if !occupied && !f.wanted && !f.ended {
		t.barLocked(f)
		f.cancel(errAbandoned)
	}
	drained := t.drainedLocked(f, occupied)
	t.mu.Unlock()
	if drained {
		f.drain()
	}
}

// errUnanswered is of a flight whose function returned without a word.
var errUnanswered = fmt.Errorf("%w: ended without an answer", ErrPanic)

// end is called when f's function has returned.
func (t *flights) end(f *flight) {
	t.settle(f, outcome{kind: failed, err: errUnanswered})
	f.body.end(errUnanswered)
	t.mu.Lock()
	t.barLocked(f)
	f.ended = true
	t.running--
	drained := t.drainedLocked(f, f.body.occupied())
	t.mu.Unlock()
	if drained {
		f.drain()
	}
}

// drain frees what f holds. Nobody has a seat any more, and nobody can get one.
func (f *flight) drain() {
	f.cancel(errAbandoned)
	if f.reply != nil {
		_ = f.reply.body.Close()
	}
	f.dropStored()
	f.dropParts()
	f.body.release()
}

func (f *flight) dropStored() {
	closeObject(f.stored)
	f.stored = nil
}
