package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"weir/api"
	"weir/rfc9111"
)

func TestBoard(t *testing.T) {
	counted := func(uptime int64, hits, stale, misses, origins uint64) *nodeStats {
		n := &nodeStats{Version: "v1", Region: "fra\x1b[2J", Ready: true, Uptime: uptime}
		n.Door.Requests = []api.RequestCount{
			{Use: rfc9111.Hit, Count: hits}, {Use: rfc9111.Stale, Count: stale}, {Use: rfc9111.Miss, Count: misses},
		}
		n.Door.BytesSent = 1 << 10 * hits
		n.Shield.OriginRequests = int64(origins)
		return n
	}
	b := &board{node: "http://a"}
	if err := b.look(counted(1, 90, 0, 10, 10), nil); err != nil {
		t.Fatal(err)
	}
	wants := func(lines ...string) {
		t.Helper()
		text := strings.Join(strings.Fields(b.text()), " ")
		for _, want := range lines {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, b.text())
			}
		}
	}
	wants("requests - 100 - 100.0 %", "hit - 90 - 90.0 %", "sent - 90.0 KiB", "node v1, region")
	if err := b.look(counted(3, 290, 50, 60, 20), nil); err != nil {
		t.Fatal(err)
	}
	b.now.at = b.before.at.Add(2 * time.Second)
	wants("requests 150 400 100.0 % 100.0 %", "hit 100 290 66.7 % 72.5 %", "stale 25 50 16.7 % 12.5 %",
		"from the cache 125 340 83.3 % 85.0 %", "asked of origins 5.0 20 3.3 % 5.0 %", "sent 100.0 KiB 290.0 KiB")

	lost := errors.New("no answer:\nrefused")
	b.trouble = b.look(nil, lost)
	wants("no news since: no answer: refused", "hit 100 290")
	b.trouble = b.look(counted(0, 5, 0, 5, 0), nil) // the node was started again
	wants("hit - 5 - 50.0 %")

	drawn := b.draw(screen{width: 12, height: 3})
	if got, want := drawn, "\x1b[Hweir stats o\x1b[K\r\n\x1b[K\r\n            \x1b[K\x1b[J"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if drawn := b.draw(screen{width: 200, height: 100}); strings.Contains(drawn, "fra\x1b") || !strings.Contains(drawn, "fra?[2J") {
		t.Errorf("%q", drawn)
	}
}

func TestStatsOnATerminal(t *testing.T) {
	origin, node := shop(t)
	origin.text("/a", "body of a", "Cache-Control: max-age=60")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, exited := newTranscript(), make(chan int)
	go func() {
		status, _ := onScreen(ctx, out, nil, "stats", "--admin", node.admin)
		exited <- status
	}()
	out.await(t, enterScreen+topOfScreen+"weir stats of "+node.admin, 1)
	node.fill("/a")
	out.await(t, "miss", 3) // drawn again
	node.stop()
	out.await(t, "no news since", 1)
	cancel()
	if status := <-exited; status != exitDone || !strings.HasSuffix(out.String(), leaveScreen) {
		t.Errorf("exit status %d, at last %q", status, out.String()[max(0, len(out.String())-40):])
	}
}

// Once, and to a pipe, the screen is left alone.
func TestStatsOnce(t *testing.T) {
	_, node := shop(t)
	out := newTranscript()
	if status, stderr := onScreen(t.Context(), out, nil, "stats", "--once", "--admin", node.admin); status != exitDone || stderr != "" {
		t.Fatalf("exit status %d: %s", status, stderr)
	}
	if text := out.String(); strings.Contains(text, "\x1b") || !strings.Contains(text, "region local") {
		t.Errorf("%q", text)
	}
	out = newTranscript()
	if status, stderr := onScreen(t.Context(), out, nil, "stats", "--admin", "127.0.0.1:1"); status != exitFailed || !strings.Contains(stderr, "weir serve") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	if text := out.String(); text != "" {
		t.Errorf("%q", text)
	}
}
