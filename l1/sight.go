package l1

import (
	"context"
	"time"

	"weir/policy"
	"weir/rfc9111"
)

// sees asks how far what is known of purges can be trusted, and says whether o, which was
// found for req, may be used all the same. A tier that has nothing to use never asks.
func (t *Tier) sees(ctx context.Context, req *policy.Request, h held, now time.Time) (Sight, bool) {
	sight := t.epochs.Sight(ctx, now, req.MinEpoch)
	switch {
	case sight.Blind && h.head.bare.RequestTime.Before(sight.Since):
		t.counts.blind.Add(1)
		return sight, false
	default:
		return sight, t.vouched(h.entry, h.object) // once more: purges may just have been learnt of
	}
}

// vouched says whether no purge has come for o. The usual case is one comparison.
func (t *Tier) vouched(e *entry, o *object) bool {
	// Read before Purged is asked: a purge between the two is seen next time.
	epoch := t.epochs.Current() + 1
	if o.epoch.Load() == epoch {
		return true
	}
	resp := t.open(&o.head)
	if t.epochs.Purged(e.key, resp) {
		return false
	}
	if o.soft.Load() == nil && t.epochs.Softened(e.key, resp) {
		o.soft.CompareAndSwap(nil, softened(&o.head.bare, t.opts.Now()))
	}
	o.epoch.Store(epoch)
	return true
}

// softened is a head that has just gone stale. Its stale windows begin now, because
// when the purge came is not known.
func softened(resp *rfc9111.Response, now time.Time) *rfc9111.Response {
	soft := *resp
	soft.Terms.Lifetime = min(soft.Terms.Lifetime, soft.Age(now))
	return &soft
}

// judged is the head that a request is judged by.
func (t *Tier) judged(o *object) *rfc9111.Response {
	if soft := o.soft.Load(); soft != nil {
		return soft // stale: nothing of its Header matters
	}
	return t.open(&o.head)
}

// terms is the head that says how long o may be used, without its Header.
func (o *object) terms() *rfc9111.Response {
	if soft := o.soft.Load(); soft != nil {
		return soft
	}
	return &o.head.bare
}
