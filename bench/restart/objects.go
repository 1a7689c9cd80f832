package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// host is the Host of every request: it is in the key, so it must not change
// between starts.
const host = "restart.test"

// target is the path of object n.
func target(n int64) string { return "/o/" + strconv.FormatInt(n, 10) }

// body is the body of a target: a pure function of it. Sizes run from nothing to
// a few MiB, most of them small; a third of the bodies can be compressed.
func body(target string) []byte {
	seed := sha256.Sum256([]byte(target))
	random := rand.New(rand.NewChaCha8(seed))
	size := 0
	switch p := random.IntN(100); {
	case p < 2:
	case p < 70:
		size = 1 + random.IntN(8<<10)
	case p < 97:
		size = 1 + random.IntN(64<<10)
	case p < 99:
		size = 1 + random.IntN(512<<10)
	default:
		size = 1<<20 + random.IntN(1<<20) // left to the disk tier
	}
	b := make([]byte, 0, size+64)
	text := random.IntN(3) == 0
	for len(b) < size {
		if text {
			b = fmt.Appendf(b, "%s has %d bytes, %d here\n", target, size, len(b))
		} else {
			b = binary.LittleEndian.AppendUint64(b, random.Uint64())
		}
	}
	return b[:size]
}

// origin serves the objects and counts what it was asked for.
type origin struct {
	server *http.Server
	url    string
	asked  atomic.Int64
}

func startOrigin(ctx context.Context) (*origin, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &origin{url: "http://" + listener.Addr().String()}
	o.server = &http.Server{Handler: o, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = o.server.Serve(listener) }() // ends with Close
	return o, nil
}

// ServeHTTP answers with the body of the target; every other one without a
// Content-Length.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.asked.Add(1)
	b := body(r.URL.RequestURI())
	w.Header().Set("Cache-Control", "max-age=86400")
	w.Header().Set("Content-Type", "text/plain")
	if len(b)%2 == 0 {
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	} else if len(b) > 1 {
		_, _ = w.Write(b[:len(b)/2])
		_ = http.NewResponseController(w).Flush()
		b = b[len(b)/2:]
	}
	_, _ = w.Write(b) // a client that left is no concern of the origin
}

func (o *origin) close() { _ = o.server.Close() }

// answer is what weir said about an object.
type answer struct {
	use   string // x-cache
	tiers string // x-cache-tier
}

// get asks weir for a target. An error is a connection that ended visibly.
func get(client *http.Client, address, target string) (answer, []byte, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+address+target, nil) //nolint:noctx // the client has a timeout
	if err != nil {
		return answer{}, nil, err
	}
	req.Host = host
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, nil, err
	}
	if resp.StatusCode != http.StatusOK {
		got = fmt.Appendf(nil, "status %d: %s", resp.StatusCode, got)
	}
	return answer{use: resp.Header.Get("X-Cache"), tiers: resp.Header.Get("X-Cache-Tier")}, got, nil
}

// fetch asks for an object and checks every byte of it. wrong is true when an
// answer that ended cleanly was not that of the target.
func fetch(client *http.Client, address, target string) (a answer, wrong bool, err error) {
	a, got, err := get(client, address, target)
	if err == nil && string(got) != string(body(target)) {
		return a, true, fmt.Errorf("%s: a wrong body of %d bytes: %.80q", target, len(got), got)
	}
	return a, false, err
}
