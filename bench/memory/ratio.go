package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"container/list"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"weir/keying"
	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

const ratioBody = 4096

// ratios replays a trace, one key a line, against the tier and against an exact LRU
// list that holds as many objects. A budget is a share of the trace's distinct keys.
func ratios(name string) (string, error) {
	trace, err := readTrace(name)
	if err != nil {
		return "", err
	}
	distinct := make(map[string]bool)
	for _, key := range trace {
		distinct[key] = true
	}
	var report strings.Builder
	fmt.Fprintf(&report, "%d requests for %d keys\nkeys held   hit ratio   of LRU\n", len(trace), len(distinct))
	for _, percent := range []int{1, 5, 20} {
		size := int64(len(distinct) * percent / 100)
		hits, held, err := replay(trace, size)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&report, "%6.1f %%    %6.1f %%   %6.1f %%\n", share(held, len(distinct)),
			share(hits, len(trace)), share(replayLRU(trace, held), len(trace)))
	}
	return report.String(), nil
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
// most objects that were held.
func replay(trace []string, size int64) (hits, held int, err error) {
	tier, err := l1.New(nowhere{}, nowhere{}, l1.Options{MaxBytes: max(l1.MinBytes, size*(ratioBody+1000))})
	if err != nil {
		return 0, 0, err
	}
	defer tier.Close()
	now := time.Now()
	head := &rfc9111.Response{
		Status: http.StatusOK, Header: http.Header{}, Length: ratioBody,
		RequestTime: now, ResponseTime: now, Terms: rfc9111.Terms{Lifetime: 24 * time.Hour},
	}
	req := policy.Request{Plan: &policy.Plan{}, Method: http.MethodGet, Header: http.Header{}}
	for _, key := range trace {
		req.Keyed, err = new(keying.Spec).Build(&keying.Request{
			Method: http.MethodGet, Scheme: "http", Host: "shop.example", Target: "/" + key,
		})
		if err != nil {
			return 0, 0, err
		}
		if _, err := tier.Fetch(context.Background(), &req); err != nil { // there is nothing below
			tier.Filled(req.Keyed.Key, head, make([]byte, ratioBody))
			held = max(held, int(tier.Stats().Objects))
		}
	}
	return int(tier.Stats().Hits), held, nil
}

func replayLRU(trace []string, size int) (hits int) {
	order := list.New()
	held := make(map[string]*list.Element)
	for _, key := range trace {
		if e := held[key]; e != nil {
			hits++
			order.MoveToFront(e)
			continue
		}
		held[key] = order.PushFront(key)
		if order.Len() > size {
			delete(held, order.Remove(order.Back()).(string))
		}
	}
	return hits
}
