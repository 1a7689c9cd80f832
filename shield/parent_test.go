package shield_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// up is the way from an edge to its parent. It can be cut.
type up struct {
	parent *setup
	asked  atomic.Int64
	cut    atomic.Bool
	seen   atomic.Pointer[policy.Request]
}

func (u *up) Fetch(ctx context.Context, req *policy.Request) (*rfc9111.Answer, error) {
	u.asked.Add(1)
	u.seen.Store(req)
	if u.cut.Load() {
		return nil, fmt.Errorf("%w: cut", shield.ErrParent)
	}
	return u.parent.shield.Fetch(ctx, req)
}

// startEdge starts a shield with a store, and a node without that asks it.
func startEdge(t *testing.T, o options) (edge *setup, link *up) {
	t.Helper()
	link = &up{parent: start(t, o)}
	edge = start(t, options{policy: o.policy, noStore: true, shield: shield.Options{Parent: link}})
	edge.table.Fallback = true
	return edge, link
}

func TestEdgesShareOneRequestToTheOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		edge, link := startEdge(t, options{})
		gate := make(chan struct{})
		link.parent.origin.answer(func(*http.Request) (*http.Response, error) {
			<-gate
			return respond(200, "page", "Cache-Control", cacheable), nil
		})
		go func() {
			synctest.Wait()
			close(gate)
		}()
		collapsed := 0
		for _, r := range many(200, func(int) result { return edge.get("/a") }) {
			r.want(t, "page", rfc9111.Miss, rfc9111.StatusOK)
			if r.decision.Shield != rfc9111.TierCached {
				t.Errorf("shield %q", r.decision.Shield)
			}
			if r.decision.Collapsed {
				collapsed++
			}
		}
		if n := link.asked.Load(); n != 1 || collapsed != 199 {
			t.Errorf("%d requests to the parent, %d collapsed", n, collapsed)
		}
		link.parent.wantOrigin(1)
		edge.wantOrigin(0)
		if n := edge.memory.fillCount(); n != 1 {
			t.Errorf("%d fills", n)
		}
	})
}

func TestAHitOfTheShieldIsOne(t *testing.T) {
	edge, link := startEdge(t, options{})
	link.parent.get("/a").want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
	r := edge.get("/a")
	r.want(t, "body", rfc9111.Hit, rfc9111.StatusOK)
	if r.decision.Shield != rfc9111.TierHit || r.decision.Forward != "" {
		t.Errorf("%+v", r.decision)
	}
	link.parent.wantOrigin(1)
}

func TestEachGetsItsOwnPrivateAnswerThroughTheShield(t *testing.T) {
	edge, link := startEdge(t, options{})
	link.parent.origin.answer(func(r *http.Request) (*http.Response, error) {
		return respond(200, r.Header.Get("Cookie"), "Cache-Control", "private, max-age=60"), nil
	})
	for i, r := range many(50, func(i int) result { return edge.get("/me", "Cookie", "id="+number(i)) }) {
		r.want(t, "id="+number(i), rfc9111.Miss, rfc9111.StatusPrivate)
	}
	if n := edge.memory.fillCount() + link.parent.memory.fillCount(); n != 0 {
		t.Errorf("%d fills", n)
	}
}

func TestWithoutAParentTheOriginIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		edge, link := startEdge(t, options{})
		link.cut.Store(true)
		edge.origin.answer(func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return respond(200, "page", "Cache-Control", cacheable), nil
		})
		for _, r := range many(200, func(int) result { return edge.get("/a") }) {
			r.want(t, "page", rfc9111.Miss, rfc9111.StatusOK)
		}
		edge.wantOrigin(1)
		if st := edge.shield.Stats(); st.Fallbacks != 1 {
			t.Errorf("%d fallbacks", st.Fallbacks)
		}
		link.cut.Store(false)
		edge.get("/b").want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
		edge.wantOrigin(1)
		link.parent.wantOrigin(1)
	})
}

func TestWithoutFallbackTheParentIsMissed(t *testing.T) {
	edge, link := startEdge(t, options{})
	edge.table.Fallback = false
	link.cut.Store(true)
	for _, target := range []string{"/a", "HEAD /a", "POST /a"} {
		if r := edge.get(target); !errors.Is(r.err, shield.ErrParent) {
			t.Errorf("%s: %v", target, r.err)
		}
	}
	edge.wantOrigin(0)
}

func TestUnsafeRequestsGoThroughTheParent(t *testing.T) {
	edge, link := startEdge(t, options{})
	edge.get("/a").want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
	link.parent.origin.answer(always(204, ""))
	if r := edge.get("POST /a"); r.err != nil || r.status != 204 {
		t.Fatalf("%+v", r)
	}
	if n := link.parent.shield.Stats().Invalidations; n != 1 {
		t.Errorf("%d invalidations at the parent", n)
	}
	if n := edge.shield.Stats().Invalidations; n != 0 {
		t.Errorf("%d invalidations at the edge", n)
	}
}

// What the parent serves stale stays stale, and the refresh of an edge waits for the origin.
func TestStaleOfTheParentIsStaleHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		edge, link := startEdge(t, options{})
		link.parent.origin.answer(always(200, "old", "Cache-Control", "max-age=10, stale-while-revalidate=100", "Etag", `"1"`))
		edge.get("/a").want(t, "old", rfc9111.Miss, rfc9111.StatusOK)
		time.Sleep(20 * time.Second)
		link.parent.origin.answer(func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return respond(200, "new", "Cache-Control", cacheable, "Etag", `"2"`), nil
		})
		r := edge.get("/a")
		r.want(t, "old", rfc9111.Stale, rfc9111.StatusOK)
		if r.decision.TTL >= 0 {
			t.Errorf("ttl %s", r.decision.TTL)
		}
		edge.shield.Refresh(edge.request("/a"))
		synctest.Wait()
		if !link.seen.Load().MustBeFresh {
			t.Error("the refresh may be answered stale")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		key := edge.request("/a").Keyed.Key.Bytes()
		edge.memory.mu.Lock()
		defer edge.memory.mu.Unlock()
		if got := string(edge.memory.filled[key]); got != "new" {
			t.Errorf("memory has %q", got)
		}
		link.parent.wantOrigin(2)
	})
}

// fixed answers what a test says.
type fixed func(req *policy.Request) (*rfc9111.Answer, error)

func (f fixed) Fetch(_ context.Context, req *policy.Request) (*rfc9111.Answer, error) { return f(req) }

// An edge may hear of a purge later than of what was fetched after it.
func TestAnswersFromAheadOfTheLogAreKept(t *testing.T) {
	head := func(epoch uint64) *rfc9111.Response {
		now := time.Now()
		return &rfc9111.Response{
			Status: 200, Header: http.Header{}, RequestTime: now, ResponseTime: now, Length: 4,
			Terms: rfc9111.Terms{Lifetime: time.Minute}, Epoch: epoch,
		}
	}
	var epoch atomic.Uint64
	edge := start(t, options{noStore: true, shield: shield.Options{Parent: fixed(func(*policy.Request) (*rfc9111.Answer, error) {
		return &rfc9111.Answer{Head: head(epoch.Load()), Bytes: []byte("page"), Decision: rfc9111.Decision{Use: rfc9111.Hit, Shield: rfc9111.TierHit}}, nil
	})}})
	epoch.Store(edge.purges.Current() + 5)
	edge.get("/a")
	if n := edge.memory.fillCount(); n != 1 {
		t.Errorf("from ahead: %d fills", n)
	}
	if _, err := edge.purges.Add(shield.URLRule(keying.Base("http", "example.com", "/b"))); err != nil {
		t.Fatal(err)
	}
	epoch.Store(0)
	edge.get("/b")
	if n := edge.memory.fillCount(); n != 1 {
		t.Errorf("from before a purge: %d fills", n-1)
	}
}

func TestRangesGoUpAsTheyAre(t *testing.T) {
	edge, link := startEdge(t, options{})
	edge.get("/a", "Range", "bytes=1-2", "If-None-Match", `"x"`)
	if h := link.seen.Load().Header; h.Get("Range") == "" {
		t.Errorf("asked with %v", h)
	}
	edge.get("/b", "If-None-Match", `"x"`)
	if h := link.seen.Load().Header; h.Get("If-None-Match") != "" {
		t.Errorf("a flight asked with %v", h)
	}
}

func TestABodyThatBreaksOffAboveIsNotKept(t *testing.T) {
	edge := start(t, options{noStore: true, shield: shield.Options{Parent: fixed(func(*policy.Request) (*rfc9111.Answer, error) {
		now := time.Now()
		return &rfc9111.Answer{
			Head: &rfc9111.Response{
				Status: 200, Header: http.Header{}, RequestTime: now, ResponseTime: now, Length: 10,
				Terms: rfc9111.Terms{Lifetime: time.Minute},
			},
			Body:     respond(200, strings.Repeat("x", 4)).Body,
			Decision: rfc9111.Decision{Use: rfc9111.Hit, Shield: rfc9111.TierHit},
		}, nil
	})}})
	if r := edge.get("/a"); r.err == nil {
		t.Errorf("%q without an error", r.body)
	}
	if n := edge.memory.fillCount(); n != 0 {
		t.Errorf("%d fills", n)
	}
}

func TestAnEpochFromAheadIsNotAnsweredFromTheStore(t *testing.T) {
	s := start(t, options{})
	s.get("/a").want(t, "body", rfc9111.Miss, rfc9111.StatusOK)
	req := s.request("/a")
	req.MinEpoch = s.purges.Newest()
	s.fetch(t.Context(), req).want(t, "body", rfc9111.Hit, rfc9111.StatusOK)
	req.MinEpoch++
	r := s.fetch(t.Context(), req)
	if r.decision.Use != rfc9111.Miss || r.decision.Detail != "min-epoch" {
		t.Errorf("%+v", r.decision)
	}
	s.wantOrigin(2)
}

// A write that went around the parent is not taken back by what the parent still has.
func TestTheParentHasNotHeardOfAWrite(t *testing.T) {
	link := &up{parent: start(t, options{})}
	edge := start(t, options{noStore: true, purges: shield.NewFollower(), shield: shield.Options{Parent: link}})
	edge.table.Fallback = true
	edge.purges.Apply(link.parent.purges.Since(shield.LogID{}, 0))
	link.parent.origin.answer(always(200, "old", "Cache-Control", cacheable))
	edge.get("/a").want(t, "old", rfc9111.Miss, rfc9111.StatusOK)

	link.cut.Store(true)
	edge.origin.answer(always(204, ""))
	if r := edge.get("POST /a"); r.status != 204 {
		t.Fatalf("%+v", r)
	}
	link.cut.Store(false)
	edge.origin.answer(always(200, "new", "Cache-Control", cacheable))
	for _, fields := range [][]string{nil, {"Range", "bytes=0-0"}, {"Cache-Control", "only-if-cached"}} {
		if r := edge.get("/a", fields...); r.body == "old" || r.body == "" && r.err == nil {
			t.Errorf("%v: %+v", fields, r)
		}
	}
	if r := edge.get("HEAD /a"); r.err != nil || r.decision.Use == rfc9111.Hit {
		t.Errorf("HEAD: %+v", r)
	}
	edge.get("/b").want(t, "old", rfc9111.Miss, rfc9111.StatusOK)

	// The parent hears of it, and so does the edge again.
	if _, err := link.parent.purges.Add(edge.purges.Owed()...); err != nil {
		t.Fatal(err)
	}
	edge.purges.Apply(link.parent.purges.Since(edge.purges.ID(), edge.purges.Current()))
	edge.purges.Settled(1)
	link.parent.origin.answer(always(200, "newer", "Cache-Control", cacheable))
	edge.get("/a").want(t, "newer", rfc9111.Miss, rfc9111.StatusOK)
}

// What a write through the parent made out of date is so here before the purges have come.
func TestAWriteIsSeenBeforeItsPurges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate, asked := make(chan struct{}), 0
		parent := func(req *policy.Request) (*rfc9111.Answer, error) {
			now := time.Now()
			head := &rfc9111.Response{Status: 200, Header: http.Header{}, RequestTime: now, ResponseTime: now, Epoch: 1}
			if req.Method == http.MethodPost {
				head.Status, head.Epoch = 204, 2
				return &rfc9111.Answer{Head: head, Decision: rfc9111.Decision{Use: rfc9111.Bypass}}, nil
			}
			if asked++; asked == 1 {
				defer func() { <-gate }()
			}
			head.Length, head.Terms.Lifetime = 4, time.Minute
			body := []string{"", "old!", "new!"}[asked]
			head.Epoch = uint64(asked)
			return &rfc9111.Answer{Head: head, Bytes: []byte(body), Decision: rfc9111.Decision{Use: rfc9111.Hit, Shield: rfc9111.TierHit}}, nil
		}
		edge := start(t, options{noStore: true, purges: shield.NewFollower(), shield: shield.Options{Parent: fixed(parent)}})
		edge.purges.Apply(shield.Batch{Log: shield.LogID{1}, Reset: true, Epoch: 1})
		before := make(chan result, 1)
		go func() { before <- edge.get("/a") }()
		synctest.Wait()
		if r := edge.get("POST /a"); r.status != 204 {
			t.Fatalf("%+v", r)
		}
		edge.get("/a").want(t, "new!", rfc9111.Hit, "")
		close(gate)
		r := <-before
		r.want(t, "body", rfc9111.Miss, rfc9111.StatusOK) // which the origin has; that of the parent is outdated
		if n := len(edge.purges.Owed()); n != 1 {
			t.Errorf("%d rules are owed", n)
		}
		edge.close()
	})
}
