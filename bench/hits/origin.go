package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// origin serves /N, a page of N KiB that is fresh for an hour, under any query.
type origin struct {
	addr   string
	asked  atomic.Int64
	server *http.Server
}

func startOrigin(ctx context.Context) (*origin, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &origin{addr: listener.Addr().String()}
	o.server = &http.Server{Handler: o} //nolint:gosec // loopback, for as long as the program runs
	go func() { _ = o.server.Serve(listener) }()
	return o, nil
}

func (o *origin) close() { _ = o.server.Close() }

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.asked.Add(1)
	kib, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil || kib > 1024 {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("Content-Type", "image/png")
	h.Set("Etag", `"4f1c-5a2b7c9d"`)
	h.Set("Last-Modified", "Sun, 01 Mar 2026 10:00:00 GMT")
	h.Set("Content-Length", strconv.Itoa(kib<<10))
	_, _ = w.Write(bytes.Repeat([]byte("0123456789abcdef"), kib<<6))
}
