package shield

import (
	"errors"
	"sync/atomic"
)

// counts are the counters behind Stats.
type counts struct {
	originRequests, retries                             atomic.Int64
	hits, staleHits, collapsed, refreshes, refreshing   atomic.Int64
	validated, staleOnError, hitForPass, passed, filled atomic.Int64
	notStored, invalidations, resumed                   atomic.Int64
	sliced, changed                                     atomic.Int64
	asked, fallbacks                                    atomic.Int64

	unreachable, timeouts, protocol, truncated, overloaded, stalled, panics, store atomic.Int64
}

// Stats is what a shield has done since it was made.
type Stats struct {
	OriginRequests int64 `json:"originRequests"` // sent, retries included
	Retries        int64 `json:"retries"`

	Flights     int   `json:"flights"`     // fetches running now
	MaxFlights  int   `json:"maxFlights"`  // most at any time
	Waiters     int   `json:"waiters"`     // clients that wait for a head now
	StreamBytes int64 `json:"streamBytes"` // bytes of bodies in memory now

	Hits          int64 `json:"hits"`          // answered fresh from the store
	StaleHits     int64 `json:"staleHits"`     // answered stale, with a refresh in the background
	StaleOnError  int64 `json:"staleOnError"`  // answered stale because the origin failed
	Collapsed     int64 `json:"collapsed"`     // answered by somebody else's flight
	Refreshes     int64 `json:"refreshes"`     // background flights started
	Validated     int64 `json:"validated"`     // 304 answers that freshened something stored
	Filled        int64 `json:"filled"`        // bodies fetched whole and stored or handed to the listener
	Resumed       int64 `json:"resumed"`       // bodies cut off in the middle that went on there
	NotStored     int64 `json:"notStored"`     // bodies that the store or a purge refused
	Passed        int64 `json:"passed"`        // answered without the caches
	HitForPass    int64 `json:"hitForPass"`    // answered alone because the key is known to be uncacheable
	Uncacheable   int   `json:"uncacheable"`   // keys remembered as uncacheable now
	Sliced        int64 `json:"sliced"`        // answers put together of slices, each of which counts above by itself
	Changed       int64 `json:"changed"`       // of them cut off, because the origin had another version in the middle
	Rules         int   `json:"rules"`         // purge rules in force
	Invalidations int64 `json:"invalidations"` // rules made by unsafe methods

	Asked     int64 `json:"asked"`     // requests to the parent
	Fallbacks int64 `json:"fallbacks"` // requests that went to the origin because the parent was gone

	Errors    Errors          `json:"errors"`
	Upstreams []UpstreamState `json:"upstreams"`
}

// Errors counts errors by the sentinel that they wrap.
type Errors struct {
	Unreachable int64 `json:"unreachable"`
	Timeout     int64 `json:"timeout"`
	Protocol    int64 `json:"protocol"`
	Truncated   int64 `json:"truncated"`
	Overloaded  int64 `json:"overloaded"`
	Stalled     int64 `json:"stalled"`
	Panic       int64 `json:"panic"`
	Store       int64 `json:"store"`
}

// UpstreamState is what is known of one upstream of the current table.
type UpstreamState struct {
	Origin   string `json:"origin"`
	URL      string `json:"url"`
	Up       bool   `json:"up"`
	Requests int64  `json:"requests"`
}

// Stats returns the counters as they are now.
func (s *Shield) Stats() Stats {
	c := &s.counts
	st := Stats{
		OriginRequests: c.originRequests.Load(),
		Retries:        c.retries.Load(),
		StreamBytes:    s.flights.memory.Load(),
		Hits:           c.hits.Load(),
		StaleHits:      c.staleHits.Load(),
		StaleOnError:   c.staleOnError.Load(),
		Collapsed:      c.collapsed.Load(),
		Refreshes:      c.refreshes.Load(),
		Validated:      c.validated.Load(),
		Filled:         c.filled.Load(),
		Resumed:        c.resumed.Load(),
		NotStored:      c.notStored.Load(),
		Passed:         c.passed.Load(),
		HitForPass:     c.hitForPass.Load(),
		Uncacheable:    s.passes.len(),
		Sliced:         c.sliced.Load(),
		Changed:        c.changed.Load(),
		Asked:          c.asked.Load(),
		Fallbacks:      c.fallbacks.Load(),
		Rules:          s.purges.Len(),
		Invalidations:  c.invalidations.Load(),
		Errors: Errors{
			Unreachable: c.unreachable.Load(),
			Timeout:     c.timeouts.Load(),
			Protocol:    c.protocol.Load(),
			Truncated:   c.truncated.Load(),
			Overloaded:  c.overloaded.Load(),
			Stalled:     c.stalled.Load(),
			Panic:       c.panics.Load(),
			Store:       c.store.Load(),
		},
		Upstreams: s.origins.states(),
	}
	s.flights.mu.Lock()
	st.Flights, st.MaxFlights, st.Waiters = s.flights.running, s.flights.most, s.flights.waiting
	s.flights.mu.Unlock()
	return st
}

// error counts an error by its sentinel.
func (c *counts) error(err error) {
	for _, k := range []struct {
		is error
		n  *atomic.Int64
	}{
		{ErrOriginUnreachable, &c.unreachable},
		{ErrOriginTimeout, &c.timeouts},
		{ErrOriginProtocol, &c.protocol},
		{ErrOriginTruncated, &c.truncated},
		{ErrOverloaded, &c.overloaded},
		{ErrStalled, &c.stalled},
		{ErrPanic, &c.panics},
		{ErrStore, &c.store},
	} {
		if errors.Is(err, k.is) {
			k.n.Add(1)
			return
		}
	}
}
