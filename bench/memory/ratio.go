package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"container/list"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"

	"weir/keying"
	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

// ratioBody is the length of every body, or the median.
const ratioBody = 4096

// ratios replays a trace, one key a line, against the tier and against an exact LRU
// list that holds as many bytes. A budget is a share of the trace's distinct keys.
func ratios(name string, spread float64) (string, error) {
	trace, err := readTrace(name)
	if err != nil {
		return "", err
	}
	overhead, err := emptyCost()
	if err != nil {
		return "", err
	}
	keys := make(map[string]int)
	bytes, r := 0, rand.New(rand.NewPCG(1, 2))
	for _, key := range trace {
		if _, ok := keys[key]; !ok {
			keys[key] = min(int(ratioBody*math.Exp(spread*r.NormFloat64())), 1<<20)
			bytes += keys[key] + overhead
		}
	}
	var report strings.Builder
	fmt.Fprintf(&report, "%d requests for %d keys\nbudget   keys held   hit ratio   of LRU\n", len(trace), len(keys))
	for _, percent := range []int{1, 5, 20} {
		hits, most, err := replay(trace, keys, int64(bytes*percent/100))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&report, "%4d %%    %6.1f %%    %6.1f %%   %6.1f %%\n", percent, share(int(most.Objects), len(keys)),
			share(hits, len(trace)), share(replayLRU(trace, keys, overhead, int(most.Bytes)), len(trace)))
	}
	return report.String(), nil
}

// emptyCost is what the tier counts for an object without a body.
func emptyCost() (int, error) {
	_, most, err := replay([]string{"1"}, map[string]int{}, 0)
	return int(most.Bytes), err
}

func share(part, whole int) float64 { return 100 * float64(part) / float64(whole) }

func readTrace(name string) ([]string, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var r io.Reader = bytes.NewReader(data)
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(r); err != nil {
			return nil, err
		}
	}
	var trace []string
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		trace = append(trace, lines.Text())
	}
	return trace, lines.Err()
}

// replay asks for each key, stores it after a miss, and returns the hits and the
// most that was held.
func replay(trace []string, sizes map[string]int, budget int64) (hits int, most l1.Stats, err error) {
	tier, err := l1.New(nowhere{}, nowhere{}, l1.Options{MaxBytes: max(l1.MinBytes, budget)})
	if err != nil {
		return 0, most, err
	}
	defer tier.Close()
	now := time.Now()
	req := policy.Request{Plan: &policy.Plan{}, Method: http.MethodGet, Header: http.Header{}}
	for _, key := range trace {
		req.Keyed, err = new(keying.Spec).Build(&keying.Request{
			Method: http.MethodGet, Scheme: "http", Host: "shop.example", Target: "/" + key,
		})
		if err != nil {
			return 0, most, err
		}
		if _, err := tier.Fetch(context.Background(), &req); err != nil { // there is nothing below
			head := &rfc9111.Response{
				Status: http.StatusOK, Header: http.Header{}, Length: int64(sizes[key]),
				RequestTime: now, ResponseTime: now, Terms: rfc9111.Terms{Lifetime: 24 * time.Hour},
			}
			tier.Filled(req.Keyed.Key, head, make([]byte, sizes[key]))
			s := tier.Stats()
			most.Bytes, most.Objects = max(most.Bytes, s.Bytes), max(most.Objects, s.Objects)
		}
	}
	return int(tier.Stats().Hits), most, nil
}

// replayLRU counts with the same overhead for each object.
func replayLRU(trace []string, sizes map[string]int, overhead, budget int) (hits int) {
	order := list.New()
	held := make(map[string]*list.Element)
	bytes := 0
	for _, key := range trace {
		if e := held[key]; e != nil {
			hits++
			order.MoveToFront(e)
			continue
		}
		held[key] = order.PushFront(key)
		for bytes += sizes[key] + overhead; bytes > budget; {
			last := order.Remove(order.Back()).(string)
			delete(held, last)
			bytes -= sizes[last] + overhead
		}
	}
	return hits
}
