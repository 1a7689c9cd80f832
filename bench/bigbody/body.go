package main

import (
	"bytes"
	"context"
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

// block is the unit of the body: random bytes that are the same in every block,
// after eight bytes with the block's number. Comparing with it is so cheap that
// every client can check every byte.
const block = 64 << 10

var filler = func() []byte {
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 0, block)
	for len(b) < block {
		b = binary.LittleEndian.AppendUint64(b, random.Uint64())
	}
	return b
}()

// fillBlock makes block number n.
func fillBlock(b []byte, n int64) {
	copy(b, filler)
	binary.BigEndian.PutUint64(b, uint64(n))
}

// origin serves the one large body, as fast as it is taken.
type origin struct {
	server *http.Server
	url    string
	size   int64
	asked  atomic.Int64
}

func startOrigin(ctx context.Context, size int64) (*origin, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &origin{url: "http://" + listener.Addr().String(), size: size}
	o.server = &http.Server{Handler: o, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = o.server.Serve(listener) }() // ends with Close
	return o, nil
}

// ServeHTTP answers /big with the body and everything else with a few bytes.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=86400")
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.URL.Path != "/big" {
		_, _ = io.WriteString(w, "small\n")
		return
	}
	o.asked.Add(1)
	w.Header().Set("Content-Length", strconv.FormatInt(o.size, 10))
	b := make([]byte, block)
	for n := int64(0); n*block < o.size; n++ {
		fillBlock(b, n)
		if _, err := w.Write(b[:min(block, o.size-n*block)]); err != nil {
			return
		}
	}
}

func (o *origin) close() { _ = o.server.Close() }

// result is what one client got.
type result struct {
	bytes  int64
	took   time.Duration
	status string // x-cache and cache-status
	err    error
}

// read reads the body, at rate bytes a second unless that is 0, and checks it.
func (b *bench) read(ctx context.Context, rate int64) (r result) {
	begin := time.Now()
	defer func() { r.took = time.Since(begin) }()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.node.Listen+"/big", nil)
	if err != nil {
		return result{err: err}
	}
	resp, err := client.Do(req)
	if err != nil {
		return result{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	r.status = resp.Header.Get("X-Cache") + ", " + resp.Header.Get("Cache-Status")
	got, want := make([]byte, block), make([]byte, block)
	for n := int64(0); n*block < b.size; n++ {
		size := min(block, b.size-n*block)
		if _, r.err = io.ReadFull(resp.Body, got[:size]); r.err != nil {
			return r
		}
		fillBlock(want, n)
		if !bytes.Equal(got[:size], want[:size]) {
			r.err = fmt.Errorf("block %d is wrong", n)
			return r
		}
		r.bytes += size
		if rate > 0 {
			due := begin.Add(time.Duration(float64(r.bytes) / float64(rate) * float64(time.Second)))
			time.Sleep(time.Until(due))
		}
	}
	if n, err := resp.Body.Read(got[:1]); n != 0 || err != io.EOF { //nolint:errorlint // exactly EOF
		r.err = fmt.Errorf("%d bytes after the end, %w", n, err)
	}
	return r
}
