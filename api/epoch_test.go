package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"weir/api"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

func TestMinEpoch(t *testing.T) {
	for _, c := range []struct {
		fields []string
		want   uint64
		ok     bool
	}{
		{nil, 0, true},
		{[]string{"Cache-Min-Epoch: 0"}, 0, true},
		{[]string{"cache-min-epoch: 41"}, 41, true},
		{[]string{"Cache-Min-Epoch: 18446744073709551615"}, 1<<64 - 1, true},
		{[]string{"Connection: Cache-Min-Epoch", "Cache-Min-Epoch: 41"}, 41, true},
		{[]string{"Cache-Min-Epoch: 18446744073709551616"}, 0, false},
		{[]string{"Cache-Min-Epoch: -1"}, 0, false},
		{[]string{"Cache-Min-Epoch: +1"}, 0, false},
		{[]string{"Cache-Min-Epoch: 007"}, 0, false},
		{[]string{"Cache-Min-Epoch: 0x10"}, 0, false},
		{[]string{"Cache-Min-Epoch: 1_000"}, 0, false},
		{[]string{"Cache-Min-Epoch: 1 2"}, 0, false},
		{[]string{"Cache-Min-Epoch: 1, 2"}, 0, false},
		{[]string{"Cache-Min-Epoch: 1.0"}, 0, false},
		{[]string{"Cache-Min-Epoch:"}, 0, false},
		{[]string{"Cache-Min-Epoch: \u0664"}, 0, false},
		{[]string{"Cache-Min-Epoch: 1", "Cache-Min-Epoch: 1"}, 0, false},
	} {
		t.Run(strings.Join(c.fields, ";"), func(t *testing.T) {
			s := always(ok)
			resp := ask(t, newDoor(t, s, "", api.DoorOptions{}), append([]string{"GET /", "Host: a.test"}, c.fields...)...)
			if !c.ok {
				if body := bodyOf(t, resp); resp.StatusCode != 400 || !strings.Contains(body, `"bad-epoch"`) || len(s.requests()) > 0 {
					t.Errorf("%d %s", resp.StatusCode, body)
				}
				return
			}
			req := s.one(t)
			if req.MinEpoch != c.want || req.Header["Cache-Min-Epoch"] != nil || req.Bypass != "" {
				t.Errorf("asked for %d with %v", req.MinEpoch, req.Header)
			}
		})
	}
}

func TestEpochIsShownToThoseWhoDebug(t *testing.T) {
	opts := api.DoorOptions{
		Epoch:        func() uint64 { return 41 },
		DebugAllowed: func(r *http.Request) bool { return r.Header.Get("X-Friend") != "" },
	}
	for _, c := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"debugging", []string{"GET /", "Host: a.test", "X-Friend: 1", "X-Cache-Debug: 1"}, "41"},
		{"a request that is refused", []string{"TRACE /", "Host: a.test", "X-Friend: 1", "X-Cache-Debug: 1"}, "41"},
		{"not asked for", []string{"GET /", "Host: a.test", "X-Friend: 1"}, ""},
		{"not allowed to", []string{"GET /", "Host: a.test", "X-Cache-Debug: 1"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := ask(t, newDoor(t, always(ok), "", opts), c.lines...)
			if got := resp.Header.Get("Weir-Epoch"); got != c.want {
				t.Errorf("weir-epoch %q, want %q", got, c.want)
			}
		})
	}
}

func TestRegionsOfARoute(t *testing.T) {
	const routes = `{"name": "pinned", "match": {"path": "/pinned"}, "regions": ["fra", "lhr"]}`
	for _, c := range []struct{ region, path, bypass, detail string }{
		{"fra", "/pinned", "", ""},
		{"lhr", "/pinned", "", ""},
		{"fr", "/pinned", "pass", "detail=region"},
		{"local", "/pinned", "pass", "detail=region"},
		{"ams", "/free", "", ""},
	} {
		t.Run(c.region+c.path, func(t *testing.T) {
			s := &tier{fetch: func(_ context.Context, req *policy.Request) (*rfc9111.Answer, error) {
				a := ok()
				if req.Bypass != "" {
					a.Decision = rfc9111.Decision{Use: rfc9111.Bypass, Status: req.Bypass}
				}
				return a, nil
			}}
			resp := ask(t, newDoor(t, s, routes, api.DoorOptions{Region: c.region}), "GET "+c.path, "Host: a.test")
			if got := string(s.one(t).Bypass); got != c.bypass {
				t.Errorf("bypass %q, want %q", got, c.bypass)
			}
			if status := resp.Header.Get("Cache-Status"); !strings.Contains(status, c.detail) || c.detail == "" && strings.Contains(status, "detail") {
				t.Errorf("cache-status %q", status)
			}
		})
	}
}

func TestAShieldThatCannotBeReached(t *testing.T) {
	resp := ask(t, newDoor(t, failing(shield.ErrParent), "", api.DoorOptions{}), "GET /", "Host: a.test")
	if body := bodyOf(t, resp); resp.StatusCode != 503 || !strings.Contains(body, "shield-unreachable") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
