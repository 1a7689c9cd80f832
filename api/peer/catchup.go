package peer

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"sync"
	"time"

	"weir/shield"
)

// catchUps lets all who want to know what was purged until now share the questions. A
// question answers for everybody who came before it began.
type catchUps struct {
	mu      sync.Mutex // guards both
	running *round
	next    *round // begins when running has ended; nil when nobody waits for it
}

// round is one question.
type round struct {
	done chan struct{}
	err  error
}

// catchUp applies what the shield's log has at a moment after the call.
func (c *Client) catchUp(ctx context.Context) error {
	r := c.joinRound()
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

func (c *Client) joinRound() *round {
	s := &c.catchUps
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
	go c.rounds(r)
	return r
}

// rounds asks until nobody waits any more.
func (c *Client) rounds(r *round) {
	defer c.running.Done()
	for r != nil {
		r.err = c.askBatch()
		close(r.done)
		r = c.nextRound()
	}
}

func (c *Client) nextRound() *round {
	s := &c.catchUps
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.next = s.next, nil
	return s.running
}

// MaxBatch is how long a batch may be, in bytes.
const MaxBatch = 64 << 20

func (c *Client) askBatch() error {
	if c.outage.blocked(time.Now()) {
		return shield.ErrParent
	}
	c.counts.catchUps.Add(1)
	ctx, cancel := context.WithTimeout(c.base, lookTimeout)
	defer cancel()
	answer, _, err := c.call(ctx, PathCatchUp+"?"+c.place(), nil, MaxBatch)
	if err != nil {
		return fmt.Errorf("catch up with the purges: %w", err)
	}
	b, err := shield.DecodeBatch(answer)
	if err != nil {
		return fmt.Errorf("catch up with the purges: %w", err)
	}
	c.opts.Purges.Apply(b)
	if p := c.opts.Purges; p.ID() != b.Log || p.Current() < b.Epoch {
		return fmt.Errorf("catch up with the purges: %w: a batch for another place", ErrMalformed)
	}
	return nil
}

// place says which log this node follows, and how far it is.
func (c *Client) place() string {
	id := c.opts.Purges.ID()
	return "after=" + strconv.FormatUint(c.opts.Purges.Current(), 10) + "&log=" + hex.EncodeToString(id[:])
}
