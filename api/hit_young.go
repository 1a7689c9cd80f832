package api

import "sync"

// young are the connections of a listener that have had nothing but plain requests. Their server takes
// them for new ones, and when it ends it would wait five seconds for their first request.
type young struct {
	mu     sync.Mutex
	closed bool
	conns  map[*guardConn]struct{}
}

// add is false when the listener is closed.
func (y *young) add(c *guardConn) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.closed {
		return false
	}
	if y.conns == nil {
		y.conns = map[*guardConn]struct{}{}
	}
	y.conns[c] = struct{}{}
	return true
}

// leave is false when c is being closed, or will be: then nobody may begin to answer on it.
func (y *young) leave(c *guardConn) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	_, ok := y.conns[c]
	delete(y.conns, c)
	return ok
}

func (y *young) close() {
	y.mu.Lock()
	y.closed = true
	conns := y.conns
	y.conns = nil
	y.mu.Unlock()
	for c := range conns {
		// Whoever is answering closes after it: the listener is known to be closed.
		if c.hits.state.CompareAndSwap(hitNone, hitClosed) {
			_ = c.close()
		}
	}
}
