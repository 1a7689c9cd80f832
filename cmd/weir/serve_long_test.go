package main

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"testing"
)

// What is too long for the memory tier goes from disk to its clients a piece at a time: each of them takes memory for
// a chunk of the disk tier and a buffer, however long the body is.
func TestLongBodiesFromDiskTakeLittleMemory(t *testing.T) {
	const (
		clients = 8
		size    = 48 << 20
		each    = 4 << 20 // bytes of memory, at most: all of them together take less than the body has
	)
	piece := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	origin, node := shop(t, "--l2-size", "2GiB")
	origin.page("/long", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Length", strconv.Itoa(size))
		for range size / len(piece) {
			_, _ = w.Write(piece)
		}
	})
	if n, err := io.Copy(io.Discard, node.open("/long").Body); err != nil || n != size {
		t.Fatalf("%d bytes, %v", n, err)
	}
	node.quiet()
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	var bodies []io.Reader
	for range clients {
		resp := node.open("/long")
		if tiers := resp.Header.Get("X-Cache-Tier"); tiers != "oc=pass, sc=hit" {
			t.Fatalf("the answer is from %q", tiers)
		}
		bodies = append(bodies, resp.Body)
	}
	got := make([]byte, len(piece))
	for at := 0; at < size; at += len(piece) {
		for _, body := range bodies {
			if _, err := io.ReadFull(body, got); err != nil || !bytes.Equal(got, piece) {
				t.Fatalf("at %d: not what is stored, %v", at, err)
			}
		}
		if at%(8<<20) == 0 {
			if more := heap() - before; more > clients*each {
				t.Fatalf("%d KiB of memory for each of %d clients at %d MiB of %d", more/clients>>10, clients, at>>20, size>>20)
			}
		}
	}
	if n := len(origin.requests("/long")); n != 1 {
		t.Errorf("the origin was asked %d times", n)
	}
}
