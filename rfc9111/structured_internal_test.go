package rfc9111

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// RFC 9651 4.2: what is a Dictionary, what is a List.
func TestStructuredFields(t *testing.T) {
	tests := []struct {
		in         string
		dictionary bool
		list       bool
	}{
		{"", false, false},
		{" ", false, false},
		{"a", true, true},
		{"  a  ", true, true},
		{"\ta", false, false},
		{"a, b", true, true},
		{"a ,\t b", true, true},
		{"a,", false, false},
		{",a", false, false},
		{"a,,b", false, false},
		{"a b", false, false},
		{"a=1", true, false},
		{"a=1, a=2", true, false},
		{"a =1", false, false},
		{"a= 1", false, false},
		{"a=", false, false},
		{"A=1", false, false},
		{"A", false, true},
		{"*a.b-c_1=1", true, false},
		{"1a=1", false, false},
		{"a;b", true, true},
		{"a;  b;c=1", true, true},
		{"a ;b", false, false},
		{"a;B", false, false},
		{"a;", false, false},
		{"a=1;b=?0", true, false},
		{"a=?1", true, false},
		{"a=?2", false, false},
		{"a=?", false, false},
		{"a=-1", true, false},
		{"a=-", false, false},
		{"a=123456789012345", true, false},
		{"a=1234567890123456", false, false},
		{"a=1.5", true, false},
		{"a=1.", false, false},
		{"a=1.2345", false, false},
		{"a=123456789012.1", true, false},
		{"a=1234567890123.1", false, false},
		{`a="x\"\\y"`, true, false},
		{`a="x`, false, false},
		{`a="x\`, false, false},
		{`a="\x"`, false, false},
		{"a=\"\x7f\"", false, false},
		{"a=\"ü\"", false, false},
		{"a=:aGk=:", true, false},
		{"a=::", true, false},
		{"a=:a", false, false},
		{"a=:!:", false, false},
		{"a=t/o:k!", true, false},
		{"a=()", true, false},
		{`a=( 1  "b";c  d )`, true, false},
		{"a=(1", false, false},
		{"a=(1,2)", false, false},
		{`a=(1"b")`, false, false},
		{"a=(1);b=(2)", false, false},
		{"(1 2), 3;a, \"b\", ?0", false, true},
		{"a=@1", true, false},
		{"a=@-1", true, false},
		{"a=@", false, false},
		{"a=@1.5", false, false},
		{"a=@x", false, false},
		{`a=%"x y"`, true, false},
		{`%"f%c3%bc", @1;a=%""`, false, true},
		{`a=%"%C3%BC"`, false, false},
		{`a=%"%c3"`, false, false},
		{`a=%"%c"`, false, false},
		{`a=%"%`, false, false},
		{`a=%"x`, false, false},
		{`a=%x`, false, false},
		{"a=%", false, false},
		{"a=%\"\x7f\"", false, false},
		{"a=%\"ü\"", false, false},
		{"a=&", false, false},
	}
	for _, tt := range tests {
		if got := parseDictionary(tt.in, func(string, sfValue) {}); got != tt.dictionary {
			t.Errorf("dictionary %q: %v", tt.in, got)
		}
		if got := validList(tt.in); got != tt.list {
			t.Errorf("list %q: %v", tt.in, got)
		}
	}
}

func FuzzStructuredField(f *testing.F) {
	for _, s := range []string{"max-age=60, a;b=1.5", `private="x, y", b=:YQ==:`, "a=(1 2;c);d, no-store=?0", "a=?1;b=-9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		members := 0
		if parseDictionary(s, func(key string, _ sfValue) {
			members++
			if key == "" || strings.ToLower(key) != key {
				t.Fatalf("key %q", key)
			}
		}) {
			if members == 0 {
				t.Fatal("valid and empty")
			}
			// Structured fields may be cut into lines at their commas and put together again.
			if !parseDictionary("x, "+s+", y=(1)", func(string, sfValue) {}) {
				t.Fatalf("%q is valid alone only", s)
			}
		}
		if validList(s) && !validList("x;y=1, "+s+", \"z\"") {
			t.Fatalf("%q is a valid list alone only", s)
		}
		d, ok := parseTargeted([]string{s})
		if !ok && d != (directives{}) {
			t.Fatalf("%q leaves %+v", s, d)
		}
		checkSeconds(t, &d)
	})
}

func FuzzDirectives(f *testing.F) {
	f.Add("max-age=60, no-store", "public")
	f.Add(`private="a, b", x="no-store\"", s-maxage="5"`, "max-age=")
	f.Add(`a="open, must-revalidate`, `, ,max-stale,=,"`)
	f.Fuzz(func(t *testing.T, a, b string) {
		d := parseDirectives([]string{a, b})
		checkSeconds(t, &d)
		// Nothing on one line can hide a restriction on another.
		with := parseDirectives([]string{a, "no-store, private, no-cache", b})
		if !with.noStore || !with.private.whole || !with.noCache.whole {
			t.Fatalf("%q and %q hide: %+v", a, b, with)
		}
		// Directives are equal in any case.
		if upper := parseDirectives([]string{strings.ToUpper(a), strings.ToUpper(b)}); isASCII(a+b) && upper.noStore != d.noStore {
			t.Fatalf("%q and %q depend on case", a, b)
		}
		h := http.Header{"Cache-Control": {a, b}}
		if d.noCache.about(h) && !d.noCache.set {
			t.Fatal("about something without being there")
		}
		if judgeStored(&d, &Response{}, &noRules, time.Unix(0, 0), nil).Reuse == ReuseFresh {
			t.Fatal("fresh without a lifetime")
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 0x7e }) < 0
}

func checkSeconds(t *testing.T, d *directives) {
	for _, s := range []seconds{d.maxAge, d.sMaxAge, d.staleWhileRevalidate, d.staleIfError, d.minFresh} {
		if s.d < 0 || s.d > maxSeconds*time.Second || !s.set && (s.bad || s.d != 0) {
			t.Fatalf("%+v", s)
		}
	}
}

// Whatever a decision says, the four fields it becomes agree, and Cache-Status is
// a List.
func TestDecisionsAgree(t *testing.T) {
	tiers := []TierUse{NotAsked, TierPass, TierCached, TierHit}
	for _, use := range []Use{"", Hit, Stale, Miss, Bypass} {
		for _, outer := range tiers {
			for _, shield := range tiers {
				for _, status := range []CachingStatus{"", StatusOK, StatusPrivate} {
					for _, forward := range []Forward{"", ForwardStale} {
						checkDecision(t, Decision{
							Use: use, Outer: outer, Shield: shield, Status: status, Forward: forward,
							ForwardStatus: 304, Collapsed: true, HasTTL: true, Detail: "a b",
						})
					}
				}
			}
		}
	}
}

func checkDecision(t *testing.T, d Decision) {
	t.Helper()
	h := http.Header{}
	d.Apply(h, "fra")
	use, tiers, status, members := h.Get("X-Cache"), h.Get("X-Cache-Tier"), h.Get("X-Caching-Status"), h.Get("Cache-Status")
	hit, cached := strings.Contains(tiers, "=hit"), strings.Contains(tiers, "=cached")
	switch {
	case !validList(members):
		t.Errorf("%+v: %q is no list", d, members)
	case (use == "hit" || use == "stale") && !hit:
		t.Errorf("%+v: %s without a tier: %s", d, use, tiers)
	case use == "bypass" && (hit || cached):
		t.Errorf("%+v: bypass with %s", d, tiers)
	case (status == "ok") != (hit || cached):
		t.Errorf("%+v: %s with %s", d, status, tiers)
	case strings.Contains(members, "; stored") != cached:
		t.Errorf("%+v: %s with %s", d, members, tiers)
	case strings.Contains(members, "; hit") && !hit:
		t.Errorf("%+v: %s with %s", d, members, tiers)
	case strings.Contains(members, "weir-shield") != strings.Contains(tiers, "sc="):
		t.Errorf("%+v: %s with %s", d, members, tiers)
	}
}
