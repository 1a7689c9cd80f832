package weir

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/kv"
	"weir/l1"
)

// What can go wrong. A fetch may return ErrMissing too: there is no such thing.
var (
	ErrMissing     = kv.ErrMissing
	ErrKey         = kv.ErrKey       // a key has 1 to 1,024 bytes
	ErrInvalid     = kv.ErrInvalid   // a value over 8 MiB, a negative lifetime, too many tags: says which
	ErrCondition   = kv.ErrCondition // there was a value already
	ErrNotNumber   = kv.ErrNotNumber
	ErrOverflow    = kv.ErrOverflow
	ErrUnavailable = kv.ErrUnavailable // the node cannot be reached; a write may have happened, or may not
	ErrTimeout     = errors.New("weir: the fetch took too long")
	ErrClosed      = errors.New("weir: the cache is closed")
)

// Options say what a cache stands on. With neither Folder nor Node it is memory alone.
type Options struct {
	Folder string // values are kept there, and found again after a restart; it is this cache's alone
	Node   string // values are kept by the node at this address, http://HOST:PORT
	Token  string // that opens the node's values

	MemoryBytes int64 // what is held in this process, of which one value may have a sixth; 0: 64 MiB
	DiskBytes   int64 // of the folder, 0: 1 GiB

	Codec        Codec         // the zero value: JSON
	FetchTimeout time.Duration // of a fetch that does not end, 0: 30 s
	MaxRefreshes int           // in the background at a time, 0: 64
	MaxBlind     time.Duration // how long values are used while nobody can say whether they have changed, 0: 5 s
	Report       func(error)   // told of what no caller sees; nil: slog.Warn
}

func (o Options) withDefaults() Options {
	o.MemoryBytes = orElse(o.MemoryBytes, 64<<20)
	o.DiskBytes = orElse(o.DiskBytes, 1<<30)
	o.FetchTimeout = orElse(o.FetchTimeout, 30*time.Second)
	o.MaxRefreshes = orElse(o.MaxRefreshes, 64)
	o.MaxBlind = orElse(o.MaxBlind, 5*time.Second)
	if o.Codec.Encode == nil || o.Codec.Decode == nil {
		o.Codec = JSON
	}
	if o.Report == nil {
		o.Report = func(err error) { slog.Warn("weir", "err", err) }
	}
	return o
}

func orElse[T int | int64 | time.Duration](v, zero T) T {
	if v <= 0 {
		return zero
	}
	return v
}

// A Cache keeps values under keys. All that is done with it may be done concurrently.
type Cache struct {
	opts   Options
	back   backend
	memory *l1.Values // of *entry
	start  time.Time  // from which stamps are counted

	counts    counters
	flights   flights
	refreshes atomic.Int64

	base    context.Context // of every fetch
	cancel  context.CancelFunc
	mu      sync.Mutex // guards closed, and running.Add against Close
	closed  bool
	running sync.WaitGroup // flights
}

// Open opens a cache. It is to be closed.
func Open(o Options) (*Cache, error) {
	o = o.withDefaults()
	back, err := openBackend(o)
	if err != nil {
		return nil, err
	}
	c := &Cache{opts: o, back: back, memory: l1.NewValues(back.memory), start: time.Now()}
	c.flights.table = make(map[string][]*flight)
	c.base, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Close refuses new requests and waits for fetches and refreshes until ctx ends; then it
// cancels them, and returns an error when some had to be cut off.
func (c *Cache) Close(ctx context.Context) error {
	c.mu.Lock()
	again := c.closed
	c.closed = true
	c.mu.Unlock()
	if again {
		return nil
	}
	done := make(chan struct{})
	go func() { // ends with the last fetch
		c.running.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("weir: close: fetches cut off: %w", context.Cause(ctx))
	}
	c.cancel()
	if err != nil { // a fetch that ignores its cancellation is left behind
		t := time.NewTimer(time.Second)
		defer t.Stop()
		select {
		case <-done:
		case <-t.C:
		}
	}
	return errors.Join(err, c.back.close())
}

// begin counts in what Close waits for, unless the cache is closed.
func (c *Cache) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.running.Add(1)
	return true
}
