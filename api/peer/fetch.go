package peer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync/atomic"
	"time"

	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

var errSilent = errors.New("peer: the shield is silent")

// Fetch asks the shield. See [shield.Parent].
func (c *Client) Fetch(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	if !c.begin() {
		return nil, fmt.Errorf("%w: this node is being stopped", shield.ErrParent)
	}
	defer c.running.Done()
	c.counts.fetches.Add(1)
	q := &question{client: c, req: req, ask: askFor(req, c.opts.Region)}
	ans, epoch, err := q.put(ctx)
	if err != nil {
		return nil, err
	}
	if !safe(req.Method) {
		c.reach(ctx, epoch)
		ans.Head.Epoch = epoch
	}
	return ans, nil
}

// safe says whether a method changes nothing, RFC 9110 9.2.1.
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "QUERY":
		return true
	}
	return false
}

// idempotent says whether a request may be sent again, RFC 9110 9.2.2.
func idempotent(method string) bool {
	return safe(method) || method == http.MethodPut || method == http.MethodDelete
}

// question is one request on its way to an answer, over as many tries as it takes.
type question struct {
	client *Client
	req    *policy.Request
	ask    *Ask
}

// put asks until there is an answer, or the shield is given up.
func (q *question) put(ctx context.Context) (*rfc9111.Answer, uint64, error) {
	c := q.client
	if c.outage.blocked(time.Now()) {
		return nil, 0, fmt.Errorf("%w: it has been down for a while", shield.ErrParent)
	}
	pause := backoff{20 * time.Millisecond, 500 * time.Millisecond}
	for {
		ans, epoch, final, err := q.attempt(ctx)
		switch {
		case final:
			return ans, epoch, err
		case ctx.Err() != nil:
			return nil, 0, fmt.Errorf("peer: client left: %w", context.Cause(ctx))
		case errors.Is(err, ErrNotShield) || c.outage.given(time.Now()) || c.base.Err() != nil:
			return nil, 0, notParent(err)
		}
		c.counts.retries.Add(1)
		if err := pause.wait(ctx); err != nil {
			return nil, 0, fmt.Errorf("peer: client left: %w", err)
		}
	}
}

// attempt asks once. It is final when asking again would not help, or must not be done.
// The shield first learns what this node knows to be out of date: it would answer with it.
func (q *question) attempt(ctx context.Context) (ans *rfc9111.Answer, epoch uint64, final bool, err error) {
	c := q.client
	if err := c.payDebts(ctx); err != nil {
		return nil, 0, !errors.Is(err, shield.ErrParent) && ctx.Err() == nil, notParent(err)
	}
	t := q.try(ctx)
	reply, err := t.run()
	if err == nil {
		c.outage.over()
		return q.answer(t, reply), reply.Epoch, true, nil
	}
	t.end()
	switch {
	case ctx.Err() != nil:
		return nil, 0, false, err
	case t.answered && !errors.Is(err, shield.ErrParent):
		c.outage.over()
		return nil, 0, true, err
	case !t.repeatable():
		return nil, 0, true, fmt.Errorf("%w: the connection to the shield was lost when the request was under way: %w", shield.ErrOriginUnreachable, err)
	}
	c.lost(t.addr)
	return nil, 0, false, err
}

func notParent(err error) error {
	if errors.Is(err, shield.ErrParent) {
		return err
	}
	return fmt.Errorf("%w: %w", shield.ErrParent, err)
}

// try is one attempt.
type try struct {
	q      *question
	addr   string
	parent context.Context // of whoever asks
	ctx    context.Context
	cancel context.CancelCauseFunc
	unlink func() bool
	asked  time.Time
	upload *upload // nil without a streamed body

	resp     *http.Response
	body     *bufio.Reader // behind the reply
	answered bool          // the shield has said something
	touched  atomic.Bool   // bytes may have reached the shield
}

func (q *question) try(ctx context.Context) *try {
	t := &try{q: q, addr: q.client.address(), parent: ctx, asked: q.client.opts.Now()}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	t.unlink = context.AfterFunc(q.client.line.now(), func() { t.cancel(errSilent) })
	if q.req.Stream != nil && q.ask.Resume == nil {
		t.upload = &upload{src: q.req.Stream}
	}
	return t
}

// end gives up the connection, unless everything was read from it.
func (t *try) end() {
	t.unlink()
	t.cancel(context.Canceled)
	if t.resp != nil {
		_ = t.resp.Body.Close()
	}
	if t.upload != nil {
		t.upload.end()
	}
}

// repeatable says whether the request may be sent again.
func (t *try) repeatable() bool {
	if t.upload != nil && t.upload.used() {
		return false
	}
	return t.q.req.Stream == nil && idempotent(t.q.req.Method) || !t.touched.Load()
}

// headTimeout bounds the wait for a head when nothing else does. Origins have limits of
// their own, which the shield keeps.
const headTimeout = 5 * time.Minute

// run sends the request and reads the reply.
func (t *try) run() (*Reply, error) {
	if t.upload == nil {
		slow := time.AfterFunc(headTimeout, func() { t.cancel(shield.ErrOriginTimeout) })
		defer slow.Stop()
	}
	if err := t.send(); err != nil {
		return nil, t.cause(err)
	}
	resp := t.resp
	if resp.StatusCode != http.StatusOK {
		said, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
		if err != nil {
			return nil, t.cause(err)
		}
		t.answered = true
		return nil, errorOf(resp.StatusCode, said)
	}
	t.body = bufio.NewReaderSize(resp.Body, 4<<10)
	frame, err := ReadFrame(t.body, MaxHead)
	if err != nil {
		return nil, t.cause(err)
	}
	reply, err := DecodeReply(frame)
	if err != nil {
		return nil, err
	}
	t.answered = true
	reply.shift(t.asked)
	return reply, nil
}

func (t *try) cause(err error) error {
	if cause := context.Cause(t.ctx); cause != nil {
		return cause
	}
	return err
}

// send sends the request. Interim responses go on in this goroutine.
func (t *try) send() error {
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { t.touched.Store(true) }}
	interim := t.q.req.Interim
	if interim == nil || t.q.ask.Resume != nil {
		return t.roundTrip(trace)
	}
	type early struct {
		status int
		header http.Header
	}
	came := make(chan early, 16)
	trace.Got1xxResponse = func(status int, header textproto.MIMEHeader) error {
		select {
		case came <- early{status, http.Header(header).Clone()}:
		default: // far more than the shield lets through
		}
		return nil
	}
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = t.roundTrip(trace)
	}()
	for {
		select {
		case e := <-came:
			interim(e.status, e.header)
		case <-done:
			for len(came) > 0 {
				e := <-came
				interim(e.status, e.header)
			}
			return err
		}
	}
}

func (t *try) roundTrip(trace *httptrace.ClientTrace) error {
	head := AppendFrame(nil, t.q.ask.Encode())
	ctx := httptrace.WithClientTrace(t.ctx, trace)
	whole := append(head, t.q.req.Body...)
	if t.q.ask.Resume != nil {
		whole = head
	}
	hreq, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+t.addr+PathFetch, bytes.NewReader(whole))
	if err != nil {
		return fmt.Errorf("%w: %w", shield.ErrTarget, err)
	}
	if t.upload != nil {
		hreq.GetBody, hreq.ContentLength = nil, -1
		if n := t.q.req.Length; n >= 0 {
			hreq.ContentLength = int64(len(head)) + n
		} else {
			t.upload.trail(hreq, t.q.req.Trailer)
		}
		t.upload.head = head
		hreq.Body = t.upload
	}
	resp, err := t.q.client.http.RoundTrip(hreq)
	if err != nil {
		return err
	}
	if err := context.Cause(t.ctx); err != nil { // given up meanwhile
		_ = resp.Body.Close()
		return err
	}
	t.resp = resp
	return nil
}
