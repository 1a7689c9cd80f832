package api

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"weir/api/peer"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// ShieldAnswer is what a shield would answer an edge.
type ShieldAnswer struct {
	Known   bool            `json:"known"`            // otherwise it would ask the origin
	Status  int             `json:"status,omitempty"` // of an answer
	Use     rfc9111.Use     `json:"use,omitempty"`
	Forward rfc9111.Forward `json:"forward,omitempty"` // why the origin is asked first
	Detail  string          `json:"detail,omitempty"`
	Refused *ErrorText      `json:"refused,omitempty"`
}

// shieldPart is what a shield has to say when an edge explains a request.
type shieldPart struct {
	Now     ShieldAnswer     `json:"now"`
	Key     string           `json:"key"` // digest, "" for none
	Held    *HeldTier        `json:"held"`
	Usable  bool             `json:"usable"` // in the place of an origin that fails
	Storing []StoringVerdict `json:"storing"`
}

// explain tells an edge what would become here of what it asks, in a rehearsal.
func (d *PeerDoor) explain(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(d.door.opts.ReadTimeout))
	body := bufio.NewReader(r.Body)
	ask, frame, err := readAsk(body)
	if err != nil {
		d.refuse(w, err)
		return
	}
	below := d.opts.Explains.Rehearse(false)
	defer below.Close()
	var p probe
	x := &exchange{
		door: d.door.rehearsal(below), w: &headOnly{header: http.Header{}}, r: asked(r, ask, body, frame), rc: *rc,
		peer: ask, probe: &p, record: Record{Began: d.door.opts.Now()},
	}
	x.begin()
	part := x.explainHere(d.opts.Explains)
	_ = rc.SetReadDeadline(time.Time{})
	answer, err := json.Marshal(part)
	if err != nil {
		d.refuse(w, err)
		return
	}
	d.write(w, answer)
}

// readAsk reads what an edge wants, and how long that was.
func readAsk(body *bufio.Reader) (ask *peer.Ask, frame int, err error) {
	src, err := peer.ReadFrame(body, peer.MaxHead)
	if err != nil {
		return nil, 0, refuseMessage
	}
	ask, err = peer.DecodeAsk(src)
	switch {
	case err != nil:
		return nil, 0, refuseMessage
	case ask.Hops > 1:
		return nil, 0, peer.ErrLoop
	}
	return ask, len(src), nil
}

// explainHere has the request admitted and answered in the rehearsal.
func (x *exchange) explainHere(s *shield.Shield) *shieldPart {
	part := &shieldPart{Storing: []StoringVerdict{}}
	req, err := x.admitPeer()
	if err == nil {
		part.Now, err = x.wouldAnswer(req)
	}
	if err != nil {
		part.Now = ShieldAnswer{Known: true, Refused: errorText(faultOf(err))}
	}
	if req != nil && req.Bypass == "" {
		digest := req.Keyed.Key.Digest()
		part.Key = hex.EncodeToString(digest[:])
		part.Held, part.Storing = account(s, req, &part.Usable)
	}
	return part
}

func (x *exchange) wouldAnswer(req *policy.Request) (ShieldAnswer, error) {
	ans, err := x.door.tier.Fetch(x.r.Context(), req)
	var unknown *unasked
	if errors.As(err, &unknown) {
		d := unknown.decision
		return ShieldAnswer{Use: d.Use, Forward: d.Forward, Detail: d.Detail}, nil
	}
	if err != nil {
		return ShieldAnswer{}, err
	}
	if ans.Body != nil {
		_ = ans.Body.Close() // nothing is lost by an error
	}
	d := ans.Decision
	return ShieldAnswer{Known: true, Status: ans.Head.Status, Use: d.Use, Forward: d.Forward, Detail: d.Detail}, nil
}

// account is what a shield holds under a key, and the verdicts on storing that follow.
func account(s *shield.Shield, req *policy.Request, usable *bool) (*HeldTier, []StoringVerdict) {
	a := s.Account(req)
	t := held(a.Stored, usable)
	t.HitForPass, t.OriginFailing, t.Fetching = a.HitForPass, a.Failing, a.Fetching
	if !a.Listed {
		t.Note = "This node has no store."
	}
	verdicts := []StoringVerdict{storing("request", a.Best)}
	i := slices.IndexFunc(a.Stored, func(s rfc9111.Standing) bool { return s.Selected && s.Response.Parts == nil })
	if i >= 0 {
		verdicts = append(verdicts, storing("stored", storedAgain(req, a.Stored[i].Response)))
	}
	return t, verdicts
}

// tellBeyond adds what the shield says that this node asks.
func (e *Explainer) tellBeyond(ctx context.Context, x *Explanation, req *policy.Request, usable *bool) {
	part, err := e.askBeyond(ctx, req)
	switch {
	case errors.Is(err, shield.ErrParent):
		x.Shield.Note = "The shield cannot be reached: what it holds is not known."
	case err != nil:
		f := faultOf(err)
		x.Shield.Note = "The shield does not tell what it holds: " + f.message
	case part.Key != x.Key.Digest:
		x.Shield.Note = "The shield makes another key of the request, by another policy: it holds nothing for this one."
		x.ShieldNow = &part.Now
	default:
		x.ShieldNow, x.Storing = &part.Now, part.Storing
		*usable = *usable || part.Usable
		own := x.Shield
		x.Shield = part.Held
		x.Shield.HitForPass = x.Shield.HitForPass || own.HitForPass
		x.Shield.OriginFailing = x.Shield.OriginFailing || own.OriginFailing
		x.Shield.Fetching = x.Shield.Fetching || own.Fetching
		if !x.Now.Known {
			x.Now.Asks = !part.Now.Known || part.Now.Forward != ""
		}
	}
}

func (e *Explainer) askBeyond(ctx context.Context, req *policy.Request) (*shieldPart, error) {
	answer, err := e.parent.Explain(ctx, req)
	if err != nil {
		return nil, err
	}
	part := &shieldPart{}
	if err := json.Unmarshal(answer, part); err != nil || part.Key != "" && part.Held == nil {
		return nil, peer.ErrMalformed
	}
	return part, nil
}
