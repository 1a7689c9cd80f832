package api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// requestBody reads a request's body with a bound on the time between two reads,
// and remembers how it ended. A tier may go on reading after the handler has
// returned; from then on the connection's deadlines are the server's.
type requestBody struct {
	body    io.Reader
	rc      *http.ResponseController
	timeout time.Duration
	expects bool // the client waits for 100 before it sends any of it

	mu     sync.Mutex // guards what follows, and the deadline against stop
	begun  bool       // a Read has returned
	done   bool       // the handler is over
	ended  bool       // the body has been read to its end
	failed error      // what ended it early
}

func newRequestBody(r *http.Request, rc *http.ResponseController, timeout time.Duration) *requestBody {
	return &requestBody{body: r.Body, rc: rc, timeout: timeout, expects: len(r.Header["Expect"]) > 0}
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.deadline(time.Now().Add(b.timeout))
	n, err := b.body.Read(p)
	b.begin()
	if err != nil {
		b.end(err)
	}
	return n, err
}

func (b *requestBody) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun = true
}

// expected says whether the next Read may send 100 (Continue).
func (b *requestBody) expected() bool {
	if b == nil || !b.expects {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.begun
}

func (b *requestBody) deadline(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.done {
		_ = b.rc.SetReadDeadline(t) // unsupported only without a connection
	}
}

// end notes why reading stopped and lifts the deadline: net/http now waits on the
// connection for the client to leave, and must not take a timeout for that.
func (b *requestBody) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if errors.Is(err, io.EOF) {
		b.ended = true
	} else if b.failed == nil {
		b.failed = err
	}
	if !b.done {
		_ = b.rc.SetReadDeadline(time.Time{})
	}
}

// stop is the end of the handler. What is left of the body is drained by the
// server, which gets a moment for it; it sets its own deadline afterwards.
func (b *requestBody) stop() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = true
	if !b.ended {
		_ = b.rc.SetReadDeadline(time.Now().Add(min(b.timeout, drainTimeout)))
	}
}

// unread says whether some of the body may still be on its way.
func (b *requestBody) unread() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.ended
}

const drainTimeout = 5 * time.Second

// fault is the fault of a body that could not be read, nil while it could.
func (b *requestBody) fault() *fault {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.failed == nil, errors.Is(b.failed, http.ErrBodyReadAfterClose):
		return nil
	case errors.Is(b.failed, os.ErrDeadlineExceeded):
		f := refuse(408, "body-timeout", "The request body did not arrive in time.")
		f.cause = b.failed
		return f
	}
	f := refuse(400, "bad-body", "The request body could not be read.")
	f.hint = "Its length or its chunks are malformed, or the connection broke."
	f.cause = b.failed
	return f
}
