package weir

import (
	"context"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
)

// flight is one reading or fetching of a key, with everyone who waits for it.
type flight struct {
	key   string
	kind  reflect.Type // of what it brings
	epoch uint64       // of the purge log when it began
	tags  []string
	began stamp

	refreshes *entry // that nobody waits for; nil: nothing. It has a slot and is marked as refreshing.

	done  chan struct{} // closed when what follows is set
	value any           // a pointer
	err   error
	found *entry // whose value that is, nil if it was fetched

	// Guarded by flights.mu.
	said      bool // done is closed
	landed    bool // its fetch has returned
	overtaken bool // what it brings may be older than a write that was acknowledged
}

// flights are those in the air, at most one a key and kind.
type flights struct {
	mu    sync.Mutex // guards table, and what memory gets; taken before Cache.mu
	table map[string][]*flight
}

// join returns the flight for a key. lead says that there was none to join, and that it is
// the caller's to run and to land.
func (c *Cache) join(key string, kind reflect.Type, tags []string) (f *flight, lead bool, err error) {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	for _, f := range c.flights.table[key] {
		if f.kind != kind {
			continue
		}
		before := c.back.purges.Outdated(key, f.tags, f.epoch) || c.back.purges.StaleTags(f.tags, f.epoch)
		if !before && (f.found == nil || c.holds(key, f.found, c.now())) {
			return f, false, nil
		}
		// Who comes after a purge does not get what was before it. And out of the table, f
		// cannot be told of a write: what it brings is not remembered.
		f.overtaken = true
		c.leaveLocked(f)
		break
	}
	if !c.begin() {
		return nil, false, ErrClosed
	}
	f = &flight{key: key, kind: kind, tags: tags, epoch: c.back.purges.Current(), began: c.now(), done: make(chan struct{})}
	c.flights.table[key] = append(c.flights.table[key], f)
	return f, true, nil
}

// ride returns what a flight brings, which run runs if it is the caller's to lead.
//
// Which tags a value in the store has is known when it is found. If a purge is against one that
// a flight of somebody else has found, the call may have begun after that purge, and goes
// round once more: the next flight has begun after it.
func (c *Cache) ride(ctx context.Context, key string, kind reflect.Type, tags []string, run func(*flight)) (any, error) {
	for again := true; ; again = false {
		f, lead, err := c.join(key, kind, tags)
		if err != nil {
			return nil, err
		}
		if lead {
			go run(f)
		}
		v, err := f.await(ctx)
		if err != nil || lead || !again || f.found == nil || c.holds(key, f.found, c.now()) {
			return v, err
		}
	}
}

// say lets go of those who wait. What is said first counts.
func (c *Cache) say(f *flight, value any, err error) {
	c.tell(f, value, nil, err)
}

// sayFound is say for what the store has.
func (c *Cache) sayFound(f *flight, found *entry) {
	c.tell(f, found.value, found, nil)
}

func (c *Cache) tell(f *flight, value any, found *entry, err error) {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	if f.said {
		return
	}
	f.value, f.found, f.err, f.said = value, found, err, true
	close(f.done)
}

// leave takes f out of the table.
func (c *Cache) leave(f *flight) {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	c.leaveLocked(f)
}

func (c *Cache) leaveLocked(f *flight) {
	rest := slices.DeleteFunc(c.flights.table[f.key], func(other *flight) bool { return other == f })
	if len(rest) == 0 {
		delete(c.flights.table, f.key)
	} else {
		c.flights.table[f.key] = rest
	}
}

// remember puts what f has brought into memory, unless it may be out of date.
func (c *Cache) remember(f *flight, e *entry, encoded int) {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	if !f.overtaken {
		c.memory.Put(f.key, e, e.size(encoded))
	}
}

// overtake is called before a write through this cache and again after it: nobody joins
// what has begun before, and nothing that it brings is remembered.
func (c *Cache) overtake(key string) {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	for _, f := range c.flights.table[key] {
		f.overtaken = true
	}
	delete(c.flights.table, key)
	c.memory.Delete(key)
}

// abandon gives up f, which takes too long. It says whether f had not ended by itself.
func (c *Cache) abandon(f *flight) bool {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	if f.landed {
		return false
	}
	f.overtaken = true
	c.leaveLocked(f)
	return true
}

// land is called when a fetch has returned. It says whether somebody still wants what it
// has brought to be kept.
func (c *Cache) land(f *flight) bool {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	f.landed = true
	return !f.overtaken
}

// await waits for f as long as ctx lasts.
func (f *flight) await(ctx context.Context) (any, error) {
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// A PanicError is what everybody gets who waits for a fetch that panics.
type PanicError struct {
	Key   string
	Value any
	Stack []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("weir: the fetch for %q panicked: %v", e.Key, e.Value)
}

// Unwrap returns the error that was the reason, if it was one.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// contained calls fetch. A panic becomes an error, and so does the end of its goroutine,
// which ended tells.
func contained(ctx context.Context, key string, fetch func(context.Context) (any, error), ended func(error)) (v any, err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if reason := recover(); reason != nil {
			err = &PanicError{Key: key, Value: reason, Stack: debug.Stack()}
			return
		}
		ended(fmt.Errorf("weir: the fetch for %q ended its goroutine", key))
	}()
	v, err = fetch(ctx)
	returned = true
	return v, err
}
