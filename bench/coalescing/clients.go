package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// client is one keep-alive connection.
type client struct {
	conn net.Conn
	in   *bufio.Reader
}

// crowd is everyone who is connected.
type crowd []*client

// connect opens n connections, some at a time.
func connect(ctx context.Context, address string, n int) (crowd, error) {
	all := make(crowd, n)
	errs := make([]error, n)
	slots := make(chan struct{}, 200)
	var wg sync.WaitGroup
	for i := range all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				errs[i] = err
				return
			}
			all[i] = &client{conn, bufio.NewReaderSize(conn, 2048)}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		all.close()
		return nil, fmt.Errorf("connect %d clients: %w", n, err)
	}
	return all, nil
}

func (all crowd) close() {
	for _, c := range all {
		if c != nil {
			_ = c.conn.Close()
		}
	}
}

// reply is what one client got.
type reply struct {
	took      time.Duration
	use       string // x-cache
	collapsed bool
	err       error
}

// burst has everybody ask at the same moment, and again until there were n requests.
func (all crowd) burst(n int, target func(int) string) (replies []reply, took time.Duration) {
	replies = make([]reply, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for first, c := range all {
		wg.Go(func() {
			<-start
			for i := first; i < n; i += len(all) {
				replies[i] = c.get(target(i))
			}
		})
	}
	began := time.Now()
	close(start)
	wg.Wait()
	return replies, time.Since(began)
}

func (c *client) get(target string) (r reply) {
	began := time.Now()
	defer func() { r.took = time.Since(began) }()
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: bench.test\r\n\r\n", target); err != nil {
		return reply{err: err}
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return reply{err: err}
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // was read to its end
	switch {
	case err != nil:
	case resp.StatusCode != http.StatusOK:
		err = fmt.Errorf("status %d: %.200s", resp.StatusCode, body)
	case !strings.HasPrefix(string(body), target+" "):
		err = fmt.Errorf("%s was answered with %.40q", target, body)
	}
	return reply{
		use:       resp.Header.Get("X-Cache"),
		collapsed: strings.Contains(resp.Header.Get("Cache-Status"), "collapsed"),
		err:       err,
	}
}

// testCase is one burst.
type testCase struct {
	name     string
	crowd    crowd
	requests int
	target   func(request int) string
	asked    int  // requests that the origin has to see
	noWait   bool // all are answered from a cache
}

// measure runs one case and prints what came of it.
func (b *bench) measure(c testCase) error {
	before := b.origin.asked.Load()
	replies, took := c.crowd.burst(c.requests, c.target)
	time.Sleep(b.trip + 500*time.Millisecond) // what goes on in the background counts too
	asked := int(b.origin.asked.Load() - before)

	uses := map[string]int{}
	collapsed := 0
	var failed error
	times := make([]time.Duration, len(replies))
	for i, r := range replies {
		times[i] = r.took
		uses[r.use]++
		if r.collapsed {
			collapsed++
		}
		if r.err != nil {
			failed = r.err
		}
	}
	slices.Sort(times)
	at := func(share float64) float64 {
		return times[int(share*float64(len(times)-1))].Seconds() / b.trip.Seconds()
	}
	fmt.Fprintf(b.out, "%s: %d requests of %d clients\n", c.name, len(replies), len(c.crowd))
	fmt.Fprintf(b.out, "  origin requests  %d\n", asked)
	fmt.Fprintf(b.out, "  answered         %v, collapsed: %d\n", uses, collapsed)
	fmt.Fprintf(b.out, "  waited           median %.2f, 99%% %.2f, longest %.2f round trips; all done after %.2f\n\n",
		at(0.5), at(0.99), at(1), took.Seconds()/b.trip.Seconds())
	switch {
	case failed != nil:
		return fmt.Errorf("a client failed: %w", failed)
	case asked != c.asked:
		return fmt.Errorf("%d origin requests instead of %d", asked, c.asked)
	case c.noWait && uses["miss"] > 0:
		return fmt.Errorf("%d clients waited for the origin", uses["miss"])
	}
	return nil
}
