package rfc9111_test

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"weir/rfc9111"
)

// RFC 9111 5.2.2.4 and 5.2.2.7: what is left of a response for everybody.
func TestShared(t *testing.T) {
	force := &rfc9111.Rules{ForcePrivate: true}
	keep := &rfc9111.Rules{StoreSetCookie: true}
	tests := []struct {
		name  string
		lines []string
		rules *rfc9111.Rules
		gone  string // names that are left out
		want  rfc9111.CachingStatus
	}{
		{"nothing named", []string{"Cache-Control: max-age=60"}, nil, "", "ok"},
		{"private", []string{`Cache-Control: private="a", max-age=60`}, nil, "A", "ok"},
		{"no-cache", []string{`Cache-Control: no-cache="a", max-age=60`}, nil, "A", "ok"},
		{"both, and one that is not there", []string{`Cache-Control: no-cache="a, c", private="B", max-age=60`}, nil, "A B", "ok"},
		{"a token", []string{"Cache-Control: private=a, max-age=60"}, nil, "A", "ok"},
		{"a targeted field", []string{`Cdn-Cache-Control: max-age=60, private="a"`}, nil, "A", "ok"},
		{"hidden by a targeted field", []string{`Cache-Control: private="a"`, "Cdn-Cache-Control: max-age=60"}, nil, "", "ok"},
		{"named fields and the whole", []string{`Cache-Control: private="a", private, max-age=60`}, nil, "", "private"},
		{"two lists", []string{`Cache-Control: private="a", private="b", max-age=60`}, nil, "", "private"},
		{"an empty list", []string{`Cache-Control: private="", max-age=60`}, nil, "", "private"},
		{"no name", []string{`Cache-Control: private="a b", max-age=60`}, nil, "", "private"},
		{"an empty name", []string{`Cache-Control: private="a,", max-age=60`}, nil, "", "private"},
		{"an escape", []string{`Cache-Control: private="\a", max-age=60`}, nil, "", "private"},
		{"under force", []string{`Cache-Control: private="a", max-age=60`}, force, "", "ok"},
		{"no-cache under force", []string{`Cache-Control: no-cache="a", max-age=60`}, force, "A", "ok"},

		{"an entity tag", []string{`Cache-Control: no-cache="etag", max-age=60`}, nil, "", "ok"}, // validated each time
		{"an entity tag and another field", []string{`Cache-Control: private="a, etag", max-age=60`}, nil, "", "private"},
		{"what describes the content", []string{`Cache-Control: private="content-type", max-age=60`}, nil, "", "private"},
		{"Vary", []string{`Cache-Control: private="vary", max-age=60`, "Vary: A"}, nil, "", "private"},
		{"Vary that is not there", []string{`Cache-Control: private="vary", max-age=60`}, nil, "", "ok"},

		{"a cookie", []string{`Cache-Control: private="set-cookie", max-age=60`, "Set-Cookie: a=b"}, nil, "Set-Cookie", "ok"},
		{"a cookie, as application servers send it", []string{`Cache-Control: no-cache="set-cookie, set-cookie2"`, "Expires: " + date(3600e9), "Set-Cookie: a=b", "Set-Cookie2: a"}, nil, "Set-Cookie Set-Cookie2", "ok"},
		{"a cookie without a lifetime of the origin", []string{`Cache-Control: no-cache="set-cookie"`, "Set-Cookie: a=b"}, &rfc9111.Rules{Lifetime: ptr(60e9)}, "", "set-cookie"},
		{"a cookie that is not named", []string{`Cache-Control: private="a", max-age=60`, "Set-Cookie: a=b"}, nil, "A", "set-cookie"},
		{"a cookie under force", []string{`Cache-Control: private="set-cookie", max-age=60`, "Set-Cookie: a=b"}, force, "", "set-cookie"},
		{"a cookie that the route keeps", []string{`Cache-Control: private="set-cookie", max-age=60`, "Set-Cookie: a=b"}, keep, "Set-Cookie", "ok"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp := response(200, append([]string{"A: 1", "B: 2", `Etag: "a"`, "Content-Type: text/plain"}, tt.lines...)...)
			before := resp.Header.Clone()
			got := rfc9111.Shared(resp, tt.rules)
			if !reflect.DeepEqual(resp.Header, before) {
				t.Error("the response was edited")
			}
			var gone []string
			for name := range before {
				if got.Header[name] == nil {
					gone = append(gone, name)
				}
			}
			slices.Sort(gone)
			if strings.Join(gone, " ") != tt.gone || (got == resp) != (gone == nil) {
				t.Errorf("without %q, want %q", gone, tt.gone)
			}
			if s := rfc9111.Storable(get(), got, tt.rules); s.Status != tt.want {
				t.Errorf("%s (%s), want %s", s.Status, s.Reason, tt.want)
			}
			if gone != nil && !rfc9111.Personal(resp.Header, tt.rules) {
				t.Error("nothing personal in the whole")
			}
			if s := rfc9111.Storable(get(), got, tt.rules); s.Store && !s.Terms.NoCache && rfc9111.Personal(got.Header, tt.rules) {
				t.Error("something personal for everybody")
			}
		})
	}
}

// What a 304 has for one client goes to that client, and is not kept.
func TestFreshenReserved(t *testing.T) {
	old := stored(t, get(), nil, "Cache-Control: max-age=60", `Etag: "a"`, "X-User: nobody", "X-All: 0")
	notModified := response(304, `Cache-Control: max-age=60, private="x-user"`, "X-User: 7", "X-All: 1", "Set-Cookie: a=b", `Etag: "a"`)
	fresh, ok := rfc9111.Freshen(get(), old, notModified, nil)
	if !ok || fresh.Header["X-User"] != nil || fresh.Header["Set-Cookie"] != nil || fresh.Header.Get("X-All") != "1" {
		t.Fatalf("%v %+v", ok, fresh)
	}
	own := rfc9111.WithPersonal(fresh, notModified, nil)
	if own.Header.Get("X-User") != "7" || own.Header.Get("Set-Cookie") != "a=b" || own.Header.Get("X-All") != "1" {
		t.Errorf("%v", own.Header)
	}
	if fresh.Header["X-User"] != nil {
		t.Error("an input was edited")
	}
	if rfc9111.WithPersonal(fresh, response(304), nil) != fresh {
		t.Error("a copy for nothing")
	}
	// An essential field cannot be taken out, so the whole is private.
	notModified.Header.Set("Cache-Control", `max-age=60, private="x-user, etag"`)
	if _, ok := rfc9111.Freshen(get(), old, notModified, nil); ok {
		t.Error("kept although it is private")
	}
}

// Nothing that is reserved is ever in what is shared and storable.
func FuzzShared(f *testing.F) {
	f.Add(`private="a, set-cookie", max-age=60`, "")
	f.Add(`max-age=60, no-cache="a"`, `max-age=60, private="a"`)
	f.Fuzz(func(t *testing.T, control, targeted string) {
		h := http.Header{"Cache-Control": {control}, "A": {"1"}, "Set-Cookie": {"a=b"}, "Etag": {`"a"`}}
		if targeted != "" {
			h["Cdn-Cache-Control"] = []string{targeted}
		}
		resp := &rfc9111.Response{Status: 200, Header: h, RequestTime: arrival, ResponseTime: arrival}
		shared := rfc9111.Shared(resp, nil)
		s := rfc9111.Storable(get(), shared, nil)
		if s.Store && shared.Header["Set-Cookie"] != nil {
			t.Fatalf("a cookie is stored: %q", control)
		}
		if s.Store && !s.Terms.NoCache && rfc9111.Personal(shared.Header, nil) {
			t.Fatalf("something reserved is stored: %q %q", control, targeted)
		}
	})
}
