package api

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/rfc9111"
)

// DoorStats is what a door has counted since it was made.
type DoorStats struct {
	Active   int64 `json:"active"`   // requests in progress
	Upgrades int64 `json:"upgrades"` // upgraded connections open

	Requests  []RequestCount                   `json:"requests"` // sorted
	Reasons   map[rfc9111.CachingStatus]uint64 `json:"reasons"`
	Durations map[rfc9111.Use]Histogram        `json:"durations"`
	BytesSent uint64                           `json:"bytesSent"` // of bodies
	Aborted   uint64                           `json:"aborted"`
}

// RequestCount is how many requests ended in one way.
type RequestCount struct {
	Route string      `json:"route"` // "" for requests refused before a route was known
	Use   rfc9111.Use `json:"use"`
	Class string      `json:"class"` // "2xx" and so on
	Count uint64      `json:"count"`
}

// Histogram counts durations in seconds. Counts[i] is how many were at most
// Bounds[i], not counting those below Bounds[i-1]; the last count has no bound.
type Histogram struct {
	Bounds []float64 `json:"bounds"`
	Counts []uint64  `json:"counts"`
	Sum    float64   `json:"sum"`
}

var durationBounds = []float64{
	.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60,
}

var uses = []rfc9111.Use{rfc9111.Hit, rfc9111.Stale, rfc9111.Miss, rfc9111.Bypass}

// counters count every request, without a lock once a label has been seen.
type counters struct {
	active    atomic.Int64
	bytes     atomic.Uint64
	aborted   atomic.Uint64
	requests  tally[string, outcomes] // by route; bounded by the routes of policies
	reasons   tally[rfc9111.CachingStatus, atomic.Uint64]
	durations [4]durations // in the order of uses
}

// outcomes are requests in the order of uses, and by the class of their status.
type outcomes [4][10]atomic.Uint64

type durations struct {
	counts [19]atomic.Uint64 // len(durationBounds)+1
	micros atomic.Uint64
}

func (c *counters) count(r *Record) {
	use := slices.Index(uses, r.Decision.Use)
	if use < 0 {
		use = len(uses) - 1 // left before anything was decided
	}
	c.requests.of(r.Route)[use][min(r.Status/100, 9)].Add(1)
	if r.Decision.Status != "" {
		c.reasons.of(r.Decision.Status).Add(1)
	}
	if r.Aborted {
		c.aborted.Add(1)
	}
	c.bytes.Add(uint64(r.Bytes))
	c.durations[use].observe(r.Duration)
}

// tally keeps counters C by label. A label that has been seen costs no lock and no memory:
// the map is replaced, never changed, when one comes for the first time.
type tally[L comparable, C any] struct {
	mu   sync.Mutex // orders replacements
	seen atomic.Pointer[map[L]*C]
}

func (t *tally[L, C]) of(label L) *C {
	if c := t.all()[label]; c != nil {
		return c
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	next := make(map[L]*C)
	maps.Copy(next, t.all())
	if next[label] == nil {
		next[label] = new(C)
	}
	t.seen.Store(&next)
	return next[label]
}

// all returns what nobody changes.
func (t *tally[L, C]) all() map[L]*C {
	if m := t.seen.Load(); m != nil {
		return *m
	}
	return nil
}

func (d *durations) observe(took time.Duration) {
	i, _ := slices.BinarySearch(durationBounds, took.Seconds())
	d.counts[i].Add(1)
	d.micros.Add(uint64(max(took.Microseconds(), 0)))
}

func (d *durations) histogram() Histogram {
	h := Histogram{Bounds: durationBounds, Counts: make([]uint64, len(d.counts))}
	for i := range d.counts {
		h.Counts[i] = d.counts[i].Load()
	}
	h.Sum = float64(d.micros.Load()) / 1e6
	return h
}

func (o *outcomes) appendTo(counts []RequestCount, route string) []RequestCount {
	for i, use := range uses {
		for class := range o[i] {
			if n := o[i][class].Load(); n > 0 {
				counts = append(counts, RequestCount{Route: route, Use: use, Class: string(rune('0'+class)) + "xx", Count: n})
			}
		}
	}
	return counts
}

// Total is how many durations were counted.
func (h Histogram) Total() uint64 {
	total := uint64(0)
	for _, n := range h.Counts {
		total += n
	}
	return total
}

// Stats returns what the door has counted.
func (d *Door) Stats() DoorStats {
	c := &d.counters
	s := DoorStats{
		Active: c.active.Load(), Upgrades: d.upgrades.count(),
		Reasons:   make(map[rfc9111.CachingStatus]uint64),
		Durations: make(map[rfc9111.Use]Histogram, len(uses)),
		BytesSent: c.bytes.Load(), Aborted: c.aborted.Load(),
	}
	for reason, n := range c.reasons.all() {
		s.Reasons[reason] = n.Load()
	}
	for route, of := range c.requests.all() {
		s.Requests = of.appendTo(s.Requests, route)
	}
	slices.SortFunc(s.Requests, func(a, b RequestCount) int {
		return cmp.Or(cmp.Compare(a.Route, b.Route), cmp.Compare(a.Use, b.Use), cmp.Compare(a.Class, b.Class))
	})
	for i, use := range uses {
		s.Durations[use] = c.durations[i].histogram()
	}
	return s
}
