package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// open sends a GET and returns the response without reading its body.
func (r *running) open(path string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.base+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Host = testHost
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// Each event must arrive before the origin makes the next one.
func TestServerSentEventsAreNotBuffered(t *testing.T) {
	origin, node := shop(t)
	next := make(chan struct{})
	origin.page("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		for n := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", n)
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	})
	events := bufio.NewReader(node.open("/events").Body)
	for n := range 3 {
		line, err := events.ReadString('\n')
		if err != nil || line != fmt.Sprintf("data: %d\n", n) {
			t.Fatalf("%q, %v", line, err)
		}
		if _, err := events.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		next <- struct{}{}
	}
	if rest, err := io.ReadAll(events); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

// A body that is stored reaches its client as it is made, too.
func TestStoredBodyIsStreamed(t *testing.T) {
	origin, node := shop(t)
	next := make(chan struct{})
	origin.page("/slow", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		<-next
		_, _ = io.WriteString(w, "second\n")
	})
	body := bufio.NewReader(node.open("/slow").Body)
	if line, err := body.ReadString('\n'); err != nil || line != "first\n" {
		t.Fatalf("%q, %v", line, err)
	}
	close(next)
	if line, err := body.ReadString('\n'); err != nil || line != "second\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := body.ReadByte(); err != io.EOF { //nolint:errorlint // exactly EOF
		t.Fatal(err)
	}
	node.quiet()
	node.want(node.get("/slow"), 200, hitMemory, "first\nsecond\n")
}

func TestClientThatLeavesDoesNotEndTheFill(t *testing.T) {
	origin, node := shop(t)
	next := make(chan struct{})
	origin.page("/slow", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Length", "13")
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		<-next
		_, _ = io.WriteString(w, "second\n")
	})
	resp := node.open("/slow")
	if _, err := io.ReadFull(resp.Body, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the client is gone", func() bool { return node.stats().Door.Active == 0 })
	close(next)
	node.quiet()
	node.want(node.get("/slow"), 200, hitMemory, "first\nsecond\n")
	asked(t, origin, "/slow", 1)
}

func TestTruncatedBodyIsVisibleAndNotStored(t *testing.T) {
	origin, node := shop(t)
	origin.page("/cut", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "less than that")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	for want := 1; want <= 2; want++ {
		resp := node.open("/cut")
		if body, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("the body looks whole: %q", body)
		}
		node.quiet()
		asked(t, origin, "/cut", want)
	}
}

func TestTruncatedBodyGoesOn(t *testing.T) {
	origin, node := shop(t)
	body := strings.Repeat("0123456789", 50_000)
	origin.page("/cut", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Etag", `"1"`)
		if r.Header.Get("Range") != "" {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = io.WriteString(w, body[:123_456])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	node.want(node.fill("/cut"), 200, missStored, body)
	node.want(node.get("/cut"), 200, hitMemory, body)
	asked(t, origin, "/cut", 2)
	if got := node.stats().Shield.Resumed; got != 1 {
		t.Errorf("resumed %d times", got)
	}
}

func TestUpgradedConnectionPassesThrough(t *testing.T) {
	origin, node := shop(t)
	origin.page("/socket", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" || !strings.EqualFold(r.Header.Get("Connection"), "upgrade") {
			http.Error(w, "no upgrade arrived", http.StatusBadRequest)
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello\n")
		for {
			line, err := buffered.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "echo "+line)
		}
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(node.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	// The first line comes right behind the head: nothing may be lost in between.
	fmt.Fprintf(conn, "GET /socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", testHost)
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "echo" || resp.Header.Get("X-Cache") != "bypass" {
		t.Fatalf("%d, %v", resp.StatusCode, resp.Header)
	}
	expect := func(want string) {
		t.Helper()
		if line, err := in.ReadString('\n'); err != nil || line != want {
			t.Fatalf("%q, %v; want %q", line, err, want)
		}
	}
	expect("hello\n")
	for _, word := range []string{"one\n", "two\n"} {
		_, _ = io.WriteString(conn, word)
		expect("echo " + word)
	}
	eventually(t, "one upgraded connection", func() bool { return node.stats().Door.Upgrades == 1 })
	if status := node.stop(); status != exitDone { // a drain ends it
		t.Errorf("exit status %d", status)
	}
	if _, err := in.ReadByte(); err == nil {
		t.Error("the upgraded connection outlived the node")
	}
}

// A body larger than the memory tier takes, for several clients of one flight.
func TestLargeBodyForManyClients(t *testing.T) {
	origin, node := shop(t)
	const size = 8 << 20
	part := []byte(strings.Repeat("0123456789abcdef", 4096))
	want := sha256.New()
	for range size / len(part) {
		want.Write(part)
	}
	origin.page("/large", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		for range size / len(part) {
			_, _ = w.Write(part)
		}
	})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			got := sha256.New()
			resp := node.open("/large")
			if n, err := io.Copy(got, resp.Body); err != nil || n != size || string(got.Sum(nil)) != string(want.Sum(nil)) {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
	clients.Wait()
	node.quiet()
	if got := node.get("/large", fmt.Sprintf("Range: bytes=%d-%d", size-16, size-1)); got.StatusCode != 206 || got.body != "0123456789abcdef" {
		t.Errorf("%d, %q", got.StatusCode, got.body)
	}
	asked(t, origin, "/large", 1)
}

func TestConnectionsAreReusedInOrder(t *testing.T) {
	origin, node := shop(t)
	for _, path := range []string{"/a", "/b", "/c"} {
		origin.text(path, "body of "+path, "Cache-Control: max-age=60")
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(node.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for _, path := range []string{"/a", "/b", "/c"} { // all at once, before any answer
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, testHost)
	}
	in := bufio.NewReader(conn)
	for _, path := range []string{"/a", "/b", "/c"} {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(body) != "body of "+path {
			t.Errorf("%s: %q, %v", path, body, err)
		}
	}
}

func TestMalformedRequestIsRefused(t *testing.T) {
	_, node := shop(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(node.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", testHost)
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("X-Cache") == "" {
		t.Errorf("%d, %v", resp.StatusCode, resp.Header)
	}
	if _, err := in.ReadByte(); err == nil {
		t.Error("the connection is still open")
	}
}
