package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/api"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// journalled is a door and the admin listener that shows what it did.
type journalled struct {
	door    *api.Door
	journal *api.Journal
	admin   *api.Admin
}

// newJournalled answers /stale with a stale object, /broken with a failure, and all else with a hit.
func newJournalled(t *testing.T) *journalled {
	t.Helper()
	s := &tier{fetch: func(_ context.Context, req *policy.Request) (*rfc9111.Answer, error) {
		switch {
		case strings.HasPrefix(req.Target, "/stale"):
			ans := stored("old")
			ans.Decision.Use = rfc9111.Stale
			return ans, nil
		case strings.HasPrefix(req.Target, "/broken"):
			return nil, shield.ErrOriginUnreachable
		}
		return stored("hello"), nil
	}}
	j := &journalled{journal: api.NewJournal()}
	j.door = newDoor(t, s, `{"name": "stale", "match": {"path": "/stale"}}`, api.DoorOptions{Now: func() time.Time { return now }, Journal: j.journal})
	opts := adminOptions()
	opts.Journal = j.journal
	j.admin = api.NewAdmin(opts)
	return j
}

// recent are the lines of /v1/logs.
func (j *journalled) recent(t *testing.T, query string) (lines []api.LogLine) {
	t.Helper()
	resp := ask(t, j.admin, "GET /v1/logs"+query, "Host: localhost")
	body := bodyOf(t, resp)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-ndjson" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d, %v: %s", resp.StatusCode, resp.Header, body)
	}
	for line := range strings.Lines(body) {
		lines = append(lines, lineOf(t, line))
	}
	return lines
}

func lineOf(t *testing.T, text string) (line api.LogLine) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return line
}

func targets(lines []api.LogLine) (all []string) {
	for _, l := range lines {
		all = append(all, l.Target)
	}
	return all
}

func TestLinesOfTheLog(t *testing.T) {
	j := newJournalled(t)
	ask(t, j.door, "GET /a?b=c", "Host: A.test:80")
	ask(t, j.door, "GET /stale")
	ask(t, j.door, "GET /broken")
	j.door.Refused(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4711}, 400, "bad-host")
	lines := j.recent(t, "")
	if got := targets(lines); !slices.Equal(got, []string{"/a?b=c", "/stale", "/broken", ""}) {
		t.Fatalf("%q", got)
	}
	first := lines[0]
	if len(first.Key) != 32 {
		t.Errorf("key %q", first.Key)
	}
	first.Key = ""
	want := api.LogLine{
		Time: now, Status: 200, Use: rfc9111.Hit, Why: rfc9111.StatusOK, Tiers: "oc=hit", Route: "defaults",
		Method: "GET", Host: "a.test", Target: "/a?b=c", Bytes: 5, Client: "192.0.2.7",
	}
	if first != want {
		t.Errorf("%+v, want %+v", first, want)
	}
	if l := lines[2]; l.Status != 502 || l.Error != shield.ErrOriginUnreachable.Error() || l.Use != rfc9111.Miss {
		t.Errorf("%+v", l)
	}
	if l := lines[3]; l.Status != 400 || l.Error != "bad-host" || l.Client != "192.0.2.7" || l.Use != rfc9111.Bypass || l.Time != now {
		t.Errorf("%+v", l)
	}
}

func TestFiltersOfTheLog(t *testing.T) {
	j := newJournalled(t)
	for _, target := range []string{"/a", "/stale", "/broken"} {
		ask(t, j.door, "GET "+target)
	}
	for query, want := range map[string][]string{
		"?status=hit":                           {"/a"},
		"?status=hit&status=stale":              {"/a", "/stale"},
		"?status=bypass":                        nil,
		"?route=stale":                          {"/stale"},
		"?route=defaults&status=miss":           {"/broken"},
		"?route=nothing":                        nil,
		"?follow=0&route=stale&route=defaults":  {"/a", "/stale", "/broken"},
		"?follow=false&status=miss&route=stale": nil,
	} {
		if got := targets(j.recent(t, query)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for _, query := range []string{"?status=200", "?status=", "?stauts=hit", "?status=hit&x", "?a=%zz"} {
		resp := ask(t, j.admin, "GET /v1/logs"+query, "Host: localhost")
		if body := bodyOf(t, resp); resp.StatusCode != 400 || !strings.Contains(body, `"bad-query"`) || !strings.Contains(body, "status=hit") {
			t.Errorf("%s: %d %s", query, resp.StatusCode, body)
		}
	}
	if resp := ask(t, j.admin, "HEAD /v1/logs?follow=1", "Host: localhost"); resp.StatusCode != 200 {
		t.Errorf("HEAD: %d", resp.StatusCode)
	}
}

// While nobody reads, a journal takes a few lines a second, and all failures, and no more than it
// has room for.
func TestAJournalThatNobodyReads(t *testing.T) {
	j := newJournalled(t)
	const each = 5000
	for range each {
		ask(t, j.door, "GET /a")
	}
	if got := len(j.recent(t, "")); got != 100 {
		t.Errorf("%d lines of a second", got)
	}
	for range each {
		ask(t, j.door, "GET /broken")
	}
	lines := j.recent(t, "")
	if len(lines) != 1024 || lines[0].Target != "/broken" {
		t.Errorf("%d lines, the first of %s", len(lines), lines[0].Target)
	}
}

// followed is a client of /v1/logs?follow=1, inside a bubble.
type followed struct {
	conn net.Conn
	r    *bufio.Reader
	body *bufio.Reader
}

// follow begins to follow. The server has the limits of the admin listener.
func (j *journalled) follow(t *testing.T, query string) *followed {
	t.Helper()
	inner, client := net.Pipe()
	server := api.NewAdminServer(j.admin, nil)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(newOnceThenClosed(inner, nil))
	}()
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
		<-served
	})
	send(t, client, "GET /v1/logs?follow=1"+query+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	f := &followed{conn: client, r: bufio.NewReader(client)}
	resp, err := http.ReadResponse(f.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	f.body = bufio.NewReader(resp.Body) //nolint:bodyclose // the connection ends with the test
	return f
}

func (f *followed) line(t *testing.T) api.LogLine {
	t.Helper()
	text, err := f.body.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return lineOf(t, text)
}

func TestFollowingTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournalled(t)
		ask(t, j.door, "GET /before")
		all, stale := j.follow(t, ""), j.follow(t, "&status=stale")
		for range 3 {
			time.Sleep(time.Hour) // longer than a request may take that is not followed
			ask(t, j.door, "GET /a")
			ask(t, j.door, "GET /stale")
			if first, second := all.line(t), all.line(t); first.Target != "/a" || second.Target != "/stale" {
				t.Errorf("%+v, %+v", first, second)
			}
			if l := stale.line(t); l.Target != "/stale" || l.Use != rfc9111.Stale {
				t.Errorf("%+v", l)
			}
		}
	})
}

// A reader that takes nothing keeps nobody waiting, and is told what it has missed.
func TestASlowFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournalled(t)
		slow, quick := j.follow(t, ""), j.follow(t, "&route=stale")
		const requests = 5000
		for range requests {
			ask(t, j.door, "GET /a")
		}
		ask(t, j.door, "GET /stale")
		for quick.line(t).Target != "/stale" {
		}
		missed, got := uint64(0), 0
		for last := false; !last; {
			l := slow.line(t)
			if l.Dropped > 0 {
				missed += l.Dropped
				continue
			}
			got++
			last = l.Target == "/stale"
		}
		if missed == 0 || got < 1024 || missed+uint64(got) != requests+1 {
			t.Errorf("%d lines and %d dropped of %d", got, missed, requests+1)
		}
	})
}

// A client that takes nothing for minutes loses its place, and one that leaves, too.
func TestPlacesOfFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournalled(t)
		var all []*followed
		for range 16 {
			all = append(all, j.follow(t, ""))
		}
		refused := func() int {
			return ask(t, j.admin, "GET /v1/logs?follow=1", "Host: localhost").StatusCode
		}
		if got := refused(); got != http.StatusServiceUnavailable {
			t.Fatalf("one too many: %d", got)
		}
		_ = all[0].conn.Close()
		synctest.Wait()
		j.follow(t, "")
		if got := refused(); got != http.StatusServiceUnavailable {
			t.Fatalf("again one too many: %d", got)
		}
		ask(t, j.door, "GET /a")
		time.Sleep(6 * time.Minute) // and nobody reads
		for _, f := range all[1:] {
			if _, err := f.r.ReadByte(); err == nil {
				t.Fatal("a follower that takes nothing still has its place")
			}
		}
		j.follow(t, "")
	})
}

// What the hit path answers is in the log as what the door answers.
func TestHitsAreInTheLog(t *testing.T) {
	lines := func(fast bool) []api.LogLine {
		journal := api.NewJournal()
		w := newLoggedHitWorld(t, fast, nil, journal)
		w.warm(get("/products/42", browser...))
		w.warm(head1("/products/42", browser...))
		if fast && w.hits.Load() == 0 {
			t.Fatal("no hits")
		}
		opts := adminOptions()
		opts.Journal = journal
		j := &journalled{admin: api.NewAdmin(opts)}
		return j.recent(t, "?status=hit")
	}
	got, want := lines(true), lines(false)
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
