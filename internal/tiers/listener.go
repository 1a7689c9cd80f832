package tiers

import (
	"sync/atomic"

	"weir/keying"
	"weir/l1"
	"weir/rfc9111"
)

// Listener is the memory tier for a shield that has to be made first.
type Listener struct{ tier atomic.Pointer[l1.Tier] }

// Use says which memory tier it is.
func (l *Listener) Use(tier *l1.Tier) { l.tier.Store(tier) }

// Filled hands over a whole body.
func (l *Listener) Filled(key keying.Key, resp *rfc9111.Response, body []byte) {
	if tier := l.tier.Load(); tier != nil {
		tier.Filled(key, resp, body)
	}
}

// Dropped says that a variant is out of date.
func (l *Listener) Dropped(key keying.Key, selection rfc9111.Selection) {
	if tier := l.tier.Load(); tier != nil {
		tier.Dropped(key, selection)
	}
}
