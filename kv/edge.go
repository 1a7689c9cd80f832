package kv

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"
)

// EdgeOptions are optional parts of an [Edge].
type EdgeOptions struct {
	Now   func() time.Time // nil: time.Now
	Sight Sight            // nil: no purge is ever missed

	// Heard is an epoch of the purge log: whatever the parent has answered so far was so then,
	// or before. It is what Take needs; nil: nothing is taken.
	Heard func() uint64
}

// Edge is the [Store] that remembers what its parent answered, absence included, until the
// purge log says that it has changed. Those who miss a key together ask the parent once.
//
// When a write through the edge has ended, well or not, what was asked before that is neither
// remembered nor given to those who come later: they ask again, and the parent answers with
// that write or a later one. So no rule need have arrived for an edge to show its own writes.
type Edge struct {
	parent Store
	purges Purges
	memory Memory
	opts   EdgeOptions

	mu      sync.Mutex // guards what follows; what flights bring is put into memory under it
	begun   uint64     // number of the latest flight
	flights map[string]*flight

	pushed uint64 // latest epoch of a push that was taken: memory may have forgotten it
	past   uint64 // Heard when an answer was shown that is not remembered: nothing pushed with that is taken

	counts EdgeStats
}

// EdgeStats are counts since the start.
type EdgeStats struct {
	Taken   uint64 // pushes that are remembered, or answered somebody
	Ignored uint64 // pushes of what nobody here has asked for, and those that may have been old
}

// NewEdge returns an edge over parent, which purges tell when values change.
func NewEdge(parent Store, purges Purges, memory Memory, o EdgeOptions) *Edge {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sight == nil {
		o.Sight = func(context.Context, time.Time) time.Time { return time.Time{} }
	}
	return &Edge{parent: parent, purges: purges, memory: memory, opts: o, flights: make(map[string]*flight)}
}

// Get answers from memory, or asks the parent. What is fresh in memory costs no allocation.
func (e *Edge) Get(ctx context.Context, key string) (*Value, error) {
	r := read{ctx: ctx, now: e.opts.Now()}
	if a := e.recall(&r, key); a != nil {
		return e.present(a, r.now)
	}
	if err := cmp.Or(CheckKey(key), context.Cause(ctx)); err != nil {
		return nil, err
	}
	a, err := e.fetch(&r, key)
	if err != nil {
		return nil, err
	}
	return e.present(a, e.opts.Now())
}

// GetMany answers from memory, and asks the parent once for all the rest.
func (e *Edge) GetMany(ctx context.Context, keys []string, limit int) ([]*Value, error) {
	if err := cmp.Or(CheckKeys(keys), context.Cause(ctx)); err != nil {
		return nil, err
	}
	r := read{ctx: ctx, now: e.opts.Now()}
	answers := make([]*answer, len(keys))
	var missing []int
	for i, key := range keys {
		if answers[i] = e.recall(&r, key); answers[i] == nil {
			missing = append(missing, i)
		}
	}
	if err := e.fetchMany(&r, keys, answers, missing, limit); err != nil {
		return nil, err
	}
	values, now, total := make([]*Value, len(keys)), e.opts.Now(), 0
	for i, a := range answers {
		if v, err := e.present(a, now); err == nil {
			values[i], total = v, total+len(v.Bytes)
		}
	}
	if total > min(limit, MaxManyBytes) {
		return nil, ErrTooMuch
	}
	return values, nil
}

// Set asks the parent to.
func (e *Edge) Set(ctx context.Context, key string, d Draft, c Condition) (version uint64, err error) {
	if err := cmp.Or(CheckKey(key), d.Check(), c.Check()); err != nil {
		return 0, err
	}
	defer func() { e.forget(key, err) }()
	return e.parent.Set(ctx, key, d, c)
}

// Delete asks the parent to.
func (e *Edge) Delete(ctx context.Context, key string, c Condition) (err error) {
	if err := cmp.Or(CheckKey(key), c.Check()); err != nil {
		return err
	}
	defer func() { e.forget(key, err) }()
	return e.parent.Delete(ctx, key, c)
}

// Incr asks the parent to.
func (e *Edge) Incr(ctx context.Context, key string, i Increment) (count Count, err error) {
	if err := cmp.Or(CheckKey(key), i.Check()); err != nil {
		return Count{}, err
	}
	defer func() { e.forget(key, err) }()
	return e.parent.Incr(ctx, key, i)
}

// Stats returns the counts.
func (e *Edge) Stats() EdgeStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.counts
}

// forget drops what is remembered of key, and what is on its way, after a write that ended
// with err. That somebody wanted to know it is remembered, so that a push can take the place: one
// that has the write, and was read later than what was here.
func (e *Edge) forget(key string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.flights, key)
	if e.opts.Heard == nil {
		e.memory.Delete(key)
		return
	}
	seen := e.opts.Heard()
	if err == nil && seen > 0 {
		seen-- // what was read when the log had come to Heard has it: it was durable before
	}
	if v, ok := e.memory.Peek(key); ok {
		if old, ok := v.(*answer); ok {
			seen = max(seen, old.seen)
		}
		e.memory.Replace(key, &answer{void: true, seen: seen}, answerOverhead)
	}
}

// answer is what the parent said of a key. Nothing of it changes.
type answer struct {
	value *Value    // nil: nothing was there
	epoch uint64    // of purges, from before the parent looked
	asked time.Time // when
	seen  uint64    // what is pushed with a later epoch was read later
	void  bool      // it was dropped: nothing is known
}

// answerOverhead is about what memory takes to remember an answer beside its bytes.
const answerOverhead = 256

func (a *answer) size(key string) int64 {
	n := answerOverhead + len(key)
	if v := a.value; v != nil {
		n += len(v.Bytes) + len(v.Type) + len(v.Metadata)
		for _, tag := range v.Tags {
			n += len(tag) + 16
		}
	}
	return int64(n)
}

// outdated says whether the purge log has something newer than a.
func (e *Edge) outdated(key string, a *answer) bool {
	var tags []string
	if a.value != nil {
		tags = a.value.Tags
	}
	return e.purges.Outdated(key, tags, a.epoch)
}

// present is what a is worth at a time.
func (e *Edge) present(a *answer, now time.Time) (*Value, error) {
	v := a.value
	if v == nil || v.gone(now) {
		return nil, ErrMissing
	}
	if e.purges.StaleTags(v.Tags, a.epoch) && !v.Stale(now) {
		soft := *v
		soft.goStale(now)
		return &soft, nil
	}
	return v, nil
}

// A read is a call that wants to know values.
type read struct {
	ctx   context.Context
	now   time.Time // when it came
	since time.Time // what was asked earlier must not be used
	seen  bool      // since is known
}

// recall returns what is remembered of key and may be used, or nil. How far the purges
// that are known can be trusted is asked once for a read, and only if there is something to use.
func (e *Edge) recall(r *read, key string) *answer {
	v, ok := e.memory.Get(key)
	if !ok {
		return nil
	}
	a, ok := v.(*answer)
	if !ok {
		return nil
	}
	if !r.seen {
		r.since, r.seen = e.opts.Sight(r.ctx, r.now), true
	}
	if !e.usable(r, key, a) { // after Sight, which may learn of purges
		return nil
	}
	return a
}

func (e *Edge) usable(r *read, key string, a *answer) bool {
	return !a.void && !a.asked.Before(r.since) && !e.outdated(key, a)
}

// wrongMany says that a parent breaks its contract.
func wrongMany(got, want int) error {
	return fmt.Errorf("%w: it answered %d values for %d keys", ErrUnavailable, got, want)
}
