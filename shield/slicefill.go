package shield

import (
	"net/http"

	"weir/policy"
	"weir/rfc9111"
)

// receiveSlice decides at the headers what the flight of a slice has become, and returns
// the head to go on with: that of the slice as it is stored, or of something else, and
// then f is the flight for the whole response. It returns nil when f is settled. old is
// the slice that was to be validated, or nil.
func (s *Shield) receiveSlice(f *flight, head *rfc9111.Response, d *rfc9111.Decision, old *rfc9111.Response) *rfc9111.Response {
	switch {
	case head.Status == http.StatusPartialContent:
		own, err := s.cutSlice(f, head)
		if err != nil {
			s.flights.settle(f, outcome{kind: failed, err: err})
			return nil
		}
		d.ForwardStatus = http.StatusPartialContent
		return own
	case head.Status == http.StatusRequestedRangeNotSatisfiable:
		s.flights.settle(f, outcome{kind: failed, err: errBeyond})
		return nil
	case head.Status < 300: // it does not do ranges
		s.asWhole(f.req.Whole)
	case isGone(head.Status):
		s.gone(f, head, old)
	case rfc9111.FailedStatus(head.Status):
		s.rememberFailure(f.req.Whole.Keyed.Key)
	}
	// A flight leaves the table after what it stored can be seen, so one look after the
	// other finds what any other flight for the whole came to.
	if s.flights.unslice(f, s.varies(f.req.Whole)) {
		obj := s.lookup(f.req)
		if obj == nil {
			return head
		}
		closeObject(obj)
	}
	s.flights.settle(f, outcome{kind: failed, err: errWhole})
	return nil
}

// cutSlice makes the head of a slice out of that of a 206, unless it cannot or must not
// be one of several that are put together.
func (s *Shield) cutSlice(f *flight, head *rfc9111.Response) (*rfc9111.Response, error) {
	own, part, ok := rfc9111.WholeOf(head)
	if !ok || !isSlice(f.req, part, own.Length) {
		s.asWhole(f.req.Whole)
		return nil, errWhole
	}
	shared := rfc9111.Shared(own, &f.req.Plan.Rules)
	v := s.storable(verdictRequest(f.req), shared, &f.req.Plan.Rules)
	if !v.Store {
		s.rememberPass(f.req.Whole, shared)
		return nil, errUncut
	}
	own.Terms, own.Selection = v.Terms, v.Selection
	own.Parts = &rfc9111.Parts{Size: own.Length, Held: []rfc9111.Range{part}}
	own.Length = part.Length
	if _, ok := own.Version(); !ok {
		s.asWhole(f.req.Whole)
		return nil, errWhole
	}
	f.reply.framed = true // Content-Range says where it ends
	return own, nil
}

// isSlice says whether part, of a whole of size bytes, is the slice that was asked for.
func isSlice(req *policy.Request, part rfc9111.Range, size int64) bool {
	return part.Start == req.Slice.Start && part.Length == min(req.Slice.Length, size-part.Start) &&
		(size-1)/req.Slice.Length < maxSlices
}

// unslice makes f, to which the origin gave no slice, the flight for the whole. It is
// false when another one is that already.
func (t *flights) unslice(f *flight, known []rfc9111.Selection) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	whole := f.req.Whole
	if t.findLocked(ticket{req: whole, known: known, alone: f.alone}) != nil {
		return false
	}
	f.req = whole
	t.moveLocked(f, whole.Keyed.Key)
	return true
}
