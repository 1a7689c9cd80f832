package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// lifetime is how long the origin's cacheable answers are fresh.
const lifetime = 10 * time.Second

// origin answers every request after one round trip and counts them.
type origin struct {
	url    string
	trip   time.Duration
	asked  atomic.Int64
	server *http.Server
}

func startOrigin(ctx context.Context, trip time.Duration) (*origin, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &origin{url: "http://" + listener.Addr().String(), trip: trip}
	o.server = &http.Server{Handler: o, ReadHeaderTimeout: time.Minute}
	go func() { _ = o.server.Serve(listener) }() // ends with close
	return o, nil
}

func (o *origin) close() { _ = o.server.Close() }

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := o.asked.Add(1)
	time.Sleep(o.trip)
	control := fmt.Sprintf("max-age=%d, stale-while-revalidate=600", int(lifetime.Seconds()))
	if strings.HasPrefix(r.URL.Path, "/private") {
		control = "private"
	}
	w.Header().Set("Cache-Control", control)
	w.Header().Set("Content-Type", "text/plain")
	// The target is in the body, so that a client can tell whose answer it got.
	_, _ = fmt.Fprintf(w, "%s %d\n%s", r.URL.Path, n, strings.Repeat("weir ", 200))
}
