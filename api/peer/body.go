package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"weir/rfc9111"
)

// answer makes the answer of a reply. Its body keeps the connection until it is closed.
func (q *question) answer(t *try, r *Reply) *rfc9111.Answer {
	ans := &rfc9111.Answer{Head: r.Head, Varied: r.Varied, Mixed: r.Mixed, Alone: r.Alone, Decision: r.Decision}
	if !r.Body {
		_, _ = io.Copy(io.Discard, io.LimitReader(t.body, 1)) // the end, so that the connection is kept
		t.end()
		if r.Content { // of HEAD: its length counts
			ans.Body = http.NoBody
		}
		return ans
	}
	b := &answerBody{q: q, head: r.Head, try: t, left: r.Head.Length}
	b.ctx, b.cancel = context.WithCancelCause(t.parent)
	b.whole = q.req.Method == http.MethodGet && q.req.Stream == nil && r.Decision.Shared() && len(r.Trailer) == 0
	ans.Body = b
	if r.Trailer != nil && q.req.TakesTrailers {
		resp := t.resp
		ans.Trailer = &rfc9111.Trailer{
			Names:  r.Trailer,
			Fields: func() http.Header { return rfc9111.TrailerFields(resp.Trailer) },
		}
	}
	return ans
}

// answerBody streams a body from the shield, over more than one connection if need be.
// Read is called by one goroutine, Close by any.
type answerBody struct {
	q     *question
	head  *rfc9111.Response
	whole bool // others may have it too, so that the rest of it can be asked for
	pos   int64
	left  int64 // -1 when not known
	err   error

	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc

	mu     sync.Mutex // guards what follows
	try    *try
	closed bool
}

var errClosed = errors.New("peer: read of a closed body")

func (b *answerBody) Read(p []byte) (int, error) {
	for b.err == nil {
		t := b.current()
		if t == nil {
			return 0, errClosed
		}
		n, err := t.body.Read(p)
		b.pos += int64(n)
		if b.left >= 0 {
			b.left -= int64(n)
		}
		switch {
		case errors.Is(err, io.EOF) && b.left <= 0:
			b.err = io.EOF
		case err != nil:
			b.err = b.resume(t, err)
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, b.err
}

func (b *answerBody) current() *try {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	return b.try
}

// resume asks for what is missing after a failure of t, and returns nil when it comes.
func (b *answerBody) resume(t *try, failure error) error {
	if cause := context.Cause(b.ctx); cause != nil {
		return cause // closed, or the client left
	}
	rest, ok := resumeOf(b.head, b.pos)
	if !b.whole || !ok {
		return fmt.Errorf("body from the shield: %w", cutShort(failure))
	}
	c := b.q.client
	if !c.begin() {
		return fmt.Errorf("body from the shield: %w", cutShort(failure))
	}
	defer c.running.Done()
	c.lost(t.addr)
	ask := *b.q.ask
	ask.Resume, ask.Interim = rest, false
	again := &question{client: c, req: b.q.req, ask: &ask}
	reply, next, err := again.rest(b.ctx)
	switch {
	case err != nil:
		return fmt.Errorf("body from the shield: %w: %w", cutShort(failure), err)
	case !reply.Body || !rest.Of(reply.Head):
		next.end()
		return fmt.Errorf("body from the shield: %w: %w", cutShort(failure), ErrGone)
	}
	if b.left < 0 && reply.Head.Length >= 0 {
		b.left = reply.Head.Length - b.pos
	}
	c.counts.resumed.Add(1)
	return b.replace(next)
}

// replace goes on with another connection.
func (b *answerBody) replace(next *try) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.try.end()
	if b.closed {
		next.end()
		return errClosed
	}
	b.try = next
	return nil
}

// rest asks for the rest of a body until it comes or the shield is given up.
func (q *question) rest(ctx context.Context) (*Reply, *try, error) {
	pause := backoff{20 * time.Millisecond, 500 * time.Millisecond}
	for {
		t := q.try(ctx)
		reply, err := t.run()
		if err == nil {
			q.client.outage.over()
			return reply, t, nil
		}
		t.end()
		if !t.answered {
			q.client.lost(t.addr)
		}
		if t.answered || q.client.outage.given(time.Now()) {
			return nil, nil, err
		}
		if err := pause.wait(ctx); err != nil {
			return nil, nil, err
		}
	}
}

// cutShort is the error of a body without its end.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Close ends a Read in progress too.
func (b *answerBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.cancel(errClosed)
		b.try.end()
	}
	return nil
}
