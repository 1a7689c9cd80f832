// Command memory measures the memory tier: what an object costs, in bytes of heap
// and in bytes of the budget, and how well the tier chooses what it keeps.
//
//	go run ./bench/memory
//	go run ./bench/memory -objects 1000000 -body 200 -head 500
//	go run ./bench/memory -objects 1000000 -hits 5s
//	go run ./bench/memory -trace FILE [-spread 1.5]
//
// How to read the costs: "payload" is body, head and key as bytes on the wire; "heap" is what
// the heap grew by, divided by the objects; "counted" is what the budget was
// charged. Heap above counted means that the tier can exceed its budget, heap
// below it that it holds less than it could. "fixed" is the tier without any object:
// its frequency sketch and tables, which the budget has set aside.
// The heads are parsed as a client parses them, since a parsed field is a part of a larger string.
//
// With -hits the objects are then asked for at random over 64 connections (by wrk), while others are stored, with
// each GOGC in turn: "us" is the CPU time of this process for one request, collections and stores included, latencies
// are in milliseconds and medians of the rounds, but "max" is that of all; "GC us" is the
// part of "us" that collections took, and "paused" how long they have stopped everything. GOGC "off" is without collections, for what of the latencies is theirs.
//
// A trace is a file with one key a line, in order of arrival, perhaps with gzip. For
// three budgets, in percent of what all of it takes, it prints which share of the trace's keys was held at most, the
// share of requests answered from memory, and what an exact LRU list of as many bytes
// would have answered. Bodies have 4 KiB, or sizes around that of a log-normal distribution whose sigma is -spread.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"weir/keying"
	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

func main() {
	var f filling
	flag.IntVar(&f.objects, "objects", 100_000, "how many objects")
	flag.IntVar(&f.body, "body", 1024, "bytes of each body")
	flag.IntVar(&f.head, "head", 300, "bytes of each head, at least about 220")
	flag.Int64Var(&f.budget, "budget", 0, "bytes the tier may use; 0 is enough for all objects")
	flag.BoolVar(&f.used, "used", false, "ask for each object twice, so that it is kept in the main store as soon as memory is full")
	trace := flag.String("trace", "", "a file of keys to measure hit ratios with, instead of costs")
	spread := flag.Float64("spread", 0, "how different in size the bodies of a trace are, 0 for not at all")
	var t traffic
	flag.DurationVar(&t.each, "hits", 0, "how long hits are measured each time, 0 for not at all")
	flag.IntVar(&t.rounds, "rounds", 3, "how often hits are measured with each GOGC")
	gogc := flag.String("gogc", "off,33,100", "the GOGC to measure hits with, in turn")
	flag.IntVar(&t.fills, "fills", 1000, "objects that are stored in a second while hits are measured")
	flag.IntVar(&t.garbage, "garbage", 100, "MiB of garbage that are made in a second then")
	flag.IntVar(&t.hot, "hot", 0, "how many of the objects are asked for then, 0 for all")
	flag.Parse()
	t.gogc = strings.Split(*gogc, ",")
	var report string
	var err error
	if *trace != "" {
		report, err = ratios(*trace, *spread)
	} else {
		report, err = measure(context.Background(), f, t)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "memory:", err)
		os.Exit(1)
	}
	fmt.Print(report)
}

// filling is what is put into the tier.
type filling struct {
	objects, body, head int
	budget              int64
	used                bool
	plan                *policy.Plan
}

func measure(ctx context.Context, f filling, t traffic) (string, error) {
	if f.budget == 0 {
		f.budget = int64(f.objects)*int64(f.body+f.head+1000)*5/4 + l1.MinBytes
	}
	table, err := policy.ForOrigin("http://" + host)
	if err != nil {
		return "", err
	}
	f.plan, _ = table.Plainly(http.MethodGet, host, "/")
	before := heap()
	tier, err := l1.New(nowhere{}, nowhere{}, l1.Options{MaxBytes: f.budget})
	if err != nil {
		return "", err
	}
	defer tier.Close()
	fixed := heap() - before
	payload, err := f.fill(ctx, tier)
	if err != nil {
		return "", err
	}
	grown := heap() - before - fixed
	stats := tier.Stats()
	if stats.Objects == 0 {
		return "", errors.New("the budget holds none of the objects")
	}
	n := stats.Objects
	report := fmt.Sprintf("objects   %d of %d held, budget %d MiB\n", n, f.objects, f.budget>>20) +
		fmt.Sprintf("fixed     %d KiB\n", fixed>>10) +
		fmt.Sprintf("payload   %d bytes per object\n", payload/int64(f.objects)) +
		fmt.Sprintf("heap      %d bytes per object\n", grown/n) +
		fmt.Sprintf("counted   %d bytes per object\n", stats.Bytes/n)
	if t.each == 0 {
		return report, nil
	}
	hits, err := t.measure(ctx, tier, table, f)
	return report + hits, err
}

// fill stores the objects, and returns the size of their payload.
func (f *filling) fill(ctx context.Context, tier *l1.Tier) (payload int64, err error) {
	for i := range f.objects {
		size, key, err := f.store(tier, i)
		if err != nil {
			return 0, err
		}
		payload += size
		if !f.used {
			continue
		}
		req := policy.Request{Plan: f.plan, Keyed: key, Method: http.MethodGet, Header: http.Header{}}
		for range 2 {
			if _, err := tier.Fetch(ctx, &req); err != nil {
				return 0, err
			}
		}
	}
	return payload, nil
}

// store gives the tier a response as the next tier would, and returns the size of its payload.
func (f *filling) store(tier *l1.Tier, i int) (size int64, keyed keying.Keyed, err error) {
	raw := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nCache-Control: public, max-age=60\r\n"+
		"Etag: \"%016x\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nServer: origin\r\n", i)
	if missing := f.head - len(raw) - len("X-Filler: \r\n\r\n"); missing > 0 {
		raw += "X-Filler: " + strings.Repeat("x", missing) + "\r\n"
	}
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw+"\r\n")), nil)
	if err != nil {
		return 0, keyed, err
	}
	if err := resp.Body.Close(); err != nil {
		return 0, keyed, err
	}
	keyed, err = f.plan.Key.Build(&keying.Request{Method: http.MethodGet, Scheme: "http", Host: host, Target: target(i)})
	if err != nil {
		return 0, keyed, err
	}
	now := time.Now()
	tier.Filled(keyed.Key, &rfc9111.Response{
		Status: http.StatusOK, Header: resp.Header, Length: int64(f.body),
		RequestTime: now, ResponseTime: now, Terms: rfc9111.Terms{Lifetime: time.Hour},
	}, make([]byte, f.body))
	return int64(len(keyed.Key.Bytes()) + len(raw) + len("\r\n") + f.body), keyed, nil
}

// heap is what is in use after a collection that left nothing over.
func heap() int64 {
	runtime.GC()
	runtime.GC() // the first one only moves what pools hold aside
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// nowhere is the rest of a node that has nothing else.
type nowhere struct{}

func (nowhere) Fetch(context.Context, *policy.Request) (*rfc9111.Answer, error) {
	return nil, errors.New("nothing below")
}
func (nowhere) Refresh(*policy.Request)                   {}
func (nowhere) Current() uint64                           { return 0 }
func (nowhere) Purged(keying.Key, *rfc9111.Response) bool { return false }

func (nowhere) Softened(keying.Key, *rfc9111.Response) bool { return false }

func (nowhere) Sight(context.Context, time.Time, uint64) l1.Sight { return l1.Sight{} }
