package peer

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrCrowded means that there was no room for a value in time.
var ErrCrowded = errors.New("peer: too many large values are on their way")

// SmallValue is how many bytes take no room: there are no more of them than connections.
const SmallValue = 64 << 10

// Room is how many bytes large values may take together on their way through a node. Those
// who wait for some get it in turn, so that large ones come to theirs.
type Room struct {
	mu      sync.Mutex // guards both
	free    int64
	waiting []*guest
}

type guest struct {
	bytes int64
	let   chan struct{} // closed when the bytes are taken for it
}

// NewRoom returns room for so many bytes, of which nobody may take more at once.
func NewRoom(bytes int64) *Room { return &Room{free: bytes} }

// Take returns when there is room, or [ErrCrowded] when ctx ends before. Leave gives it
// back, and may be called more than once.
func (r *Room) Take(ctx context.Context, bytes int64) (leave func(), err error) {
	if bytes <= SmallValue {
		return func() {}, nil
	}
	g := &guest{bytes: bytes, let: make(chan struct{})}
	r.mu.Lock()
	r.waiting = append(r.waiting, g)
	r.letInLocked()
	r.mu.Unlock()
	leave = sync.OnceFunc(func() { r.give(bytes) })
	select {
	case <-g.let:
		return leave, nil
	case <-ctx.Done():
	}
	if !r.forget(g) {
		leave() // it was let in meanwhile
	}
	return nil, ErrCrowded
}

func (r *Room) letInLocked() {
	for len(r.waiting) > 0 && r.waiting[0].bytes <= r.free {
		g := r.waiting[0]
		r.waiting = r.waiting[1:]
		r.free -= g.bytes
		close(g.let)
	}
}

func (r *Room) give(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free += bytes
	r.letInLocked()
}

// forget takes g out of the queue, if it is still there. Those behind it may fit now.
func (r *Room) forget(g *guest) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.waiting, g)
	if i < 0 {
		return false
	}
	r.waiting = slices.Delete(r.waiting, i, i+1)
	r.letInLocked()
	return true
}
