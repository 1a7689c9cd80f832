// Command bigbody sends one very large body through one flight to one slow and
// several fast clients, checks every byte that they get, and prints how much
// memory weir took above idle.
//
//	go run ./bench/bigbody                 4 GiB, ten fast clients, about 3 minutes
//	go run ./bench/bigbody -size 268435456
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"weir/bench/process"
)

func main() {
	b := &bench{out: os.Stdout}
	flag.Int64Var(&b.size, "size", 4<<30, "bytes of the body")
	flag.IntVar(&b.fast, "fast", 10, "clients that read as fast as they can")
	flag.Int64Var(&b.rate, "slow-rate", 48<<20, "bytes a second that the slow client reads")
	flag.StringVar(&b.dir, "dir", "", "parent of the temporary folder (default: the system's)")
	limit := flag.Duration("limit", 20*time.Minute, "give up after this long")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bigbody:", err)
		os.Exit(1)
	}
}

// bench is one run of the program.
type bench struct {
	size, rate int64
	fast       int
	dir        string
	out        io.Writer

	origin *origin
	node   *process.Node
}

func (b *bench) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp(b.dir, "weir-bigbody-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if b.origin, err = startOrigin(ctx, b.size); err != nil {
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
	return b.measure(ctx)
}

// measure samples memory while all clients read.
func (b *bench) measure(ctx context.Context) error {
	if err := b.warmUp(ctx); err != nil {
		return err
	}
	idle, err := b.node.Memory()
	if err != nil {
		return err
	}
	peak, stop := b.watch(idle)
	begin := time.Now()
	results := make([]result, b.fast+1)
	var clients sync.WaitGroup
	for i := range results {
		rate := int64(0)
		if i == 0 {
			rate = b.rate
		}
		clients.Go(func() { results[i] = b.read(ctx, rate) })
	}
	clients.Wait()
	took := time.Since(begin)
	stop()
	end, err := b.node.Memory()
	if err != nil {
		return err
	}
	var failed []error
	for i, r := range results {
		kind := "fast"
		if i == 0 {
			kind = "slow"
		}
		fmt.Fprintf(b.out, "%s client: %d bytes in %v, %s, right: %v\n", kind, r.bytes, r.took.Round(time.Millisecond), r.status, r.err == nil)
		failed = append(failed, r.err)
	}
	fmt.Fprintf(b.out, "origin requests for the body: %d\n", b.origin.asked.Load())
	fmt.Fprintf(b.out, "all clients: %v\n", took.Round(time.Millisecond))
	fmt.Fprintf(b.out, "weir idle: %s\n", show(idle))
	fmt.Fprintf(b.out, "above idle, peak: %s\n", above(*peak, idle))
	fmt.Fprintf(b.out, "above idle, end:  %s\n", above(end, idle))
	if n := b.origin.asked.Load(); n != 1 {
		failed = append(failed, fmt.Errorf("%d origin requests, not 1", n))
	}
	return errors.Join(failed...)
}

// warmUp sends a small response through, so that idle includes what the first
// request of all allocates.
func (b *bench) warmUp(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.node.Listen+"/small", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// watch keeps the highest memory seen until stop is called.
func (b *bench) watch(idle process.Memory) (peak *process.Memory, stop func()) {
	peak = &process.Memory{Resident: idle.Resident, Anonymous: idle.Anonymous}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-quit:
				return
			case <-ticker.C:
			}
			if now, err := b.node.Memory(); err == nil {
				peak.Resident = max(peak.Resident, now.Resident)
				peak.Anonymous = max(peak.Anonymous, now.Anonymous)
			}
		}
	}()
	return peak, func() { close(quit); <-done }
}

func show(m process.Memory) string {
	return fmt.Sprintf("%.1f MiB resident, %.1f MiB of it anonymous", mib(m.Resident), mib(m.Anonymous))
}

func above(m, idle process.Memory) string {
	return show(process.Memory{Resident: m.Resident - idle.Resident, Anonymous: m.Anonymous - idle.Anonymous})
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
