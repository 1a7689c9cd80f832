package policy

import (
	"sync/atomic"
	"time"
)

// Live holds the table in force. All methods may be called at any time by anybody.
type Live struct{ state atomic.Pointer[inForce] }

type inForce struct {
	table *Table
	since time.Time // when it replaced another deployment; zero for the first
}

// NewLive puts t in force. What a process starts with has not replaced anything.
func NewLive(t *Table) *Live {
	l := &Live{}
	l.state.Store(&inForce{table: t})
	return l
}

// Load returns the table in force. A request loads it once.
func (l *Live) Load() *Table { return l.state.Load().table }

// Swap puts t in force, whole.
func (l *Live) Swap(t *Table, now time.Time) {
	for {
		old := l.state.Load()
		next := &inForce{t, old.since}
		if t.Deployment != old.table.Deployment {
			next.since = now
		}
		if l.state.CompareAndSwap(old, next) {
			return
		}
	}
}

// Settling says whether origins may still, or already, answer requests of t with
// another deployment than its own.
func (l *Live) Settling(t *Table, now time.Time) bool {
	if t.Settle == 0 {
		return false
	}
	s := l.state.Load()
	return s.table.Deployment != t.Deployment || !s.since.IsZero() && now.Before(s.since.Add(t.Settle))
}
