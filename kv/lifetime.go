package kv

import "time"

// live begins a lifetime when v was written.
func (v *Value) live(ttl, stale time.Duration) {
	if ttl > 0 {
		v.Fresh = v.Written.Add(ttl)
		v.Until = v.Fresh.Add(stale)
	}
}

// gone says whether the lifetime of v has ended.
func (v *Value) gone(now time.Time) bool { return !v.Until.IsZero() && !now.Before(v.Until) }

// Stale says whether v is still there at now, and not fresh any more.
func (v *Value) Stale(now time.Time) bool { return !v.Fresh.IsZero() && !now.Before(v.Fresh) }

// goStale is for what a soft purge names. It is there for as long as it was.
func (v *Value) goStale(now time.Time) {
	if v.Fresh.IsZero() || now.Before(v.Fresh) {
		v.Fresh = now
	}
}
