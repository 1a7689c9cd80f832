// Command otter is the row of otter in the table of bench/lookups, which runs it. It is a module of its
// own, so that weir's has no dependency for one row of one table.
package main

import (
	"encoding/json"
	"log"
	"math"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/maypok86/otter/v2"
)

// work is what is measured; result is what comes of it. Both are known to bench/lookups.
type work struct {
	Keys  []string
	Order []int
}

type result struct {
	One, All float64 // ns
	Allocs   int64
}

type page struct {
	ID   int
	Text string
}

func main() {
	log.SetFlags(0)
	var w work
	if err := json.NewDecoder(os.Stdin).Decode(&w); err != nil {
		log.Fatal(err)
	}
	c, err := otter.New(&otter.Options[string, *page]{MaximumSize: 2 * len(w.Keys), ExpiryCalculator: otter.ExpiryWriting[string, *page](time.Hour)})
	if err != nil {
		log.Fatal(err)
	}
	for i, key := range w.Keys {
		c.Set(key, &page{i, strings.Repeat("x", 1<<10)})
	}
	lookup := func(i int) bool {
		p, ok := c.GetIfPresent(w.Keys[i])
		return ok && p.ID == i
	}
	r := result{best(w.Order, lookup, 1), best(w.Order, lookup, runtime.GOMAXPROCS(0)), int64(testing.AllocsPerRun(1000, func() { lookup(0) }))}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		log.Fatal(err)
	}
}

const rounds = 50

// best is as that of bench/lookups.
func best(order []int, lookup func(i int) bool, goroutines int) float64 {
	least := math.Inf(1)
	for range rounds {
		var all sync.WaitGroup
		began := time.Now()
		for range goroutines {
			all.Go(func() {
				for _, i := range order {
					if !lookup(i) {
						log.Fatal("a miss")
					}
				}
			})
		}
		all.Wait()
		least = min(least, float64(time.Since(began).Nanoseconds())/float64(goroutines*len(order)))
	}
	return least
}
