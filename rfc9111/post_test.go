package rfc9111_test

import (
	"testing"
	"time"

	"weir/rfc9111"
)

// RFC 9110 9.3.3.
func TestStorableForGet(t *testing.T) {
	const target = "http://example.com/a?b=c"
	post := func(lines ...string) rfc9111.Request {
		return rfc9111.Request{Method: "POST", Header: header(lines...)}
	}
	own := "Content-Location: " + target
	minute := &rfc9111.Rules{Lifetime: ptr(time.Minute), Heuristic: true}
	tests := []struct {
		name  string
		req   rfc9111.Request
		resp  *rfc9111.Response
		rules *rfc9111.Rules
		want  rfc9111.CachingStatus
	}{
		{"its own representation", post(), response(200, "Cache-Control: max-age=60", own), nil, "ok"},
		{"relative", post(), response(200, "Expires: "+date(time.Hour), "Content-Location: /a?b=c"), nil, "ok"},
		{"other spelling of the host", post(), response(200, "Cache-Control: max-age=60", "Content-Location: HTTP://EXAMPLE.com:80/a?b=c"), nil, "ok"},
		{"another URI", post(), response(200, "Cache-Control: max-age=60", "Content-Location: /a?b=d"), nil, "method"},
		{"another host", post(), response(200, "Cache-Control: max-age=60", "Content-Location: http://example.org/a?b=c"), nil, "method"},
		{"two locations", post(), response(200, "Cache-Control: max-age=60", own, own), nil, "method"},
		{"no location", post(), response(200, "Cache-Control: max-age=60"), nil, "method"},
		{"no lifetime", post(), response(200, own), nil, "no-max-age"},
		{"a lifetime of the route alone", post(), response(200, own, "Last-Modified: "+date(-time.Hour)), minute, "no-max-age"},
		{"a lifetime of zero and a validator", post(), response(200, own, "Cache-Control: max-age=0", `Etag: "a"`), nil, "no-max-age"},
		{"older than its lifetime", post(), response(200, own, "Cache-Control: max-age=60, stale-while-revalidate=60", "Age: 60"), nil, "no-max-age"},
		{"created", post(), response(201, "Cache-Control: max-age=60", own), nil, "method"},
		{"an error", post(), response(404, "Cache-Control: max-age=60", own), &rfc9111.Rules{ErrorsByHeader: true}, "method"},
		{"private", post(), response(200, "Cache-Control: max-age=60, private", own), nil, "private"},
		{"a cookie", post(), response(200, "Cache-Control: max-age=60", own, "Set-Cookie: a=b"), nil, "set-cookie"},
		{"authorized", post("Authorization: Basic eA=="), response(200, "Cache-Control: max-age=60", own), nil, "private"},
		{"request no-store", post("Cache-Control: no-store"), response(200, "Cache-Control: max-age=60", own), nil, "pass"},
		{"put", rfc9111.Request{Method: "PUT"}, response(200, "Cache-Control: max-age=60", own), nil, "method"},
		{"get", get(), response(200, "Cache-Control: max-age=60", own), nil, "method"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := rfc9111.StorableForGet(tt.req, target, tt.resp, tt.rules)
			if got.Status != tt.want || got.Store != (tt.want == rfc9111.StatusOK) {
				t.Errorf("got store=%v %q (%s), want %q", got.Store, got.Status, got.Reason, tt.want)
			}
		})
	}
	if rfc9111.StorableForGet(post(), "://", response(200, "Cache-Control: max-age=60", "Content-Location: ://"), nil).Store {
		t.Error("a target that is no URI")
	}
}
