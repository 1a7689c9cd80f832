package api_test

import (
	"fmt"
	"strings"
	"testing"
)

// sinceCase is a request with a date. The last change of /weak is at 10:00:00, that of what has no
// Last-Modified is its Date, 11:59:53, or when it arrived.
type sinceCase struct {
	name   string
	in     string
	status int
	hits   int64
}

// since asks for what was changed after a date.
func since(status int, target, date string, fields ...string) sinceCase {
	in := get(target, append(fields, "If-Modified-Since: "+date)...)
	return sinceCase{fmt.Sprintf("%s since %s", target, date), in, status, 1}
}

var sinceCases = []sinceCase{
	since(304, "/weak", "Sun, 01 Mar 2026 10:00:00 GMT"),
	since(304, "/weak", "Sun, 01 Mar 2026 10:00:01 GMT"),
	since(200, "/weak", "Sun, 01 Mar 2026 09:59:59 GMT"),
	since(304, "/weak", "Sun, 01 Mar 2026 09:59:60 GMT"),
	since(200, "/weak", "Sat, 28 Feb 2026 23:59:60 GMT"),
	since(304, "/weak", "Sun, 01 Mar 2026 10:00:00 gmt"),
	since(304, "/weak", "sun, 01 MAR 2026 10:00:00 GMT"),
	since(304, "/weak", "Mon, 01 Mar 2026 10:00:00 GMT"),
	since(304, "/weak", "Sunday, 01-Mar-26 10:00:00 GMT"),
	since(200, "/weak", "Sunday, 01-Mar-26 09:00:00 GMT"),
	since(304, "/weak", "Sun Mar  1 10:00:00 2026"),
	since(200, "/weak", "Sun Mar  1 09:00:00 2026"),
	since(304, "/weak", "Sun, 01 Mar 2036 10:00:00 GMT"),
	since(304, "/weak", "Fri, 31 Dec 9999 23:59:59 GMT"),
	since(200, "/weak", "Thu, 01 Jan 1970 00:00:00 GMT"),
	since(200, "/weak", "Sat, 01 Jan 0000 00:00:00 GMT"),
	since(200, "/weak", "Sun, 1 Mar 2026 10:00:00 GMT"),
	since(200, "/weak", "Sun, 01 Mar 2026 10:00:00"),
	since(200, "/weak", "Sun, 01 Mar 2026 10:00:00 UTC"),
	since(200, "/weak", "Sun, 01 Mar 2026 10:00:00 +0000"),
	since(200, "/weak", "Sun, 01 Mar 2026 24:00:00 GMT"),
	since(200, "/weak", "Sun, 30 Feb 2026 10:00:00 GMT"),
	since(200, "/weak", "Sun,  01 Mar 2026 10:00:00 GMT"),
	since(200, "/weak", "Sun, 01 Mar 2026 10:00:00 GMT; x"),
	since(200, "/weak", "Sun, 01 Mar 2026 10:00:00 GMT, Sun, 01 Mar 2026 10:00:00 GMT"),
	since(200, "/weak", "2026-03-01T10:00:00Z"),
	since(200, "/weak", "1772359200"),
	since(200, "/weak", "0"),
	since(200, "/weak", "*"),
	since(200, "/weak", `"v1"`),
	since(200, "/weak", ","),
	since(200, "/weak", "\xff"),
	since(304, "/weak", "\t Sun, 01 Mar 2026 10:00:00 GMT \t"),
	since(304, "/", "Sun, 01 Mar 2026 11:59:53 GMT"),
	since(200, "/", "Sun, 01 Mar 2026 11:59:52 GMT"),
	since(304, "/plain", "Sun, 01 Mar 2026 11:59:53 GMT"),
	since(200, "/plain", "Sun, 01 Mar 2026 11:59:52 GMT"),
	since(304, "/unclear", "Sun, 01 Mar 2026 11:59:53 GMT"),
	since(200, "/unclear", "Sun, 01 Mar 2026 10:00:00 GMT"),
	since(304, "/twice", "Sun, 01 Mar 2026 11:59:53 GMT"),
	since(200, "/twice", "Sun, 01 Mar 2026 10:00:00 GMT"),
	since(304, "/set", "Sun, 01 Mar 2026 12:00:00 GMT"),
	since(304, "/brief", "Sun, 01 Mar 2026 12:00:00 GMT"),
	since(304, "/long", "Sun, 01 Mar 2026 12:00:00 GMT"),
	since(304, "/middle", "Sun, 01 Mar 2026 12:00:00 GMT"),
	since(304, "/raw/a", "Sun, 01 Mar 2026 12:00:00 GMT", "Accept-Encoding: gzip"),
	since(304, "/coded", "Sun, 01 Mar 2026 12:00:00 GMT", "Accept-Encoding: gzip"),
	since(404, "/status/404", "Sun, 01 Mar 2026 12:00:00 GMT"),
	since(301, "/status/301", "Sun, 01 Mar 2026 12:00:00 GMT"),
	since(200, "/weak", "Sun, 01 Mar 2026 10:00:00 GMT", `If-None-Match: "other"`),
	since(304, "/weak", "Sun, 01 Mar 2026 09:00:00 GMT", `If-None-Match: "v1"`),
	since(304, "/weak", "nonsense", `If-None-Match: *`),
	{"a tag behind the date", get("/weak", "If-Modified-Since: Sun, 01 Mar 2026 10:00:00 GMT", `If-None-Match: "other"`), 200, 1},
	{"HEAD", get("/weak") + head1("/weak", "If-Modified-Since: Sun, 01 Mar 2026 10:00:00 GMT"), 200, 2},
	{"between others", get("/weak") + get("/weak", "If-Modified-Since: Sun, 01 Mar 2026 10:00:00 GMT") + get("/weak"), 200, 3},
	{"HEAD that is not the GET's", head1("/weak", "If-Modified-Since: Sun, 01 Mar 2026 09:00:00 GMT"), 200, 1},
	{"in capitals", get("/weak", "IF-MODIFIED-SINCE: Sun, 01 Mar 2026 10:00:00 GMT"), 304, 1},

	{"an empty date", get("/weak", "If-Modified-Since:"), 200, 0},
	{"two dates", get("/weak", "If-Modified-Since: Sun, 01 Mar 2026 10:00:00 GMT", "If-Modified-Since: Sun, 01 Mar 2026 10:00:00 GMT"), 200, 0},
	{"an empty tag beside it", get("/weak", "If-None-Match:", "If-Modified-Since: Sun, 01 Mar 2026 10:00:00 GMT"), 200, 0},
	{"If-Unmodified-Since beside it", get("/weak", "If-Unmodified-Since: Sun, 01 Mar 2026 09:00:00 GMT", "If-Modified-Since: Sun, 01 Mar 2026 10:00:00 GMT"), 412, 0},
	{"If-Match beside it", get("/", `If-Match: "v1"`, "If-Modified-Since: Sun, 01 Mar 2026 12:00:00 GMT"), 304, 0},
	{"a range beside it", get("/weak", "Range: bytes=0-3", "If-Modified-Since: Sun, 01 Mar 2026 10:00:00 GMT"), 304, 0},
	{"removed by the route", get("/undated", "If-Modified-Since: Sun, 01 Mar 2026 12:00:00 GMT"), 200, 0},
	{"no page", get("/miss", "If-Modified-Since: Sun, 01 Mar 2026 12:00:00 GMT"), 304, 0},
	{"stale", get("/stale", "If-Modified-Since: Sun, 01 Mar 2026 12:00:00 GMT"), 304, 0},
	{"POST", post("If-Modified-Since: Sun, 01 Mar 2026 12:00:00 GMT"), 200, 0},
	{"a name with underscores", get("/weak", "If_Modified_Since: Sun, 01 Mar 2026 10:00:00 GMT"), 200, 1},
}

func TestHitsSinceADate(t *testing.T) {
	fast, slow := newHitWorld(t, true), newHitWorld(t, false)
	for _, c := range sinceCases {
		t.Run(c.name, func(t *testing.T) {
			out, n := same(t, fast, slow, c.in, 1<<20)
			if !strings.HasPrefix(string(out), fmt.Sprintf("HTTP/1.1 %d ", c.status)) || n != c.hits {
				t.Errorf("%d hits, want %d and %d: %.900q", n, c.hits, c.status, out)
			}
		})
	}
}
