package l1

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// Next is the tier that is asked when memory has no answer. Its methods are
// called concurrently.
type Next interface {
	// Fetch answers req. The caller owns the Answer, though not what it points to.
	Fetch(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error)
	// Refresh has what is stored for req fetched again in the background, whatever
	// req's method, and returns at once. It may be called for every request that is
	// answered with a stale object: one refresh at a time is enough.
	Refresh(req *policy.Request)
}

// Epochs is the purge log as far as a tier needs it. Its methods are called
// concurrently and must be fast, Current above all.
type Epochs interface {
	// Current changes whenever a purge comes into force.
	Current() uint64
	// Purged says whether a purge newer than resp.Epoch matches resp.
	Purged(key keying.Key, resp *rfc9111.Response) bool
	// Softened says whether a soft purge newer than resp.Epoch matches resp: it counts
	// as just gone stale.
	Softened(key keying.Key, resp *rfc9111.Response) bool
	// Sight says how far what this knows can be trusted for a request that has come at
	// now and wants an answer that is no older than the purge min. It may have to ask
	// another machine, until ctx ends.
	Sight(ctx context.Context, now time.Time, min uint64) Sight
}

// Sight is how far a tier sees what was purged. Its zero value is all that there is.
type Sight struct {
	Blind bool      // purges may be missing: only what was fetched at Since or later may be used
	Since time.Time // when Blind
	Told  string    // a detail for Cache-Status, "" for none
}

// Options are the limits of a tier. The zero value of each is its default.
type Options struct {
	MaxBytes    int64            // for everything held; at least MinBytes, default 256 MiB
	MaxObject   int64            // of one body, default 1 MiB; larger ones are left to the next tier
	MaxVariants int              // under one key, default 64; the least recently used gives way
	MaxFiles    int              // large bodies that may have a BodyFile, each of which takes a descriptor; default none
	DecoderRoom int64            // bytes for decoders at work, default 256 MiB; a first one is always let through
	Now         func() time.Time // default time.Now
}

// MinBytes is the smallest budget: what can hold a few pages.
const MinBytes = 64 << 10

func (o *Options) setDefaults() error {
	if o.MaxBytes == 0 {
		o.MaxBytes = 256 << 20
	}
	if o.MaxObject == 0 {
		o.MaxObject = 1 << 20
	}
	if o.MaxVariants == 0 {
		o.MaxVariants = 64
	}
	if o.DecoderRoom == 0 {
		o.DecoderRoom = 256 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	switch {
	case o.MaxBytes < MinBytes:
		return fmt.Errorf("l1: a budget of %d bytes is too small, the least is %d", o.MaxBytes, MinBytes)
	case o.MaxObject < 0 || o.MaxVariants < 0 || o.MaxFiles < 0:
		return fmt.Errorf("l1: negative limit: objects of %d bytes, %d variants, %d files", o.MaxObject, o.MaxVariants, o.MaxFiles)
	}
	return nil
}

// Tier is one region's memory tier. Its methods may be called concurrently, and
// after Close, when it holds nothing any more.
type Tier struct {
	next   Next
	epochs Epochs
	opts   Options

	hash       func(key string) uint64 // what entries are found by
	generation atomic.Uint32           // entries of another one are not answered from
	store      *store
	coder      *coder
	wanted     wanted
	streams    room           // for decoders at the pace of clients
	moments    room           // for those that are done at once, whatever clients do
	decoding   [64]sync.Mutex // held while a held body with such a hash is decoded
	counts     counts
	rehearsal  bool // nothing may come of what it does
}

// New starts a tier in front of next. Close stops it.
func New(next Next, epochs Epochs, opts Options) (*Tier, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	t := &Tier{next: next, epochs: epochs, opts: opts}
	t.moments.max = opts.DecoderRoom / 4
	t.streams.max = opts.DecoderRoom - t.moments.max
	seed := maphash.MakeSeed() // because clients choose keys
	t.hash = func(key string) uint64 { return maphash.String(seed, key) }
	var err error
	if t.store, err = newStore(&t.opts, &t.counts); err != nil {
		return nil, err
	}
	t.coder = newCoder(t.attach)
	return t, nil
}

// Close stops the tier's goroutines, waits for them, and lets go of all objects.
func (t *Tier) Close() {
	t.coder.close()
	t.store.close()
}

// Fetch answers req from memory, or has the next tier answer it.
func (t *Tier) Fetch(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	if req.Bypass != "" {
		return t.fetchNext(ctx, req)
	}
	asked := rfc9111.Request{Method: req.Method, Header: req.Header}
	now := t.opts.Now()
	h, sight := t.find(ctx, req, now)
	why := rfc9111.ForwardMiss
	if h.object != nil {
		if h.soft.Load() != nil {
			now = t.opts.Now() // or the moment at which it went stale may still be to come
		}
		verdict := rfc9111.Judge(asked, t.judged(h.object), &req.Plan.Rules, now)
		why = verdict.Forward
		switch verdict.Reuse {
		case rfc9111.ReuseFresh:
			t.counts.hits.Add(1)
			return t.answer(ctx, req, h, decided(rfc9111.Hit, h, now, sight))
		case rfc9111.ReuseStale:
			t.counts.stale.Add(1)
			t.next.Refresh(req)
			return t.answer(ctx, req, h, decided(rfc9111.Stale, h, now, sight))
		case rfc9111.ReuseGateway:
			h = held{} // the 504 that may follow is no error of the origin
		}
	}
	t.counts.misses.Add(1)
	t.want(req)
	below, err := t.fetchNext(ctx, req)
	if err == nil {
		below.Decision.OuterForward = why
	}
	if h.object == nil || ctx.Err() != nil || err == nil && !rfc9111.FailedStatus(below.Head.Status) {
		return t.fit(ctx, req, below, err)
	}
	// The origin may have taken long to fail, and the object may have been purged since.
	now = t.opts.Now()
	sight, seen := t.sees(ctx, req, h, now)
	if !seen || !t.current(h.entry) || !rfc9111.UsableOnError(asked, h.terms(), &req.Plan.Rules, now) {
		return t.fit(ctx, req, below, err)
	}
	t.counts.stale.Add(1)
	return t.answer(ctx, req, h, insteadOf(below, decided(rfc9111.Stale, h, now, sight)))
}

func (t *Tier) fetchNext(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	below, err := t.next.Fetch(ctx, req)
	if err != nil {
		return nil, err
	}
	below.Decision.Outer = rfc9111.TierPass
	if req.Bypass == "" && t.keeps(below) {
		below.Decision.Outer = rfc9111.TierCached
	}
	return below, nil
}

// keeps says whether the body of an answer from below was given to Filled, or will
// be when it is whole. A body of unknown length is taken to be a small one, as
// most are: the answer's head leaves before its end is known. One that can be read
// anywhere is on disk, whole or in slices, and is not handed over.
func (t *Tier) keeps(below *rfc9111.Answer) bool {
	d := &below.Decision
	switch {
	case below.Alone, below.Head.Parts != nil, below.Head.Status == http.StatusPartialContent:
		return false
	default:
		return d.Shared() && below.At == nil && below.Head.Length <= t.opts.MaxObject
	}
}

// find returns the newest variant that req selects and that may be used, as far as what is
// known of purges can be trusted.
func (t *Tier) find(ctx context.Context, req *policy.Request, now time.Time) (held, Sight) {
	h := t.lookup(req, now)
	if h.object == nil {
		return held{}, Sight{}
	}
	sight, seen := t.sees(ctx, req, h, now)
	if !seen {
		return held{}, sight
	}
	return h, sight
}

// lookup returns the newest variant that req selects.
func (t *Tier) lookup(req *policy.Request, now time.Time) held {
	e := t.store.find(t.hash(req.Keyed.Key.Bytes()))
	if e != nil && !t.rehearsal {
		e.use()
	}
	if e == nil || e.key.Bytes() != req.Keyed.Key.Bytes() || !t.current(e) {
		return held{}
	}
	for o := range e.variants() {
		if o.head.bare.Selection.Matches(req.Header) && t.vouched(e, o) {
			if !t.fits(o, req) {
				return held{} // the next tier knows what its client can be given
			}
			if e.n() > 1 && !t.rehearsal {
				o.used.Store(now.UnixNano())
			}
			return held{e, o}
		}
	}
	return held{}
}

func (t *Tier) current(e *entry) bool { return e.generation == t.generation.Load() }

func decided(use rfc9111.Use, h held, now time.Time, sight Sight) rfc9111.Decision {
	return rfc9111.Decision{
		Use: use, Outer: rfc9111.TierHit, Status: rfc9111.StatusOK,
		TTL: h.terms().TTL(now), HasTTL: true, Detail: sight.Told,
	}
}

// insteadOf completes the decision for a stale object in place of a failure, and ends the
// answer from below if there is one.
func insteadOf(below *rfc9111.Answer, d rfc9111.Decision) rfc9111.Decision {
	d.Shield, d.Forward, d.OuterForward = rfc9111.TierPass, rfc9111.ForwardMiss, rfc9111.ForwardStale
	if below == nil {
		return d
	}
	d.Forward, d.ForwardStatus = below.Decision.Forward, below.Head.Status
	d.Collapsed = below.Decision.Collapsed
	if below.Body != nil {
		_ = below.Body.Close() // nobody reads it
	}
	return d
}
