package shield

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"weir/policy"
)

// Options are the limits and seams of a shield. The zero value is usable: every
// field says what its zero means.
type Options struct {
	Listener Listener // nil: nobody is told of fills
	Parent   Parent   // what is asked instead of origins; nil: nobody

	// Transport makes the way to one upstream; nil means a pool of keep-alive
	// connections. It is called once per upstream of a table.
	Transport func(o *policy.Origin, u policy.Upstream) http.RoundTripper

	Now    func() time.Time // nil: time.Now
	Random func() float64   // in [0, 1), for jitter; nil: math/rand
	Report func(error)      // told of errors that no client sees; nil: nobody

	FlightWindow int64         // bytes of a body kept in memory per flight, 0: 4 MiB
	StreamMemory int64         // bytes of all bodies in flight beyond which windows shrink, 0: 256 MiB
	MemoryObject int64         // longest body in bytes for Listener.Filled, 0: 1 MiB; at most FlightWindow
	StallTimeout time.Duration // how long a reader may keep a fill waiting that is not stored, 0: 30 s

	MaxFlights       int // fetches at a time, 0: 16384
	MaxVariants      int // flights of one key at a time, 0: 64
	MaxWaiters       int // clients that wait for a head, in total, 0: 131072
	MaxFlightWaiters int // clients that wait for the head of one flight, 0: 32768
	MaxRefreshes     int // background refreshes at a time, 0: 1024
	MaxHitForPass    int // keys remembered as uncacheable, 0: 65536
}

func orElse[T int | int64 | time.Duration](v, zero T) T {
	if v <= 0 {
		return zero
	}
	return v
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	o.FlightWindow = orElse(o.FlightWindow, 4<<20)
	o.StreamMemory = orElse(o.StreamMemory, 256<<20)
	o.MemoryObject = min(orElse(o.MemoryObject, 1<<20), o.FlightWindow)
	o.StallTimeout = orElse(o.StallTimeout, 30*time.Second)
	o.MaxFlights = orElse(o.MaxFlights, 16384)
	o.MaxVariants = orElse(o.MaxVariants, 64)
	o.MaxWaiters = orElse(o.MaxWaiters, 131072)
	o.MaxFlightWaiters = orElse(o.MaxFlightWaiters, 32768)
	o.MaxRefreshes = orElse(o.MaxRefreshes, 1024)
	o.MaxHitForPass = orElse(o.MaxHitForPass, 65536)
	return o
}

// Shield answers requests from its store or from an origin.
type Shield struct {
	opts     Options
	store    Store // nil: nothing is stored here
	purges   *Purges
	flights  *flights
	crew     *crew
	loads    loads
	origins  *origins
	passes   *ledger // keys that were uncacheable: hit-for-pass
	unsliced *ledger // keys that sliced requests go whole for
	editions *editions
	failing  *ledger // keys whose origin failed a moment ago
	counts   counts

	rehearsal *Rehearsal // that this shield does something for, nil mostly

	base   context.Context // ends when nothing is waited for any more
	cancel context.CancelFunc

	mu      sync.Mutex // guards closed, and running.Add against Close
	closed  bool
	running sync.WaitGroup // flights
}

// New makes a shield. store may be nil. It has no origins of its own until
// SetTable; requests bring theirs.
func New(store Store, purges *Purges, opts Options) *Shield {
	s := &Shield{opts: opts.withDefaults(), store: store, purges: purges}
	s.base, s.cancel = context.WithCancel(context.Background())
	s.flights = newFlights(&s.opts, purges)
	s.crew = newCrew(s.run)
	s.origins = newOrigins(&s.opts, &s.counts)
	s.passes = newLedger(s.opts.MaxHitForPass)
	s.unsliced = newLedger(s.opts.MaxHitForPass)
	s.editions = newEditions(s.opts.MaxHitForPass)
	s.failing = newLedger(s.opts.MaxHitForPass)
	return s
}

// SetTable makes t the table whose origins are kept connected and checked. Pools
// of origins that t defines as before are kept; others end with their requests.
func (s *Shield) SetTable(t *policy.Table) { s.origins.setTable(t) }

// begin counts a flight in, unless the shield is closed.
func (s *Shield) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Add(1)
	return true
}

func (s *Shield) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Close refuses new requests and waits for fills and refreshes, until ctx ends;
// then it cancels them, and returns an error when some had to be cut off.
func (s *Shield) Close(ctx context.Context) error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()

	done := make(chan struct{})
	go func() {
		s.running.Wait()
		if !again {
			s.crew.close()
		}
		s.crew.wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("shield: close: fills cut off: %w", ctx.Err())
	}
	s.cancel()
	s.flights.close()
	if err != nil {
		// Fetches see the cancellation at once. One that ignores it is left behind.
		t := time.NewTimer(time.Second)
		defer t.Stop()
		select {
		case <-done:
		case <-t.C:
			err = errors.Join(err, errors.New("shield: close: a fetch ignores its cancellation"))
		}
	}
	s.origins.close()
	return err
}
