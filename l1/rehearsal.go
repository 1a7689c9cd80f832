package l1

import (
	"context"

	"weir/policy"
	"weir/rfc9111"
)

// Rehearse returns a tier that answers one request as t would at this moment, with the
// code that would, and next in the place of the next tier. It takes no fills, and nothing
// comes of what it does, except that what a soft purge names has been looked at. It
// need not be closed.
func (t *Tier) Rehearse(next Next) *Tier {
	r := &Tier{next: next, epochs: t.epochs, opts: t.opts, hash: t.hash, store: t.store, rehearsal: true}
	r.generation.Store(t.generation.Load())
	r.moments.max, r.streams.max = t.moments.max, t.streams.max
	return r
}

// Held tells how all that is held under req's key stands towards it, the newest first.
// It is no use.
func (t *Tier) Held(ctx context.Context, req *policy.Request) []rfc9111.Standing {
	e := t.store.find(t.hash(req.Keyed.Key.Bytes()))
	if e == nil || e.key.Bytes() != req.Keyed.Key.Bytes() || !t.current(e) {
		return nil
	}
	now := t.opts.Now()
	sight := t.epochs.Sight(ctx, now, req.MinEpoch)
	asked := rfc9111.Request{Method: req.Method, Header: req.Header}
	var all []rfc9111.Standing
	for o := range e.variants() {
		head, judged := t.open(&o.head), t.judged(o)
		soft := t.epochs.Softened(e.key, head)
		if soft && judged == head {
			judged = softened(head, now)
		}
		s := rfc9111.Stand(asked, judged, &req.Plan.Rules, now)
		s.Response, s.Softened = head, soft
		s.Purged = t.epochs.Purged(e.key, head)
		s.Unsure = sight.Blind && head.RequestTime.Before(sight.Since)
		all = append(all, s)
	}
	return all
}
