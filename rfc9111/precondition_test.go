package rfc9111_test

import (
	"strings"
	"testing"
	"time"

	"weir/rfc9111"
)

// RFC 9110 13.1 and 13.2.2.
func TestEvaluate(t *testing.T) {
	const (
		proceed     = rfc9111.Proceed
		notModified = rfc9111.NotModified
		failed      = rfc9111.Failed
		whole       = rfc9111.IgnoreRange
	)
	before, at, after := date(-2*time.Hour), date(-time.Hour), date(0)
	both := response(200, `Etag: "a"`, "Last-Modified: "+at)
	weak := response(200, `Etag: W/"a"`, "Last-Modified: "+at)
	dated := response(200, "Last-Modified: "+at)
	none := response(200)
	head := func(lines ...string) rfc9111.Request {
		return rfc9111.Request{Method: "HEAD", Header: header(lines...)}
	}
	query := func(lines ...string) rfc9111.Request {
		return rfc9111.Request{Method: "QUERY", Header: header(lines...)}
	}
	tests := []struct {
		name string
		req  rfc9111.Request
		resp *rfc9111.Response
		want rfc9111.Precondition
	}{
		{"unconditional", get(), both, proceed},

		{"none-match, same", get(`If-None-Match: "a"`), both, notModified},
		{"none-match, same, head", head(`If-None-Match: "a"`), both, notModified},
		{"none-match, same, post", rfc9111.Request{Method: "POST", Header: header(`If-None-Match: "a"`)}, both, proceed},
		{"none-match, same, query", query(`If-None-Match: "a"`), both, notModified},
		{"none-match, other, query", query(`If-None-Match: "b"`), both, proceed},
		{"modified-since, query", query("If-Modified-Since: " + at), dated, notModified},
		{"match, other, query", query(`If-Match: "b"`), both, failed},
		{"range, other tag, query", query("Range: bytes=0-1", `If-Range: "b"`), both, proceed},
		{"none-match, other", get(`If-None-Match: "b"`), both, proceed},
		{"none-match, weak of strong", get(`If-None-Match: W/"a"`), both, notModified},
		{"none-match, strong of weak", get(`If-None-Match: "a"`), weak, notModified},
		{"none-match, weak of weak", get(`If-None-Match: W/"a"`), weak, notModified},
		{"none-match, tags have a case", get(`If-None-Match: "A"`), both, proceed},
		{"none-match, the weakness has a case", get(`If-None-Match: w/"a"`), both, proceed},
		{"none-match, first of three", get(`If-None-Match: "a", "b", "c"`), both, notModified},
		{"none-match, middle of three", get(`If-None-Match: "b","a" , "c"`), both, notModified},
		{"none-match, last of three", get(`If-None-Match: ,"b",, W/"c","a"`), both, notModified},
		{"none-match, on the second line", get(`If-None-Match: "b"`, `If-None-Match: "a"`), both, notModified},
		{"none-match, with commas", get(`If-None-Match: "b, \"a\""`), both, proceed},
		{"none-match, obsolete text", get("If-None-Match: \"\xfc\""), response(200, "Etag: \"\xfc\""), notModified},
		{"none-match, any", get("If-None-Match: *"), both, notModified},
		{"none-match, any of none", get("If-None-Match: *"), none, notModified},
		{"none-match, any in a list", get(`If-None-Match: "b", *`), both, proceed},
		{"none-match, no quotes", get("If-None-Match: a"), both, proceed},
		{"none-match, open quote", get(`If-None-Match: "a`), both, proceed},
		{"none-match, space in a tag", get(`If-None-Match: "a b"`), response(200, `Etag: "a b"`), proceed},
		{"none-match, no tag", get(`If-None-Match: "a"`), dated, proceed},
		{"none-match before modified-since", get(`If-None-Match: "b"`, "If-Modified-Since: "+after), both, proceed},
		{"none-match before an earlier date", get(`If-None-Match: "a"`, "If-Modified-Since: "+before), both, notModified},

		{"modified-since, same", get("If-Modified-Since: " + at), dated, notModified},
		{"modified-since, later", get("If-Modified-Since: " + after), dated, notModified},
		{"modified-since, earlier", get("If-Modified-Since: " + before), dated, proceed},
		{"modified-since, obsolete form", get("If-Modified-Since: Saturday, 14-Mar-26 14:09:26 GMT"), dated, notModified},
		{"modified-since, no date", get("If-Modified-Since: now"), dated, proceed},
		{"modified-since, two dates", get("If-Modified-Since: "+after, "If-Modified-Since: "+after), dated, proceed},
		{"modified-since, only made later", get("If-Modified-Since: " + at), none, proceed},
		{"modified-since, only made then", get("If-Modified-Since: " + after), none, notModified},
		{"modified-since, only arrived then", get("If-Modified-Since: " + after), dateless(), notModified},
		{"modified-since, head", head("If-Modified-Since: " + at), dated, notModified},

		{"match, same", get(`If-Match: "a"`), both, proceed},
		{"match, one of two", get(`If-Match: "b", "a"`), both, proceed},
		{"match, other", get(`If-Match: "b"`), both, failed},
		{"match, weak of weak", get(`If-Match: W/"a"`), weak, failed},
		{"match, strong of weak", get(`If-Match: "a"`), weak, failed},
		{"match, any", get("If-Match: *"), none, proceed},
		{"match, no tag", get(`If-Match: "a"`), none, failed},
		{"match, then none-match", get(`If-Match: "a"`, `If-None-Match: "a"`), both, notModified},
		{"match fails before none-match", get(`If-Match: "b"`, `If-None-Match: "a"`), both, failed},
		{"match before unmodified-since", get(`If-Match: "a"`, "If-Unmodified-Since: "+before), both, proceed},

		{"unmodified-since, same", get("If-Unmodified-Since: " + at), dated, proceed},
		{"unmodified-since, earlier", get("If-Unmodified-Since: " + before), dated, failed},
		{"unmodified-since, no date", get("If-Unmodified-Since: now"), dated, proceed},
		{"unmodified-since, nothing to compare", get("If-Unmodified-Since: " + before), none, proceed},

		{"range, same tag", get("Range: bytes=0-1", `If-Range: "a"`), both, proceed},
		{"range, other tag", get("Range: bytes=0-1", `If-Range: "b"`), both, whole},
		{"range, weak tag", get("Range: bytes=0-1", `If-Range: W/"a"`), weak, whole},
		{"range, two tags", get("Range: bytes=0-1", `If-Range: "a", "b"`), both, whole},
		{"range, tag without tag", get("Range: bytes=0-1", `If-Range: "a"`), dated, whole},
		{"range, same date", get("Range: bytes=0-1", "If-Range: "+at), dated, proceed},
		{"range, later date", get("Range: bytes=0-1", "If-Range: "+after), dated, whole},
		{"range, date without date", get("Range: bytes=0-1", "If-Range: "+at), none, whole},
		{"range, date of the same second", get("Range: bytes=0-1", "If-Range: "+after), response(200, "Last-Modified: "+after), whole},
		{"range, date a second old", get("Range: bytes=0-1", "If-Range: "+date(-time.Second)), response(200, "Last-Modified: "+date(-time.Second)), proceed},
		{"range, date of what has no Date", get("Range: bytes=0-1", "If-Range: "+at), dateless("Last-Modified: " + at), whole},
		{"range, rubbish", get("Range: bytes=0-1", "If-Range: a"), both, whole},
		{"range, two lines", get("Range: bytes=0-1", `If-Range: "a"`, `If-Range: "a"`), both, whole},
		{"if-range alone", get(`If-Range: "b"`), both, proceed},
		{"if-range of head", head("Range: bytes=0-1", `If-Range: "b"`), both, proceed},
		{"if-range after none-match", get("Range: bytes=0-1", `If-Range: "b"`, `If-None-Match: "a"`), both, notModified},

		{"not found", get(`If-None-Match: "a"`), response(404, `Etag: "a"`), proceed},
		{"redirect", get("If-None-Match: *"), response(301), proceed},
		{"partial", get(`If-None-Match: "a"`), response(206, `Etag: "a"`), proceed},
		{"another success", get(`If-None-Match: "a"`), response(203, `Etag: "a"`), notModified},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := rfc9111.Evaluate(tt.req, tt.resp); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// FuzzEvaluate reads conditions in every field. None of them holds for an entity tag that is
// not in it, and a tag holds in any list.
func FuzzEvaluate(f *testing.F) {
	f.Add(`"a", W/"b"`, `"a"`)
	f.Add(`*`, `W/"x,y"`)
	f.Add(`"a" "b",, w/"c", "`, `Sat, 14 Mar 2026 15:09:26 GMT`)
	f.Fuzz(func(t *testing.T, field, other string) {
		for _, name := range []string{"If-Match", "If-None-Match", "If-Range", "If-Modified-Since", "If-Unmodified-Since"} {
			req := get("Range: bytes=0-0")
			req.Header[name] = []string{field}
			resp := response(200, "Last-Modified: "+date(0))
			resp.Header["Etag"] = []string{other}
			got := rfc9111.Evaluate(req, resp)
			if got == rfc9111.Failed && !strings.HasPrefix(name, "If-Match") && name != "If-Unmodified-Since" ||
				got == rfc9111.NotModified && name != "If-None-Match" && name != "If-Modified-Since" ||
				got == rfc9111.IgnoreRange && name != "If-Range" {
				t.Fatalf("%s %q: %v", name, field, got)
			}
		}
		tagged := response(200, `Etag: "own"`)
		if got := rfc9111.Evaluate(get(`If-None-Match: "own", `+field), tagged); got != rfc9111.NotModified {
			t.Fatalf("%q hides a tag before it: %v", field, got)
		}
		req := get()
		req.Header["If-None-Match"] = []string{field, `"own"`}
		if got := rfc9111.Evaluate(req, tagged); got != rfc9111.NotModified {
			t.Fatalf("%q hides a tag on the next line: %v", field, got)
		}
	})
}
