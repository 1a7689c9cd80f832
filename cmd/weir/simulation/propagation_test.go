package simulation_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/cmd/weir/simnet"
	"weir/kv"
	"weir/shield"
)

// Purges reach 28 regions about as fast as one message can, while links jitter, are cut,
// and let connections overtake each other, and while there is traffic on them.
func TestPropagation(t *testing.T) {
	for _, seed := range []uint64{1, 2} {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { propagate(t, seed, purges, false) })
		})
	}
	t.Run("beside a writer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { propagate(t, 1, purges/5, true) })
	})
}

// scribble writes values, each as large as can be pushed, until ctx ends: what all edges have asked for.
func (w *world) scribble(ctx context.Context) {
	d := draft(1)
	d.Bytes = append(d.Bytes, make([]byte, 11<<10)...)
	keys := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for i := range w.plan.regions {
		_, _ = w.edge(i).values.GetMany(ctx, keys, kv.MaxManyBytes)
	}
	for n := 0; ctx.Err() == nil; n++ {
		_, _ = w.edge(0).values.Set(ctx, keys[n%len(keys)], d, kv.Condition{})
	}
}

// arrivals are the times from durable purges to their being in force somewhere.
type arrivals struct {
	mu    sync.Mutex
	times []time.Duration
}

func (a *arrivals) add(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.times = append(a.times, d)
}

// at is a percentile.
func (a *arrivals) at(percent int) time.Duration {
	slices.Sort(a.times)
	return a.times[min(len(a.times)-1, len(a.times)*percent/100)]
}

// purges is how many are measured.
const purges = 250

func propagate(t *testing.T, seed uint64, purges int, writer bool) {
	regions := simnet.Regions()
	w := newWorld(t, plan{seed: seed, regions: regions, jitter: 4 * time.Millisecond, sync: 3 * time.Millisecond, values: writer})
	random := rand.New(rand.NewPCG(seed, 4))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w.settle(ctx)
	h := w.hub()
	each := make([]arrivals, len(regions))
	var all arrivals
	var running, writing sync.WaitGroup
	write, stop := context.WithCancel(ctx)
	if writer {
		writing.Go(func() { w.scribble(write) })
	}
	for n := range purges {
		time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
		for range 10 {
			i, url := random.IntN(len(regions)), fmt.Sprintf("http://a.test/f/%d", random.IntN(50))
			running.Go(func() { do(ctx, w.edge(i).door, ask{url: url}) })
		}
		if n%30 == 0 {
			w.net.Cut(regions[random.IntN(len(regions))].Name, center, nil)
		}
		running.Go(func() {
			epoch, err := h.purges.Add(shield.TagRule(fmt.Sprint("tag", n)))
			durable := time.Now()
			if err != nil {
				t.Error(err)
				return
			}
			for i := range regions {
				running.Go(func() {
					if err := w.edge(i).purges.Await(t.Context(), epoch-1); err != nil {
						t.Error(err)
						return
					}
					each[i].add(time.Since(durable))
					all.add(time.Since(durable))
				})
			}
		})
	}
	running.Wait()
	stop()
	writing.Wait()
	if writer {
		last := w.edge(len(regions) - 1).values.Stats()
		t.Logf("the edge that is farthest away: %+v", last)
		if last.Taken == 0 {
			t.Error("nothing was pushed")
		}
	}
	w.close()
	bound := regions[len(regions)-1].RoundTrip/2 + 20*time.Millisecond
	t.Logf("%d purges to %d regions: p50 %v, p99 %v, longest %v; bound of p99 %v\n%s",
		purges, len(regions), all.at(50), all.at(99), all.at(100), bound, histogram(all.times))
	if p99 := all.at(99); p99 > bound {
		t.Errorf("p99 is %v, more than %v", p99, bound)
	}
	for i, r := range regions {
		if p50 := each[i].at(50); p50 > r.RoundTrip/2+10*time.Millisecond {
			t.Errorf("%s, %v away: p50 is %v", r.Name, r.RoundTrip, p50)
		}
	}
}

// histogram shows times in steps of 20 ms.
func histogram(times []time.Duration) string {
	const step, columns = 20 * time.Millisecond, 60
	var counts []int
	for _, d := range times {
		n := int(min(d/step, 50))
		for len(counts) <= n {
			counts = append(counts, 0)
		}
		counts[n]++
	}
	most := slices.Max(counts)
	var b strings.Builder
	for n, c := range counts {
		if c > 0 {
			fmt.Fprintf(&b, "%5d ms %6d %s\n", n*int(step/time.Millisecond), c, strings.Repeat("#", (c*columns+most-1)/most))
		}
	}
	return b.String()
}
