package rfc9111_test

import (
	"net/http"
	"reflect"
	"testing"
	"time"

	"weir/rfc9111"
)

// RFC 9111 4.3.1.
func TestConditional(t *testing.T) {
	modified := "Last-Modified: " + date(-time.Hour)
	client := header("Accept: */*", `If-None-Match: "old"`, "If-Modified-Since: "+date(0), `If-Match: "x"`,
		"If-Unmodified-Since: "+date(0), `If-Range: "x"`, "Range: bytes=0-1")
	tests := []struct {
		name   string
		stored *rfc9111.Response
		want   http.Header
	}{
		{"nothing stored", nil, header("Accept: */*")},
		{"no validator", response(200), header("Accept: */*")},
		{"tag", response(200, `Etag: "a"`), header("Accept: */*", `If-None-Match: "a"`)},
		{"weak tag", response(200, `Etag: W/"a"`), header("Accept: */*", `If-None-Match: W/"a"`)},
		{"date", response(200, modified), header("Accept: */*", "If-Modified-Since: "+date(-time.Hour))},
		{"both", response(200, `Etag: "a"`, modified), header("Accept: */*", `If-None-Match: "a"`, "If-Modified-Since: "+date(-time.Hour))},
		{"tag without quotes", response(200, "Etag: a"), header("Accept: */*")},
		{"two tags", response(200, `Etag: "a"`, `Etag: "b"`), header("Accept: */*")},
		{"tag with more behind", response(200, `Etag: "a", "b"`), header("Accept: */*")},
		{"not a date", response(200, "Last-Modified: yesterday"), header("Accept: */*")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := client.Clone()
			got := rfc9111.Conditional(client, tt.stored)
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if !reflect.DeepEqual(before, client) {
				t.Error("the request was edited")
			}
		})
	}
	if got := rfc9111.Conditional(nil, response(200, `Etag: "a"`)); got.Get("If-None-Match") != `"a"` {
		t.Errorf("from no header: %v", got)
	}
}

func TestUnconditional(t *testing.T) {
	plain := header("Accept: */*", "Cookie: a=b")
	if got := rfc9111.Unconditional(plain); !reflect.DeepEqual(got, plain) {
		t.Errorf("got %v, want %v", got, plain)
	}
	for _, line := range []string{
		`If-None-Match: "a"`, "If-Modified-Since: " + date(0), `If-Match: "a"`, "If-Unmodified-Since: " + date(0), `If-Range: "a"`, "Range: bytes=0-1",
	} {
		h := header("Accept: */*", "Cookie: a=b", line)
		if got := rfc9111.Unconditional(h); !reflect.DeepEqual(got, plain) || len(h) != 3 {
			t.Errorf("%s: got %v of %v", line, got, h)
		}
	}
}

// RFC 9111 4.3.4: which 304 is about the stored response.
func TestFreshenIdentifies(t *testing.T) {
	hour, day := "Last-Modified: "+date(-time.Hour), "Last-Modified: "+date(-24*time.Hour)
	tests := []struct {
		name        string
		stored      []string
		notModified []string
		want        bool
	}{
		{"same strong tag", []string{`Etag: "a"`}, []string{`Etag: "a"`}, true},
		{"same weak tag", []string{`Etag: W/"a"`}, []string{`Etag: W/"a"`}, true},
		{"a server that weakens its tags when it codes a body", []string{`Etag: W/"a"`}, []string{`Etag: "a"`}, true},
		{"other tag", []string{`Etag: "a"`}, []string{`Etag: "b"`}, false},
		{"other tag, same date", []string{`Etag: "a"`, hour}, []string{`Etag: "b"`, hour}, false},
		{"malformed tag", []string{`Etag: "a"`}, []string{`Etag: a`}, false},
		{"same date", []string{hour}, []string{hour}, true},
		{"other date", []string{hour}, []string{day}, false},
		{"malformed date", []string{hour}, []string{"Last-Modified: then"}, false},
		{"date for a tag", []string{`Etag: "a"`}, []string{hour}, true},
		{"same date for a tag and a date", []string{`Etag: "a"`, hour}, []string{hour}, true},
		{"other date for a tag and a date", []string{`Etag: "a"`, hour}, []string{day}, false},
		{"no validator for a tag", []string{`Etag: "a"`}, nil, true},
		{"no validator for a date", []string{hour}, nil, true},
		{"new tag, same date", []string{hour}, []string{`Etag: "b"`, hour}, true},
		{"new tag, no date", []string{hour}, []string{`Etag: "b"`}, false},
		{"new tag, other date", []string{hour}, []string{`Etag: "b"`, day}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			old := stored(t, get(), nil, append(tt.stored, "Cache-Control: max-age=60")...)
			fresh, ok := rfc9111.Freshen(get(), old, response(304, tt.notModified...), nil)
			if ok != tt.want || (fresh != nil) != tt.want {
				t.Errorf("ok %v, %v", ok, fresh)
			}
		})
	}
}

// RFC 9111 3.2: what a 304 updates.
func TestFreshenUpdates(t *testing.T) {
	old := stored(t, get("Accept: a"), nil, "Cache-Control: max-age=60", `Etag: W/"a"`, "Content-Type: text/plain", "Content-Length: 5",
		"Content-Encoding: gzip", "Vary: Accept", "X-Kept: 1", "X-Updated: 1", "X-Updated: 2", "Content-Location: /a", "Content-Md5: a", "Content-Digest: md5=:a:", "Set-Cookie2: a", "Date: "+date(-time.Second))
	old.Length, old.Tags, old.Epoch = 5, []string{"t"}, 7
	notModified := response(304, "Cache-Control: max-age=3600", `Etag: "a"`, "Content-Type: text/html", "Content-Length: 0",
		"Content-Encoding: br", "Content-Range: bytes 0-1/2", "Vary: accept", "X-Updated: 3", "X-New: 1", "Content-Location: /b",
		"Content-Md5: b", "Content-Digest: md5=:b:", "Set-Cookie2: b", "Set-Cookie: a=b", "Age: 30", "Connection: x-hop", "X-Hop: 1", "Keep-Alive: timeout=5", "Transfer-Encoding: chunked")
	notModified.RequestTime, notModified.ResponseTime = arrival.Add(time.Hour), arrival.Add(time.Hour+time.Second)
	notModified.Epoch = 9
	notModified.Header.Set("Date", date(time.Hour))
	before := []http.Header{old.Header.Clone(), notModified.Header.Clone()}

	fresh, ok := rfc9111.Freshen(get("Accept: a"), old, notModified, nil)
	if !ok {
		t.Fatal("not freshened")
	}
	want := header("Cache-Control: max-age=3600", `Etag: W/"a"`, "Content-Type: text/html", "Content-Length: 5", "Content-Encoding: gzip",
		"Vary: Accept", "X-Kept: 1", "X-Updated: 3", "X-New: 1", "Content-Location: /b", "Content-Md5: a",
		"Content-Digest: md5=:a:", "Set-Cookie2: b", "Date: "+date(time.Hour))
	if !reflect.DeepEqual(fresh.Header, want) {
		t.Errorf("header\n got %v\nwant %v", fresh.Header, want)
	}
	wantTerms := rfc9111.Terms{InitialAge: 31 * time.Second, Lifetime: time.Hour}
	if fresh.Terms != wantTerms {
		t.Errorf("terms %+v", fresh.Terms)
	}
	if fresh.Status != 200 || fresh.Length != 5 || fresh.Selection != old.Selection || fresh.Epoch != 9 ||
		!reflect.DeepEqual(fresh.Tags, old.Tags) || fresh.RequestTime != notModified.RequestTime || fresh.ResponseTime != notModified.ResponseTime {
		t.Errorf("got %+v", fresh)
	}
	fresh.Header["X-Kept"][0] = "edited"
	fresh.Header["X-New"][0] = "edited"
	if !reflect.DeepEqual(before, []http.Header{old.Header, notModified.Header}) {
		t.Error("an input was edited")
	}
}

func TestFreshenTerms(t *testing.T) {
	minute := &rfc9111.Rules{Lifetime: ptr(time.Minute)}
	tests := []struct {
		name        string
		req         rfc9111.Request
		stored      []string
		notModified []string
		rules       *rfc9111.Rules
		ok          bool
		want        time.Duration // lifetime
	}{
		{"stored lifetime again", get(), []string{"Cache-Control: max-age=60"}, nil, nil, true, time.Minute},
		{"new lifetime", get(), []string{"Cache-Control: max-age=60"}, []string{"Cache-Control: max-age=5"}, nil, true, 5 * time.Second},
		{"no lifetime any more: once more, then never", get(), []string{"Cache-Control: max-age=60"}, []string{"Cache-Control: max-age=0"}, nil, true, 0},
		{"expires over", get(), []string{"Expires: " + date(time.Minute)}, nil, nil, true, 0},
		{"expires again", get(), []string{"Expires: " + date(time.Minute)}, []string{"Expires: " + date(2*time.Hour)}, nil, true, time.Hour},
		{"lifetime of the route", get(), []string{"X-A: 1"}, nil, minute, true, time.Minute},
		{"request no-store", get("Cache-Control: no-store"), []string{"Cache-Control: max-age=60"}, nil, nil, true, time.Minute},
		{"head", rfc9111.Request{Method: "HEAD"}, []string{"Cache-Control: max-age=60"}, nil, nil, true, time.Minute},
		{"now no-store", get(), []string{"Cache-Control: max-age=60"}, []string{"Cache-Control: no-store, max-age=60"}, nil, false, 0},
		{"now private", get(), []string{"Cache-Control: max-age=60"}, []string{"Cache-Control: private, max-age=60"}, nil, false, 0},
		{"now Vary: *", get(), []string{"Cache-Control: max-age=60"}, []string{"Vary: *"}, nil, false, 0},
		{"now a Vary on more", get(), []string{"Cache-Control: max-age=60", "Vary: Accept"}, []string{"Vary: Accept, Cookie"}, nil, false, 0},
		{"now a Vary on less", get(), []string{"Cache-Control: max-age=60", "Vary: Accept, Cookie"}, []string{"Vary: cookie"}, nil, true, time.Minute},
		{"authorization", get("Authorization: Basic eA=="), []string{"Cache-Control: max-age=60"}, nil, nil, false, 0},
		{"authorization, public", get("Authorization: Basic eA=="), []string{"Cache-Control: max-age=60"}, []string{"Cache-Control: public, max-age=60"}, nil, true, time.Minute},
	}
	later := arrival.Add(time.Hour)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			old := stored(t, get(), tt.rules, append(tt.stored, `Etag: "a"`)...)
			notModified := response(304, append(tt.notModified, "Date: "+date(time.Hour))...)
			notModified.RequestTime, notModified.ResponseTime = later, later
			fresh, ok := rfc9111.Freshen(tt.req, old, notModified, tt.rules)
			if ok != tt.ok {
				t.Fatalf("ok %v", ok)
			}
			if ok && fresh.Terms.Lifetime != tt.want {
				t.Errorf("lifetime %v", fresh.Terms.Lifetime)
			}
			if ok && tt.want > 0 && rfc9111.Judge(tt.req, fresh, nil, later).Reuse != rfc9111.ReuseFresh {
				t.Error("not fresh again")
			}
		})
	}
}

// A 304 without a Date is as old as its arrival, not as the stored Date: RFC 9110 6.6.1.
func TestFreshenWithoutDate(t *testing.T) {
	old := stored(t, get(), nil, "Cache-Control: max-age=60", `Etag: "a"`)
	notModified := &rfc9111.Response{Status: 304, Header: http.Header{}, RequestTime: arrival.Add(time.Hour), ResponseTime: arrival.Add(time.Hour)}
	fresh, ok := rfc9111.Freshen(get(), old, notModified, nil)
	if !ok || fresh.Age(notModified.ResponseTime) != 0 || fresh.Header.Get("Date") != date(time.Hour) {
		t.Errorf("%v, %+v", ok, fresh)
	}
}

// A cookie that the route keeps is a field like others: RFC 9111 3.2.
func TestFreshenUpdatesKeptCookie(t *testing.T) {
	keep := &rfc9111.Rules{StoreSetCookie: true}
	old := stored(t, get(), keep, "Cache-Control: max-age=60", `Etag: "a"`, "Set-Cookie: a=b")
	fresh, ok := rfc9111.Freshen(get(), old, response(304, "Set-Cookie: a=c"), keep)
	if !ok || fresh.Header.Get("Set-Cookie") != "a=c" {
		t.Errorf("%v, %+v", ok, fresh)
	}
}
