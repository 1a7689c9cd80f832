package shield

import (
	"context"
	"fmt"
	"time"
)

// An allowance is how long a flight may take. Waiters are let go even when a fetch ignores its cancellation.
type allowance struct {
	since time.Time     // zero: nothing is asked yet
	head  time.Duration // until it settles
	total time.Duration
}

// nextLocked returns which limit is next, and when it is reached.
func (f *flight) nextLocked() (limit time.Duration, at time.Time) {
	limit = f.allowed.total
	if !f.settled {
		limit = min(limit, f.allowed.head)
	}
	return limit, f.allowed.since.Add(limit)
}

// An alarm is for the flight that reaches its limit first, as far as is known: hardly any does, and most end
// long before, so one look at all of them now and then takes less than a timer for each.
type alarm struct {
	timer *time.Timer // nil before it is needed
	at    time.Time   // zero: is not set
}

// setLocked has expire called at a time, or before.
func (t *flights) setLocked(at time.Time) {
	a := &t.alarm
	switch {
	case !a.at.IsZero() && !at.Before(a.at):
		return
	case a.timer == nil:
		a.timer = time.AfterFunc(time.Until(at), t.expire)
	default:
		a.timer.Reset(time.Until(at))
	}
	a.at = at
}

// allow is called once f asks.
func (t *flights) allow(f *flight, head, total time.Duration) {
	since := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	f.allowed = allowance{since, head, total}
	_, at := f.nextLocked()
	t.setLocked(at)
}

// expire gives up waiting for the flights that have reached a limit.
func (t *flights) expire() {
	now := time.Now()
	late := map[*flight]error{}
	t.mu.Lock()
	t.alarm.at = time.Time{}
	for f := t.first; f != nil; f = f.next {
		if f.ended || f.allowed.since.IsZero() {
			continue
		}
		if limit, at := f.nextLocked(); at.After(now) {
			t.setLocked(at)
		} else if f.settled {
			late[f] = fmt.Errorf("%w: not done in %s", ErrOriginTimeout, limit)
		} else {
			late[f] = fmt.Errorf("%w: no answer in %s", ErrOriginTimeout, limit)
		}
	}
	t.mu.Unlock()
	for f, err := range late {
		t.overrun(f, err)
	}
}

// beginLocked links f with those that are not drained.
func (t *flights) beginLocked(f *flight) {
	if f.next = t.first; f.next != nil {
		f.next.prev = f
	}
	t.first = f
	t.running++
	t.most = max(t.most, t.running)
}

// drainedLocked says whether nothing goes on in f any more, which is said once.
func (t *flights) drainedLocked(f *flight, occupied bool) bool {
	if occupied || !f.ended {
		return false
	}
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		t.first = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	}
	f.prev, f.next = nil, nil
	t.restLocked()
	return true
}

// restLocked stops the alarm when there are no flights and will be none.
func (t *flights) restLocked() {
	if t.closed && t.first == nil && t.alarm.timer != nil {
		t.alarm.timer.Stop()
	}
}

// close cancels all flights, and lets none begin. One that ignores it has its limits still.
func (t *flights) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for f := t.first; f != nil; f = f.next {
		f.cancel(context.Canceled)
	}
	t.restLocked()
}

// cancel ends what f fetches. The first cause counts.
func (f *flight) cancel(cause error) {
	f.ctxEnd(cause)
	f.leash.end()
}
