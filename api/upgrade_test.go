package api_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/api"
	"weir/rfc9111"
)

// switched is a tier whose origin switches protocols and then talks on far.
func switched(t *testing.T) (s *tier, far net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	near := connect(t, ln.Addr().String())
	if far, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	if err := far.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	return switching(near), far
}

// switching is a tier whose origin switches to what is talked on near.
func switching(near net.Conn) *tier {
	return always(func() *rfc9111.Answer {
		return &rfc9111.Answer{
			Head:     head(101, -1, "Upgrade: websocket", "Sec-WebSocket-Accept: abc"),
			Body:     near,
			Decision: rfc9111.Decision{Use: rfc9111.Bypass, Outer: rfc9111.TierPass, Shield: rfc9111.TierPass, Status: rfc9111.StatusPass},
		}
	})
}

const handshake = "GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: xyz\r\n\r\n"

// shake sends the handshake, and early after it, and reads the 101.
func shake(t *testing.T, addr, early string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn := connect(t, addr)
	return conn, readSwitch(t, talk(t, conn, handshake+early))
}

func readSwitch(t *testing.T, in *bufio.Reader) *bufio.Reader {
	t.Helper()
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "websocket" || !strings.EqualFold(resp.Header.Get("Connection"), "upgrade") {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	if resp.Header.Get("Sec-Websocket-Accept") != "abc" || resp.Header.Get("X-Cache") != "bypass" {
		t.Errorf("fields %v", resp.Header)
	}
	return in
}

func say(t *testing.T, w io.Writer, words string) {
	t.Helper()
	if _, err := io.WriteString(w, words); err != nil {
		t.Error(err)
	}
}

func hear(t *testing.T, r io.Reader, words string) {
	t.Helper()
	got := make([]byte, len(words))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != words {
		t.Fatalf("heard %q, %v; want %q", got, err, words)
	}
}

func TestUpgrade(t *testing.T) {
	s, far := switched(t)
	d := newDoor(t, s, "", api.DoorOptions{})
	conn, in := shake(t, serveOn(t, d), "early")
	req := s.one(t)
	if req.Bypass != rfc9111.StatusPass || req.Header.Get("Upgrade") != "websocket" || req.Header.Get("Connection") != "Upgrade" || req.Header.Get("Sec-Websocket-Key") != "xyz" {
		t.Errorf("asked %+v", req)
	}
	hear(t, far, "early")
	say(t, conn, "ping")
	hear(t, far, "ping")
	say(t, far, "pong")
	hear(t, in, "pong")
	if open := d.Stats().Upgrades; open != 1 {
		t.Errorf("%d upgrades open", open)
	}
	// Half-close: the client is done, the origin is not.
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the origin did not hear the end: %v", err)
	}
	say(t, far, "last words")
	hear(t, in, "last words")
	_ = far.Close()
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the client did not hear the end: %v", err)
	}
}

// The idle limit is on both directions together, and ends both.
func TestUpgradeIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		d := newDoor(t, switching(near), "", api.DoorOptions{UpgradeIdle: time.Minute})
		conn, handled := pipeTo(t, d)
		in := readSwitch(t, talk(t, conn, handshake))
		for range 3 { // one side talks, the other listens, for longer than the limit
			time.Sleep(50 * time.Second)
			go say(t, far, "tick")
			hear(t, in, "tick")
		}
		start := time.Now()
		if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("the client is still connected: %v", err)
		}
		if _, err := far.Read(make([]byte, 1)); err == nil {
			t.Error("the origin is still connected")
		}
		if idle := time.Since(start); idle != time.Minute {
			t.Errorf("it was idle for %v", idle)
		}
		<-handled
	})
}

func TestCloseEndsUpgrades(t *testing.T) {
	s, far := switched(t)
	d := newDoor(t, s, "", api.DoorOptions{})
	addr := serveOn(t, d)
	_, in := shake(t, addr, "")
	d.Close()
	if _, err := in.ReadByte(); err == nil {
		t.Error("the client is still connected")
	}
	if _, err := far.Read(make([]byte, 1)); err == nil {
		t.Error("the origin is still connected")
	}
	if open := d.Stats().Upgrades; open != 0 {
		t.Errorf("%d upgrades open", open)
	}
}

// The origin may refuse to switch, and the connection stays HTTP.
func TestUpgradeRefused(t *testing.T) {
	s := always(func() *rfc9111.Answer { return with(stored("no"), 403) })
	conn := connect(t, serveOn(t, newDoor(t, s, "", api.DoorOptions{})))
	in := talk(t, conn, handshake)
	for range 2 {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body := bodyOf(t, resp); resp.StatusCode != 403 || body != "no" {
			t.Errorf("%d %q", resp.StatusCode, body)
		}
		say(t, conn, handshake)
	}
}

// A 101 that nobody asked for is not passed on.
func TestUnsolicitedUpgrade(t *testing.T) {
	closed := false
	s := always(func() *rfc9111.Answer {
		return &rfc9111.Answer{Head: head(101, -1), Body: &closer{Reader: strings.NewReader(""), close: func() { closed = true }}}
	})
	wantError(t, ask(t, newDoor(t, s, "", api.DoorOptions{}), "GET /"), 502, "origin-protocol")
	if !closed {
		t.Error("the body was not closed")
	}
}

var _ api.Tier = (*tier)(nil)

// The whole way: a client, the guard, the door, a shield, and an origin that
// switches protocols.
func TestUpgradeThroughAllTiers(t *testing.T) {
	d := through(t, "", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Sec-Websocket-Key") != "xyz" {
			t.Errorf("the origin was asked with %v", r.Header)
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		say(t, conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: abc\r\n\r\n")
		_, _ = io.Copy(conn, buffered) // an echo, until the client is done
	})
	addr := serveOver(t, func(ln net.Listener) net.Listener { return api.Guard(api.Limit(ln, 9), api.GuardOptions{}) }, d)
	conn, in := shake(t, addr, "early ")
	hear(t, in, "early ")
	for _, word := range []string{"one", "two"} {
		say(t, conn, word)
		hear(t, in, word)
	}
	_ = conn.Close()
	d.Close()
}
