package tiers_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/tiers"
	"weir/keying"
	"weir/l1"
	"weir/l2"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// serve is an origin that answers every request with a page of 1 KiB and makes no garbage.
func serve(t *testing.T) (url string) {
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	page := []byte("HTTP/1.1 200 OK\r\nDate: Sat, 14 Mar 2026 15:09:26 GMT\r\nContent-Type: image/png\r\n" +
		"Cache-Control: public, max-age=3600\r\nEtag: \"1\"\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("0123456789abcdef", 64))
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = conn.Close() }()
				for r := bufio.NewReader(conn); ; {
					line, err := r.ReadSlice('\n')
					if err == nil && len(line) == 2 {
						_, err = conn.Write(page)
					}
					if err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	return "http://" + listener.Addr().String()
}

// What a short page costs that no tier holds, asked for and stored in both of them: this is a bound
// for what is made for it, and much more than that would be seen in the rate of misses.
func TestMissAllocates(t *testing.T) {
	table, err := policy.Compile("policy.json", fmt.Appendf(nil, `{"origins": {"o": {"url": %q}}, "defaults": {"origin": "o"}}`, serve(t)))
	if err != nil {
		t.Fatal(err)
	}
	store, err := l2.Open(t.TempDir(), l2.Options{})
	if err != nil {
		t.Fatal(err)
	}
	purges, err := tiers.OpenPurges(store.Log(), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	filled := new(tiers.Listener)
	below := shield.New(tiers.Store{Store: store}, purges, shield.Options{Listener: filled, Report: func(err error) { t.Error(err) }})
	below.SetTable(table)
	memory, err := l1.New(below, tiers.InForce{Purges: purges}, l1.Options{})
	if err != nil {
		t.Fatal(err)
	}
	filled.Use(memory)

	const runs = 500
	requests := make([]*policy.Request, 0, 2*runs)
	for i := range cap(requests) {
		requests = append(requests, admit(t, table, fmt.Sprintf("/page?number=%d", i)))
	}
	miss := func() {
		req := requests[0]
		requests = requests[1:]
		ans, err := memory.Fetch(context.Background(), req)
		if err != nil {
			t.Fatal(err)
		}
		if ans.Decision.Use != rfc9111.Miss || !ans.Decision.Stored || ans.Head.Length != 1024 {
			t.Fatalf("not a miss of a page that is stored: %+v", ans.Decision)
		}
		if ans.Body != nil {
			if err := ans.Body.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range runs / 2 {
		miss() // until connections, maps and buffers have their size
	}
	if n := testing.AllocsPerRun(runs, miss); n > mostAllocated {
		t.Errorf("a miss makes %v allocations, more than %d", n, mostAllocated)
	}
	memory.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := below.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

const mostAllocated = 75

// admit is a browser's request.
func admit(t *testing.T, table *policy.Table, target string) *policy.Request {
	h := http.Header{
		"User-Agent": {"test"}, "Accept": {"text/html"}, "Accept-Language": {"en"}, "Accept-Encoding": {"gzip"},
		"Referer": {"http://example.com/"}, "Cookie": {"session=1"},
	}
	path, query, _ := strings.Cut(target, "?")
	plan, params := table.Match(&policy.MatchRequest{Method: http.MethodGet, Host: "example.com", Path: path, RawQuery: query, Header: h})
	keyed, err := plan.Key.Build(&keying.Request{Method: http.MethodGet, Scheme: "http", Host: "example.com", Target: target, Header: h})
	if err != nil {
		t.Fatal(err)
	}
	return &policy.Request{
		Plan: plan, Params: params, Keyed: keyed, Method: http.MethodGet, Scheme: "http", Host: "example.com", Target: keyed.Target,
		Header: h, Client: "192.0.2.1", Origin: plan.Origin, At: time.Now(),
	}
}
