package peer

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"weir/rfc9111"
)

// upload is an Ask and then a client's body. Once it has ended nothing more is read of
// the body: what is sent again must not share it with what was sent before.
type upload struct {
	src     io.Reader
	trailer http.Header
	fields  func() http.Header

	mu    sync.Mutex // guards what follows
	head  []byte
	read  bool
	ended bool
}

var errEnded = errors.New("peer: the request was given up")

// begin says whether the body is next, and otherwise how much of the head was copied.
func (u *upload) begin(p []byte) (n int, body bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.ended:
		return 0, false, errEnded
	case len(u.head) > 0:
		n = copy(p, u.head)
		u.head = u.head[n:]
		return n, false, nil
	}
	u.read = true
	return 0, true, nil
}

func (u *upload) Read(p []byte) (int, error) {
	n, body, err := u.begin(p)
	if !body {
		return n, err
	}
	n, err = u.src.Read(p)
	if errors.Is(err, io.EOF) && u.trailer != nil {
		came := u.fields()
		for name := range u.trailer {
			u.trailer[name] = came[name]
		}
	}
	return n, err
}

// Close leaves the client's body to whoever gave it.
func (u *upload) Close() error { return nil }

func (u *upload) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
}

func (u *upload) used() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.read
}

// trail announces the trailer fields that may follow the body.
func (u *upload) trail(hreq *http.Request, t *rfc9111.Trailer) {
	if t == nil {
		return
	}
	u.trailer, u.fields = http.Header{}, t.Fields
	for _, name := range t.Names {
		u.trailer[name] = nil
	}
	hreq.Trailer = u.trailer
}
