package shield

import (
	"sync"
	"time"

	"weir/keying"
)

// A ledger remembers keys for a while, and never more than max of them.
type ledger struct {
	mu    sync.Mutex
	until map[keying.Digest]time.Time
	max   int
	under *ledger // of a rehearsal: what holds where nothing is said here
}

// over is a ledger for a rehearsal: l, and what is remembered or forgotten beside it.
func (l *ledger) over() *ledger {
	own := newLedger(l.max)
	own.under = l
	return own
}

func newLedger(limit int) *ledger {
	return &ledger{until: map[keying.Digest]time.Time{}, max: limit}
}

// evictSample is how many entries are looked at to find one to drop.
const evictSample = 8

func (l *ledger) remember(d keying.Digest, now, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.until[d]; !known && len(l.until) >= l.max {
		l.evictLocked(now)
	}
	l.until[d] = until
}

// evictLocked drops what has ended among a few entries, or else the one of them
// that ends first. The order of a map's iteration makes the few random enough.
func (l *ledger) evictLocked(now time.Time) {
	var first keying.Digest
	var end time.Time
	seen, dropped := 0, false
	for d, until := range l.until {
		if !now.Before(until) {
			delete(l.until, d)
			dropped = true
		}
		if seen == 0 || until.Before(end) {
			first, end = d, until
		}
		if seen++; seen == evictSample {
			break
		}
	}
	if !dropped {
		delete(l.until, first)
	}
}

func (l *ledger) holds(d keying.Digest, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	until, ok := l.until[d]
	if !ok && l.under != nil {
		return l.under.holds(d, now)
	}
	if ok && !now.Before(until) {
		if l.under == nil {
			delete(l.until, d)
		}
		ok = false
	}
	return ok
}

func (l *ledger) forget(d keying.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.until, d)
	if l.under != nil {
		l.until[d] = time.Time{} // long over
	}
}

func (l *ledger) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.until)
}
