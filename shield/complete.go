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
	limit := b.held()
	if b.at < b.begin {
		limit = min(limit, b.begin-b.at)
	} else if !b.over {
		limit = 0
	}
	if limit == 0 {
		return 0, false
	}
	head := b.f.parts.Response()
	p = p[:min(int64(len(p)), limit)]
	n, err := b.f.parts.ReadAt(p, head.Parts.Below(b.at))
	b.at += int64(n)
	if n < len(p) {
		b.broken = unreadable(b.at, err)
		b.s.damaged(partsKey(b.f.key), head, b.broken)
	}
	return n, true
}

// held is how many of the next bytes were held before.
func (b *supply) held() int64 {
	if head := b.f.joined(); head != nil {
		return head.Parts.From(b.at)
	}
	return 0
}

// joined is the head of the parts that the whole of f begins or ends with, or nil.
func (f *flight) joined() *rfc9111.Response {
	if f.parts == nil || f.part != "" {
		return nil
	}
	return f.parts.Response()
}
