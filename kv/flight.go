package kv

import (
	"context"
	"errors"
	"time"
)

// A flight is a question to the parent that is under way for one key, and all who wait for
// its answer. Whoever began it asks with its own context; when that ends first, the others
// begin another one.
type flight struct {
	number uint64        // flights are numbered as they begin
	done   chan struct{} // closed when what follows is set

	answer  *answer
	err     error // nil without an answer: whoever asked has left
	settled bool  // the two are set; guarded by the edge's mu

	heard uint64 // when it began: what was shown before was so by then
}

// settle tells those who wait.
func (f *flight) settle(a *answer, err error) {
	if !f.settled {
		f.answer, f.err, f.settled = a, err, true
		close(f.done)
	}
}

// A seat is a place in a flight, or what a flight that has just landed brought.
type seat struct {
	*flight
	leads  bool    // its owner must land it
	since  uint64  // flights of a higher number began after their reader came
	landed *answer // then there is no flight
}

// board joins the flight of key, or begins one. Between a look into memory and this one may
// have landed, so memory is looked at once more.
func (e *Edge) board(r *read, key string) seat {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := seat{since: e.begun}
	if s.flight = e.flights[key]; s.flight != nil {
		return s
	}
	if v, ok := e.memory.Get(key); ok {
		if a, ok := v.(*answer); ok && e.usable(r, key, a) {
			s.landed = a
			return s
		}
	}
	e.begun++
	s.flight, s.leads = &flight{number: e.begun, done: make(chan struct{})}, true
	e.flights[key] = s.flight
	if e.opts.Heard != nil {
		s.heard = max(e.opts.Heard(), e.pushed)
	}
	return s
}

// land ends a flight, and remembers its answer unless key was written or pushed meanwhile.
func (e *Edge) land(key string, f *flight, a *answer, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	heard := uint64(0)
	if e.opts.Heard != nil {
		heard = e.opts.Heard()
	}
	switch {
	case e.flights[key] == f:
		delete(e.flights, key)
		if a != nil {
			a.seen = heard
			e.memory.Put(key, a, a.size(key))
		}
	case a != nil && !f.settled:
		e.past = max(e.past, heard) // it may have more than the write
	}
	f.settle(a, err)
}

// fetch asks the parent for key, or waits for whoever does.
func (e *Edge) fetch(r *read, key string) (*answer, error) {
	return e.follow(r, key, e.board(r, key))
}

// follow returns what a seat leads to. A flight that somebody else leads may have begun before
// this read, and what it brings may be older than a change that was known here by then: if
// so, the next flight is waited for, which began later.
func (e *Edge) follow(r *read, key string, s seat) (*answer, error) {
	for first := s.since; ; s = e.board(r, key) {
		switch {
		case s.landed != nil:
			return s.landed, nil
		case s.leads:
			return e.lead(r.ctx, key, s.flight)
		}
		select {
		case <-s.done:
		case <-r.ctx.Done():
			return nil, context.Cause(r.ctx)
		}
		switch {
		case s.err != nil:
			return nil, s.err
		case s.answer != nil && (s.number > first || !e.outdated(key, s.answer)):
			return s.answer, nil
		}
	}
}

// lead asks the parent. What was pushed meanwhile goes before its answer: others have seen it.
func (e *Edge) lead(ctx context.Context, key string, f *flight) (a *answer, err error) {
	defer func() {
		failure := err
		if ctx.Err() != nil {
			failure = nil // no matter of those who wait
		}
		if e.land(key, f, a, failure); f.answer != nil {
			a, err = f.answer, nil
		}
	}()
	asked, epoch := e.opts.Now(), e.purges.Current()
	v, err := e.parent.Get(ctx, key)
	if err != nil && !errors.Is(err, ErrMissing) {
		return nil, err
	}
	return answered(v, epoch, asked), nil
}

// answered is what a parent has answered with v, which is nil for what is missing.
func answered(v *Value, epoch uint64, asked time.Time) *answer {
	if v != nil && v.Epoch > 0 {
		epoch = v.Epoch
	}
	return &answer{value: v, epoch: epoch, asked: asked}
}

// fetchMany is fetch for some of keys, those of which the numbers are missing.
func (e *Edge) fetchMany(r *read, keys []string, answers []*answer, missing []int, limit int) error {
	seats := make([]seat, len(missing))
	var own []string // and the flights that this read leads
	var led []*flight
	for n, i := range missing {
		if seats[n] = e.board(r, keys[i]); seats[n].leads {
			own, led = append(own, keys[i]), append(led, seats[n].flight)
		}
	}
	if err := e.leadMany(r.ctx, own, led, limit); err != nil {
		return err
	}
	for n, i := range missing {
		var err error
		if s := seats[n]; s.leads {
			answers[i] = s.answer
		} else if answers[i], err = e.follow(r, keys[i], s); err != nil {
			return err
		}
	}
	return nil
}

// leadMany asks the parent for keys, of which each has a flight, all of them at once.
func (e *Edge) leadMany(ctx context.Context, keys []string, led []*flight, limit int) (err error) {
	if len(keys) == 0 {
		return nil
	}
	answers := make([]*answer, len(keys))
	defer func() {
		failure := err
		if ctx.Err() != nil || errors.Is(err, ErrTooMuch) { // no matter of those who wait for one of the keys
			failure = nil
		}
		for i, key := range keys {
			e.land(key, led[i], answers[i], failure)
		}
	}()
	asked, epoch := e.opts.Now(), e.purges.Current()
	values, err := e.parent.GetMany(ctx, keys, limit)
	switch {
	case err != nil:
		return err
	case len(values) != len(keys):
		return wrongMany(len(values), len(keys))
	}
	for i, v := range values {
		answers[i] = answered(v, epoch, asked)
	}
	return nil
}
