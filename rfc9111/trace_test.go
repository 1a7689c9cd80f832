package rfc9111_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/rfc9111"
)

// holding are the rules that hold, in order.
func holding(findings []rfc9111.Finding) (held []rfc9111.Finding) {
	for _, f := range findings {
		if f.Holds {
			held = append(held, f)
		}
	}
	return held
}

// Every rule decides somewhere, and says what the verdict says.
func TestExplainStorable(t *testing.T) {
	fresh := "Cache-Control: max-age=60"
	tests := []struct {
		req  rfc9111.Request
		resp *rfc9111.Response
		want string // rules that hold
	}{
		{get(), response(200, fresh), ""},
		{rfc9111.Request{Method: "PUT"}, response(200, fresh), "method"},
		{get("Cache-Control: no-store"), response(200, fresh), "request-no-store"},
		{get(), response(103, fresh), "interim"},
		{get(), response(206, fresh), "partial"},
		{get(), response(304, fresh), "not-modified"},
		{get(), response(404, fresh), "status"},
		{get(), response(700, fresh), "status unknown-status"},
		{get(), response(299, fresh+", must-understand"), "must-understand"},
		{get(), response(200, fresh, "Set-Cookie: a=b"), "set-cookie"},
		{get(), response(200, fresh+", private"), "private"},
		{get("Authorization: a"), response(200, fresh), "authorization"},
		{get(), response(200, fresh, "Vary: *"), "vary"},
		{get(), response(200), "no-lifetime too-old"},
		{get(), response(200, fresh+", no-store"), "no-store"},
		{get(), response(200, fresh+", no-cache"), "no-cache"},
		{get(), response(200, fresh, "Age: 60"), "too-old"},
		{rfc9111.Request{Method: "HEAD"}, response(200, fresh), "head"},
		{get("Authorization: a"), response(404, "Set-Cookie: a=b", "Cache-Control: private, no-store"), "status set-cookie private authorization no-lifetime no-store too-old"},
	}
	for _, tt := range tests {
		v, findings := rfc9111.ExplainStorable(tt.req, tt.resp, nil)
		var got []string
		for _, f := range holding(findings) {
			got = append(got, f.Rule)
		}
		if strings.Join(got, " ") != tt.want || v != rfc9111.Storable(tt.req, tt.resp, nil) {
			t.Errorf("%v %v: %q, want %q", tt.req, tt.resp, got, tt.want)
		}
	}
}

func TestExplainReuse(t *testing.T) {
	tests := []struct {
		cc    string // of the stored response, "" for none
		after time.Duration
		req   rfc9111.Request
		want  string // the rules that were looked at, of which the last ones hold
	}{
		{"", 0, get(), "nothing-stored! only-if-cached"},
		{"", 0, get("Cache-Control: only-if-cached"), "nothing-stored! only-if-cached!"},
		{"max-age=60, no-cache", 0, get(), "nothing-stored no-cache! only-if-cached"},
		{"max-age=60", 0, get("Cache-Control: no-cache"), "nothing-stored no-cache request-no-cache! only-if-cached"},
		{"max-age=60", 9 * time.Second, get("Cache-Control: max-age=5"), "nothing-stored no-cache request-no-cache request-max-age! only-if-cached"},
		{"max-age=60", 9 * time.Second, get("Cache-Control: min-fresh=55"), "nothing-stored no-cache request-no-cache request-max-age request-min-fresh! only-if-cached"},
		{"max-age=60", 0, get(), "nothing-stored no-cache request-no-cache request-max-age request-min-fresh fresh!"},
		{"max-age=60, stale-while-revalidate=60", time.Minute, get(), "nothing-stored no-cache request-no-cache request-max-age request-min-fresh fresh stale-while-revalidate!"},
		{"max-age=60, must-revalidate", time.Minute, get(), "nothing-stored no-cache request-no-cache request-max-age request-min-fresh fresh stale-while-revalidate must-revalidate! only-if-cached"},
		{"max-age=60", time.Minute, get("Cache-Control: max-stale"), "nothing-stored no-cache request-no-cache request-max-age request-min-fresh fresh stale-while-revalidate must-revalidate request-max-stale!"},
		{"max-age=60", time.Minute, get(), "nothing-stored no-cache request-no-cache request-max-age request-min-fresh fresh stale-while-revalidate must-revalidate request-max-stale stale! only-if-cached"},
	}
	for _, tt := range tests {
		var held *rfc9111.Response
		if tt.cc != "" {
			held = stored(t, get(), nil, "Cache-Control: "+tt.cc, `Etag: "a"`)
		}
		v, findings := rfc9111.ExplainReuse(tt.req, held, nil, arrival.Add(tt.after))
		var got []string
		for _, f := range findings {
			if f.Holds {
				f.Rule += "!"
			}
			got = append(got, f.Rule)
		}
		if strings.Join(got, " ") != tt.want || v != rfc9111.Judge(tt.req, held, nil, arrival.Add(tt.after)) {
			t.Errorf("%s after %v, %v: %q", tt.cc, tt.after, tt.req, got)
		}
	}
}

// What is explained is what is decided: the verdict is the same, its reason is that of the
// rule that decided, and nothing stands in the way of what is stored.
func TestExplanationsAreVerdicts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		resp := response(rapid.SampledFrom([]int{200, 204, 206, 404, 503}).Draw(t, "status"),
			"Cache-Control: "+strings.Join(drawDirectives(t, "response", responseDirectives), ", "))
		for _, line := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{`Etag: "a"`, "Set-Cookie: a=b", "Vary: *", "Age: 50"}), 0, 3, rapid.ID[string]).Draw(t, "fields") {
			name, value, _ := strings.Cut(line, ": ")
			resp.Header.Set(name, value)
		}
		req := get("Cache-Control: " + strings.Join(drawDirectives(t, "request", requestDirectives), ", "))
		req.Method = rapid.SampledFrom([]string{"GET", "GET", "HEAD", "POST"}).Draw(t, "method")
		rules := &rfc9111.Rules{ErrorsByHeader: rapid.Bool().Draw(t, "errors"), ForcePrivate: rapid.Bool().Draw(t, "force")}

		s, findings := rfc9111.ExplainStorable(req, resp, rules)
		held := holding(findings)
		if s != rfc9111.Storable(req, resp, rules) || s.Store != (len(held) == 0) || len(held) > 0 && held[0].Says != s.Reason {
			t.Fatalf("%+v of %v", s, findings)
		}
		resp.Terms = s.Terms
		now := arrival.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "after")) * time.Second)
		v, findings := rfc9111.ExplainReuse(req, resp, rules, now)
		held = holding(findings)
		if v != rfc9111.Judge(req, resp, rules, now) || held[len(held)-1].Says != v.Reason {
			t.Fatalf("%+v of %v", v, findings)
		}
		if slices.ContainsFunc(findings, func(f rfc9111.Finding) bool { return f.Rule == "" || !strings.HasSuffix(f.Says, ".") }) {
			t.Fatalf("%v", findings)
		}
	})
}
