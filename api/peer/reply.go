package peer

import (
	"time"

	"weir/rfc9111"
)

// Reply is what the shield says before a body.
type Reply struct {
	Head     *rfc9111.Response
	Decision rfc9111.Decision
	Trailer  []string // names that are announced; nil when nothing may follow the body

	Varied, Mixed bool // as in rfc9111.Answer
	Content       bool // the answer has a body, sent or not
	Body          bool // and it follows
	Alone         bool // it is for the client that asked: nothing of it may be kept or shared

	Came  time.Time // the shield's clock when the question had come
	Epoch uint64    // the shield's
}

// Encode returns the binary form of r.
func (r *Reply) Encode() []byte {
	e := make(encoder, 0, 512)
	e.time(r.Came)
	e.uint(r.Epoch)
	e.flags(r.Varied, r.Mixed, r.Content, r.Body, r.Alone, r.Trailer != nil)
	e.texts(r.Trailer)
	d := &r.Decision
	for _, s := range []string{
		string(d.Use), string(d.Outer), string(d.Shield), string(d.Status), string(d.Forward), string(d.OuterForward), d.Detail,
	} {
		e.text(s)
	}
	e.uint(uint64(d.ForwardStatus))
	e.flags(d.Stored, d.Collapsed, d.HasTTL)
	e.int(int64(d.TTL))
	return r.Head.Encode(e)
}

// DecodeReply parses what Encode wrote. The error is [ErrMalformed].
func DecodeReply(src []byte) (*Reply, error) {
	d, r := decoder{s: string(src)}, &Reply{}
	r.Came, r.Epoch = d.time(), d.uint()
	trails := false
	d.flags(&r.Varied, &r.Mixed, &r.Content, &r.Body, &r.Alone, &trails)
	r.Trailer = d.texts()
	if trails && r.Trailer == nil {
		r.Trailer = []string{}
	}
	dec := &r.Decision
	dec.Use, dec.Outer, dec.Shield = rfc9111.Use(d.text()), rfc9111.TierUse(d.text()), rfc9111.TierUse(d.text())
	dec.Status = rfc9111.CachingStatus(d.text())
	dec.Forward, dec.OuterForward, dec.Detail = rfc9111.Forward(d.text()), rfc9111.Forward(d.text()), d.text()
	dec.ForwardStatus = int(d.uint() % 1000)
	d.flags(&dec.Stored, &dec.Collapsed, &dec.HasTTL)
	dec.TTL = time.Duration(d.int())
	if d.bad {
		return nil, ErrMalformed
	}
	head, err := rfc9111.DecodeResponse([]byte(d.s))
	if err != nil || head.Status < 200 || head.Status > 599 {
		return nil, ErrMalformed
	}
	r.Head = head
	return r, nil
}

// shift moves the times of r's head to the clock of an edge that asked at asked. They are
// told from it as asked is: where that is monotonic, no step of the edge's clock makes what
// is held look younger than it is, to its age or to a blind edge.
func (r *Reply) shift(asked time.Time) {
	for _, t := range []*time.Time{&r.Head.RequestTime, &r.Head.ResponseTime} {
		if !t.IsZero() {
			*t = asked.Add(t.Sub(r.Came))
		}
	}
}
