package rfc9111_test

import (
	"testing"
	"time"

	"weir/rfc9111"
)

// RFC 9110 15.3.7.3.
func TestVersion(t *testing.T) {
	stored := func(change func(*rfc9111.Response), lines ...string) *rfc9111.Response {
		r := response(200, lines...)
		r.Length = 10
		if change != nil {
			change(r)
		}
		return r
	}
	base := stored(nil, `Etag: "a"`)
	want, ok := base.Version()
	if !ok || want != (rfc9111.Version{Validator: `"a"`, Size: 10}) {
		t.Fatalf("%+v, %v", want, ok)
	}
	for name, same := range map[string]*rfc9111.Response{
		"later":   stored(func(r *rfc9111.Response) { r.ResponseTime = r.ResponseTime.Add(time.Hour) }, `Etag: "a"`, "X: y"),
		"a part":  stored(func(r *rfc9111.Response) { r.Length, r.Parts = 3, &rfc9111.Parts{Size: 10} }, `Etag: "a"`),
		"a date":  stored(nil, `Etag: "a"`, "Last-Modified: "+date(-time.Hour)),
		"no date": stored(nil, `Etag: "a"`, "Last-Modified: yesterday"),
	} {
		if got, ok := same.Version(); !ok || got != want {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
	for name, other := range map[string]*rfc9111.Response{
		"tag":       stored(nil, `Etag: "b"`),
		"length":    stored(func(r *rfc9111.Response) { r.Length = 11 }, `Etag: "a"`),
		"size":      stored(func(r *rfc9111.Response) { r.Parts = &rfc9111.Parts{Size: 11} }, `Etag: "a"`),
		"coding":    stored(nil, `Etag: "a"`, "Content-Encoding: gzip"),
		"variant":   stored(func(r *rfc9111.Response) { r.Selection = "x" }, `Etag: "a"`),
		"date only": stored(nil, "Last-Modified: "+date(-time.Hour)),
	} {
		if got, ok := other.Version(); !ok || got == want {
			t.Errorf("another %s: %+v, %v", name, got, ok)
		}
	}
	for name, none := range map[string]*rfc9111.Response{
		"no validator":   stored(nil),
		"a weak tag":     stored(nil, `Etag: W/"a"`),
		"a weak date":    stored(nil, "Last-Modified: "+date(0)),
		"a weak tag too": stored(nil, `Etag: W/"a"`, "Last-Modified: "+date(-time.Hour)),
		"two tags":       stored(nil, `Etag: "a"`, `Etag: "b"`),
		"no length":      stored(func(r *rfc9111.Response) { r.Length = -1 }, `Etag: "a"`),
		"no size":        stored(func(r *rfc9111.Response) { r.Parts = &rfc9111.Parts{Size: -1} }, `Etag: "a"`),
	} {
		if got, ok := none.Version(); ok || got != (rfc9111.Version{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// What is about the part alone is not about the whole.
func TestWholeOf(t *testing.T) {
	part := response(206, "Content-Range: bytes 5-9/20", "Content-Length: 5", "Content-Digest: sha-256=:YQ==:", "Content-Md5: YQ==",
		"Repr-Digest: sha-256=:YQ==:", `Etag: "a"`)
	part.Length = 5
	whole, r, ok := rfc9111.WholeOf(part)
	if !ok || whole.Status != 200 || whole.Length != 20 || r != (rfc9111.Range{Start: 5, Length: 5}) {
		t.Fatalf("%+v, %v, %v", whole, r, ok)
	}
	for _, name := range []string{"Content-Range", "Content-Length", "Content-Digest", "Content-Md5"} {
		if whole.Header.Get(name) != "" || part.Header.Get(name) == "" {
			t.Errorf("%s: %q of %q", name, whole.Header.Get(name), part.Header.Get(name))
		}
	}
	if whole.Header.Get("Repr-Digest") == "" || whole.Header.Get("Etag") == "" {
		t.Errorf("header %v", whole.Header)
	}
	part.Length = 4
	if _, _, ok := rfc9111.WholeOf(part); ok {
		t.Error("fewer bytes than the range has")
	}
}
