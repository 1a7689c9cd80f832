package peer

import (
	"context"
	"sync"

	"weir/shield"
)

// rounds let all who want the same done share the work. A round counts for everybody who
// came before it began, so nobody waits for more than two, however many there are.
type rounds struct {
	mu      sync.Mutex // guards both
	running *round
	next    *round // begins when running has ended; nil when nobody waits for it
}

// round is one time that the work is done.
type round struct {
	done chan struct{}
	err  error
}

// share returns when work that began after the call has ended.
func (c *Client) share(ctx context.Context, s *rounds, work func() error) error {
	r := c.join(s, work)
	if r == nil {
		return shield.ErrParent
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// join returns a round that has not begun, or nil when the client is closed.
func (c *Client) join(s *rounds, work func() error) *round {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil {
		return s.next
	}
	r := &round{done: make(chan struct{})}
	if s.running != nil {
		s.next = r
		return r
	}
	if !c.begin() {
		return nil
	}
	s.running = r
	go c.work(s, work)
	return r
}

// work goes on until nobody waits any more.
func (c *Client) work(s *rounds, work func() error) {
	defer c.running.Done()
	for r := s.running; r != nil; r = s.turn() {
		r.err = work()
		close(r.done)
	}
}

func (s *rounds) turn() *round {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.next = s.next, nil
	return s.running
}

// idle says whether nothing is under way.
func (s *rounds) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running == nil
}
