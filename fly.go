package weir

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/kv"
)

// retryAfter is how long a stale value is left alone after its refresh has failed.
const retryAfter = time.Second

// fly runs a flight: it looks for a value that somebody else has kept, and else fetches.
//
// Everything that it finds out is from after f.epoch was noted. So if a rule of the purge log
// that is later than that names the key or a tag, what was fetched is not kept: a Set,
// a Delete or a Purge has come in between, here or elsewhere. That the place of the value has
// not changed meanwhile is the store's to check, in the step in which it writes.
func (c *Cache) fly(ctx context.Context, f *flight, j *job) {
	defer c.running.Done()
	defer c.leave(f)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.base, cancel)()
	defer c.settle(f)

	found, reachable := c.find(ctx, f, j)
	if found != nil && found.value != nil && !c.serve(f, found) {
		return
	}
	v, err := c.fetch(ctx, f, j)
	if !c.land(f) {
		c.say(f, v, err)
		return
	}
	var place kv.Condition
	if found == nil {
		place.Absent = true
	} else {
		place.Version = found.version
	}
	switch {
	case err == nil:
		c.say(f, v, nil)
		c.keep(ctx, f, j, v, place, reachable)
	case errors.Is(err, ErrMissing):
		c.say(f, nil, err)
		c.gone(ctx, f, j, err, place)
	default:
		c.failed(f, err)
	}
}

// find returns what the store has, nil for nothing; without a value where that cannot be read as
// one of the type that is asked for. reachable says that the store has answered.
func (c *Cache) find(ctx context.Context, f *flight, j *job) (found *entry, reachable bool) {
	v, err := c.back.store.Get(ctx, f.key)
	switch {
	case errors.Is(err, ErrMissing):
		return nil, true
	case errors.Is(err, ErrUnavailable):
		return nil, false
	case err != nil:
		c.opts.Report(fmt.Errorf("weir: what is kept under %q: %w", f.key, err))
		return nil, false
	}
	decoded, err := j.decode(v.Bytes)
	if err != nil {
		c.opts.Report(fmt.Errorf("weir: what is under %q is fetched anew: %w", f.key, err))
		decoded = nil
	}
	e := c.entryOf(v, decoded, f.began)
	if decoded != nil {
		c.remember(f, e, len(v.Bytes))
	}
	return e, true
}

// serve lets those who wait have what was found. It says whether that is to be refreshed now.
func (c *Cache) serve(f *flight, found *entry) (refresh bool) {
	c.sayFound(f, found)
	if !found.stale(c.now()) {
		return false
	}
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	if f.refreshes == nil && !c.takeSlot() {
		return false
	}
	f.refreshes = found // which memory has now in the place of the other
	found.refreshing.Store(true)
	return true
}

// settle ends the refreshing of f, if it is any.
func (c *Cache) settle(f *flight) {
	c.flights.mu.Lock()
	stale := f.refreshes
	f.refreshes = nil
	c.flights.mu.Unlock()
	if stale != nil {
		stale.refreshing.Store(false)
		c.giveSlot()
	}
}

// failed tells those who wait that there is no value. If one is refreshed it is left alone for
// a moment.
func (c *Cache) failed(f *flight, err error) {
	c.counts.errors.Add(1)
	c.flights.mu.Lock()
	stale := f.refreshes
	c.flights.mu.Unlock()
	if stale != nil {
		stale.retry.Store(c.now() + stamp(retryAfter))
		c.opts.Report(fmt.Errorf("weir: %q is stale, and its refresh failed: %w", f.key, err))
	}
	c.say(f, nil, err)
	c.settle(f)
}

// fetch calls the fetch of j. One that takes too long is abandoned.
func (c *Cache) fetch(ctx context.Context, f *flight, j *job) (any, error) {
	c.counts.fetches.Add(1)
	limit := c.opts.FetchTimeout
	late := fmt.Errorf("%w: %q, more than %v", ErrTimeout, f.key, limit)
	timer := time.AfterFunc(limit, func() {
		if c.abandon(f) {
			c.failed(f, late)
		}
	})
	defer timer.Stop()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	v, err := contained(ctx, f.key, j.fetch, func(err error) { c.failed(f, err) })
	if err != nil && errors.Is(context.Cause(ctx), ErrTimeout) { // it has heard of it in time
		err = fmt.Errorf("%w: %w", late, err)
	}
	return v, err
}

// keep stores what was fetched, and remembers it.
func (c *Cache) keep(ctx context.Context, f *flight, j *job, v any, place kv.Condition, reachable bool) {
	encoded, err := j.encode(v)
	if err != nil {
		c.opts.Report(fmt.Errorf("weir: %q cannot be kept: %w", f.key, err))
		return
	}
	if c.back.purges.StaleTags(j.opts.Tags, f.epoch) {
		return // it would count as fresh, and is from before a soft purge
	}
	place.Since = f.epoch
	draft := kv.Draft{Bytes: encoded, Type: c.opts.Codec.Type, Tags: j.opts.Tags, TTL: j.opts.TTL, Stale: j.opts.Stale}
	err = ErrUnavailable
	var version uint64
	if reachable && f.epoch > 0 { // of a log that is not known yet nobody can say what has changed
		version, err = c.back.store.Set(ctx, f.key, draft, place)
	}
	switch {
	case err == nil:
		// What is there says from when it counts, and whether it is still this.
		if stored, err := c.back.store.Get(ctx, f.key); err == nil && stored.Version == version {
			c.remember(f, c.entryOf(stored, v, f.began), len(encoded))
		}
	case errors.Is(err, ErrUnavailable):
		now := c.now()
		c.remember(f, &entry{
			value: v, tags: j.opts.Tags, epoch: f.epoch, read: f.began,
			fresh: now + stamp(j.opts.TTL), until: now + stamp(j.opts.TTL+j.opts.Stale),
		}, len(encoded))
	case !errors.Is(err, ErrCondition):
		c.opts.Report(fmt.Errorf("weir: %q cannot be kept: %w", f.key, err))
	}
}

// gone is keep for a fetch that has said that there is nothing. Where something was, that goes,
// and its going is later than f: then only the next fetch can be remembered.
func (c *Cache) gone(ctx context.Context, f *flight, j *job, reason error, place kv.Condition) {
	if place.Absent && j.opts.NegativeTTL > 0 {
		until := c.now() + stamp(j.opts.NegativeTTL)
		c.remember(f, &entry{negative: reason, tags: j.opts.Tags, epoch: f.epoch, read: f.began, fresh: until, until: until}, 0)
		return
	}
	c.overtake(f.key)
	if place.Absent {
		return
	}
	if err := c.back.store.Delete(ctx, f.key, place); err != nil && !errors.Is(err, ErrMissing) && !errors.Is(err, ErrCondition) {
		c.opts.Report(fmt.Errorf("weir: %q is no more, and could not be deleted: %w", f.key, err))
	}
	c.overtake(f.key)
}
