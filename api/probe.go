package api

import (
	"context"
	"errors"
	"net/http"

	"go.uber.org/zap"

	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// A probe notes what an exchange comes to that is rehearsed. A nil one, which requests of
// clients have, notes nothing.
type probe struct {
	table       *policy.Table
	match       policy.MatchRequest
	admission   []rfc9111.Finding
	destination string
	req         *policy.Request   // nil until a route is known
	open        *rfc9111.Decision // what is known where somebody would have to be asked
	fault       *fault            // what the client got, nil for an answer
	refused     error             // why the rehearsal cannot be
}

// What keeps a request from the caches at the door.
var (
	pathAmbiguous  = rfc9111.Finding{Rule: "ambiguous-path", Says: "Some origins would read the path as that of another route."}
	wantsUpgrade   = rfc9111.Finding{Rule: "upgrade", Says: "The request asks for another protocol, RFC 9110 7.8."}
	routeDisabled  = rfc9111.Finding{Rule: "edge-false", Says: "The route says edge: false."}
	nodeDisabled   = rfc9111.Finding{Rule: "development", Says: "The node runs with --dev, which caches nothing."}
	wantsDebug     = rfc9111.Finding{Rule: "debug", Says: "The request has x-cache-debug: 1, and its client may."}
	methodUnnamed  = rfc9111.Finding{Rule: "method", Says: "The method is not GET or HEAD and the route does not name it, RFC 9111 3."}
	pinnedRegion   = rfc9111.Finding{Rule: "region", Says: "The route names its regions, and this is none of them."}
	readWithBody   = rfc9111.Finding{Rule: "content", Says: "The request has content that its method gives no meaning, RFC 9110 9.3.1."}
	contentTooLong = rfc9111.Finding{Rule: "body-too-big", Says: "The request has more than 8000 bytes of content, too many for a key."}
	noGraphQLQuery = rfc9111.Finding{Rule: "graphql", Says: "The request is not plainly one GraphQL query."}
)

// holds is the condition of one case of a switch, and notes what came of it.
func (p *probe) holds(is bool, rule *rfc9111.Finding) bool {
	if p == nil {
		return is
	}
	return p.note(is, rule)
}

//go:noinline
func (p *probe) note(is bool, rule *rfc9111.Finding) bool {
	f := *rule
	f.Holds = is
	p.admission = append(p.admission, f)
	return is
}

func (p *probe) matched(t *policy.Table, m policy.MatchRequest) {
	if p != nil {
		p.table, p.match = t, m
	}
}

func (p *probe) admits(req *policy.Request, destination string) {
	if p != nil {
		p.req, p.destination = req, destination
	}
}

func (p *probe) fails(f *fault) {
	if p != nil {
		p.fault = f
	}
}

// ends notes what the tiers said, and says whether the rehearsal is over with it.
func (p *probe) ends(req *policy.Request, err error) bool {
	if p == nil {
		return false
	}
	p.req = req // which is another where an answer said so of its query
	var unknown *unasked
	if errors.As(err, &unknown) {
		p.open = &unknown.decision
		return true
	}
	if errors.Is(err, shield.ErrUnsafe) || errors.Is(err, shield.ErrNotHere) {
		p.refused = err
		return true
	}
	return false
}

// unasked ends a rehearsal where somebody would have to be asked.
type unasked struct{ decision rfc9111.Decision }

func (*unasked) Error() string { return "api: rehearsal: nobody is asked" }

// rehearsedTier is a tier in which an answer without a status is none.
type rehearsedTier struct{ Tier }

func (t rehearsedTier) Fetch(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	ans, err := t.Tier.Fetch(ctx, req)
	if err == nil && ans.Head.Status == 0 {
		return nil, &unasked{ans.Decision}
	}
	return ans, err
}

// rehearsal is a door like d in front of another tier. It counts and logs for itself.
func (d *Door) rehearsal(tier Tier) *Door {
	own := &Door{tier: rehearsedTier{tier}, table: d.table, opts: d.opts}
	own.opts.Log = zap.NewNop()
	own.searches.under = &d.searches
	return own
}

// rehearse has r answered as far as the head. p notes what there is to say beside it.
func (d *Door) rehearse(r *http.Request, p *probe) (head *headOnly, record *Record, err error) {
	head = &headOnly{header: http.Header{}}
	x := &exchange{door: d, w: head, r: r, rc: *http.NewResponseController(head), probe: p, record: Record{Began: d.opts.Now()}}
	defer func() {
		record = &x.record
		if v := recover(); v != nil {
			if left, ok := v.(error); !ok || !errors.Is(left, http.ErrAbortHandler) {
				err = panicFault(v)
			}
		}
	}()
	x.begin()
	x.serve()
	if p.open != nil {
		x.record.Decision = *p.open
		x.tell(head.header, p.open)
	}
	return head, &x.record, p.refused
}

// headOnly is a client that leaves when it has the head of its response.
type headOnly struct {
	header http.Header
	status int
}

func (h *headOnly) Header() http.Header { return h.header }

func (h *headOnly) WriteHeader(status int) {
	if status >= 200 {
		h.status = status
	}
}

var errHeadOnly = errors.New("api: rehearsal: the head is enough")

func (h *headOnly) Write([]byte) (int, error) { return 0, errHeadOnly }
