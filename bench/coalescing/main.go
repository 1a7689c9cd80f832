// Command coalescing asks weir for the same thing from many clients at once and
// counts what its origin gets to see. It builds and starts weir as a user would,
// in front of a small origin that takes one round trip to answer.
//
//	go run ./bench/coalescing                             14,000 requests, about a minute
//	go run ./bench/coalescing -requests 4000 -clients 2000
//
// It prints, for each case, how many requests the origin saw and how long clients
// waited, as multiples of the origin's round trip, and ends with status 1 when a count is
// not what it has to be.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"weir/bench/process"
)

func main() {
	b := &bench{out: os.Stdout}
	flag.IntVar(&b.requests, "requests", 14_000, "requests of each large case")
	flag.IntVar(&b.clients, "clients", 7000, "clients that are connected at once and share the requests")
	flag.IntVar(&b.keys, "keys", 1000, "keys of the case with many keys")
	flag.IntVar(&b.few, "few", 200, "clients of the uncacheable page")
	flag.DurationVar(&b.trip, "trip", 2*time.Second, "what the origin takes to answer; more than sending all requests does")
	limit := flag.Duration("limit", 10*time.Minute, "give up after this long")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "coalescing:", err)
		os.Exit(1)
	}
}

// bench is one run of the program.
type bench struct {
	requests, clients, keys, few int
	trip                         time.Duration
	out                          io.Writer

	origin *origin
	node   *process.Node
	crowd  crowd
}

func (b *bench) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "weir-coalescing-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if b.origin, err = startOrigin(ctx, b.trip); err != nil {
		return err
	}
	defer b.origin.close()
	b.node = &process.Node{Origin: b.origin.url, Data: filepath.Join(dir, "data")}
	if b.node.Binary, err = process.Build(ctx, dir); err != nil {
		return err
	}
	if b.node.Listen, err = process.FreeAddress(ctx); err != nil {
		return err
	}
	if b.node.Admin, err = process.FreeAddress(ctx); err != nil {
		return err
	}
	if err := b.node.Start(ctx); err != nil {
		return err
	}
	defer b.node.Kill()
	if err := b.node.Ready(ctx); err != nil {
		return err
	}
	if b.crowd, err = connect(ctx, b.node.Listen, b.clients); err != nil {
		return err
	}
	defer b.crowd.close()
	fmt.Fprintf(b.out, "%d clients connected, origin round trip %v\n\n", len(b.crowd), b.trip)
	return errors.Join(b.cases(ctx)...)
}

func (b *bench) cases(ctx context.Context) []error {
	var errs []error
	do := func(c testCase) {
		if err := b.measure(c); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
		}
	}
	page := func(int) string { return "/page" }
	do(testCase{name: "one cold key", crowd: b.crowd, requests: b.requests, target: page, asked: 1})
	fmt.Fprintln(b.out, "waiting until it is stale")
	select {
	case <-time.After(lifetime):
	case <-ctx.Done():
		return append(errs, ctx.Err())
	}
	do(testCase{name: "the same key, stale", crowd: b.crowd, requests: b.requests, target: page, asked: 1, noWait: true})
	do(testCase{
		name: fmt.Sprintf("%d cold keys", b.keys), crowd: b.crowd, requests: b.requests, asked: min(b.keys, b.requests),
		target: func(i int) string { return fmt.Sprintf("/key/%d", i%b.keys) },
	})
	few := b.crowd[:min(b.few, len(b.crowd))]
	private := func(int) string { return "/private" }
	do(testCase{name: "uncacheable, not known yet", crowd: few, requests: len(few), target: private, asked: len(few)})
	do(testCase{name: "uncacheable, known", crowd: few, requests: len(few), target: private, asked: len(few)})
	return errs
}
