package weir

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"weir/kv"
)

// SetOptions say how a value is kept.
type SetOptions struct {
	TTL      time.Duration // it is fresh for so long, 0: for ever
	Stale    time.Duration // and there for so long after that
	Tags     []string      // Purge names values by them
	IfAbsent bool          // ErrCondition if there is a value already
}

// Get returns the value under key, fresh or stale, or [ErrMissing]. It is shared with all
// others who get it: nobody may change what it points to.
func Get[T any](ctx context.Context, c *Cache, key string) (none T, err error) {
	if e := c.remembered(key, c.now()); e != nil {
		if v, ok := e.value.(*T); ok {
			return *v, nil
		}
		if e.value == nil {
			return none, ErrMissing
		}
	}
	if err := kv.CheckKey(key); err != nil {
		return none, err
	}
	v, err := c.ride(ctx, key, reflect.TypeFor[reading[T]](), nil, func(f *flight) {
		c.read(context.WithoutCancel(ctx), f, decoder[T](c))
	})
	if err != nil {
		return none, err
	}
	return *v.(*T), nil
}

// reading is the kind of a flight that reads a value and fetches none.
type reading[T any] struct{ _ T }

// read runs such a flight.
func (c *Cache) read(ctx context.Context, f *flight, decode func([]byte) (any, error)) {
	defer c.running.Done()
	defer c.leave(f)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.base, cancel)()
	v, err := c.back.store.Get(ctx, f.key)
	if err != nil {
		if errors.Is(err, ErrMissing) {
			c.remember(f, &entry{epoch: f.epoch, read: f.began, fresh: always, until: always}, 0)
		}
		c.say(f, nil, err)
		return
	}
	decoded, err := decode(v.Bytes)
	if err != nil {
		c.say(f, nil, fmt.Errorf("weir: what is under %q is not of the type that is asked for: %w", f.key, err))
		return
	}
	found := c.entryOf(v, decoded, f.began)
	c.remember(f, found, len(v.Bytes))
	c.sayFound(f, found)
}

// Set keeps a value in the place of what is under key.
func Set[T any](ctx context.Context, c *Cache, key string, value T, o SetOptions) error {
	encoded, err := c.opts.Codec.Encode(value)
	if err != nil {
		return fmt.Errorf("%w: encode the value for %q: %w", ErrInvalid, key, err)
	}
	return c.write(key, func() error {
		draft := kv.Draft{Bytes: encoded, Type: c.opts.Codec.Type, Tags: o.Tags, TTL: o.TTL, Stale: o.Stale}
		_, err := c.back.store.Set(ctx, key, draft, kv.Condition{Absent: o.IfAbsent})
		return err
	})
}

// Delete removes what is under key, if there is anything.
func (c *Cache) Delete(ctx context.Context, key string) error {
	return c.write(key, func() error {
		err := c.back.store.Delete(ctx, key, kv.Condition{})
		if errors.Is(err, ErrMissing) {
			return nil
		}
		return err
	})
}

// A Count is a number after it was changed.
type Count struct {
	Number int64
	Until  time.Time // when it begins anew; zero: never
}

// Incr adds to the number under key, from 0 where nothing is: then the number lasts for ttl,
// or for ever if that is 0. One that is there keeps its time. Numbers are whole, of 64 bits.
func (c *Cache) Incr(ctx context.Context, key string, by int64, ttl time.Duration) (n Count, err error) {
	err = c.write(key, func() error {
		count, err := c.back.store.Incr(ctx, key, kv.Increment{By: by, TTL: ttl})
		n = Count{Number: count.Number, Until: count.Fresh}
		return err
	})
	return n, err
}

// write carries out a write of key. After it nobody gets from this cache what was before.
func (c *Cache) write(key string, do func() error) error {
	if err := kv.CheckKey(key); err != nil {
		return err
	}
	if !c.begin() {
		return ErrClosed
	}
	defer c.running.Done()
	c.overtake(key)
	defer c.overtake(key) // also after an error: it may have happened
	return do()
}

// Has says whether there is a value under key, fresh or stale.
func (c *Cache) Has(ctx context.Context, key string) (bool, error) {
	if e := c.remembered(key, c.now()); e != nil {
		return e.value != nil, nil
	}
	if err := kv.CheckKey(key); err != nil {
		return false, err
	}
	if !c.begin() {
		return false, ErrClosed
	}
	defer c.running.Done()
	_, err := c.back.store.Get(ctx, key)
	if errors.Is(err, ErrMissing) {
		return false, nil
	}
	return err == nil, err
}

// Purge removes all values that have one of the tags.
func (c *Cache) Purge(ctx context.Context, tags ...string) error {
	if err := (&kv.Draft{Tags: tags}).Check(); err != nil {
		return err
	}
	if len(tags) == 0 {
		return nil
	}
	if !c.begin() {
		return ErrClosed
	}
	defer c.running.Done()
	return c.back.purge(ctx, tags)
}
