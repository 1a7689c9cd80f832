package main

import (
	"slices"
	"sync"
	"time"
)

// A ledger knows which version of a page each region may not serve any more.
type ledger struct {
	mu    sync.Mutex
	pages [pages]record
	old   []string
}

// record is what is known of a page.
type record struct {
	named [len(regions)]mark // by the regions' own word
	all   []mark             // purges, oldest first, which bind every region after a while
}

// mark is a purge of all versions before one.
type mark struct {
	version int64
	at      time.Time
}

func (l *ledger) purged(page int, version int64, named []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, m := &l.pages[page], mark{version, time.Now()}
	for i, region := range regions {
		if slices.Contains(named, region) && p.named[i].version < version {
			p.named[i] = m
		}
	}
	p.all = append(p.all, m)
}

// floor is the oldest version that a request which begins now may get at a region, and
// how long ago older ones were purged.
func (l *ledger) floor(page, region int) (version int64, since time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, now := &l.pages[page], time.Now()
	m := p.named[region]
	for len(p.all) > 1 && now.Sub(p.all[1].at) > unnamed {
		p.all = p.all[1:]
	}
	if len(p.all) > 0 && now.Sub(p.all[0].at) > unnamed && p.all[0].version > m.version {
		m = p.all[0]
	}
	return m.version, now.Sub(m.at)
}

func (l *ledger) report(violation string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.old = append(l.old, violation)
}

func (l *ledger) violations() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.old
}
