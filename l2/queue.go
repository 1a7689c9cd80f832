package l2

import (
	"sync"
	"time"

	"weir/keying"
	"weir/rfc9111"
)

type opKind int

const (
	opChunk  opKind = iota // a chunk of a body that is being written
	opHead                 // an object, with the last chunk of its body if frame is set
	opDelete               // a tombstone
	opDrop                 // a tombstone for one variant
	opSync                 // somebody waits until everything before is durable
)

// op is one thing that the committer is to do.
type op struct {
	kind   opKind
	body   *body
	index  int
	frame  []byte
	large  bool
	fresh  bool     // a new head over a body that is stored
	pend   *pending // of opHead
	digest keying.Digest
	sel    rfc9111.Selection
	done   chan error
}

func (o *op) cost() int {
	n := 64 + len(o.frame)
	if o.pend != nil {
		h := &o.pend.head
		n += len(h.key) + len(h.resp) + 16*len(h.refs)
	}
	return n
}

// queue is between those who store and the committer. Its order is the order of the log.
type queue struct {
	group int           // bytes that make a group
	delay time.Duration // how long a group may wait to fill
	apply func(*op)     // makes visible what is queued, in the critical section of queueing it

	mu     sync.Mutex // taken before a shard's
	space  sync.Cond  // on mu: there may be room, or no more
	wake   chan struct{}
	ops    []op
	spare  []op // empty, with room
	bytes  int
	oldest time.Time // when the first of ops came
	urgent bool      // somebody waits
	closed bool
}

func newQueue(group int, delay time.Duration, apply func(*op)) *queue {
	q := &queue{group: group, delay: delay, apply: apply, wake: make(chan struct{}, 1)}
	q.space.L = &q.mu
	return q
}

// add queues o, waiting for room first.
func (q *queue) add(o op) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.bytes >= 2*q.group && !q.closed {
		q.space.Wait()
	}
	if q.closed {
		return ErrClosed
	}
	if len(q.ops) == 0 {
		q.oldest = time.Now()
	}
	q.ops = append(q.ops, o)
	q.apply(&q.ops[len(q.ops)-1])
	q.bytes += o.cost()
	q.urgent = q.urgent || o.kind == opSync
	if len(q.ops) == 1 || q.urgent || q.bytes >= q.group {
		q.nudge()
	}
	return nil
}

func (q *queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.space.Broadcast()
	q.mu.Unlock()
	q.nudge()
}

// take waits for a group's worth of operations, or for fewer that have waited long enough. It does not wait when
// the committer has work of its own. more is false when the queue is closed and empty.
func (q *queue) take(busy bool) (ops []op, more bool) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		q.mu.Lock()
		wait := q.delay - time.Since(q.oldest)
		switch {
		case len(q.ops) == 0 && q.closed:
			q.mu.Unlock()
			return nil, false
		case len(q.ops) == 0 && !busy:
			wait = time.Hour
		case len(q.ops) > 0 && (q.urgent || q.closed || q.bytes >= q.group || wait <= 0):
			ops = q.popLocked()
			q.mu.Unlock()
			return ops, true
		case busy:
			q.mu.Unlock()
			return nil, true
		}
		q.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-q.wake:
		case <-timer.C:
		}
	}
}

// popLocked takes up to a group's worth from the front.
func (q *queue) popLocked() []op {
	n, bytes := 0, 0
	for n < len(q.ops) && bytes < q.group {
		bytes += q.ops[n].cost()
		n++
	}
	ops := q.ops[:n:n]
	q.ops = q.ops[n:]
	if len(q.ops) == 0 {
		q.ops, q.spare, q.urgent = q.spare, nil, false
	}
	q.bytes -= bytes
	q.space.Broadcast()
	return ops
}

// spareOps is for how many operations room is kept: more come together in bursts only.
const spareOps = 4 << 10

// giveBack takes the room of operations that are done, for others.
func (q *queue) giveBack(ops []op) {
	clear(ops)
	q.mu.Lock()
	defer q.mu.Unlock()
	if cap(ops) > cap(q.spare) && cap(ops) <= spareOps {
		q.spare = ops[:0]
	}
}
