package shield

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"time"

	"weir/policy"
	"weir/rfc9111"
)

// run is the function of a flight, in its own goroutine.
func (s *Shield) run(f *flight) {
	defer s.running.Done()
	defer s.flights.end(f)
	defer s.contain(f)
	o, err := s.origins.use(f.req)
	if err != nil {
		s.flights.settle(f, outcome{kind: failed, err: err})
		return
	}
	defer s.origins.done(o)

	// Waiters are let go even when the fetch ignores its cancellation. The second
	// is for one that does not, to come to a stale answer.
	head := time.AfterFunc(o.headerTimeout()+time.Second, func() {
		s.flights.overrunHead(f, fmt.Errorf("%w: no answer in %s", ErrOriginTimeout, o.headerTimeout()))
	})
	defer head.Stop()
	total := time.AfterFunc(o.totalTimeout(), func() {
		s.flights.overrun(f, fmt.Errorf("%w: not done in %s", ErrOriginTimeout, o.totalTimeout()))
	})
	defer total.Stop()
	s.fly(f)
}

// contain turns a panic into an error for everyone in the flight.
func (s *Shield) contain(f *flight) {
	if v := recover(); v != nil {
		err := fmt.Errorf("%w: %v", ErrPanic, v)
		s.opts.Report(fmt.Errorf("%w\n%s", err, debug.Stack()))
		s.flights.overrun(f, err)
	}
}

// fly looks into the store once more, see flights.join, and then asks the origin.
func (s *Shield) fly(f *flight) {
	obj, verdict := s.find(f.req)
	if obj != nil && verdict.Reuse == rfc9111.ReuseFresh {
		d := rfc9111.Decision{Use: rfc9111.Hit, Shield: rfc9111.TierHit, Status: rfc9111.StatusOK}
		if s.settleObject(f, obj, obj.Response(), outcome{decision: d}) {
			return
		}
		obj = nil
	}
	d := rfc9111.Decision{Use: rfc9111.Miss, Shield: rfc9111.TierPass, Forward: s.forwarded(f.req, obj, verdict)}
	var stored *rfc9111.Response
	if obj != nil {
		stored = obj.Response()
	}
	rep, err := s.origins.send(f.ctx, f.req, forFlight(f.req, stored))
	if s.noteOrigin(f, rep, err) {
		if obj != nil && s.settleStale(f, obj, rep, err, d) {
			return
		}
	} else if err == nil && rep.head.Status == http.StatusNotModified {
		if s.settleValidated(f, obj, rep, d) {
			return
		}
		// The 304 was not for what is stored, or that cannot be read: ask for all of it.
		rep, err = s.origins.send(f.ctx, f.req, forFlight(f.req, nil))
		s.noteOrigin(f, rep, err)
	} else {
		closeObject(obj)
	}
	if err != nil {
		s.flights.settle(f, outcome{kind: failed, err: err})
		return
	}
	s.receive(f, rep, d, stored != nil)
}

func (s *Shield) forwarded(req *policy.Request, obj Object, v rfc9111.Verdict) rfc9111.Forward {
	switch {
	case obj == nil && len(s.varies(req)) > 0:
		return rfc9111.ForwardVary
	case obj == nil:
		return rfc9111.ForwardURIMiss
	default:
		return v.Forward
	}
}

// noteOrigin says whether the origin failed, and remembers it for a moment, so
// that neither refreshes nor requests that can do with a stale answer keep asking.
func (s *Shield) noteOrigin(f *flight, rep *reply, err error) bool {
	if f.ctx.Err() != nil && errors.Is(err, errAbandoned) {
		return false
	}
	now := s.opts.Now()
	if err != nil || rfc9111.FailedStatus(rep.head.Status) {
		pause := time.Second + time.Duration(2*s.opts.Random()*float64(time.Second))
		s.failing.remember(f.key.Digest(), now, now.Add(pause))
		return true
	}
	s.failing.forget(f.key.Digest())
	return false
}

// settleStale answers with obj because the origin failed, RFC 5861 4, where the
// object's terms allow it. If not, or if obj is damaged, it is false. obj is used
// up in every case, rep only when true.
func (s *Shield) settleStale(f *flight, obj Object, rep *reply, err error, d rfc9111.Decision) bool {
	if !rfc9111.UsableOnError(verdictRequest(f.req), obj.Response(), s.opts.Now()) {
		closeObject(obj)
		return false
	}
	d.Use, d.Shield, d.Status = rfc9111.Stale, rfc9111.TierHit, rfc9111.StatusOK
	if err == nil {
		d.ForwardStatus = rep.head.Status
		err = fmt.Errorf("%w: status %d", ErrOriginFailed, rep.head.Status)
	}
	if !s.settleObject(f, obj, obj.Response(), outcome{decision: d, asked: true, onError: true, err: err}) {
		return false
	}
	s.opts.Report(err)
	if rep != nil {
		_ = rep.body.Close()
	}
	return true
}

// settleObject settles f with a stored body under head. It is false when the body
// cannot be read. obj is used up in every case.
func (s *Shield) settleObject(f *flight, obj Object, head *rfc9111.Response, out outcome) bool {
	out.kind, out.head = object, head
	if head.Length <= s.opts.MemoryObject {
		whole, err := readWhole(obj)
		closeObject(obj)
		if err != nil {
			s.damaged(f.key, err)
			return false
		}
		out.whole = whole
		if !s.purges.Purged(f.key, head) {
			s.filled(f.key, head, whole)
		}
	} else {
		first := &objectBody{obj: obj, size: head.Length}
		if err := first.open(); err != nil {
			closeObject(obj)
			s.damaged(f.key, err)
			return false
		}
		out.held = obj
	}
	if !s.flights.settle(f, out) && out.held != nil {
		closeObject(out.held)
	}
	return true
}

// settleValidated freshens obj by a 304, RFC 9111 4.3.4, and answers with it. It is
// false when the 304 does not name what is stored or the body cannot be read. obj
// and rep are used up in every case.
func (s *Shield) settleValidated(f *flight, obj Object, rep *reply, d rfc9111.Decision) bool {
	_ = rep.body.Close()
	if obj == nil {
		return false
	}
	fresh, ok := rfc9111.Freshen(verdictRequest(f.req), obj.Response(), s.trimmed(f.req, rep.head), &f.req.Plan.Rules)
	if !ok {
		closeObject(obj)
		return false
	}
	fresh.Epoch = f.epoch
	fresh.Tags = f.req.Plan.ResponseTags(f.req.Params, fresh)
	s.counts.validated.Add(1)
	d.Shield, d.Status, d.ForwardStatus = rfc9111.TierHit, rfc9111.StatusOK, http.StatusNotModified
	s.weigh(f.req, fresh)
	if !s.purges.Purged(f.key, fresh) {
		d.Stored = true
		if err := s.store.Freshen(f.key, fresh); err != nil {
			d.Stored = false
			s.report(fmt.Errorf("%w: freshen: %w", ErrStore, err))
		}
	}
	return s.settleObject(f, obj, fresh, outcome{decision: d, asked: true})
}

// shareable says whether those who waited may have a stored response too, or only
// the one it was fetched for: not when each use needs a validation of its own,
// RFC 9111 5.2.2.4, or when it is good for this once.
func shareable(head *rfc9111.Response) bool {
	t := &head.Terms
	return !t.NoCache && t.Lifetime+t.StaleWhileRevalidate > t.InitialAge
}

// weigh says at the headers of a storable response whether waiting for it is
// worth anybody's time.
func (s *Shield) weigh(req *policy.Request, head *rfc9111.Response) {
	if shareable(head) {
		s.passes.forget(req.Keyed.Key.Digest())
	} else {
		s.avoid(req)
	}
}

// trimmed returns head without the fields that the route removes.
func (s *Shield) trimmed(req *policy.Request, head *rfc9111.Response) *rfc9111.Response {
	for _, name := range req.Plan.RemoveResponseHeaders {
		head.Header.Del(name)
	}
	return head
}

// receive decides at the headers what becomes of an answer.
func (s *Shield) receive(f *flight, rep *reply, d rfc9111.Decision, had bool) {
	head := s.trimmed(f.req, rep.head)
	head.Epoch = f.epoch
	rules := &f.req.Plan.Rules
	v := rfc9111.Storable(rfc9111.Request{Method: f.req.Method, Header: rfc9111.Conditional(f.req.Header, nil)}, head, rules)
	d.Status = v.Status
	if !v.Store {
		s.rememberPass(f.req, head)
		if had && isGone(head.Status) {
			s.forget(f.key)
		}
		s.letGo(f, head, rep.body, d)
		return
	}
	if s.tooLong(head.Length) || !rep.framed {
		s.avoid(f.req)
		d.Status = rfc9111.StatusPass
		s.letGo(f, head, rep.body, d)
		return
	}
	head.Terms, head.Selection = v.Terms, v.Selection
	head.Header.Del("Age") // it is in the terms
	head.Tags = f.req.Plan.ResponseTags(f.req.Params, head)
	small := s.opts.Listener != nil && head.Length <= s.opts.MemoryObject
	c := claim{selection: head.Selection, wanted: s.store != nil || small, open: shareable(head)}
	if !s.flights.claim(f, c) {
		d.Status = rfc9111.StatusPass
		s.letGo(f, head, rep.body, d)
		return
	}
	s.weigh(f.req, head)
	s.fill(f, rep, head, d)
}

func isGone(status int) bool { return status == http.StatusNotFound || status == http.StatusGone }

func (s *Shield) tooLong(n int64) bool { return s.store != nil && n > s.store.MaxObject() }

// letGo releases everybody but the leader.
func (s *Shield) letGo(f *flight, head *rfc9111.Response, body io.ReadCloser, d rfc9111.Decision) {
	if rb, ok := body.(*replyBody); ok {
		rb.endless(head.Header.Get("Content-Type"))
	}
	head = passedOn(head)
	if !s.flights.settle(f, outcome{kind: passing, head: head, pass: body, decision: d}) {
		_ = body.Close()
	}
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
	now := s.opts.Now()
	span := 10*time.Second + time.Duration(s.opts.Random()*float64(110*time.Second))
	s.passes.remember(req.Keyed.Key.Digest(), now, now.Add(span))
}

// fill shares and stores a body as it comes.
func (s *Shield) fill(f *flight, rep *reply, head *rfc9111.Response, d rfc9111.Decision) {
	defer func() { _ = rep.body.Close() }()
	var w Writer
	if s.store != nil {
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
	f.body.begin(w, head.Length, s.opts.MemoryObject)
	if !s.flights.settle(f, outcome{kind: sharing, head: head, asked: true, decision: d}) {
		return // it overran; what was begun is freed when it drains
	}
	tail, err := s.copyBody(f, rep.body, w, head.Length)
	if err != nil {
		s.counts.error(err)
		f.body.end(err)
		return
	}
	final := *head
	final.Length = tail.size
	s.finish(f, &final, tail)
}

// A tail is the end of a body that was received whole.
type tail struct {
	held    int   // bytes that are not published yet
	size    int64 // of the whole body
	storing bool  // the store has all of it
}

// copyBody moves the body from the origin to readers and store, all but what came
// last. A body that is not as long as was said is an error.
func (s *Shield) copyBody(f *flight, src io.Reader, w Writer, length int64) (tail, error) {
	b := f.body
	t := tail{storing: w != nil}
	for length != 0 {
		if err := b.admit(f.ctx); err != nil {
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
		case length >= 0 && t.size > length:
			return t, fmt.Errorf("%w: body longer than its length of %d", ErrOriginProtocol, length)
		case err == nil:
			b.publish(n)
		case !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return t, err
		case t.size < length:
			return t, fmt.Errorf("%w: %d of %d bytes", ErrOriginTruncated, t.size, length)
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
	if s.purges.Purged(f.key, head) {
		s.counts.notStored.Add(1)
		t.storing = false
	} else {
		s.keep(f, head, t.storing)
		if whole != nil {
			s.filled(f.key, head, whole)
		}
		s.counts.filled.Add(1)
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
