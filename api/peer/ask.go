package peer

import (
	"net/http"
	"slices"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// Ask is what an edge wants of the shield: a client's request as the edge received it,
// and what the edge decided about it.
type Ask struct {
	Method, Scheme, Host string
	Target               string      // as the edge forwards it
	Query                string      // the client's, if QueryChanged
	QueryChanged         bool        // Target has another query
	Header               http.Header // of which route and key are made
	Client               string      // address
	Destination          string      // origin's name after the split test, "" without a split
	Bypass               rfc9111.CachingStatus
	Key                  keying.Digest // of the edge, what it would store the answer under; zero with Bypass
	MinEpoch             uint64
	Region               string
	Hops                 uint64 // nodes that have asked so far, with this one

	Settling, MustBeFresh, TakesTrailers, Interim bool

	Resume *Resume // for the rest of an answer; nil mostly
}

// Resume names the rest of a body that was cut short.
type Resume struct {
	Offset    int64
	Validator string
	Coding    string
	Size      int64 // of the whole, -1 when it was not known
	Selection rfc9111.Selection
}

// freely are fields of a request that a tier changes on its way, so that they count as
// they are and not as they were received.
var freely = []string{
	"Cache-Control", "Pragma", "Range", "If-Range",
	"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since",
}

// askFor is what a request is asked with.
func askFor(req *policy.Request, region string) *Ask {
	a := &Ask{
		Method: req.Method, Scheme: req.Scheme, Host: req.Host, Target: req.Target,
		Query: req.Keyed.OriginalQuery, QueryChanged: req.Keyed.QueryChanged,
		Header: req.Header, Client: req.Client,
		Bypass: req.Bypass, MinEpoch: req.MinEpoch, Region: region, Hops: 1,
		Settling: req.Settling, MustBeFresh: req.MustBeFresh,
		TakesTrailers: req.TakesTrailers, Interim: req.Interim != nil,
	}
	if req.Plan != nil && req.Plan.Split != nil {
		a.Destination = req.Origin
	}
	if req.Received != nil {
		a.Header = req.Received.Clone()
		for _, name := range freely {
			if values, ok := req.Header[name]; ok {
				a.Header[name] = values
			} else {
				delete(a.Header, name)
			}
		}
	}
	if req.Bypass == "" {
		if a.Key = req.Keyed.Key.Digest(); req.WholeKey != (keying.Digest{}) {
			a.Key = req.WholeKey
		}
		if req.Received == nil {
			a.Header = req.Header.Clone()
		}
		delete(a.Header, "Accept-Encoding")
		if lines := req.Keyed.Accepts.Lines(); lines != nil {
			a.Header["Accept-Encoding"] = lines
		}
	}
	return a
}

// Encode returns the binary form of a.
func (a *Ask) Encode() []byte {
	e := make(encoder, 0, 512)
	for _, s := range []string{a.Method, a.Scheme, a.Host, a.Target, a.Query, a.Client, a.Destination, string(a.Bypass), a.Region} {
		e.text(s)
	}
	e.digest(a.Key)
	e.uint(a.MinEpoch)
	e.uint(a.Hops)
	e.flags(a.QueryChanged, a.Settling, a.MustBeFresh, a.TakesTrailers, a.Interim, a.Resume != nil)
	e.header(a.Header)
	if r := a.Resume; r != nil {
		e.uint(uint64(r.Offset))
		e.text(r.Validator)
		e.text(r.Coding)
		e.int(r.Size)
		e.text(string(r.Selection))
	}
	return e
}

// DecodeAsk parses what Encode wrote. The error is [ErrMalformed].
func DecodeAsk(src []byte) (*Ask, error) {
	d, a := decoder{s: string(src)}, &Ask{}
	bypass := ""
	for _, s := range []*string{&a.Method, &a.Scheme, &a.Host, &a.Target, &a.Query, &a.Client, &a.Destination, &bypass, &a.Region} {
		*s = d.text()
	}
	a.Bypass = rfc9111.CachingStatus(bypass)
	a.Key, a.MinEpoch, a.Hops = d.digest(), d.uint(), d.uint()
	resumes := false
	d.flags(&a.QueryChanged, &a.Settling, &a.MustBeFresh, &a.TakesTrailers, &a.Interim, &resumes)
	a.Header = d.header()
	if resumes {
		a.Resume = &Resume{
			Offset: int64(d.uint()), Validator: d.text(), Coding: d.text(),
			Size: d.int(), Selection: rfc9111.Selection(d.text()),
		}
		if a.Resume.Offset < 0 {
			d.fail()
		}
	}
	for name := range a.Header {
		if name != http.CanonicalHeaderKey(name) {
			d.fail()
		}
	}
	if a.Bypass != "" && !slices.Contains(statuses, a.Bypass) {
		d.fail()
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return a, nil
}

// statuses are those that a node may pass a request for.
var statuses = []rfc9111.CachingStatus{
	rfc9111.StatusDisabled, rfc9111.StatusMethod, rfc9111.StatusBodyTooBig, rfc9111.StatusDebug,
	rfc9111.StatusDeployment, rfc9111.StatusPass, rfc9111.StatusPrivate, rfc9111.StatusCode,
	rfc9111.StatusNoMaxAge, rfc9111.StatusSetCookie,
}

// resumeOf names the rest of a response from an offset. ok is false when no other
// answer could be told to be of the same version.
func resumeOf(head *rfc9111.Response, offset int64) (r *Resume, ok bool) {
	v, ok := versionOf(head)
	if !ok || head.Status != http.StatusOK || head.Parts != nil {
		return nil, false
	}
	return &Resume{Offset: offset, Validator: v.Validator, Coding: v.Coding, Size: head.Length, Selection: v.Selection}, true
}

// versionOf is the version of a response whose size need not be known yet.
func versionOf(head *rfc9111.Response) (rfc9111.Version, bool) {
	sized := *head
	sized.Length = max(head.Length, 0)
	return sized.Version()
}

// Of says whether head is of the version that r names.
func (r *Resume) Of(head *rfc9111.Response) bool {
	v, ok := versionOf(head)
	if !ok || head.Status != http.StatusOK || head.Parts != nil {
		return false
	}
	sameSize := r.Size < 0 || head.Length < 0 || r.Size == head.Length
	return sameSize && v.Validator == r.Validator && v.Coding == r.Coding && v.Selection == r.Selection &&
		(head.Length < 0 || r.Offset <= head.Length)
}
