// Command values measures the values of programs: a shield and three edges as processes of
// their own on loopback, asked over kept connections, one request after another on each.
//
//	go run ./bench/values
//	go run ./bench/values -conns 1,16 -for 5s -size 1024
//
// The folder is made under TMPDIR (choose the disk to be measured) and removed afterwards.
//
// How to read it: "read" is GET of values that the edge holds, "write" is PUT through one edge, durable at the
// shield, "count" is adding to one number through all edges at once; times are from the first byte sent to the last
// one read. "seen" is from the acknowledgement of a write at one edge until a GET at another edge, asked again and again,
// answers with it; "sync" is what the disk takes for a few bytes. It ends with status 1 when a count is wrong, or when p99
// of reads over one connection is not under -limit.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	conns = flag.String("conns", "1,8,64", "how many connections")
	each  = flag.Duration("for", 3*time.Second, "how long each is measured")
	size  = flag.Int("size", 1024, "bytes of a value")
	keys  = flag.Int("keys", 1000, "how many values there are")
	waits = flag.Int("seen", 300, "writes that are waited for at another edge")
	limit = flag.Duration("limit", time.Millisecond, "what p99 of reads over one connection is to be under")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "values:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "weir-values-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	edges, stop, err := start(ctx, dir)
	defer stop()
	if err != nil {
		return err
	}
	fmt.Printf("%-6s %6s %11s %9s %9s %9s %9s\n", "", "conns", "requests/s", "p50", "p99", "p99.9", "longest")
	tooSlow := false
	for field := range strings.SplitSeq(*conns, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is not a list of numbers", *conns)
		}
		slow, err := scenes(ctx, edges, n)
		if err != nil {
			return err
		}
		tooSlow = tooSlow || slow
	}
	if err := propagation(ctx, edges[0], edges[1]); err != nil {
		return err
	}
	syncs, err := syncsOf(dir)
	if err != nil {
		return err
	}
	show("sync", 1, syncs)
	if tooSlow {
		return fmt.Errorf("p99 of reads over one connection is not under %v", *limit)
	}
	return nil
}

// scenes measures with so many connections.
func scenes(ctx context.Context, edges []string, n int) (slow bool, err error) {
	value := []byte(strings.Repeat("v", *size))
	key := func(i int) string { return fmt.Sprintf("/v1/kv/key/%d", i%*keys) }
	if _, err := load(ctx, edges[:1], 1, *keys, func(c *client, i int) error {
		return errors.Join(c.want(204, "PUT", key(i), value), c.want(200, "GET", key(i), nil))
	}); err != nil {
		return false, err
	}
	got, err := load(ctx, edges[:1], n, 0, func(c *client, i int) error { return c.want(200, "GET", key(i), nil) })
	if err != nil {
		return false, err
	}
	show("read", n, got)
	slow = n == 1 && at(got.took, 990) >= *limit
	if got, err = load(ctx, edges[:1], n, 0, func(c *client, i int) error { return c.want(204, "PUT", key(i), value) }); err != nil {
		return slow, err
	}
	show("write", n, got)
	number := fmt.Sprintf("/v1/kv/number/%d", n)
	if got, err = load(ctx, edges, n, 0, func(c *client, _ int) error { return c.want(200, "POST", number+"/incr", nil) }); err != nil {
		return slow, err
	}
	show("count", n, got)
	_, err = load(ctx, edges[:1], 1, 1, func(c *client, _ int) error {
		counted, err := c.ask("GET", number, nil)
		if err == nil && c.body != strconv.Itoa(len(got.took)) {
			err = fmt.Errorf("%d increments were answered, and the number is %s (status %d)", len(got.took), c.body, counted)
		}
		return err
	})
	return slow, err
}

// propagation measures until a write is seen elsewhere.
func propagation(ctx context.Context, writer, reader string) error {
	from, err := dial(ctx, writer)
	if err != nil {
		return err
	}
	defer from.close()
	to, err := dial(ctx, reader)
	if err != nil {
		return err
	}
	defer to.close()
	got := result{}
	for i := range *waits {
		want := fmt.Sprint("write ", i)
		if err := from.want(204, "PUT", "/v1/kv/seen", []byte(want)); err != nil {
			return err
		}
		began := time.Now()
		for {
			if _, err := to.ask("GET", "/v1/kv/seen", nil); err != nil {
				return err
			}
			if to.body == want {
				break
			}
			if time.Since(began) > 10*time.Second {
				return fmt.Errorf("%q is not seen", want)
			}
		}
		got.took = append(got.took, time.Since(began))
		got.span += time.Since(began)
	}
	show("seen", 1, got)
	return nil
}

// syncsOf measures the disk alone.
func syncsOf(dir string) (got result, err error) {
	file, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for range 200 {
		if _, err := file.Write(make([]byte, 4096)); err != nil {
			return got, err
		}
		began := time.Now()
		if err := file.Sync(); err != nil {
			return got, err
		}
		got.took = append(got.took, time.Since(began))
		got.span += time.Since(began)
	}
	return got, nil
}

func show(what string, n int, got result) {
	slices.Sort(got.took)
	ms := func(d time.Duration) string { return fmt.Sprintf("%.3f", float64(d)/float64(time.Millisecond)) }
	fmt.Printf("%-6s %6d %11.0f %9s %9s %9s %9s\n", what, n, float64(len(got.took))/got.span.Seconds(),
		ms(at(got.took, 500)), ms(at(got.took, 990)), ms(at(got.took, 999)), ms(at(got.took, 1000)))
}

// at is what so many of a thousand took at most, of what is sorted.
func at(sorted []time.Duration, perMille int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*perMille/1000)]
}
