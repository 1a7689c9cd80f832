package policy

import (
	"sync"
	"sync/atomic"
)

// Live holds the table in force. All methods may be called at any time by anybody.
type Live struct {
	mu    sync.Mutex // orders writers; readers go by table alone
	table atomic.Pointer[Table]
}

// NewLive puts t in force.
func NewLive(t *Table) *Live {
	l := &Live{}
	l.table.Store(t)
	return l
}

// Load returns the table in force. A request loads it once.
func (l *Live) Load() *Table { return l.table.Load() }

// Version returns the version of the table in force.
func (l *Live) Version() string { return l.Load().Version }

// Swap puts t in force, whole, and returns the table before it.
func (l *Live) Swap(t *Table) *Table {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.table.Swap(t)
}

// Reload puts the table compiled from src in force. changed is false when it is
// already; with an error nothing changes.
func (l *Live) Reload(name string, src []byte) (changed bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.table.Load()
	next, err := now.Next(name, src)
	if err != nil || next == now {
		return false, err
	}
	l.table.Store(next)
	return true, nil
}

// Next returns the table that src asks for after t: t itself when nothing changed.
func (t *Table) Next(name string, src []byte) (*Table, error) {
	if version(src) == t.Version {
		return t, nil
	}
	return Compile(name, src)
}
