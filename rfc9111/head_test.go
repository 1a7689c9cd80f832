package rfc9111_test

import (
	"testing"
	"time"

	"weir/rfc9111"
)

// RFC 9111 4.3.5.
func TestFreshenByHead(t *testing.T) {
	ask := rfc9111.Request{Method: "HEAD", Header: header("Foo: 1")}
	hour, day := "Last-Modified: "+date(-time.Hour), "Last-Modified: "+date(-24*time.Hour)
	const nothing, updates, outdates = rfc9111.HeadNothing, rfc9111.HeadUpdates, rfc9111.HeadOutdates
	tests := []struct {
		name   string
		req    rfc9111.Request
		stored []string
		status int
		head   []string
		want   rfc9111.HeadEffect
	}{
		{"nothing to compare", ask, nil, 200, nil, nothing},
		{"same tag", ask, []string{`Etag: "a"`}, 200, []string{`Etag: "a"`}, updates},
		{"same weak tag", ask, []string{`Etag: W/"a"`}, 200, []string{`Etag: W/"a"`}, updates},
		{"other tag", ask, []string{`Etag: "a"`}, 200, []string{`Etag: "b"`}, outdates},
		{"tag out of nothing", ask, nil, 200, []string{`Etag: "b"`}, outdates},
		{"malformed tag", ask, []string{`Etag: "a"`}, 200, []string{`Etag: a`}, outdates},
		{"no tag any more", ask, []string{`Etag: "a"`}, 200, nil, nothing},
		{"same date", ask, []string{hour}, 200, []string{hour}, updates},
		{"other date", ask, []string{hour}, 200, []string{day}, outdates},
		{"same tag, other date", ask, []string{`Etag: "a"`, hour}, 200, []string{`Etag: "a"`, day}, outdates},
		{"same length, which is no validator", ask, nil, 200, []string{"Content-Length: 5"}, nothing},
		{"same length and date", ask, []string{hour}, 200, []string{hour, "Content-Length: 5"}, updates},
		{"other length", ask, nil, 200, []string{"Content-Length: 6"}, outdates},
		{"malformed length", ask, nil, 200, []string{"Content-Length: x"}, outdates},
		{"other coding", ask, nil, 200, []string{"Content-Encoding: gzip"}, outdates},
		{"now private", ask, nil, 200, []string{"Cache-Control: private"}, outdates},
		{"now a Vary on more", ask, nil, 200, []string{"Vary: Foo, Bar"}, outdates},
		{"not found", ask, nil, 404, nil, outdates},
		{"gone", ask, nil, 410, []string{"Cache-Control: max-age=1000"}, outdates},
		{"method not allowed", ask, nil, 405, nil, nothing},
		{"unavailable", ask, nil, 503, nil, nothing},
		{"a request that keeps itself out", rfc9111.Request{Method: "HEAD", Header: header("Foo: 1", "Cache-Control: no-store")}, nil, 200, nil, nothing},
		{"an answer for one user", rfc9111.Request{Method: "HEAD", Header: header("Foo: 1", "Authorization: Basic eA==")}, nil, 200, []string{"Etag: \"b\""}, nothing},
		{"an answer for all, to one user", rfc9111.Request{Method: "HEAD", Header: header("Foo: 1", "Authorization: Basic eA==")}, []string{hour}, 200, []string{hour, "Cache-Control: public, max-age=60"}, updates},
		{"not modified", ask, nil, 304, nil, nothing},
		{"answer to GET", get("Foo: 1"), nil, 200, nil, nothing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			old := stored(t, get("Foo: 1"), nil, append(tt.stored, "Cache-Control: max-age=60", "Vary: Foo", "X-A: 1", "X-B: 1")...)
			old.Length = 5
			head := response(tt.status, append(tt.head, "X-B: 2", "Date: "+date(time.Minute))...)
			head.RequestTime, head.ResponseTime = arrival.Add(time.Minute), arrival.Add(time.Minute)
			fresh, effect := rfc9111.FreshenByHead(tt.req, old, head, nil)
			if effect != tt.want || (fresh != nil) != (tt.want == updates) {
				t.Fatalf("effect %v, %+v", effect, fresh)
			}
			if fresh == nil {
				return
			}
			if fresh.Header.Get("X-A") != "1" || fresh.Header.Get("X-B") != "2" || fresh.Length != 5 || fresh.Status != 200 {
				t.Errorf("%+v", fresh)
			}
			if rfc9111.Judge(get(), fresh, nil, arrival.Add(time.Minute)).Reuse != rfc9111.ReuseFresh {
				t.Error("not fresh again")
			}
		})
	}
	gone := response(404)
	if _, effect := rfc9111.FreshenByHead(ask, gone, response(200), nil); effect != outdates {
		t.Errorf("a 200 over a stored 404: %v", effect)
	}
	if _, effect := rfc9111.FreshenByHead(ask, gone, response(404), nil); effect != nothing {
		t.Errorf("a 404 over a stored 404: %v", effect)
	}
	part := stored(t, get(), nil, "Cache-Control: max-age=60", hour)
	part.Length, part.Parts = 5, &rfc9111.Parts{Size: 10, Held: []rfc9111.Range{{Start: 0, Length: 5}}}
	if _, effect := rfc9111.FreshenByHead(ask, part, response(200, "Content-Length: 10", hour), nil); effect != updates {
		t.Errorf("the length of the whole over a part: %v", effect)
	}
}

// What is outdated is validated before its next use, whatever it and the request allow.
func TestOutdated(t *testing.T) {
	r := stored(t, get(), nil, `Etag: "a"`, "Cache-Control: max-age=60, stale-while-revalidate=60, stale-if-error=60").Outdated()
	for _, req := range []rfc9111.Request{get(), get("Cache-Control: max-stale, stale-if-error=1000")} {
		if got := rfc9111.Judge(req, r, nil, arrival); got.Reuse != rfc9111.ReuseValidate || got.Forward != rfc9111.ForwardStale {
			t.Errorf("%+v", got)
		}
		if rfc9111.UsableOnError(req, r, nil, arrival) {
			t.Error("used because the origin failed")
		}
	}
}
