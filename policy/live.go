package policy

import "sync/atomic"

// Live holds the table in force. All methods may be called at any time by anybody.
type Live struct{ table atomic.Pointer[Table] }

// NewLive puts t in force.
func NewLive(t *Table) *Live {
	l := &Live{}
	l.Swap(t)
	return l
}

// Load returns the table in force. A request loads it once.
func (l *Live) Load() *Table { return l.table.Load() }

// Swap puts t in force, whole.
func (l *Live) Swap(t *Table) { l.table.Store(t) }
