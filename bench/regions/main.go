// Regions measures how long a purge takes to be in force in 28 regions, in real time: a
// shield with its log on disk, and an edge's client for each region, speak the real
// protocol over loopback through proxies that delay every byte by half of a real round
// trip (10 to 280 ms), with jitter, and that cut connections now and then.
//
//	go run ./bench/regions                 200 purges, about a minute
//	go run ./bench/regions -purges 1000
//
// How to read it: each time is from the durable purge at the shield, when it could be
// acknowledged, until it is in force at an edge. The bound of p99 is half of the farthest
// round trip and 20 ms. Other programs on the machine, and the times in which a region
// that was cut off connects again, show in the tail. It ends with status 1 when p99 is
// beyond the bound.
//
// The same is done in virtual time, with caches and traffic, by TestPropagation in
// cmd/weir/simulation.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/cmd/weir/simnet"
	"weir/shield"
)

var (
	purges   = flag.Int("purges", 200, "purges to measure")
	interval = flag.Duration("interval", 200*time.Millisecond, "between two purges")
	jitter   = flag.Duration("jitter", 4*time.Millisecond, "of each byte's delay, at most")
	cuts     = flag.Int("cuts", 40, "a connection is cut every so many purges; 0: never")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "regions:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "weir-regions-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	center, err := openCenter(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, center.close()) }()
	regions := simnet.Regions()
	edges := make([]*edge, len(regions))
	for i, r := range regions {
		if edges[i], err = openEdge(ctx, center, r); err != nil {
			return err
		}
		defer edges[i].close()
	}
	for _, e := range edges {
		if err := e.purges.Await(ctx, center.purges.Current()-1); err != nil {
			return err
		}
	}
	times, err := measure(ctx, center, edges)
	if err != nil {
		return err
	}
	return report(times, regions)
}

// measure purges, and waits for each purge to be everywhere.
func measure(ctx context.Context, center *center, edges []*edge) (times []time.Duration, err error) {
	var mu sync.Mutex // guards times
	var waiting sync.WaitGroup
	tick := time.NewTicker(*interval)
	defer tick.Stop()
	for n := range *purges {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if *cuts > 0 && n%*cuts == *cuts-1 {
			edges[rand.IntN(len(edges))].proxy.cut()
		}
		epoch, err := center.purges.Add(shield.TagRule(fmt.Sprint("tag", n)))
		if err != nil {
			return nil, err
		}
		durable := time.Now()
		for _, e := range edges {
			waiting.Go(func() {
				if e.purges.Await(ctx, epoch-1) == nil {
					took := time.Since(durable)
					mu.Lock()
					defer mu.Unlock()
					times = append(times, took)
				}
			})
		}
	}
	waiting.Wait()
	return times, context.Cause(ctx)
}

func report(times []time.Duration, regions []simnet.Region) error {
	const step, columns = 20 * time.Millisecond, 60
	slices.Sort(times)
	counts := make(map[time.Duration]int)
	most := 0
	for _, t := range times {
		counts[t/step]++
		most = max(most, counts[t/step])
	}
	fmt.Println("| from | arrivals | |\n|---|---|---|")
	for n := range times[len(times)-1]/step + 1 {
		if c := counts[n]; c > 0 {
			fmt.Printf("| %d ms | %d | %s |\n", (n * step).Milliseconds(), c, strings.Repeat("#", (c*columns+most-1)/most))
		}
	}
	at := func(percent int) time.Duration { return times[min(len(times)-1, len(times)*percent/100)] }
	far := time.Duration(0)
	for _, r := range regions {
		far = max(far, r.RoundTrip)
	}
	bound := far/2 + 20*time.Millisecond
	fmt.Printf("\n%d arrivals in %d regions: p50 %.1f ms, p99 %.1f ms, longest %.1f ms; bound of p99 %.1f ms\n",
		len(times), len(regions), ms(at(50)), ms(at(99)), ms(at(100)), ms(bound))
	if at(99) > bound {
		return errors.New("p99 is beyond its bound")
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
