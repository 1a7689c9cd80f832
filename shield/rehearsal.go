package shield

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// ErrUnsafe means that a request is not sent just to see what its answer would be, because
// it may change things at the origin.
var ErrUnsafe = errors.New("shield: a request that may change things is not sent to explain it")

// ErrNotHere means that a node which has a shield does not ask origins to explain anything.
var ErrNotHere = errors.New("shield: an edge asks no origin to explain what would be answered")

// errUnasked is what a flight comes to that would have to ask, in a rehearsal that may not.
var errUnasked = errors.New("shield: rehearsal: nobody is asked")

// A Rehearsal does what a shield would do about a request at this moment, with the code
// that would do it, and nothing comes of it: nothing is stored, purged, learned or refreshed,
// and origins are asked only where that is allowed. It is for one request, and sees no
// flights of others. Looking into the store counts there as a use.
type Rehearsal struct {
	shield *Shield
	asks   bool

	mu      sync.Mutex // guards what follows
	stopped *rfc9111.Decision
	heard   *rfc9111.Response
	ruled   []Ruling
}

// A Ruling is what was decided about storing a response, and by which rules.
type Ruling struct {
	Response *rfc9111.Response
	rfc9111.Storability
	Findings []rfc9111.Finding
}

// Rehearse begins a rehearsal; Close ends it. asks allows it to ask origins.
func (s *Shield) Rehearse(asks bool) *Rehearsal {
	r := &Rehearsal{asks: asks}
	o := s.opts
	o.Report = func(error) {}
	if o.Listener != nil {
		o.Listener = noListener{}
	}
	again := &Shield{opts: o, purges: s.purges, rehearsal: r}
	if s.store != nil {
		again.store = &rehearsedStore{Store: s.store, heads: map[storedVariant]*rfc9111.Response{}}
	}
	again.base, again.cancel = context.WithCancel(context.Background())
	again.crew = newCrew(again.run)
	again.flights = newFlights(&again.opts, s.purges)
	again.origins = newOrigins(&again.opts, &again.counts)
	again.origins.known = s.origins
	again.passes, again.unsliced, again.failing = s.passes.over(), s.unsliced.over(), s.failing.over()
	again.editions = newEditions(s.opts.MaxHitForPass)
	again.editions.under = s.editions
	r.shield = again
	return r
}

// Fetch answers as [Shield.Fetch]. Where somebody would have to be asked, and may not be,
// the head of the answer has no status, and its decision says no more than is known by then.
func (r *Rehearsal) Fetch(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	switch {
	case r.asks && r.shield.opts.Parent != nil:
		return nil, ErrNotHere
	case r.asks && (switches(req) || req.Bypass != "" && !isSafe(req.Method)):
		return nil, ErrUnsafe
	}
	ans, err := r.shield.Fetch(ctx, req)
	if errors.Is(err, errUnasked) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return &rfc9111.Answer{Head: &rfc9111.Response{Header: http.Header{}}, Body: http.NoBody, Decision: *r.stopped}, nil
	}
	return ans, err
}

// isSafe says whether a method asks for nothing to be changed, RFC 9110 9.2.1.
func isSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, "QUERY":
		return true
	}
	return false
}

// Refresh does nothing: what comes of it is for later requests.
func (r *Rehearsal) Refresh(*policy.Request) {}

// Heard is what an origin answered last, nil for nothing.
func (r *Rehearsal) Heard() *rfc9111.Response {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.heard
}

// Rulings are what was decided about storing answers, in order.
func (r *Rehearsal) Rulings() []Ruling {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ruled
}

// Close ends what goes on and waits for it.
func (r *Rehearsal) Close() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.shield.Close(ended) // fetches are meant to be cut off
}

// stops says whether the one who is about to ask must not. It knows d by then.
func (r *Rehearsal) stops(d rfc9111.Decision) bool {
	if r == nil || r.asks {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped == nil {
		known := d // or every d would be on the heap
		r.stopped = &known
	}
	return true
}

// hears notes an answer of an origin.
func (r *Rehearsal) hears(head *rfc9111.Response) {
	if r == nil {
		return
	}
	copied := *head
	copied.Header = head.Header.Clone()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = &copied
}

// storable is [rfc9111.Storable], and tells a rehearsal by which rules.
func (s *Shield) storable(req rfc9111.Request, resp *rfc9111.Response, rules *rfc9111.Rules) rfc9111.Storability {
	r := s.rehearsal
	if r == nil {
		return rfc9111.Storable(req, resp, rules)
	}
	v, findings := rfc9111.ExplainStorable(req, resp, rules)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ruled = append(r.ruled, Ruling{resp, v, findings})
	return v
}

type noListener struct{}

func (noListener) Filled(keying.Key, *rfc9111.Response, []byte) {}
func (noListener) Dropped(keying.Key, rfc9111.Selection)        {}

// storedVariant names what a store holds.
type storedVariant struct {
	key       string
	selection rfc9111.Selection
}

// rehearsedStore shows what is stored as it would be after what was done with it, and does
// nothing with it.
type rehearsedStore struct {
	Store
	mu    sync.Mutex
	heads map[storedVariant]*rfc9111.Response // in the place of those that are stored; nil for what was dropped
}

func (s *rehearsedStore) Lookup(key keying.Key, h http.Header) (Object, error) {
	obj, err := s.Store.Lookup(key, h)
	if obj == nil || err != nil {
		return nil, err
	}
	s.mu.Lock()
	head, changed := s.heads[storedVariant{key.Bytes(), obj.Response().Selection}]
	s.mu.Unlock()
	switch {
	case !changed:
		return obj, nil
	case head == nil:
		return nil, obj.Close()
	}
	return rehearsedObject{obj, head}, nil
}

func (s *rehearsedStore) Create(keying.Key, *rfc9111.Response) (Writer, error) {
	return noWriter{}, nil
}

func (s *rehearsedStore) Freshen(key keying.Key, old, resp *rfc9111.Response) error {
	s.set(key, old.Selection, resp)
	return nil
}

func (s *rehearsedStore) Drop(key keying.Key, selection rfc9111.Selection) error {
	s.set(key, selection, nil)
	return nil
}

func (s *rehearsedStore) set(key keying.Key, selection rfc9111.Selection, head *rfc9111.Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heads[storedVariant{key.Bytes(), selection}] = head
}

// rehearsedObject is a stored object under another head.
type rehearsedObject struct {
	Object
	head *rfc9111.Response
}

func (o rehearsedObject) Response() *rfc9111.Response { return o.head }

// noWriter takes what is stored, and forgets it.
type noWriter struct{}

func (noWriter) Write(p []byte) (int, error)       { return len(p), nil }
func (noWriter) ReadAt([]byte, int64) (int, error) { return 0, errUnasked }
func (noWriter) Commit(*rfc9111.Response) error    { return nil }
func (noWriter) Abort()                            {}
