package shield

import (
	"context"
	"net/http"

	"weir/policy"
	"weir/rfc9111"
)

// accepted is the Accept-Encoding that f's request is sent with. A flight whose answer is most
// likely for its client alone asks for what that client accepts; not where something is to
// be validated, which was chosen by the key's, nor for slices, which others go together with.
func (f *flight) accepted() string {
	if f.apart {
		return f.req.Keyed.Accepts.String()
	}
	return f.req.Keyed.AcceptEncoding
}

// unfit says whether obj has to be passed by because its coding is not for req's client.
func unfit(req *policy.Request, obj Object) bool {
	return obj != nil && req.Fit(obj.Response()) == policy.Unfit
}

// ofAnotherSize says whether head tells that a range does not exist in a form which may not be that
// for req's client: the origin was asked for any coding, and has chosen one.
func ofAnotherSize(req *policy.Request, head *rfc9111.Response) bool {
	return head.Status == http.StatusRequestedRangeNotSatisfiable && req.Keyed.Accepts.String() != req.Keyed.AcceptEncoding
}

// passUnfit forwards a request whose client accepts none of the codings in which the response
// for everybody may be sent, RFC 9111 5.2.2.6.
func (s *Shield) passUnfit(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	v := rfc9111.Judge(verdictRequest(req), nil, &req.Plan.Rules, s.opts.Now())
	if v.Reuse == rfc9111.ReuseGateway {
		return nil, ErrOnlyIfCached
	}
	own := *req
	own.Keyed.AcceptEncoding = req.Keyed.Accepts.String() // for HEAD, too
	return s.passAlone(ctx, &own, rfc9111.Verdict{Forward: rfc9111.ForwardVary}, "coding")
}

// fitting returns ans if it can be sent to req's client, and what that gets instead otherwise.
// An error is passed on.
func (s *Shield) fitting(ctx context.Context, req *policy.Request, ans *rfc9111.Answer, err error) (*rfc9111.Answer, error) {
	if err != nil || req.Fit(ans.Head) != policy.Unfit {
		return ans, err
	}
	closeAnswer(ans)
	return s.passUnfit(ctx, req)
}

// sendPass asks for an answer that is for req's client alone, in a coding that it accepts.
// HEAD asks for what a GET would fetch, RFC 9110 9.3.2, as long as that is fit for the client,
// and without conditions: they may be about another form of it.
func (s *Shield) sendPass(ctx context.Context, req *policy.Request) (*reply, error) {
	own := req.Keyed.Accepts.String()
	if req.Method == http.MethodHead && own != req.Keyed.AcceptEncoding {
		all := *req
		all.Header = rfc9111.Conditional(req.Header, nil)
		rep, err := s.sendHearing(ctx, req, forPass(&all, req.Keyed.AcceptEncoding))
		if err != nil || req.Fit(rep.head) != policy.Unfit {
			return rep, err
		}
		_ = rep.body.Close()
	}
	return s.sendHearing(ctx, req, forPass(req, own))
}
