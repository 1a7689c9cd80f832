package shield

import (
	"context"
	"io"
	"sync"
)

// A leash ends the connection that is held on it with the request that holds it. That of a flight is
// part of the flight: what a context needs to tell one function of its end takes several times as long.
type leash struct {
	unhook func() bool // from a context; nil: somebody calls end

	mu    sync.Mutex // guards what follows
	held  io.Closer
	ended bool
}

// leashTo is a leash that ends with ctx.
func leashTo(ctx context.Context) *leash {
	l := new(leash)
	l.unhook = context.AfterFunc(ctx, l.end)
	return l
}

// hold has c closed at the end, or at once when that has come. One is held at a time.
func (l *leash) hold(c io.Closer) {
	l.mu.Lock()
	ended := l.ended
	if !ended {
		l.held = c
	}
	l.mu.Unlock()
	if ended {
		_ = c.Close()
	}
}

// free says whether the end has not come, and will not.
func (l *leash) free() bool {
	if l.unhook != nil {
		l.unhook()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = nil
	return !l.ended
}

// end may be called with locks held, and often.
func (l *leash) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != nil {
		go closeLater(l.held) // TLS takes its time to say goodbye
	}
	l.ended, l.held = true, nil
}

func closeLater(c io.Closer) { _ = c.Close() }
