package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// origin serves pages that say which version they are. Some take a while.
type origin struct {
	url      string
	server   *http.Server
	versions [pages]atomic.Int64
}

func startOrigin(ctx context.Context) (*origin, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &origin{url: "http://" + listener.Addr().String()}
	mux := http.NewServeMux()
	mux.HandleFunc("/page/{number}", o.page)
	o.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = o.server.Serve(listener) }() // ends with close
	return o, nil
}

func (o *origin) close() { _ = o.server.Close() }

// change makes a new version of a page, and returns its number.
func (o *origin) change(page int) int64 { return o.versions[page].Add(1) }

func (o *origin) page(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(r.PathValue("number"))
	if err != nil || number < 0 || number >= pages {
		http.NotFound(w, r)
		return
	}
	version := o.versions[number].Load()
	if number%4 == 0 { // a purge may come while this is on its way
		pause(r.Context(), 30*time.Millisecond)
	}
	h := w.Header()
	h.Set("Cache-Control", "max-age=3600")
	h.Set("Cache-Tag", fmt.Sprintf("page:%d", number))
	_, _ = fmt.Fprintf(w, "version %d\n", version) // weir sees a body that is cut
}
