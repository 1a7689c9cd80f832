package api_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"
	"weak"

	"weir/api"
	"weir/policy"
	"weir/rfc9111"
)

const searchRoutes = `
	{"name": "off", "match": {"path": "/off"}},
	{"name": "few", "match": {"path": "/few"}, "key": {"noVarySearch": true, "excludeQueryParameters": ["utm"], "cookies": ["user"]}},
	{"name": "posts", "match": {"path": "/posts", "methods": ["GET", "POST"]}, "key": {"noVarySearch": true}},
	{"name": "halves", "match": {"path": "/halves"}, "key": {"noVarySearch": true},
	 "split": {"cookie": "side", "destinations": [{"name": "a", "origin": "shop"}, {"name": "b", "origin": "beta"}]}},
	{"name": "obeys", "match": {"path": "/*"}, "key": {"noVarySearch": true}}`

// searched is a tier that answers each target with itself, and with a No-Vary-Search
// that a test sets.
type searched struct {
	*tier
	field func(req *policy.Request) string // "" sends none
	at    time.Time                        // when answers came; zero for those that are passed on
	code  int
}

func newSearched(field string) *searched {
	s := &searched{field: func(*policy.Request) string { return field }, at: now, code: 200}
	s.tier = &tier{fetch: func(_ context.Context, req *policy.Request) (*rfc9111.Answer, error) {
		ans := stored("page " + req.Target)
		ans.Head.Status, ans.Head.ResponseTime = s.code, s.at
		if field := s.field(req); field != "" {
			ans.Head.Header.Set("No-Vary-Search", field)
		}
		return ans, nil
	}}
	return s
}

// asks sends a GET for each target and returns the targets that the tier was asked for.
func (s *searched) asks(t *testing.T, d *api.Door, targets ...string) string {
	t.Helper()
	var got []string
	for _, target := range targets {
		method := "GET "
		if m, rest, ok := strings.Cut(target, " "); ok {
			method, target = m+" ", rest
		}
		s.tier.mu.Lock()
		s.tier.asked = nil
		s.tier.mu.Unlock()
		resp := ask(t, d, method+target)
		all := s.requests()
		for _, req := range all {
			got = append(got, req.Target)
			if req.Keyed.Target != req.Target || req.Keyed.QueryChanged && "?"+req.Keyed.OriginalQuery != target[strings.Index(target, "?"):] {
				t.Errorf("%s: %+v", target, req.Keyed)
			}
		}
		if method == "GET " && bodyOf(t, resp) != "page "+all[len(all)-1].Target {
			t.Errorf("%s was not answered by the last answer", target)
		}
		if said := s.field(all[len(all)-1]); resp.Header.Get("No-Vary-Search") != said {
			t.Errorf("%s: the client gets %q", target, resp.Header.Get("No-Vary-Search"))
		}
	}
	return strings.Join(got, " ")
}

func TestNoVarySearchIsLearned(t *testing.T) {
	for _, c := range []struct {
		name, field string
		targets     []string
		wanted      string
	}{
		{"params", `params=("utm")`, []string{"/a?utm=1&x=1", "/a?utm=2&x=1", "/a?x=1", "/a?utm=1", "/a"}, "/a?utm=1&x=1 /a?x=1 /a?x=1 /a /a"},
		{"key-order", "key-order", []string{"/a?b&a", "/a?b&a"}, "/a?b&a /a?a&b"},
		{"all but some", `params, except=("id")`, []string{"/a?x&id=1", "/a?x&id=1", "/a?y"}, "/a?x&id=1 /a?id=1 /a"},
		{"from HEAD", `params=("utm")`, []string{"HEAD /a?utm=1", "/a?utm=2"}, "/a?utm=1 /a"},
		{"with the route's own", `params=("x")`, []string{"/few?x&y&utm", "/few?x&y&utm"}, "/few?x&y /few?y"},
		{"malformed", `params=(utm)`, []string{"/a?utm", "/a?utm"}, "/a?utm /a?utm"},
		{"none", "", []string{"/a?utm", "/a?utm"}, "/a?utm /a?utm"},
		{"route that leaves no say", `params`, []string{"/off?a", "/off?a"}, "/off?a /off?a"},
		{"other path", `params`, []string{"/a?x", "/b?x", "/a/?x", "/A?x", "/%61?x"}, "/a?x /b?x /a/?x /A?x /%61?x"},
		{"other methods", `params`, []string{"/posts?x", "POST /posts?x"}, "/posts?x /posts?x"},
		{"not from other methods", `params`, []string{"POST /posts?x", "/posts?x"}, "/posts?x /posts?x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSearched(c.field)
			d := newDoor(t, s.tier, searchRoutes, api.DoorOptions{})
			if got := s.asks(t, d, c.targets...); got != c.wanted {
				t.Errorf("asked for %s, want %s", got, c.wanted)
			}
		})
	}
}

// An answer that does not say of itself that the parameters make no difference is not
// used for a query that had them, whatever another answer said.
func TestNoVarySearchOfEachAnswer(t *testing.T) {
	const rule = `params=("a")`
	for name, c := range map[string]struct {
		then   string // what answers say after the first
		wanted string
	}{
		"withdrawn":  {"", "/p?x=1 /p?a=1&x=1"},
		"malformed":  {"params=(", "/p?x=1 /p?a=1&x=1"},
		"other one":  {`params=("x")`, "/p?x=1 /p?a=1&x=1"},
		"said anew":  {`params=("b" "a")`, "/p?x=1"},
		"more of it": {`params, except=("x")`, "/p?x=1"},
		"more":       {"params", "/p?x=1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSearched(rule)
			d := newDoor(t, s.tier, searchRoutes, api.DoorOptions{})
			s.asks(t, d, "/p?a=0")
			s.field = func(*policy.Request) string { return c.then }
			if got := s.asks(t, d, "/p?a=1&x=1"); got != c.wanted {
				t.Errorf("asked for %s, want %s", got, c.wanted)
			}
			if got := s.asks(t, d, "/p?a=1&x=1"); strings.Contains(got, " ") {
				t.Errorf("what was taken back is not forgotten: asked for %s", got)
			}
		})
	}
}

// Answers of one path that say different things are each used for their own query only.
func TestNoVarySearchByQuery(t *testing.T) {
	s := newSearched("")
	s.field = func(req *policy.Request) string {
		if strings.Contains(req.Target, "page") {
			return ""
		}
		return `params=("utm")`
	}
	d := newDoor(t, s.tier, searchRoutes, api.DoorOptions{})
	if got, want := s.asks(t, d, "/p?utm=1", "/p?utm=2", "/p?page=2&utm=3", "/p?page=2&utm=3", "/p?utm=4"),
		"/p?utm=1 /p /p?page=2 /p?page=2&utm=3 /p?page=2&utm=3 /p?utm=4"; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
}

// An older answer, from a cache, does not bring back what a newer one took back, nor
// replace it.
func TestNoVarySearchByAge(t *testing.T) {
	s := newSearched(`params=("a" "b")`)
	d := newDoor(t, s.tier, searchRoutes, api.DoorOptions{})
	says := func(field string, at time.Time, target, wanted string) {
		t.Helper()
		s.field, s.at = func(*policy.Request) string { return field }, at
		if got := s.asks(t, d, target); got != wanted {
			t.Errorf("asked for %s, want %s", got, wanted)
		}
	}
	says(`params=("a" "b")`, now, "/p?a&b&c", "/p?a&b&c")
	says(`params=("a")`, now.Add(time.Second), "/p?a&b&c", "/p?c /p?a&b&c")
	says(`params=("a" "b")`, now, "/p?a&b&c", "/p?b&c") // says more than the key was made by
	says(`params=("a")`, now.Add(time.Second), "/p?a&b&c", "/p?b&c")
	says("", now.Add(2*time.Second), "/p?a&b&c", "/p?b&c /p?a&b&c")
	says(`params=("a")`, now.Add(time.Second), "/p?a&b&c", "/p?a&b&c")
	says(`params=("a")`, now.Add(time.Second), "/p?a&b&c", "/p?a&b&c")
	says(`params=("a")`, now.Add(3*time.Second), "/p?a&b&c", "/p?a&b&c")
	says(`params=("a")`, now.Add(3*time.Second), "/p?a&b&c", "/p?b&c")
}

// What is passed on has no time of its own, and is the newest there is. An error says
// as much as any answer; a 304 is about what the client has.
func TestNoVarySearchOfWhatIsPassedOn(t *testing.T) {
	s := newSearched(`params`)
	d := newDoor(t, s.tier, searchRoutes, api.DoorOptions{Now: func() time.Time { return now.Add(time.Minute) }})
	s.at = time.Time{}
	if got := s.asks(t, d, "/p?a", "/p?a"); got != "/p?a /p" {
		t.Errorf("asked for %s", got)
	}
	s.field, s.code = func(*policy.Request) string { return "" }, 304
	if got := s.asks(t, d, "HEAD /p?a"); got != "/p" {
		t.Errorf("asked for %s", got)
	}
	s.code = 503
	if got := s.asks(t, d, "/p?a", "/p?a"); got != "/p /p?a /p?a" {
		t.Errorf("asked for %s", got)
	}
}

// Hosts, users and sides of a split test are apart.
func TestNoVarySearchIsNobodyElses(t *testing.T) {
	s := newSearched("params")
	d := newDoor(t, s.tier, searchRoutes, api.DoorOptions{})
	targets := func(lines ...string) string {
		t.Helper()
		ask(t, d, lines...)
		req := s.last()
		return req.Host + req.Target
	}
	for _, want := range []string{"one.test/p?a", "two.test/p?a", "one.test/p", "two.test/p"} {
		host, _, _ := strings.Cut(want, "/")
		if got := targets("GET /p?a", "Host: "+host); got != want {
			t.Errorf("asked for %s, want %s", got, want)
		}
	}
	for _, want := range []string{"a /halves?x", "b /halves?x", "a /halves", "b /halves"} {
		side, target, _ := strings.Cut(want, " ")
		if got := targets("GET /halves?x", "Cookie: side="+side); !strings.HasSuffix(got, target) {
			t.Errorf("side %s is asked for %s, want %s", side, got, target)
		}
	}
	ask(t, d, "GET /few?x")
	keys := map[string]bool{}
	for _, user := range []string{"ann", "bob", "ann"} {
		ask(t, d, "GET /few?x", "Cookie: user="+user)
		req := s.last()
		if req.Target != "/few" {
			t.Errorf("asked for %s", req.Target)
		}
		keys[req.Keyed.Key.Bytes()] = true
	}
	if len(keys) != 2 {
		t.Errorf("%d keys for two users", len(keys))
	}
}

// However many paths there are, the ones in use are remembered, and the rest is
// forgotten: memory is bounded.
func TestNoVarySearchIsBounded(t *testing.T) {
	s := newSearched("params")
	d := newDoor(t, s.tier, searchRoutes, api.DoorOptions{})
	s.asks(t, d, "/used?a")
	for i := range 20000 {
		ask(t, d, fmt.Sprintf("GET /%d?a", i))
		if i%1000 == 0 {
			if got := s.asks(t, d, "/used?a"); got != "/used" {
				t.Fatalf("after %d paths: asked for %s", i, got)
			}
		}
		s.last()
	}
	if got := s.asks(t, d, "/0?a", "/19999?a"); got != "/0?a /19999" {
		t.Errorf("asked for %s", got)
	}
}

// What is remembered of an answer keeps nothing else of it.
func TestNoVarySearchKeepsNoHeads(t *testing.T) {
	var heads []weak.Pointer[byte]
	s := newSearched("")
	s.field = func(*policy.Request) string {
		head := []byte(`params=("utm")` + strings.Repeat(" ", 16<<10))
		heads = append(heads, weak.Make(&head[0]))
		return unsafe.String(&head[0], len(head))[:len(`params=("utm")`)]
	}
	d := newDoor(t, s.tier, searchRoutes, api.DoorOptions{})
	if got := s.asks(t, d, "/a?x=1&utm=1", "/b", "/c?utm=2", "/c?utm=3"); got != "/a?x=1&utm=1 /b /c?utm=2 /c" {
		t.Error(got)
	}
	s.field = func(*policy.Request) string { return "" }
	s.asks(t, d, "/off") // so that nothing of the last answer is on the way any more
	runtime.GC()
	for i, h := range heads {
		if h.Value() != nil {
			t.Errorf("head %d is still there", i)
		}
	}
	runtime.KeepAlive(d)
}
