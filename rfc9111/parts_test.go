package rfc9111_test

import (
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/rfc9111"
)

// RFC 9110 14.4.
func TestParseContentRange(t *testing.T) {
	tests := []struct {
		field string
		want  rfc9111.Range
		size  int64
		ok    bool
	}{
		{"bytes 0-4/10", rfc9111.Range{Start: 0, Length: 5}, 10, true},
		{" BYTES 5-9/10 ", rfc9111.Range{Start: 5, Length: 5}, 10, true},
		{"bytes 5-5/*", rfc9111.Range{Start: 5, Length: 1}, -1, true},
		{"bytes 5-9/9", rfc9111.Range{}, 0, false},
		{"bytes 5-4/9", rfc9111.Range{}, 0, false},
		{"bytes */10", rfc9111.Range{}, 0, false},
		{"bytes 0-4", rfc9111.Range{}, 0, false},
		{"bytes 0-4/", rfc9111.Range{}, 0, false},
		{"bytes -4/10", rfc9111.Range{}, 0, false},
		{"bytes 0-/10", rfc9111.Range{}, 0, false},
		{"bytes=0-4/10", rfc9111.Range{}, 0, false},
		{"bytes 0 - 4/10", rfc9111.Range{}, 0, false},
		{"bytes 0-4/+10", rfc9111.Range{}, 0, false},
		{"items 0-4/10", rfc9111.Range{}, 0, false},
		{"bytes 0-99999999999999999999/*", rfc9111.Range{}, 0, false},
		{"", rfc9111.Range{}, 0, false},
	}
	for _, tt := range tests {
		r, size, ok := rfc9111.ParseContentRange(tt.field)
		if r != tt.want || size != tt.size || ok != tt.ok {
			t.Errorf("%q: %v of %d, %v", tt.field, r, size, ok)
		}
	}
}

// Parts agree with a plain list of bytes that are held or not.
func TestPartsAreWhatWasAdded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 40).Draw(t, "size")
		held := make([]bool, size)
		p := rfc9111.Parts{Size: -1}
		for range rapid.IntRange(1, 8).Draw(t, "parts") {
			start := rapid.IntRange(0, size-1).Draw(t, "start")
			end := rapid.IntRange(start, size-1).Draw(t, "end")
			told := rapid.SampledFrom([]int64{-1, int64(size)}).Draw(t, "told")
			before := slices.Clone(p.Held)
			sum, ok := p.Add(rfc9111.Range{Start: int64(start), Length: int64(end - start + 1)}, told)
			if !ok || !slices.Equal(before, p.Held) {
				t.Fatalf("%v and %d-%d: %v", p, start, end, ok)
			}
			p = sum
			for i := start; i <= end; i++ {
				held[i] = true
			}
		}
		for i, h := range held {
			if p.Covers(rfc9111.Range{Start: int64(i), Length: 1}) != h {
				t.Fatalf("%v: byte %d is %v", p, i, h)
			}
		}
		all := p
		for _, r := range p.Missing() {
			if r.Length < 0 {
				if p.Size >= 0 {
					t.Fatalf("%v misses %v", p, r)
				}
				if r.Length = int64(size) - r.Start; r.Length == 0 {
					continue
				}
			}
			for i := r.Start; i < r.Start+r.Length; i++ {
				if held[i] {
					t.Fatalf("%v misses %d", p, i)
				}
			}
			all, _ = all.Add(r, int64(size))
		}
		if all, _ = all.Add(rfc9111.Range{Length: 1}, int64(size)); held[0] && !all.Whole() || p.Whole() && slices.Contains(held, false) {
			t.Fatalf("%v with what it misses is %v", p, all)
		}
	})
}

func TestPartsRefuse(t *testing.T) {
	p := rfc9111.Parts{Size: 10, Held: []rfc9111.Range{{Start: 0, Length: 5}}}
	for _, tt := range []struct {
		r    rfc9111.Range
		size int64
	}{
		{rfc9111.Range{Start: 5, Length: 5}, 11},
		{rfc9111.Range{Start: 5, Length: 6}, -1},
		{rfc9111.Range{Start: 5, Length: 0}, 10},
		{rfc9111.Range{Start: -1, Length: 2}, 10},
	} {
		if sum, ok := p.Add(tt.r, tt.size); ok {
			t.Errorf("%v of %d: %v", tt.r, tt.size, sum)
		}
	}
	if (rfc9111.Parts{Size: -1, Held: p.Held}).Whole() {
		t.Error("whole without a size")
	}
}

// RFC 9110 13.1.5 and 15.3.7.3.
func TestCompletion(t *testing.T) {
	parts := func(size int64, held ...rfc9111.Range) rfc9111.Parts { return rfc9111.Parts{Size: size, Held: held} }
	from := func(start, length int64) rfc9111.Range { return rfc9111.Range{Start: start, Length: length} }
	tag := []string{`Etag: "a"`}
	tests := []struct {
		name      string
		p         rfc9111.Parts
		stored    []string
		rangeOf   string
		condition string
	}{
		{"the rest", parts(10, from(0, 5)), tag, "bytes=5-", `"a"`},
		{"the beginning", parts(10, from(5, 5)), tag, "bytes=0-4", `"a"`},
		{"both ends", parts(10, from(4, 2)), tag, "bytes=0-", `"a"`},
		{"several gaps", parts(10, from(0, 1), from(4, 2), from(8, 2)), tag, "bytes=1-7", `"a"`},
		{"the middle", parts(10, from(0, 4), from(6, 4)), tag, "bytes=4-5", `"a"`},
		{"the rest of what has no known end", parts(-1, from(0, 5)), tag, "bytes=5-", `"a"`},
		{"by date", parts(10, from(0, 5)), []string{"Last-Modified: " + date(-time.Hour)}, "bytes=5-", date(-time.Hour)},
		{"by the tag before the date", parts(10, from(0, 5)), append(tag, "Last-Modified: "+date(-time.Hour)), "bytes=5-", `"a"`},
		{"a date that is weak", parts(10, from(0, 5)), []string{"Last-Modified: " + date(0)}, "", ""},
		{"a weak tag", parts(10, from(0, 5)), []string{`Etag: W/"a"`, "Last-Modified: " + date(-time.Hour)}, "", ""},
		{"a broken tag", parts(10, from(0, 5)), []string{"Etag: a", "Last-Modified: " + date(-time.Hour)}, "", ""},
		{"no validator", parts(10, from(0, 5)), nil, "", ""},
		{"nothing held", parts(10), tag, "", ""},
		{"nothing missing", parts(10, from(0, 10)), tag, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := header("Accept: a", "Range: bytes=1-2", `If-None-Match: "x"`, `If-Range: "x"`)
			got, ok := tt.p.Completion(client, response(200, tt.stored...))
			var want http.Header
			if tt.rangeOf != "" {
				want = header("Accept: a", "Range: "+tt.rangeOf)
				want["If-Range"] = []string{tt.condition}
			}
			if !reflect.DeepEqual(got, want) || ok != (want != nil) {
				t.Errorf("got %v, want %v", got, want)
			}
			if client.Get("Range") != "bytes=1-2" {
				t.Error("the request was edited")
			}
		})
	}
}

// RFC 9111 3.3.
func TestStorablePart(t *testing.T) {
	part := func(length int64, lines ...string) *rfc9111.Response {
		r := response(206, append(lines, "Content-Length: 5")...)
		r.Length = length
		return r
	}
	tests := []struct {
		name string
		req  rfc9111.Request
		resp *rfc9111.Response
		want rfc9111.CachingStatus
	}{
		{"part", get("Range: bytes=0-4"), part(5, "Content-Range: bytes 0-4/10", "Cache-Control: max-age=60"), "ok"},
		{"part whose length comes last", get(), part(-1, "Content-Range: bytes 0-4/10", "Cache-Control: max-age=60"), "ok"},
		{"content shorter than its range", get(), part(5, "Content-Range: bytes 4-9/10", "Cache-Control: max-age=60"), "pass"},
		{"several parts", get(), part(5, "Content-Type: multipart/byteranges; boundary=x", "Cache-Control: max-age=60"), "pass"},
		{"two ranges", get(), part(5, "Content-Range: bytes 0-4/10", "Content-Range: bytes 5-9/10", "Cache-Control: max-age=60"), "pass"},
		{"no lifetime", get(), part(5, "Content-Range: bytes 0-4/10"), "no-max-age"},
		{"private", get(), part(5, "Content-Range: bytes 0-4/10", "Cache-Control: max-age=60, private"), "private"},
		{"whole", get(), response(200, "Content-Range: bytes 0-4/10", "Cache-Control: max-age=60"), "pass"},
		{"head", rfc9111.Request{Method: "HEAD"}, part(5, "Content-Range: bytes 0-4/10", "Cache-Control: max-age=60"), "pass"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, head, r := rfc9111.StorablePart(tt.req, tt.resp, nil)
			if s.Status != tt.want || s.Store != (head != nil) {
				t.Fatalf("%q (%s), %v", s.Status, s.Reason, head)
			}
			if head == nil {
				return
			}
			if r != (rfc9111.Range{Start: 0, Length: 5}) || head.Status != 200 || head.Length != 10 || head.Terms.Lifetime != time.Minute ||
				head.Header.Get("Content-Range")+head.Header.Get("Content-Length") != "" || tt.resp.Header.Get("Content-Range") == "" {
				t.Errorf("%v of %+v", r, head)
			}
		})
	}
}

// RFC 9111 3.4.
func TestCombine(t *testing.T) {
	tests := []struct {
		name   string
		stored []string
		status int
		part   []string
		want   bool
	}{
		{"same strong tag", []string{`Etag: "a"`}, 206, []string{`Etag: "a"`}, true},
		{"other tag", []string{`Etag: "a"`}, 206, []string{`Etag: "b"`}, false},
		{"same weak tag", []string{`Etag: W/"a"`}, 206, []string{`Etag: W/"a"`}, false},
		{"no tag any more", []string{`Etag: "a"`}, 206, nil, false},
		{"no validator", nil, 206, nil, false},
		{"same old date", []string{"Last-Modified: " + date(-time.Hour)}, 206, []string{"Last-Modified: " + date(-time.Hour)}, true},
		{"same new date", []string{"Last-Modified: " + date(0)}, 206, []string{"Last-Modified: " + date(0)}, false},
		{"same coding", []string{`Etag: "a"`, "Content-Encoding: gzip"}, 206, []string{`Etag: "a"`, "Content-Encoding: gzip"}, true},
		{"coding left out", []string{`Etag: "a"`, "Content-Encoding: gzip"}, 206, []string{`Etag: "a"`}, false},
		{"other coding", []string{`Etag: "a"`, "Content-Encoding: gzip"}, 206, []string{`Etag: "a"`, "Content-Encoding: br"}, false},
		{"with a cookie", []string{`Etag: "a"`}, 206, []string{`Etag: "a"`, "Set-Cookie: a=1"}, false},
		{"now private", []string{`Etag: "a"`}, 206, []string{`Etag: "a"`, "Cache-Control: private"}, false},
		{"all of it", []string{`Etag: "a"`}, 200, []string{`Etag: "a"`}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			old := stored(t, get(), nil, append(tt.stored, "Cache-Control: max-age=60", "X-A: 1", "X-B: 1")...)
			old.Length = 10
			part := response(tt.status, append(tt.part, "X-B: 2", "Content-Range: bytes 5-9/10", "Content-Length: 5")...)
			got, ok := rfc9111.Combine(get(), old, part, nil)
			if ok != tt.want || (got != nil) != tt.want {
				t.Fatalf("%v, %v", ok, got)
			}
			if ok && (got.Status != 200 || got.Length != 10 || got.Header.Get("X-A") != "1" || got.Header.Get("X-B") != "2" ||
				got.Header.Get("Content-Range")+got.Header.Get("Content-Length") != "") {
				t.Errorf("%+v", got)
			}
		})
	}
}

func FuzzContentRange(f *testing.F) {
	f.Add("bytes 0-4/10")
	f.Add("bytes 9223372036854775806-9223372036854775807/*")
	f.Fuzz(func(t *testing.T, field string) {
		r, size, ok := rfc9111.ParseContentRange(field)
		if !ok {
			return
		}
		p, fits := rfc9111.Parts{Size: -1}.Add(r, size)
		if !fits || !p.Covers(r) || r.Length <= 0 || r.Start < 0 || r.Start+r.Length < 0 || size >= 0 && r.Start+r.Length > size {
			t.Fatalf("%q: %v of %d", field, r, size)
		}
	})
}

// RFC 9110 13.1.5 and 14.3.
func TestResumption(t *testing.T) {
	tests := []struct {
		name   string
		status int
		stored []string
		want   string // If-Range
	}{
		{"strong tag", 200, []string{`Etag: "a"`}, `"a"`},
		{"strong date", 200, []string{"Last-Modified: " + date(-time.Hour)}, date(-time.Hour)},
		{"with ranges", 200, []string{`Etag: "a"`, "Accept-Ranges: bytes"}, `"a"`},
		{"weak tag", 200, []string{`Etag: W/"a"`, "Last-Modified: " + date(-time.Hour)}, ""},
		{"weak date", 200, []string{"Last-Modified: " + date(0)}, ""},
		{"no validator", 200, nil, ""},
		{"no ranges", 200, []string{`Etag: "a"`, "Accept-Ranges: None"}, ""},
		{"no ranges among others", 200, []string{`Etag: "a"`, "Accept-Ranges: x, none"}, ""},
		{"not a 200", 203, []string{`Etag: "a"`}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := header("Accept: a", "Range: bytes=1-2", `If-None-Match: "x"`)
			got, ok := rfc9111.Resumption(client, response(tt.status, tt.stored...), 7)
			var want http.Header
			if tt.want != "" {
				want = header("Accept: a", "Range: bytes=7-")
				want["If-Range"] = []string{tt.want}
			}
			if !reflect.DeepEqual(got, want) || ok != (want != nil) || client.Get("Range") != "bytes=1-2" {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// RFC 9110 15.3.7.3.
func TestResumes(t *testing.T) {
	tests := []struct {
		name   string
		length int64
		part   []string
		want   bool
	}{
		{"the rest", 5, []string{`Etag: "a"`, "Content-Encoding: gzip", "Content-Range: bytes 5-9/10"}, true},
		{"of unknown length", -1, []string{`Etag: "a"`, "Content-Encoding: gzip", "Content-Range: bytes 5-9/10"}, true},
		{"shorter", 4, []string{`Etag: "a"`, "Content-Encoding: gzip", "Content-Range: bytes 5-9/10"}, false},
		{"size not told", 5, []string{`Etag: "a"`, "Content-Encoding: gzip", "Content-Range: bytes 5-9/*"}, false},
		{"no range", 5, []string{`Etag: "a"`, "Content-Encoding: gzip", "Content-Range: bytes */10"}, false},
		{"coding left out", 5, []string{`Etag: "a"`, "Content-Range: bytes 5-9/10"}, false},
		{"another version", 5, []string{`Etag: "b"`, "Content-Encoding: gzip", "Content-Range: bytes 5-9/10"}, false},
		{"now private", 5, []string{`Etag: "a"`, "Content-Encoding: gzip", "Content-Range: bytes 5-9/10", "Cache-Control: private"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			old := stored(t, get(), nil, `Etag: "a"`, "Content-Encoding: gzip", "Cache-Control: max-age=60")
			part := response(206, tt.part...)
			part.Length = tt.length
			r, size, ok := rfc9111.Resumes(get(), old, part, nil)
			if ok != tt.want || ok && (r != rfc9111.Range{Start: 5, Length: 5} || size != 10) {
				t.Errorf("%v of %d, %v", r, size, ok)
			}
		})
	}
}
