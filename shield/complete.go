package shield

import (
	"net/http"

	"weir/rfc9111"
)

// prepareCompletion has f ask for what is missing of the parts that are stored, if there
// are some that can be completed, RFC 9111 3.4. It says whether it does.
func (s *Shield) prepareCompletion(f *flight) bool {
	if !f.req.Plan.StorePartial || f.req.Whole != nil || f.req.Method != http.MethodGet || f.stored != nil {
		return false
	}
	obj, _ := s.find(asParts(f.req))
	if obj == nil {
		return false
	}
	held := obj.Response()
	header, ok := held.Parts.Completion(f.req.Header, held)
	if !ok {
		closeObject(obj)
		return false
	}
	f.parts, f.ranged = obj, header
	return true
}

// completed makes the head of the whole from the answer to a completion. Where the parts
// are of no use with it, they are given up, and an answer to the range alone is
// followed by a request without.
func (s *Shield) completed(f *flight, head *rfc9111.Response, d *rfc9111.Decision) (*rfc9111.Response, error) {
	switch head.Status {
	case http.StatusPartialContent:
		whole, r, ok := rfc9111.Complete(verdictRequest(f.req), f.parts.Response(), head, &f.req.Plan.Rules)
		if ok && f.reply.framed {
			d.ForwardStatus = head.Status
			f.rest, f.reply.trailer = r, nil // which is the rest's alone
			return whole, nil
		}
	case http.StatusRequestedRangeNotSatisfiable:
	default:
		s.giveUpParts(f, head)
		return head, nil
	}
	return s.askForAll(f)
}

// askForAll asks without a range after all.
func (s *Shield) askForAll(f *flight) (*rfc9111.Response, error) {
	f.dropParts()
	head, err := s.ask(f)
	s.failed(f, head, err)
	return head, err
}

// readHeld reads from what f held before, where that is what comes next. It is false
// where the reply has it.
func (b *supply) readHeld(p []byte) (n int, ok bool) {
	if !b.joins() || b.at >= b.begin && !b.over {
		return 0, false
	}
	parts := b.f.parts.Response().Parts
	limit := parts.From(b.at)
	if b.at < b.begin {
		limit = min(limit, b.begin-b.at)
	}
	if limit == 0 {
		return 0, false
	}
	p = p[:min(int64(len(p)), limit)]
	n, err := b.f.parts.ReadAt(p, parts.Below(b.at))
	b.at += int64(n)
	if n < len(p) {
		b.broken = unreadable(b.at, err)
		b.s.damaged(partsKey(b.f.key), b.f.parts.Response(), b.broken)
	}
	return n, true
}

// joined is the head of the parts that the whole of f begins or ends with, or nil.
func (f *flight) joined() *rfc9111.Response {
	if f.parts == nil || f.part != "" {
		return nil
	}
	return f.parts.Response()
}

// joins says whether the body is made of parts that were held and of the reply.
func (b *supply) joins() bool { return b.f.joined() != nil }
