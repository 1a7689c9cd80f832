package weir

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"weir/kv"
)

// SWROptions say how long a value is good for.
type SWROptions struct {
	TTL   time.Duration // fresh for so long, 0: 60 s
	Stale time.Duration // and for so long after that served while it is refreshed; 0: 600 s, less: not at all
	Tags  []string      // Purge names values by them

	// NegativeTTL is how long it is remembered, in this process, that a fetch returned
	// [ErrMissing]; 0: not at all. Other errors are never remembered.
	NegativeTTL time.Duration
}

// Defaults of SWROptions.
const (
	DefaultTTL   = 60 * time.Second
	DefaultStale = 600 * time.Second
)

func (o SWROptions) withDefaults() SWROptions {
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	switch {
	case o.Stale == 0:
		o.Stale = DefaultStale
	case o.Stale < 0:
		o.Stale = 0
	}
	o.Tags = slices.Clone(o.Tags) // they are needed after the caller has gone on
	return o
}

// SWR returns the value under key, and fetches it when there is none that may be used. A stale
// one is returned at once while it is refreshed in the background. However many ask for
// a key, its fetch runs once at a time in this process.
//
// The fetch is not the caller's own: it has the caller's context values, not its end, and goes
// on when the caller leaves. When it panics, that is an error for those who waited.
// It is abandoned after Options.FetchTimeout. Its errors go to those who waited and are
// not remembered. What a Set, Delete or Purge has overtaken meanwhile is not kept.
//
// The value is shared with all others who get it: nobody may change what it points to.
//
// A hit allocates nothing. A fetch that is written in place as a func literal, and uses
// variables around it, is allocated by the caller.
func SWR[T any](ctx context.Context, c *Cache, key string, fetch func(context.Context) (T, error), o SWROptions) (T, error) {
	now := c.now()
	if e := c.remembered(key, now); e != nil {
		if v, ok := e.value.(*T); ok {
			if e.stale(now) && now >= e.retry.Load() && e.refreshing.CompareAndSwap(false, true) {
				refresh[T](ctx, c, key, e, newJob(c, fetch, o))
			}
			return *v, nil
		}
		if e.negative != nil {
			var none T
			return none, e.negative
		}
	}
	return load(ctx, c, key, fetch, o)
}

// load is SWR for what is not in memory.
func load[T any](ctx context.Context, c *Cache, key string, fetch func(context.Context) (T, error), o SWROptions) (none T, err error) {
	j := newJob(c, fetch, o)
	if err := cmp.Or(kv.CheckKey(key), j.check()); err != nil {
		return none, err
	}
	v, err := c.ride(ctx, key, reflect.TypeFor[T](), j.opts.Tags, func(f *flight) {
		c.fly(context.WithoutCancel(ctx), f, j)
	})
	if err != nil {
		return none, err
	}
	return *v.(*T), nil
}

// refresh begins to refresh e, which is stale and is marked as refreshing, unless there is
// too much to do.
func refresh[T any](ctx context.Context, c *Cache, key string, e *entry, j *job) {
	if j.check() == nil && c.takeSlot() {
		f, lead, err := c.join(key, reflect.TypeFor[T](), j.opts.Tags)
		if err == nil && lead {
			f.refreshes = e
			go c.fly(context.WithoutCancel(ctx), f, j)
			return
		}
		c.giveSlot()
	}
	e.refreshing.Store(false)
}

// takeSlot says whether one more refresh may begin.
func (c *Cache) takeSlot() bool {
	if c.refreshes.Add(1) <= int64(c.opts.MaxRefreshes) {
		return true
	}
	c.giveSlot()
	return false
}

func (c *Cache) giveSlot() { c.refreshes.Add(-1) }

// job is what a flight does, without its type.
type job struct {
	opts   SWROptions
	fetch  func(context.Context) (any, error)
	decode func(src []byte) (any, error)
	encode func(v any) ([]byte, error)
}

func newJob[T any](c *Cache, fetch func(context.Context) (T, error), o SWROptions) *job {
	return &job{
		opts: o.withDefaults(),
		fetch: func(ctx context.Context) (any, error) {
			v, err := fetch(ctx)
			return &v, err
		},
		decode: decoder[T](c),
		encode: func(v any) (encoded []byte, err error) {
			defer contain(&err)
			return c.opts.Codec.Encode(*v.(*T))
		},
	}
}

func decoder[T any](c *Cache) func(src []byte) (any, error) {
	return func(src []byte) (_ any, err error) {
		defer contain(&err)
		v := new(T)
		return v, c.opts.Codec.Decode(src, v)
	}
}

// contain makes an error of the panic of a codec, which may be the program's own.
func contain(err *error) {
	if reason := recover(); reason != nil {
		*err = fmt.Errorf("the codec panicked: %v", reason)
	}
}

// check says what is wrong with the options of a call.
func (j *job) check() error {
	if n := j.opts.NegativeTTL; n < 0 || n > kv.MaxLifetime {
		return fmt.Errorf("%w: a NegativeTTL of %v; 0 remembers nothing, and 100 years are the most", ErrInvalid, n)
	}
	draft := kv.Draft{TTL: j.opts.TTL, Stale: j.opts.Stale, Tags: j.opts.Tags}
	return draft.Check()
}
