package rfc9111_test

import (
	"net/http"
	"reflect"
	"slices"
	"testing"

	"weir/rfc9111"
)

func TestContentCodings(t *testing.T) {
	for _, tt := range []struct {
		lines []string
		want  []string
	}{
		{nil, nil},
		{[]string{""}, nil},
		{[]string{"identity"}, nil},
		{[]string{"gzip"}, []string{"gzip"}},
		{[]string{" X-GZip\t"}, []string{"gzip"}},
		{[]string{"BR"}, []string{"br"}},
		{[]string{"identity, gzip"}, []string{"gzip"}},
		{[]string{"gzip, br"}, []string{"gzip", "br"}},
		{[]string{"gzip", "gzip"}, []string{"gzip", "gzip"}},
		{[]string{"Aws-Chunked,"}, []string{"aws-chunked"}},
	} {
		if got := rfc9111.ContentCodings(http.Header{"Content-Encoding": tt.lines}); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.lines, got, tt.want)
		}
	}
}

func TestRecodable(t *testing.T) {
	for _, tt := range []struct {
		line string
		want bool
	}{
		{"X-Y: z", true},
		{"Content-Encoding: gzip", true},
		{"Cache-Control: max-age=60, public", true},
		{"Cache-Control: max-age=60, No-Transform", false},
		{"Cache-Control: no-transform=1", false},
		{`Cache-Control: foo="a, no-transform"`, true},
		{`Cache-Control: @, no-transform`, false},
		{"Cdn-Cache-Control: no-transform", false},
		{"Weir-Cache-Control: max-age=1, no-transform", false},
		{"Content-Digest: sha-256=:AA==:", false},
		{"Repr-Digest: sha-256=:AA==:", false},
		{"Digest: sha-256=AA", false},
		{"Content-Md5: AA", false},
		{"Content-Range: bytes 0-1/2", false},
	} {
		if got := rfc9111.Recodable(response(200, tt.line)); got != tt.want {
			t.Errorf("%s: %v", tt.line, got)
		}
	}
	if rfc9111.Recodable(response(206)) {
		t.Error("a part")
	}
	incomplete := response(200)
	incomplete.Parts = &rfc9111.Parts{}
	if rfc9111.Recodable(incomplete) {
		t.Error("an incomplete body")
	}
}

func TestRecoded(t *testing.T) {
	stored := response(200, "Content-Encoding: gzip", "Content-Length: 100", `Etag: "v1"`, "Accept-Ranges: bytes", "Vary: X", "Last-Modified: x")
	stored.Length = 100
	before := stored.Header.Clone()
	for _, tt := range []struct {
		coding string
		length int64
		want   http.Header
	}{
		{"", 300, header("Content-Length: 300", `Etag: W/"v1"`, "Accept-Ranges: bytes", "Vary: X", "Last-Modified: x")},
		{"", -1, header(`Etag: W/"v1"`, "Vary: X", "Last-Modified: x")},
		{"br", 90, header("Content-Encoding: br", "Content-Length: 90", `Etag: W/"v1"`, "Accept-Ranges: bytes", "Vary: X", "Last-Modified: x")},
	} {
		got := rfc9111.Recoded(stored, tt.coding, tt.length)
		tt.want["Date"] = stored.Header["Date"]
		if !reflect.DeepEqual(got.Header, tt.want) || got.Length != tt.length || !got.ResponseTime.Equal(stored.ResponseTime) {
			t.Errorf("%q of %d: %+v", tt.coding, tt.length, got)
		}
	}
	if !reflect.DeepEqual(stored.Header, before) || stored.Length != 100 {
		t.Error("the stored head was changed")
	}
	for tag, want := range map[string]string{`W/"v1"`: `W/"v1"`, `v1`: `v1`, ``: ``} {
		if got := rfc9111.Recoded(response(200, "Etag: "+tag), "", 1); got.Header.Get("Etag") != want {
			t.Errorf("%s became %s", tag, got.Header.Get("Etag"))
		}
	}
}

// What names the coded bytes does not trail the decoded ones.
func TestRecodedTrailer(t *testing.T) {
	var none *rfc9111.Trailer
	if none.Recoded() != nil {
		t.Error("out of nothing")
	}
	sent := &rfc9111.Trailer{
		Names:  []string{"Content-Digest", "Etag", "X-Sum"},
		Fields: func() http.Header { return header("Content-Digest: x", `Etag: "a"`, "X-Sum: 1", "X-Late: 2") },
	}
	got := sent.Recoded()
	if !slices.Equal(got.Names, []string{"X-Sum"}) || !reflect.DeepEqual(got.Fields(), header("X-Sum: 1", "X-Late: 2")) || len(sent.Names) != 3 {
		t.Errorf("%v, %v", got.Names, got.Fields())
	}
	empty := &rfc9111.Trailer{Fields: func() http.Header { return nil }}
	if h := empty.Recoded().Fields(); len(h) > 0 {
		t.Error(h)
	}
}
