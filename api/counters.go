package api

import (
	"cmp"
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
	requests  sync.Map     // requestLabel -> *atomic.Uint64; labels are bounded by the policy's routes
	reasons   sync.Map     // rfc9111.CachingStatus -> *atomic.Uint64
	durations [4]durations // in the order of uses
}

type requestLabel struct {
	route string
	use   rfc9111.Use
	class int
}

type durations struct {
	counts [19]atomic.Uint64 // len(durationBounds)+1
	micros atomic.Uint64
}

func (c *counters) count(r *Record) {
	use := slices.Index(uses, r.Decision.Use)
	if use < 0 {
		use = len(uses) - 1 // left before anything was decided
	}
	add(&c.requests, requestLabel{r.Route, uses[use], r.Status / 100})
	if r.Decision.Status != "" {
		add(&c.reasons, r.Decision.Status)
	}
	if r.Aborted {
		c.aborted.Add(1)
	}
	c.bytes.Add(uint64(r.Bytes))
	c.durations[use].observe(r.Duration)
}

func add(m *sync.Map, label any) {
	n, ok := m.Load(label)
	if !ok {
		n, _ = m.LoadOrStore(label, new(atomic.Uint64))
	}
	n.(*atomic.Uint64).Add(1)
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
	for label, n := range c.requests.Range {
		l := label.(requestLabel)
		s.Requests = append(s.Requests, RequestCount{
			Route: l.route, Use: l.use, Class: string(rune('0'+l.class)) + "xx", Count: n.(*atomic.Uint64).Load(),
		})
	}
	slices.SortFunc(s.Requests, func(a, b RequestCount) int {
		return cmp.Or(cmp.Compare(a.Route, b.Route), cmp.Compare(a.Use, b.Use), cmp.Compare(a.Class, b.Class))
	})
	for reason, n := range c.reasons.Range {
		s.Reasons[reason.(rfc9111.CachingStatus)] = n.(*atomic.Uint64).Load()
	}
	for i, use := range uses {
		s.Durations[use] = c.durations[i].histogram()
	}
	return s
}
