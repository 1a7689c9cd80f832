package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// browserFields make a request head of about 600 bytes.
var browserFields = []string{
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
	"Accept-Language: en-GB,en;q=0.9,de;q=0.8",
	"Accept-Encoding: gzip, deflate, br, zstd",
	"Referer: http://shop.example/category/shoes?page=3",
	"Cookie: session=4f9a1c0e7b2d4e63a5f8c1d2e3b4a596; consent=analytics.1-ads.0; _ga=GA1.1.1029384756.1719000000; theme=dark",
	"Sec-Fetch-Dest: document",
	"Sec-Fetch-Mode: navigate",
	"Sec-Fetch-Site: same-origin",
	"Upgrade-Insecure-Requests: 1",
}

// script prints what wrk measured as JSON, and asks for a new page now and then, or always.
const script = `
local n, new = 0, 0
init = function(args)
  every = tonumber(args[1])
  seed = args[2] or "0"
  math.randomseed(os.time() + tonumber(tostring({}):match("0x(%x+)"), 16) % 1000003)
  mine = math.random(1, 1000000000)
  plain = wrk.format("GET")
end
request = function()
  n = n + 1
  if n % every ~= 0 then return plain end
  new = new + 1
  return wrk.format("GET", wrk.path .. "?new=" .. seed .. "-" .. mine .. "-" .. new)
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\n{"requests":%d,"micros":%d,"errors":%d,"p50":%f,"p99":%f,"p999":%f}\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency:percentile(99.9) / 1000))
end
`

// plainScript leaves out the request function, which costs wrk more than a server.
var plainScript = script[:strings.Index(script, "request = ")] + script[strings.Index(script, "done = "):]

type loader struct {
	dir     string
	each    time.Duration
	threads int
}

type measured struct {
	Requests, Micros, Errors int64
	P50, P99, P999           float64
}

// How often a run is repeated because the host was busy, and at how many percent.
const (
	repeats   = 4
	tooStolen = 3
)

// quietest loads a server until the host left the processors alone, and returns the run that lost least. A run in
// which requests failed counts for nothing, unless all do.
func (l loader) quietest(ctx context.Context, s *server, sc scene) (best sample, err error) {
	for range 1 + repeats {
		one, failed := l.run(ctx, s, sc)
		switch {
		case failed != nil:
			err = failed
			continue
		case best == (sample{}) || one.stolen < best.stolen:
			best = one
		}
		if best.stolen <= tooStolen {
			break
		}
	}
	if best == (sample{}) {
		return best, err
	}
	return best, nil
}

// run loads a server once.
func (l loader) run(ctx context.Context, s *server, sc scene) (sample, error) {
	name, text, every := "plain.lua", plainScript, 0
	if sc.misses > 0 {
		name, text, every = "misses.lua", script, 100/sc.misses
	}
	file := filepath.Join(l.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return sample{}, err
	}
	threads := min(l.threads, sc.conns)
	args := []string{"-t" + strconv.Itoa(threads), "-c" + strconv.Itoa(sc.conns), "-d" + strconv.FormatFloat(max(1, l.each.Seconds()), 'f', 0, 64) + "s", "-s", file}
	for _, f := range browserFields {
		args = append(args, "-H", f)
	}
	args = append(args, s.page(sc), "--", strconv.Itoa(every), strconv.FormatInt(time.Now().UnixNano(), 36))
	before := cpuOf(s.pids())
	takenBefore, allBefore := stolen()
	out, err := exec.CommandContext(ctx, "wrk", args...).Output()
	if err != nil {
		return sample{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	used := cpuOf(s.pids()) - before
	taken, all := stolen()
	line := strings.TrimSpace(string(out))
	line = line[strings.LastIndexByte(line, '\n')+1:]
	var m measured
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		return sample{}, fmt.Errorf("wrk said %q: %w", out, err)
	}
	if m.Errors > 0 || m.Requests == 0 {
		return sample{}, fmt.Errorf("%d of %d requests failed", m.Errors, m.Requests)
	}
	return sample{
		rate: float64(m.Requests) / float64(m.Micros) * 1e6,
		cpu:  used.Seconds() * 1e6 / float64(m.Requests),
		p50:  m.P50, p99: m.P99, p3n: m.P999,
		stolen: 100 * float64(taken-takenBefore) / float64(max(1, all-allBefore)),
	}, nil
}

// warm asks for a page until it must be stored, and checks that it is right.
func warm(ctx context.Context, s *server, sc scene) error {
	for range 3 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.page(sc), nil)
		if err != nil {
			return err
		}
		for _, f := range browserFields {
			name, value, _ := strings.Cut(f, ": ")
			req.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err := resp.Body.Close(); err != nil {
			return err
		}
		if err != nil || resp.StatusCode != http.StatusOK || n != int64(sc.body)<<10 {
			return fmt.Errorf("status %d, %d bytes, %w", resp.StatusCode, n, err)
		}
	}
	return nil
}
