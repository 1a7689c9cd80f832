package peer

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// outage tells a shield that starts again from one that is gone. For a grace after the
// first failure requests are sent again; after it they fail at once, but for one a second
// that looks whether it is back.
type outage struct {
	grace time.Duration

	mu     sync.Mutex // guards what follows
	since  time.Time  // of the first failure, zero while all is well
	last   time.Time  // of the last failure
	probed time.Time
}

const (
	probeEvery = time.Second
	forgotten  = 10 * time.Second // after which a failure says nothing about now
)

func (o *outage) failed(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() || now.Sub(o.last) > forgotten {
		o.since = now
	}
	o.last = now
}

func (o *outage) over() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.since = time.Time{}
}

// given says whether the shield is given up, so that a failure is final.
func (o *outage) given(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.givenLocked(now)
}

func (o *outage) givenLocked(now time.Time) bool {
	return !o.since.IsZero() && now.Sub(o.since) >= o.grace && now.Sub(o.last) <= forgotten
}

// blocked says whether to fail without asking.
func (o *outage) blocked(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.givenLocked(now) {
		return false
	}
	if now.Sub(o.probed) >= probeEvery {
		o.probed = now
		return false
	}
	return true
}

// backoff pauses longer from try to try.
type backoff struct {
	next, longest time.Duration
}

// wait waits, somewhere between half and all of the pause, unless ctx ends.
func (b *backoff) wait(ctx context.Context) error {
	pause := b.next/2 + rand.N(b.next/2+1)
	b.next = min(2*b.next, b.longest)
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// line is what everything that waits for the shield hangs on. It is cut when the shield
// has been silent for so long that connections to it are taken for dead.
type line struct {
	mu     sync.Mutex // guards both
	ctx    context.Context
	cancel context.CancelFunc
}

// cut ends what waits, and begins anew.
func (l *line) cut(base context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		l.cancel()
	}
	l.ctx, l.cancel = context.WithCancel(base)
}

func (l *line) now() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ctx
}
