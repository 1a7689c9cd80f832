// Command origin is a small origin server to try weir with: each answer says how often its
// page was asked for, so that a copy can be told from the original.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// pages counts the requests for each path.
type pages struct {
	mu    sync.Mutex
	asked map[string]int
}

func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked[r.URL.Path]++
	n := p.asked[r.URL.Path]
	p.mu.Unlock()
	w.Header().Set("Cache-Control", "max-age=60")
	_, _ = fmt.Fprintf(w, "%s, answer %d of the origin\n", r.URL.Path, n) // a client that left is not told
}

func main() {
	at := flag.String("listen", "127.0.0.1:3000", "address to listen on; with port 0 the address is printed")
	flag.Parse()
	if err := serve(*at); err != nil && !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

func serve(at string) error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", at)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "origin http://%s\n", listener.Addr())
	server := &http.Server{Handler: &pages{asked: make(map[string]int)}, ReadHeaderTimeout: 5 * time.Second}
	return server.Serve(listener)
}
