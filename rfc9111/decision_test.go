package rfc9111_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"weir/rfc9111"
)

// Every way a request can go, and the four fields that tell it. RFC 9211.
func TestDecisionApply(t *testing.T) {
	type decision = rfc9111.Decision
	const (
		pass   = rfc9111.TierPass
		cached = rfc9111.TierCached
		hit    = rfc9111.TierHit
	)
	tests := []struct {
		name   string
		d      decision
		use    string
		tiers  string
		status string
		member string // Cache-Status
	}{
		{
			"hit in the outer cache",
			decision{Use: rfc9111.Hit, Outer: hit, Status: "ok", TTL: 53 * time.Second, HasTTL: true},
			"hit", "oc=hit", "ok",
			"weir-fra; hit; ttl=53",
		},
		{
			"stale hit in the outer cache",
			decision{Use: rfc9111.Stale, Outer: hit, Status: "ok", TTL: -1500 * time.Millisecond, HasTTL: true},
			"stale", "oc=hit", "ok",
			"weir-fra; hit; ttl=-2",
		},
		{
			"hit in the shield, stored outside",
			decision{Use: rfc9111.Hit, Outer: cached, Shield: hit, Status: "ok", TTL: 53999 * time.Millisecond, HasTTL: true},
			"hit", "oc=cached, sc=hit", "ok",
			"weir-shield; hit; ttl=53, weir-fra; fwd=miss; stored",
		},
		{
			"hit in the shield, too large outside",
			decision{Use: rfc9111.Hit, Outer: pass, Shield: hit, Status: "ok"},
			"hit", "oc=pass, sc=hit", "ok",
			"weir-shield; hit, weir-fra; fwd=miss",
		},
		{
			"stale hit in the shield",
			decision{Use: rfc9111.Stale, Outer: cached, Shield: hit, Status: "ok", TTL: -3 * time.Second, HasTTL: true},
			"stale", "oc=cached, sc=hit", "ok",
			"weir-shield; hit; ttl=-3, weir-fra; fwd=miss; stored",
		},
		{
			"miss, stored in both",
			decision{Use: rfc9111.Miss, Outer: cached, Shield: cached, Status: "ok", Forward: "uri-miss", Stored: true, TTL: time.Minute, HasTTL: true},
			"miss", "oc=cached, sc=cached", "ok",
			"weir-shield; fwd=uri-miss; stored, weir-fra; fwd=uri-miss; stored",
		},
		{
			"miss, joined a flight",
			decision{Use: rfc9111.Miss, Outer: cached, Shield: cached, Status: "ok", Forward: "miss", Stored: true, Collapsed: true},
			"miss", "oc=cached, sc=cached", "ok",
			"weir-shield; fwd=miss; stored; collapsed, weir-fra; fwd=miss; stored",
		},
		{
			"miss of another variant",
			decision{Use: rfc9111.Miss, Outer: cached, Shield: cached, Forward: "vary-miss"},
			"miss", "oc=cached, sc=cached", "ok",
			"weir-shield; fwd=vary-miss; stored, weir-fra; fwd=vary-miss; stored",
		},
		{
			"miss because the request insisted",
			decision{Use: rfc9111.Miss, Outer: cached, Shield: cached, Status: "ok", Forward: "request"},
			"miss", "oc=cached, sc=cached", "ok",
			"weir-shield; fwd=request; stored, weir-fra; fwd=request; stored",
		},
		{
			"miss, too large outside",
			decision{Use: rfc9111.Miss, Outer: pass, Shield: cached, Status: "ok", Forward: "uri-miss", Stored: true},
			"miss", "oc=pass, sc=cached", "ok",
			"weir-shield; fwd=uri-miss; stored, weir-fra; fwd=uri-miss",
		},
		{
			"miss, without a disk tier",
			decision{Use: rfc9111.Miss, Outer: cached, Shield: pass, Status: "ok", Forward: "uri-miss"},
			"miss", "oc=cached, sc=pass", "ok",
			"weir-shield; fwd=uri-miss, weir-fra; fwd=uri-miss; stored",
		},
		{
			"miss in the shield of what is stale outside",
			decision{Use: rfc9111.Miss, Outer: cached, Shield: cached, Status: "ok", Forward: "uri-miss", OuterForward: "stale", Stored: true},
			"miss", "oc=cached, sc=cached", "ok",
			"weir-shield; fwd=uri-miss; stored, weir-fra; fwd=stale; stored",
		},
		{
			"miss, not to be stored",
			decision{Use: rfc9111.Miss, Outer: pass, Shield: pass, Status: "private", Forward: "uri-miss"},
			"miss", "oc=pass, sc=pass", "private",
			"weir-shield; fwd=uri-miss, weir-fra; fwd=uri-miss",
		},
		{
			"miss with an error",
			decision{Use: rfc9111.Miss, Outer: pass, Shield: pass, Status: "code", Forward: "stale", ForwardStatus: 503},
			"miss", "oc=pass, sc=pass", "code",
			"weir-shield; fwd=stale; fwd-status=503, weir-fra; fwd=stale",
		},
		{
			"validated by the origin and stored anew",
			decision{Use: rfc9111.Miss, Outer: cached, Shield: cached, Status: "ok", Forward: "stale", ForwardStatus: 304},
			"miss", "oc=cached, sc=cached", "ok",
			"weir-shield; fwd=stale; fwd-status=304; stored, weir-fra; fwd=stale; stored",
		},
		{
			"validated by the origin and served from the shield",
			decision{Use: rfc9111.Miss, Outer: cached, Shield: hit, Status: "ok", Forward: "stale", ForwardStatus: 304, TTL: time.Minute, HasTTL: true},
			"miss", "oc=cached, sc=hit", "ok",
			"weir-shield; fwd=stale; fwd-status=304; ttl=60, weir-fra; fwd=stale; stored",
		},
		{
			"stale in the shield because the origin failed",
			decision{Use: rfc9111.Stale, Outer: pass, Shield: hit, Status: "ok", Forward: "stale", ForwardStatus: 502, TTL: -time.Minute, HasTTL: true, Detail: "stale-if-error"},
			"stale", "oc=pass, sc=hit", "ok",
			"weir-shield; fwd=stale; fwd-status=502; ttl=-60, weir-fra; fwd=stale; detail=stale-if-error",
		},
		{
			"stale outside because the shield failed",
			decision{Use: rfc9111.Stale, Outer: hit, Shield: pass, Status: "ok", Forward: "stale", TTL: -time.Minute, HasTTL: true, Detail: "no answer, twice"},
			"stale", "oc=hit, sc=pass", "ok",
			`weir-shield; fwd=stale, weir-fra; fwd=stale; ttl=-60; detail="no answer, twice"`,
		},
		{
			"bypass",
			decision{Use: rfc9111.Bypass, Outer: pass, Shield: pass, Status: "disabled"},
			"bypass", "oc=pass, sc=pass", "disabled",
			"weir-shield; fwd=bypass, weir-fra; fwd=bypass",
		},
		{
			"bypass because of the method",
			decision{Use: rfc9111.Bypass, Outer: pass, Shield: pass, Status: "method", Forward: "method"},
			"bypass", "oc=pass, sc=pass", "method",
			"weir-shield; fwd=method, weir-fra; fwd=method",
		},
		{
			"answered at the door",
			decision{Use: rfc9111.Bypass, Status: "pass"},
			"bypass", "oc=pass", "pass",
			"weir-fra; fwd=bypass",
		},

		// What contradicts the tiers is put right.
		{"nothing said", decision{}, "miss", "oc=pass", "pass", "weir-fra; fwd=miss"},
		{"hit nowhere", decision{Use: rfc9111.Hit, Outer: cached, Shield: cached, Status: "ok"}, "miss", "oc=cached, sc=cached", "ok", "weir-shield; fwd=miss; stored, weir-fra; fwd=miss; stored"},
		{"stale nowhere", decision{Use: rfc9111.Stale, Outer: pass, Status: "ok", HasTTL: true}, "miss", "oc=pass", "pass", "weir-fra; fwd=miss"},
		{"miss that is a hit", decision{Use: rfc9111.Miss, Outer: hit}, "hit", "oc=hit", "ok", "weir-fra; hit"},
		{"hit with a reason against it", decision{Use: rfc9111.Hit, Outer: hit, Status: "private"}, "hit", "oc=hit", "ok", "weir-fra; hit"},
		{"nothing cached and all well", decision{Use: rfc9111.Miss, Outer: pass, Shield: pass, Status: "ok"}, "miss", "oc=pass, sc=pass", "pass", "weir-shield; fwd=miss, weir-fra; fwd=miss"},
		{"bypass with a hit", decision{Use: rfc9111.Bypass, Outer: hit, Shield: cached, Status: "debug", Collapsed: true, HasTTL: true}, "bypass", "oc=pass, sc=pass", "debug", "weir-shield; fwd=bypass, weir-fra; fwd=bypass"},
		{"hit that a bypass explains", decision{Use: rfc9111.Bypass, Outer: pass, Status: "ok"}, "bypass", "oc=pass", "pass", "weir-fra; fwd=bypass"},
		{"status that is none", decision{Use: rfc9111.Miss, Outer: pass, Status: "code", Forward: "miss", ForwardStatus: 7}, "miss", "oc=pass", "code", "weir-fra; fwd=miss"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{"X-Cache": {"HIT from elsewhere", "x"}, "X-Other": {"1"}}
			tt.d.Apply(h, "fra")
			want := http.Header{
				"X-Other": {"1"}, "X-Cache": {tt.use}, "X-Cache-Tier": {tt.tiers}, "X-Caching-Status": {tt.status}, "Cache-Status": {tt.member},
			}
			if !reflect.DeepEqual(h, want) {
				t.Errorf("\n got %v\nwant %v", h, want)
			}
		})
	}
}

// RFC 9211 2: the members of caches nearer to the origin stay in front.
func TestDecisionKeepsCacheStatus(t *testing.T) {
	own := "weir-fra; hit"
	tests := []struct {
		origin []string
		want   string
	}{
		{nil, own},
		{[]string{"OriginCache; hit; ttl=5"}, "OriginCache; hit; ttl=5, " + own},
		{[]string{`"Origin Cache"; hit`, "Other;fwd=miss"}, `"Origin Cache"; hit, Other;fwd=miss, ` + own},
		{[]string{""}, own},
		{[]string{"not; a, list;"}, own},
		{[]string{"bad\x01"}, own},
		{[]string{"A; hit,"}, own},
		{[]string{strings.Repeat("a", 1025)}, own},
	}
	for _, tt := range tests {
		h := http.Header{}
		if tt.origin != nil {
			h["Cache-Status"] = tt.origin
		}
		rfc9111.Decision{Use: rfc9111.Hit, Outer: rfc9111.TierHit}.Apply(h, "fra")
		if got := h["Cache-Status"]; len(got) != 1 || got[0] != tt.want {
			t.Errorf("%q: got %q, want %q", tt.origin, got, tt.want)
		}
	}
}

func TestDecisionRegion(t *testing.T) {
	for region, want := range map[string]string{
		"":         "weir-; hit",
		"eu/fra:1": "weir-eu/fra:1; hit",
		"Frank 1":  `"weir-Frank 1"; hit`,
		`a"b\c`:    `"weir-a\"b\\c"; hit`,
		"a, b":     `"weir-a, b"; hit`,
		"zürich":   `"weir-z??rich"; hit`,
		"a\r\nb":   `"weir-a??b"; hit`,
	} {
		h := http.Header{}
		rfc9111.Decision{Use: rfc9111.Hit, Outer: rfc9111.TierHit}.Apply(h, region)
		if got := h.Get("Cache-Status"); got != want {
			t.Errorf("%q: got %q, want %q", region, got, want)
		}
	}
}

// A stored header that many hits copy must not be written through.
func TestDecisionApplyLeavesSharedValues(t *testing.T) {
	shared := []string{"Origin; hit"}
	for range 2 {
		h := http.Header{"Cache-Status": shared}
		rfc9111.Decision{Use: rfc9111.Hit, Outer: rfc9111.TierHit}.Apply(h, "fra")
		h.Add("X-Cache", "more")
		if h.Get("X-Cache-Tier") != "oc=hit" || shared[0] != "Origin; hit" {
			t.Errorf("%v, %v", h, shared)
		}
	}
}

// One string and the values that share it.
func TestDecisionApplyAllocatesTwice(t *testing.T) {
	d := rfc9111.Decision{
		Use: rfc9111.Miss, Outer: rfc9111.TierCached, Shield: rfc9111.TierCached,
		Status: rfc9111.StatusOK, Forward: rfc9111.ForwardURIMiss, Stored: true,
	}
	h := http.Header{}
	if n := testing.AllocsPerRun(100, func() {
		delete(h, "Cache-Status")
		d.Apply(h, "fra")
	}); n > 2 {
		t.Errorf("%v allocations, at most 2 are needed", n)
	}
}

func BenchmarkDecisionApply(b *testing.B) {
	d := rfc9111.Decision{Use: rfc9111.Hit, Outer: rfc9111.TierHit, Status: rfc9111.StatusOK, TTL: time.Minute, HasTTL: true}
	h := http.Header{}
	b.ReportAllocs()
	for b.Loop() {
		delete(h, "Cache-Status")
		d.Apply(h, "fra")
	}
}
