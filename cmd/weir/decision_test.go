package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the golden files should hold")

// ways are all ways that a request can go. before says what happens first, the
// steps of world.do; request is a line and fields.
var ways = []struct {
	name    string
	before  string
	request string
}{
	{"miss, stored in both tiers", "", "GET /?cache-control=max-age=60"},
	{"hit in memory", "ask", "GET /?cache-control=max-age=60"},
	{"hit on disk", "ask; forget", "GET /?cache-control=max-age=60"},
	{"miss, too large for memory", "", "GET /?cache-control=max-age=60&size=2000000"},
	{"hit on disk, too large for memory", "ask", "GET /?cache-control=max-age=60&size=2000000"},
	{"miss of another variant", "ask", "GET /?cache-control=max-age=60&vary=x-a|X-A: 1"},
	{"miss in somebody's flight", "beside", "GET /?cache-control=max-age=60"},
	{"not stored, waited for somebody's", "beside", "GET /?cache-control=private"},
	{"too old when it comes", "", "GET /?cache-control=max-age=60&age=100&etag=%22a%22"},
	{"client wants no answer from a cache", "ask", "GET /?cache-control=max-age=60|Cache-Control: no-cache"},
	{"client wants nothing stored", "", "GET /?cache-control=max-age=60|Cache-Control: no-store"},

	{"stale in memory, refreshed", "ask; wait 90s", "GET /?cache-control=max-age=60,stale-while-revalidate=60"},
	{"stale on disk, refreshed", "ask; forget; wait 90s", "GET /?cache-control=max-age=60,stale-while-revalidate=60"},
	{"stale in memory, max-stale", "ask; wait 90s", "GET /?cache-control=max-age=60|Cache-Control: max-stale=60"},
	{"stale on disk, max-stale", "ask; forget; wait 90s", "GET /?cache-control=max-age=60|Cache-Control: max-stale=60"},
	{"stale, origin gone", "ask; wait 90s; origin gone", "GET /?cache-control=max-age=60,stale-if-error=60"},
	{"stale, origin answers 503", "ask; wait 90s; origin 503", "GET /?cache-control=max-age=60,stale-if-error=60"},
	{"stale on disk, origin gone", "ask; forget; wait 90s; origin gone", "GET /?cache-control=max-age=60,stale-if-error=60"},
	{"stale on disk, origin answers 503", "ask; forget; wait 90s; origin 503", "GET /?cache-control=max-age=60,stale-if-error=60"},
	{"stale, origin failed a moment ago", "ask; wait 90s; origin 503; ask", "GET /?cache-control=max-age=60,stale-if-error=60"},
	{"stale too large for memory, origin gone", "ask; wait 90s; origin gone", "GET /?cache-control=max-age=60,stale-if-error=60&size=2000000"},
	{"stale in memory alone, origin gone", "ask; lose; wait 90s; origin gone", "GET /?cache-control=max-age=60,stale-if-error=60"},
	{"stale in memory alone, origin answers 503", "ask; lose; wait 90s; origin 503", "GET /?cache-control=max-age=60,stale-if-error=60"},
	{"too stale, origin gone", "ask; wait 180s; origin gone", "GET /?cache-control=max-age=60,stale-if-error=60"},

	{"validated", "ask; wait 90s", "GET /?cache-control=max-age=60&etag=%22a%22"},
	{"validated, too large for memory", "ask; wait 90s", "GET /?cache-control=max-age=60&etag=%22a%22&size=2000000"},
	{"validated for each use", "ask", "GET /?cache-control=no-cache&etag=%22a%22"},
	{"fetched again", "ask; wait 90s", "GET /?cache-control=max-age=60"},
	{"304 from memory", "ask", "GET /?cache-control=max-age=60&etag=%22a%22|If-None-Match: \"a\""},
	{"304 of a miss", "", "GET /?cache-control=max-age=60&etag=%22a%22|If-None-Match: \"a\""},
	{"304 passed on", "", "GET /off/?etag=%22a%22|If-None-Match: \"a\""},
	{"206 from memory", "ask", "GET /?cache-control=max-age=60|Range: bytes=1-2"},
	{"206 from disk", "ask; forget", "GET /?cache-control=max-age=60|Range: bytes=1-2"},
	{"206 of a miss", "", "GET /?cache-control=max-age=60|Range: bytes=1-2"},
	{"416 from memory", "ask", "GET /?cache-control=max-age=60|Range: bytes=9-"},
	{"412 from memory", "ask", "GET /?cache-control=max-age=60&etag=%22a%22|If-Match: \"b\""},
	{"HEAD from memory", "ask", "HEAD /?cache-control=max-age=60"},
	{"HEAD from disk", "ask; forget", "HEAD /?cache-control=max-age=60"},
	{"HEAD of nothing stored", "", "HEAD /?cache-control=max-age=60"},
	{"only if cached, and it is", "ask", "GET /?cache-control=max-age=60|Cache-Control: only-if-cached"},
	{"only if cached, and it is not", "", "GET /?cache-control=max-age=60|Cache-Control: only-if-cached"},

	{"part of a miss", "", "GET /parts/?cache-control=max-age=60&etag=%22a%22|Range: bytes=1-2"},
	{"part from disk", "part", "GET /parts/?cache-control=max-age=60&etag=%22a%22|Range: bytes=1-2"},
	{"whole of which a part is stored", "part", "GET /parts/?cache-control=max-age=60&etag=%22a%22"},
	{"purged", "ask; purge", "GET /?cache-control=max-age=60"},
	{"soft purged, validated", "ask; soften", "GET /?cache-control=max-age=60&etag=%22a%22"},
	{"client wants it younger", "ask; wait 30s", "GET /?cache-control=max-age=60|Cache-Control: max-age=10"},
	{"client wants it fresher", "ask", "GET /?cache-control=max-age=60|Cache-Control: min-fresh=90"},
	{"stale, must-revalidate", "ask; wait 90s", "GET /?cache-control=max-age=60,must-revalidate"},

	{"ok: POST that the route names", "", "POST /search|body=a"},
	{"ok: POST that the route names, again", "repeat", "POST /search|body=a"},
	{"ok: error with a rule", "", "GET /errors/?status=404"},
	{"disabled: by the route", "", "GET /off/?cache-control=max-age=60"},
	{"disabled: in development", "dev", "GET /?cache-control=max-age=60"},
	{"no-max-age", "", "GET /"},
	{"code", "", "GET /?status=404&cache-control=max-age=60"},
	{"code: 500", "", "GET /?status=500"},
	{"private", "", "GET /?cache-control=private"},
	{"no-max-age: no-store", "", "GET /?cache-control=no-store"},
	{"pass: no-store with a lifetime", "", "GET /?cache-control=no-store,max-age=60"},
	{"private: Authorization", "", "GET /?cache-control=max-age=60|Authorization: Basic YTpi"},
	{"ok: Authorization and public", "", "GET /?cache-control=public,max-age=60|Authorization: Basic YTpi"},
	{"method", "", "PUT /?cache-control=max-age=60|body=a"},
	{"method: OPTIONS of a resource", "", "OPTIONS /?cache-control=max-age=60"},
	{"method: OPTIONS *", "", "OPTIONS *"},
	{"body-too-big", "", "POST /search|body=" + strings.Repeat("a", 8001)},
	{"set-cookie", "", "GET /?cache-control=max-age=60&set-cookie=a=b"},
	{"deployment", "deploy b", "GET /?cache-control=max-age=60"},
	{"deployment: settled", "deploy b; wait 61s", "GET /?cache-control=max-age=60"},
	{"debug", "ask", "GET /?cache-control=max-age=60|X-Cache-Debug: 1"},
	{"private: known before", "ask", "GET /?cache-control=private"},
	{"private: known before, with a range", "ask", "GET /?cache-control=private|Range: bytes=1-2"},
	{"pass: Vary: *", "", "GET /?cache-control=max-age=60&vary=*"},
	{"pass: ends with its connection", "", "GET /?end=unframed"},
	{"pass: GET with a body", "", "GET /?cache-control=max-age=60|body=a"},
	{"pass: ambiguous path", "", "GET /x/..%2foff/?cache-control=max-age=60"},
	{"pass: upgrade", "", "GET /?end=switching|Connection: Upgrade|Upgrade: websocket"},
	{"pass: upgrade that is refused", "", "GET /?cache-control=max-age=60|Connection: Upgrade|Upgrade: websocket"},

	{"origin gone", "origin gone", "GET /?cache-control=max-age=60"},
	{"origin gone, passed", "origin gone", "GET /off/"},
	{"origin gone, HEAD", "origin gone", "HEAD /"},
	{"origin silent", "origin silent", "GET /hasty/"},
	{"origin speaks nonsense", "origin garbage", "GET /"},
	{"origin answers 503", "origin 503", "GET /?cache-control=max-age=60"},
	{"refused before the server", "", "GET /#x"},
	{"refused at the door", "", "TRACE /"},
	{"refused as a loop", "", "GET /|Via: " + strings.Repeat("1.1 weir, ", 8)},
	{"refused expectation", "", "GET /|Expect: the-best"},
}

// Every way that a request can go, through the real tiers, and what the four fields say
// about it: x-cache, x-cache-tier, x-caching-status and Cache-Status. "asked" is how often
// the origin was, and "again" what the same request says afterwards, to hold what is
// claimed about storing against what is there.
func TestDecisions(t *testing.T) {
	var table strings.Builder
	row := func(columns ...any) {
		fmt.Fprintf(&table, "%-41v | %-6v | %-5v | %-7v | %-20v | %-16v | %-25v | %v\n", columns...)
	}
	row("way", "status", "asked", "x-cache", "x-cache-tier", "x-caching-status", "again", "cache-status")
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			w := newWorld(t, way.before == "dev")
			request := strings.Split(way.request, "|")
			if way.before != "" && way.before != "dev" {
				for step := range strings.SplitSeq(way.before, "; ") {
					w.do(step, request)
				}
			}
			explained := w.explained(way.name, request, way.before == "beside")
			before := w.asked.Load()
			first := w.send(request[0], request[1:])
			w.quiet()
			if first == nil {
				return
			}
			asked := w.asked.Load() - before
			w.checkFields(first, asked)
			explained.check(t, first)
			again := "-"
			if second := w.send(request[0], request[1:]); second != nil {
				again = second.Header.Get("X-Cache") + " " + second.Header.Get("X-Cache-Tier")
			}
			h := first.Header
			row(way.name, first.StatusCode, asked, h.Get("X-Cache"), h.Get("X-Cache-Tier"), h.Get("X-Caching-Status"), again, h.Get("Cache-Status"))
		})
	}
	path := filepath.Join("testdata", "decisions.golden")
	if *update {
		writeFile(t, path, table.String())
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(table.String()) {
		if !strings.Contains(string(want), line) {
			t.Errorf("%s has not: %s", path, line)
		}
	}
	if table.Len() != len(want) {
		t.Errorf("%s differs; run with -update and look at the difference", path)
	}
}

// A member is what Cache-Status says of one tier, RFC 9211 2.
type member struct {
	name, fwd, ttl         string
	hit, stored, collapsed bool
}

var parameter = regexp.MustCompile(`; ([a-z-]+)(?:=([^;]*))?`)

func parseMember(s string) member {
	name, _, _ := strings.Cut(s, ";")
	m := member{name: name}
	for _, p := range parameter.FindAllStringSubmatch(s, -1) {
		switch p[1] {
		case "fwd":
			m.fwd = p[2]
		case "ttl":
			m.ttl = p[2]
		case "hit":
			m.hit = true
		case "stored":
			m.stored = true
		case "collapsed":
			m.collapsed = true
		}
	}
	return m
}

// checkFields holds the four fields of a response against each other, and against how
// often the origin was asked.
func (w *world) checkFields(resp *http.Response, asked int64) {
	w.t.Helper()
	h := resp.Header
	use, why := h.Get("X-Cache"), h.Get("X-Caching-Status")
	outer, shield, hasShield := tiersOf(h.Get("X-Cache-Tier"))
	members := strings.Split(h.Get("Cache-Status"), ", ")
	oc := parseMember(members[len(members)-1])
	sc := member{fwd: oc.fwd}
	if len(members) == 2 {
		sc = parseMember(members[0])
	}
	bypassed := func(m member) bool { return m.fwd == "bypass" || m.fwd == "method" }
	for _, rule := range []struct {
		says  string
		holds bool
	}{
		{"one member per tier", len(members) <= 2 && hasShield == (len(members) == 2) && oc.name == "weir-fra" && (!hasShield || sc.name == "weir-shield")},
		{"hit and fwd exclude each other, RFC 9211 2.1", oc.hit != (oc.fwd != "") && (!hasShield || sc.hit != (sc.fwd != ""))},
		{"stored is cached", oc.stored == (outer == "cached") && sc.stored == (shield == "cached")},
		{"what is served from a tier has a ttl, and nothing else", (oc.ttl != "") == (outer == "hit") && (sc.ttl != "") == (shield == "hit")},
		{"hit is served from that tier", (!oc.hit || outer == "hit") && (!sc.hit || shield == "hit")},
		{"one tier serves", outer != "hit" || shield != "hit"},
		{"x-cache: hit is a hit that is fresh, for which nobody was asked", (use == "hit") == (oc.hit && oc.ttl[0] != '-' || sc.hit && sc.ttl[0] != '-') && (use != "hit" || asked == 0)},
		{"x-cache: stale has a ttl below 0, and nothing else has", (use == "stale") == (strings.HasPrefix(oc.ttl, "-") || strings.HasPrefix(sc.ttl, "-"))},
		{"x-cache: miss has no hit", use != "miss" || !oc.hit && !sc.hit && !bypassed(oc)},
		{"a miss asks the origin, unless somebody else did or it may not", use != "miss" || asked > 0 || sc.collapsed || why == "pass"},
		{"x-cache: bypass touches no tier", (use == "bypass") == (bypassed(oc) && bypassed(sc)) && (use != "bypass" || outer == "pass" && shield != "hit" && shield != "cached")},
		{"ok is served from a tier or stored in one", (why == "ok") == (outer != "pass" || shield == "hit" || shield == "cached")},
		{"what was forwarded asked the origin, or had somebody who did, or was no answer", sc.fwd == "" || asked > 0 || sc.collapsed || h.Get("Cache-Control") == "no-store" || resp.StatusCode == 204},
		{"method is fwd=method", (why == "method") == (oc.fwd == "method")},
	} {
		if !rule.holds {
			w.t.Errorf("not so: %s\n%s; %s; %s; %s; asked %d times", rule.says, use, h.Get("X-Cache-Tier"), why, h.Get("Cache-Status"), asked)
		}
	}
}

func tiersOf(s string) (outer, shield string, hasShield bool) {
	s, shield, hasShield = strings.Cut(strings.TrimPrefix(s, "oc="), ", sc=")
	return s, shield, hasShield
}
