package shield

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"

	"weir/policy"
	"weir/rfc9111"
)

// Interim responses, RFC 9110 15.2: 1xx before the response itself, such as 103
// Early Hints. They are passed on and nothing else; what they say is no part of the
// response that follows, RFC 8297 2, and is never stored.
const (
	maxInterim      = 8        // are passed on for one request
	floodInterim    = 64       // are no response any more
	maxInterimBytes = 16 << 10 // of fields; a longer one is left out
)

type interim struct {
	status int
	header http.Header // frozen
}

// An interimFilter sees the 1xx responses to one request, of every upstream that is
// tried. A connection calls it from its own goroutine, also after the request has
// been given up.
type interimFilter struct {
	tell  func(interim) // nil: nobody wants them
	drops []string      // names of fields

	mu     sync.Mutex // guards seen and passed
	seen   int
	passed int
}

// take passes one on, unless it is not ours to pass: 100 answers an expectation, which
// goes to no origin, RFC 9110 10.1.1. 101 is a final response to net/http.
func (f *interimFilter) take(status int, received http.Header) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen++; f.seen > floodInterim {
		return errors.New("too many interim responses")
	}
	if f.tell == nil || status == http.StatusContinue || f.passed == maxInterim {
		return nil
	}
	h, size := rfc9111.EndToEnd(received), 0
	for _, name := range f.drops {
		h.Del(name)
	}
	for name, values := range h {
		if !rfc9111.IsToken(name) {
			return fmt.Errorf("field name %.100q", name)
		}
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	if size <= maxInterimBytes {
		f.passed++
		f.tell(interim{status, h})
	}
	return nil
}

// hear has the interim responses to out told, less what req's route removes.
func (out *outgoing) hear(req *policy.Request, tell func(interim)) {
	out.filter.tell, out.filter.drops = tell, req.Plan.RemoveResponseHeaders
}

// sendHearing asks the origin for one client. Its interim responses are passed on
// in the client's own goroutine, in which this must be called.
func (s *Shield) sendHearing(ctx context.Context, req *policy.Request, out *outgoing) (rep *reply, err error) {
	if req.Interim == nil {
		return s.origins.send(ctx, req, out)
	}
	early := make(chan interim, maxInterim) // never full
	out.hear(req, func(i interim) { early <- i })
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				err = s.panicked(v)
			}
		}()
		rep, err = s.origins.send(ctx, req, out)
	}()
	for {
		select {
		case i := <-early:
			req.Interim(i.status, i.header)
		case <-done: // the select may have passed over what came before
			for len(early) > 0 {
				i := <-early
				req.Interim(i.status, i.header)
			}
			return rep, err
		}
	}
}

// A bulletin holds the interim responses that a flight has come to so far.
type bulletin struct {
	mu   sync.Mutex
	all  []interim
	over bool
	more chan struct{} // closed when there is another, or it is over; nil when nobody waits
}

func (b *bulletin) add(i interim) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.all) == maxInterim { // it may ask twice
		return
	}
	b.all = append(b.all, i)
	b.wakeLocked()
}

// end is called once.
func (b *bulletin) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	b.wakeLocked()
}

func (b *bulletin) wakeLocked() {
	if b.more != nil {
		close(b.more)
		b.more = nil
	}
}

// from returns all but the first n, and what is closed when there are more: nil when there will be none.
func (b *bulletin) from(n int) (rest []interim, more <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return b.all[n:], nil
	}
	if b.more == nil {
		b.more = make(chan struct{})
	}
	return b.all[n:], b.more
}

// await waits for the head of the seat's flight, and passes on what comes before it.
// It must be called in the goroutine of req's client.
//
// Whether a response may be shared is not known before its head, so what comes earlier
// goes to the client that it was fetched for, and to those whose requests are the same,
// field by field: the origin cannot have meant anybody else.
func (st seat) await(ctx context.Context, req *policy.Request) error {
	hears := req.Interim != nil && (st.leader || maps.EqualFunc(st.f.asked, req.Header, slices.Equal))
	for heard := 0; ; {
		news, more := st.f.early.from(heard)
		heard += len(news)
		for _, i := range news {
			if hears {
				req.Interim(i.status, i.header)
			}
		}
		if more == nil {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("shield: client left: %w", context.Cause(ctx))
		}
	}
}
