package api

import (
	"errors"
	"os"
	"sync"
	"time"
)

// waits are the connections whose clients wait for the door. It has them looked after who wait long: to
// notice that one leaves before it has its answer costs more than most answers take.
type waits struct {
	mu      sync.Mutex
	conns   []*guardConn // in no order; those that are watched are not among them
	timer   *time.Timer  // of tick
	ticking bool
}

// absence is a connection's part in it.
type absence struct {
	at      int            // in waits.conns, -1 when it is watched; guarded by waits.mu
	long    bool           // has waited for a tick; guarded by waits.mu
	watched sync.WaitGroup // until nobody watches

	mu   sync.Mutex // guards over, and the read deadline against it
	over bool       // nobody is to be watched any more
}

// unwatched is how long an answer takes at least before anybody looks whether its client is still there. It is
// twice that at most. A timer for each of them would cost more than all the rest of it.
const unwatched = 20 * time.Millisecond

func (l *waits) begin(c *guardConn) {
	a := &c.absence
	l.mu.Lock()
	defer l.mu.Unlock()
	a.at, a.long = len(l.conns), false
	l.conns = append(l.conns, c)
	switch {
	case l.ticking:
	case l.timer == nil:
		l.timer = time.AfterFunc(unwatched, l.tick)
	default:
		l.timer.Reset(unwatched)
	}
	l.ticking = true
}

// tick has those watched who were there at the tick before. It comes again while somebody waits.
func (l *waits) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.conns) - 1; i >= 0; i-- {
		c := l.conns[i]
		if !c.absence.long {
			c.absence.long = true
			continue
		}
		l.removeLocked(c)
		c.absence.over = false // nobody else looks at it yet
		c.absence.watched.Go(c.notice)
	}
	if l.ticking = len(l.conns) > 0; l.ticking {
		l.timer.Reset(unwatched)
	}
}

func (l *waits) removeLocked(c *guardConn) {
	last := len(l.conns) - 1
	l.conns[c.absence.at] = l.conns[last]
	l.conns[last].absence.at = c.absence.at
	l.conns[last] = nil
	l.conns = l.conns[:last]
	c.absence.at = -1
}

// end waits for the one who watches.
func (l *waits) end(c *guardConn) {
	a := &c.absence
	l.mu.Lock()
	watched := a.at < 0
	if !watched {
		l.removeLocked(c)
	}
	l.mu.Unlock()
	if !watched {
		return
	}
	a.mu.Lock()
	a.over = true
	_ = c.SetReadDeadline(time.Unix(1, 0)) // ends the watch
	a.mu.Unlock()
	a.watched.Wait()
	_ = c.SetReadDeadline(time.Time{})
	c.hits.idle = time.Time{}
}

// notice watches the client, and ends the context of its request when it leaves.
func (c *guardConn) notice() {
	a := &c.absence
	a.mu.Lock()
	over := a.over
	if !over {
		_ = c.SetReadDeadline(time.Time{}) // the one in force was for the head
	}
	a.mu.Unlock()
	if over {
		return
	}
	if err := c.watch(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.caller.leave()
	}
}
