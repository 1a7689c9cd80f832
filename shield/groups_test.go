package shield_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/rfc9111"
	"weir/shield"
)

// RFC 9875 3: a successful unsafe request purges the groups that its answer names.
func TestGroupInvalidation(t *testing.T) {
	for _, c := range []struct {
		name   string
		method string
		answer handler
		gone   string
	}{
		{"one group", "POST", always(200, "", "Cache-Group-Invalidation", `"red"`), "/a /ab"},
		{"two groups", "DELETE", always(204, "", "Cache-Group-Invalidation", `"red", "blue"`), "/a /ab /b"},
		{"a group of nobody", "POST", always(200, "", "Cache-Group-Invalidation", `"green"`), ""},
		{"no list of strings", "POST", always(200, "", "Cache-Group-Invalidation", `red`), ""},
		{"a failure", "POST", always(500, "", "Cache-Group-Invalidation", `"red"`), ""},
		{"a safe method", "OPTIONS", always(200, "", "Cache-Group-Invalidation", `"red"`), ""},
		{"more groups than are told apart", "POST", always(200, "", "Cache-Group-Invalidation", `"g`+strings.Join(strings.Split(strings.Repeat("x", 1200), ""), `", "g`)+`"`), "/a /ab /b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := new(memoryLog)
			s := start(t, options{log: log})
			fields := map[string][]string{
				"/a": {"Cache-Groups", `"red"`}, "/ab": {"Cache-Groups", `"red", "blue"`}, "/b": {"Cache-Groups", `"blue"`},
				"/tag": {"Cache-Tag", "red"}, "/none": nil,
			}
			targets := []string{"/a", "/ab", "/b", "/tag", "/none"}
			s.origin.answer(func(r *http.Request) (*http.Response, error) {
				return respond(200, "old", append([]string{"Cache-Control", cacheable}, fields[r.URL.RequestURI()]...)...), nil
			})
			for _, target := range targets {
				s.get(target)
			}
			s.origin.answer(c.answer)
			if r := s.get(c.method + " /unsafe"); r.err != nil {
				t.Fatal(r.err)
			}
			s.close()
			again := start(t, options{log: log, store: s.store}) // durable, too
			again.origin.answer(always(200, "new", "Cache-Control", "no-store"))
			var gone []string
			for _, target := range targets {
				if again.get(target).body == "new" {
					gone = append(gone, target)
				}
			}
			if got := strings.Join(gone, " "); got != c.gone {
				t.Errorf("invalidated %q, want %q", got, c.gone)
			}
		})
	}
}

// Of a flight nothing is known but its key until its headers come: newcomers that join it
// after a rule keep what it fetches only if the rule does not name that.
func TestGroupRuleDuringFlight(t *testing.T) {
	for _, c := range []struct {
		name   string
		rule   shield.Rule
		groups string
		known  bool // the headers have come before the rule
		joins  bool
	}{
		{"before the headers", shield.GroupRule("http", "example.com", "red"), `"red"`, false, false},
		{"before the headers, another group", shield.GroupRule("http", "example.com", "red"), `"blue"`, false, true},
		{"before the headers, of another host", shield.GroupRule("http", "example.org", "red"), `"red"`, false, true},
		{"before the headers, another tag", shield.TagRule("red"), `"blue"`, false, true},
		{"after the headers", shield.GroupRule("http", "example.com", "red"), `"red"`, true, false},
		{"after the headers, another group", shield.GroupRule("http", "example.com", "red"), `"blue"`, true, true},
		{"after the headers, another tag", shield.TagRule("red"), `"blue"`, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, options{})
				body, heads := feed(), make(chan struct{})
				fields := []string{"Cache-Control", cacheable, "Cache-Groups", c.groups}
				s.origin.answer(func(*http.Request) (*http.Response, error) {
					<-heads
					return respondWith(200, body.r, -1, fields...), nil
				})
				before := make(chan result)
				go func() { before <- s.get("/") }()
				synctest.Wait()
				if c.known {
					close(heads)
					synctest.Wait()
				}
				if _, err := s.purges.Add(c.rule); err != nil {
					t.Fatal(err)
				}
				s.origin.answer(always(200, "new", fields...))
				after := make(chan result, 1)
				go func() { after <- s.get("/") }()
				synctest.Wait()
				if !c.known {
					close(heads)
				}
				_, _ = body.w.Write([]byte("old"))
				_ = body.w.Close()
				if r := <-before; r.body != "old" || r.err != nil {
					t.Errorf("who came before got %+v", r)
				}
				want := map[bool]string{true: "old", false: "new"}[c.joins]
				if r := <-after; r.body != want || r.err != nil {
					t.Errorf("who came after got %+v, want %q", r, want)
				}
				synctest.Wait()
				s.get("/").want(t, want, rfc9111.Hit, rfc9111.StatusOK)
				s.close()
			})
		})
	}
}

// A 304 that puts a response into a group which was purged while it was under way does
// not make it fresh.
func TestGroupRuleDuringValidation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		s.origin.answer(always(200, "old", "Etag", `"1"`, "Cache-Control", "no-cache"))
		s.get("/")
		g := closed(func(*http.Request) (*http.Response, error) {
			return respondWith(304, http.NoBody, 0, "Etag", `"1"`, "Cache-Control", cacheable, "Cache-Groups", `"red"`), nil
		})
		s.origin.answer(g.handle)
		done := make(chan result)
		go func() { done <- s.get("/") }()
		synctest.Wait()
		if _, err := s.purges.Add(shield.GroupRule("http", "example.com", "red")); err != nil {
			t.Fatal(err)
		}
		close(g.open)
		<-done
		s.origin.answer(always(200, "new", "Cache-Control", cacheable))
		s.get("/").want(t, "new", rfc9111.Miss, rfc9111.StatusOK)
		s.close()
	})
}

// Rules about other groups, one after the other, keep nobody from waiting for one flight, and
// not its response from being stored.
func TestGroupRulesAboutOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, options{})
		g := closed(always(200, "one", "Cache-Control", cacheable, "Cache-Groups", `"red"`))
		s.origin.answer(g.handle)
		const clients = 20
		got := make(chan result, clients)
		for i := range clients {
			go func() { got <- s.get("/") }()
			synctest.Wait()
			if _, err := s.purges.Add(shield.GroupRule("http", "example.com", fmt.Sprint("blue", i)), shield.TagRule("blue")); err != nil {
				t.Fatal(err)
			}
		}
		close(g.open)
		for range clients {
			if r := <-got; r.body != "one" || r.err != nil {
				t.Errorf("got %+v", r)
			}
		}
		if n := s.origin.count(); n != 1 {
			t.Errorf("%d requests to the origin", n)
		}
		s.get("/").want(t, "one", rfc9111.Hit, rfc9111.StatusOK)
		s.close()
	})
}

// A purge of what is stored counts although an answer under way, from before the purge,
// says that it has another tag now; for those who come after the purge, too.
func TestTagRuleDuringValidation(t *testing.T) {
	for _, c := range []struct{ request, field, after string }{
		{"/", "Cache-Tag", `b`},
		{"HEAD /", "Cache-Tag", `b`},
		{"/", "Cache-Groups", `"b"`},
		{"HEAD /", "Cache-Groups", `"b"`},
	} {
		t.Run(c.request+" "+c.field, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, options{})
				rule, before := shield.TagRule("a"), "a"
				if c.field == "Cache-Groups" {
					rule, before = shield.GroupRule("http", "example.com", "a"), `"a"`
				}
				fields := []string{"Cache-Control", "max-age=60", "Etag", `"1"`, c.field}
				s.origin.answer(always(200, "old", append(fields, before)...))
				s.get("/")
				time.Sleep(100 * time.Second)
				g := closed(func(r *http.Request) (*http.Response, error) {
					if r.Method == http.MethodHead {
						return respondWith(200, http.NoBody, 3, append(fields, c.after, "Content-Length", "3")...), nil
					}
					return respondWith(304, http.NoBody, 0, append(fields, c.after)...), nil
				})
				s.origin.answer(g.handle)
				first, second := make(chan result), make(chan result)
				go func() { first <- s.get(c.request) }()
				synctest.Wait()
				if _, err := s.purges.Add(rule); err != nil {
					t.Fatal(err)
				}
				s.origin.answer(always(200, "new", append(fields, before)...))
				go func() { second <- s.get("/") }()
				synctest.Wait()
				close(g.open)
				<-first
				if r := <-second; r.body != "new" || r.err != nil {
					t.Errorf("who came after the purge got %+v", r)
				}
				s.get("/").want(t, "new", rfc9111.Hit, rfc9111.StatusOK)
				s.close()
			})
		})
	}
}

// A response with more tags than are kept is purged by any tag, also one that was cut.
func TestTagsThatWereCut(t *testing.T) {
	s := start(t, options{})
	tags := make([]string, 1500)
	for i := range tags {
		tags[i] = fmt.Sprint("t", i)
	}
	s.origin.answer(always(200, "old", "Cache-Control", cacheable, "Surrogate-Key", strings.Join(tags, " ")))
	s.get("/")
	s.get("/").want(t, "old", rfc9111.Hit, rfc9111.StatusOK)
	if _, err := s.purges.Add(shield.TagRule("t1499")); err != nil {
		t.Fatal(err)
	}
	s.origin.answer(always(200, "new", "Cache-Control", cacheable))
	s.get("/").want(t, "new", rfc9111.Miss, rfc9111.StatusOK)
}
