package shield

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"weir/policy"
	"weir/rfc9111"
)

// trimmed returns head without the fields that the route removes.
func (s *Shield) trimmed(req *policy.Request, head *rfc9111.Response) *rfc9111.Response {
	for _, name := range req.Plan.RemoveResponseHeaders {
		head.Header.Del(name)
	}
	return head
}

// receive decides at the headers what becomes of an answer.
// old is what was to be validated, or nil.
func (s *Shield) receive(f *flight, head *rfc9111.Response, d rfc9111.Decision, old *rfc9111.Response) {
	if f.req.Whole != nil {
		if head = s.receiveSlice(f, head, &d, old); head == nil {
			return
		}
		old = nil // it was a slice
	}
	rules := &f.req.Plan.Rules
	shared := rfc9111.Shared(head, rules)
	v := s.storable(rfc9111.Request{Method: f.req.Method, Header: rfc9111.Unconditional(f.req.Header)}, shared, rules)
	d.Status = v.Status
	if !v.Store {
		s.rememberPass(f.req, shared)
		if old != nil && isGone(head.Status) {
			s.forget(f.key, old.Selection)
		}
		s.letGo(f, head, d)
		return
	}
	if s.tooLong(head.Length) || !f.reply.framed {
		s.avoid(f.req)
		d.Status = rfc9111.StatusPass
		s.letGo(f, head, d)
		return
	}
	if f.apart && rfc9111.ListsToken(shared.Header["Vary"], "accept-encoding") {
		s.passes.forget(f.key.Digest()) // the next answer is to what the key says, and is stored
		d.Status = rfc9111.StatusPass
		s.letGo(f, head, d)
		return
	}
	shared.Terms, shared.Selection = v.Terms, v.Selection
	age := shared.Header["Age"]
	delete(shared.Header, "Age") // it is in the terms
	shared.Tags = f.req.Plan.ResponseTags(f.req.Params, shared)
	small := s.opts.Listener != nil && shared.Parts == nil && shared.Length <= s.opts.MemoryObject
	wanted := (s.store != nil || small) && s.mayKeep(f, shared)
	c := claim{head: shared, wanted: wanted, open: shareable(shared)}
	if !s.flights.claim(f, c) {
		if age != nil {
			head.Header["Age"] = age // shared may be head
		}
		d.Status = rfc9111.StatusPass
		s.letGo(f, head, d)
		return
	}
	f.own = rfc9111.WithPersonal(shared, head, rules)
	s.weigh(f.req, shared)
	s.fill(f, shared, d)
}

// mayKeep says whether what f fetched may be stored by now: no purge has come for it,
// nobody fetches the same for those who came after one, soft ones included, and it is
// known to be the right deployment's.
func (s *Shield) mayKeep(f *flight, head *rfc9111.Response) bool {
	if f.above { // the parent may know purges that have not come here yet: until then it is not used
		return !f.overtaken && !f.req.Settling && !s.purges.forbids(f.key, head)
	}
	return !f.overtaken && !f.req.Settling && !s.purges.Purged(f.key, head) &&
		!(s.purges.Softened(f.key, head) && s.flights.left(f)) &&
		(f.parts == nil || !s.purgedSince(f.key, f.parts.Response(), f.epoch))
}

func isGone(status int) bool { return status == http.StatusNotFound || status == http.StatusGone }

func (s *Shield) tooLong(n int64) bool { return s.store != nil && n > s.store.MaxObject() }

// letGo releases everybody but the leader.
func (s *Shield) letGo(f *flight, head *rfc9111.Response, d rfc9111.Decision) {
	if f.joined() != nil { // the reply is only what was missing
		var err error
		if head, err = s.askForAll(f); err != nil {
			s.flights.settle(f, outcome{kind: failed, err: err})
			return
		}
		d.ForwardStatus = 0
	}
	f.reply.body.endless(head.Header.Get("Content-Type"))
	s.flights.settle(f, outcome{kind: passing, head: passedOn(head), decision: d, trailer: f.reply.trailer})
}

// passedOn returns the head of a response that no cache has to do with: without
// times of its own its Age stays the origin's.
func passedOn(head *rfc9111.Response) *rfc9111.Response {
	h := *head
	h.RequestTime, h.ResponseTime = time.Time{}, time.Time{}
	return &h
}

// rememberPass makes the requests of the next while go alone, if it is the
// response that cannot be stored: not when only this one request forbids it, and
// not when the answer is about this request or this moment. Otherwise one odd
// request could switch coalescing off for everyone.
func (s *Shield) rememberPass(req *policy.Request, head *rfc9111.Response) {
	switch st := head.Status; {
	case st < 400, st == http.StatusUnauthorized, st == http.StatusForbidden, isGone(st):
	default:
		return
	}
	plain := rfc9111.Conditional(req.Header, nil)
	for _, name := range []string{"Authorization", "Cache-Control", "Pragma"} {
		plain.Del(name)
	}
	if !rfc9111.Storable(rfc9111.Request{Method: req.Method, Header: plain}, head, &req.Plan.Rules).Store {
		s.avoid(req)
	}
}

// avoid remembers req's key as hit-for-pass, for 10 to 120 s.
func (s *Shield) avoid(req *policy.Request) {
	now, until := s.awhile()
	s.passes.remember(req.Keyed.Key.Digest(), now, until)
}

func (s *Shield) awhile() (now, until time.Time) {
	now = s.opts.Now()
	return now, now.Add(10*time.Second + time.Duration(s.opts.Random()*float64(110*time.Second)))
}

// fill shares and stores a body as it comes.
func (s *Shield) fill(f *flight, head *rfc9111.Response, d rfc9111.Decision) {
	defer func() { _ = f.reply.body.Close() }()
	var w Writer
	if s.store != nil && s.mayKeep(f, head) {
		var err error
		if w, err = s.store.Create(f.key, head); err != nil {
			w = nil
			s.counts.notStored.Add(1)
			s.report(fmt.Errorf("%w: create: %w", ErrStore, err))
		}
	}
	if w != nil {
		d.Stored, d.Shield = true, rfc9111.TierCached
	}
	if f.req.Settling {
		d.Status = rfc9111.StatusDeployment
	}
	f.body.begin(w, head.Length, s.opts.MemoryObject)
	if !s.flights.settle(f, outcome{kind: sharing, head: head, was: f.joined(), own: f.own, asked: true, decision: d, trailer: f.reply.trailer}) {
		return // it overran; what was begun is freed when it drains
	}
	var src io.Reader = newSupply(s, f, head)
	if f.above {
		src = &declared{src: f.reply.body, left: head.Length}
	}
	tail, err := s.copyBody(f, src, w, head.Length)
	if err != nil {
		s.counts.error(err)
		f.body.end(err)
		return
	}
	s.finish(f, ofLength(head, tail.size), tail)
}

// ofLength is head with the length of its body, which may not have been known before.
func ofLength(head *rfc9111.Response, n int64) *rfc9111.Response {
	if head.Length == n {
		return head
	}
	own := *head
	own.Length = n
	return &own
}

// A tail is the end of a body that was received whole.
type tail struct {
	held    int   // bytes that are not published yet
	size    int64 // of the whole body
	storing bool  // the store has all of it
}

// copyBody moves the body from the origin to readers and store, all but what came
// last. src says when it is not as long as was said.
func (s *Shield) copyBody(f *flight, src io.Reader, w Writer, length int64) (tail, error) {
	b := &f.body
	t := tail{storing: w != nil}
	for length != 0 {
		if err := b.admit(f.ctx, func() { s.flights.disown(f) }); err != nil {
			return t, err
		}
		p := b.room()
		n, err := src.Read(p)
		t.size += int64(n)
		if t.storing && n > 0 {
			t.storing = s.storeChunk(f, w, p[:n], t.size)
		}
		if err == nil && t.size == length {
			err = expectEnd(src)
		}
		switch {
		case err == nil:
			b.publish(n)
		case !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return t, err
		default:
			t.held = n
			return t, nil
		}
		if t.storing {
			b.storedUpTo()
		}
	}
	return t, nil
}

// expectEnd returns io.EOF when nothing more comes.
func expectEnd(src io.Reader) error {
	var one [1]byte
	for {
		n, err := src.Read(one[:])
		if n > 0 {
			return fmt.Errorf("%w: body longer than its length", ErrOriginProtocol)
		}
		if err != nil {
			return err
		}
	}
}

func (s *Shield) storeChunk(f *flight, w Writer, p []byte, size int64) bool {
	if s.tooLong(size) {
		s.avoid(f.req)
		s.counts.notStored.Add(1)
		return false
	}
	if _, err := w.Write(p); err != nil {
		s.counts.notStored.Add(1)
		s.report(fmt.Errorf("%w: write: %w", ErrStore, err))
		return false
	}
	return true
}

// finish ends a body that came whole. All tiers that take it have it before
// readers get the last bytes: a client that has its response and asks again is
// answered from a cache.
func (s *Shield) finish(f *flight, head *rfc9111.Response, t tail) {
	whole := f.body.whole(t.held)
	if !s.mayKeep(f, head) {
		s.counts.notStored.Add(1)
		t.storing = false
	} else {
		s.keep(f, head, t.storing)
		if whole != nil {
			s.filled(f.key, head, whole)
		}
		s.counts.filled.Add(1)
		s.disownPurged(f, head)
	}
	f.body.publish(t.held)
	f.body.end(nil)
}

// keep commits what was stored.
func (s *Shield) keep(f *flight, head *rfc9111.Response, storing bool) {
	if !storing {
		return
	}
	if err := f.body.spill.commit(head, func() Object { return s.reopen(f, head) }); err != nil {
		s.counts.notStored.Add(1)
		s.report(fmt.Errorf("%w: commit: %w", ErrStore, err))
	} else if f.req.Plan.StorePartial && f.req.Whole == nil {
		s.forgetParts(f.req, head)
	}
}

// reopen finds what was just stored, for readers behind the window.
func (s *Shield) reopen(f *flight, head *rfc9111.Response) Object {
	if !f.body.released() {
		return nil
	}
	obj, err := s.store.Lookup(f.key, f.req.Header)
	if err != nil || obj == nil {
		return nil
	}
	if got := obj.Response(); !got.ResponseTime.Equal(head.ResponseTime) || got.Length != head.Length {
		closeObject(obj)
		return nil
	}
	return obj
}
