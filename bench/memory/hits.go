package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"weir/api"
	"weir/l1"
	"weir/policy"
)

// traffic is how hits are measured while garbage is collected.
type traffic struct {
	each    time.Duration // 0 for not at all
	rounds  int
	gogc    []string // values of GOGC to compare; "off" is without collections
	fills   int      // objects that are stored in a second meanwhile
	garbage int      // MiB that are made and dropped in a second meanwhile
	hot     int      // how many objects are asked for, 0 for all
}

const host = "shop.example"

func target(i int) string { return fmt.Sprintf("/products/%d?page=1", i) }

// script asks for one of the objects at random, and prints what wrk measured as JSON.
const script = `
init = function(args)
  objects = tonumber(args[1])
  math.randomseed(os.time() + tonumber(tostring({}):match("0x(%x+)"), 16) % 1000003)
  local plain = wrk.format("GET", "/*")
  local at = plain:find("/*", 1, true)
  before, behind = plain:sub(1, at - 1) .. "/products/", "?page=1" .. plain:sub(at + 2)
end
request = function() return before .. math.random(0, objects - 1) .. behind end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\n{"requests":%d,"micros":%d,"errors":%d,"p50":%f,"p99":%f,"p999":%f,"max":%f}\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency:percentile(99.9) / 1000, latency.max / 1000))
end
`

// measuredHits is what one run of wrk and the collector's counters say.
type measuredHits struct {
	Requests, Micros, Errors int64
	P50, P99, P999, Max      float64 // ms

	cpu     time.Duration // of this process
	gc      time.Duration // of that, by the collector
	cycles  uint64        // collections
	paused  time.Duration // by collections, all together
	longest time.Duration // at least
	heap    uint64        // at its end
}

// measure serves what tier holds on loopback and loads it with wrk, once a round with each GOGC.
func (t *traffic) measure(ctx context.Context, tier *l1.Tier, table *policy.Table, f filling) (string, error) {
	if t.hot == 0 {
		t.hot = f.objects
	}
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		return "", errors.New("wrk is not on the PATH")
	}
	dir, err := os.MkdirTemp("", "weir-memory-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "objects.lua")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return "", err
	}
	door := api.NewDoor(tier, func() *policy.Table { return table }, api.DoorOptions{})
	defer door.Close()
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := api.NewServer(door, nil)
	var serving sync.WaitGroup
	serving.Go(func() {
		_ = server.Serve(api.Guard(api.Limit(ln, 10_000), api.GuardOptions{Hits: api.NewHits(door, tier)})) // ends with Close
	})
	defer func() { _ = server.Close(); serving.Wait() }()

	results := make([][]measuredHits, len(t.gogc))
	for range t.rounds {
		for i, gogc := range t.gogc {
			if err := setCollector(gogc); err != nil {
				return "", err
			}
			load := exec.CommandContext(ctx, wrk, "-t2", "-c64", "-d"+strconv.Itoa(max(1, int(t.each.Seconds())))+"s", "-s", file,
				"-H", "Host: "+host, "-H", "Accept-Encoding: gzip, deflate, br", "-H", "User-Agent: Mozilla/5.0", "-H", "Accept: */*",
				"http://"+ln.Addr().String(), "--", strconv.Itoa(t.hot))
			m, err := t.load(ctx, load, tier, &f)
			if err != nil {
				return "", err
			}
			results[i] = append(results[i], m)
		}
	}
	return report(t.gogc, results), nil
}

// setCollector tunes the collector as GOGC does.
func setCollector(gogc string) error {
	runtime.GC()
	percent := -1
	if gogc != "off" {
		var err error
		if percent, err = strconv.Atoi(gogc); err != nil {
			return fmt.Errorf("-gogc: %w", err)
		}
	}
	debug.SetGCPercent(percent)
	return nil
}

// load runs wrk while objects are stored.
func (t *traffic) load(ctx context.Context, wrk *exec.Cmd, tier *l1.Tier, f *filling) (m measuredHits, err error) {
	before := collected()
	used := cpu()
	ctx, stop := context.WithCancel(ctx)
	var filling sync.WaitGroup
	filling.Go(func() { err = t.fill(ctx, tier, f) })
	out, failed := wrk.Output()
	stop()
	filling.Wait()
	if err = errors.Join(failed, err); err != nil {
		return m, fmt.Errorf("wrk: %w: %s", err, out)
	}
	line := strings.TrimSpace(string(out))
	if err := json.Unmarshal([]byte(line[strings.LastIndexByte(line, '\n')+1:]), &m); err != nil || m.Errors > 0 {
		return m, fmt.Errorf("wrk said %q: %w", out, err)
	}
	after := collected()
	m.cpu = cpu() - used
	m.gc = time.Duration((after.cpu - before.cpu) * float64(time.Second))
	m.cycles, m.heap = after.cycles-before.cycles, after.heap
	for i, n := range after.pauses.Counts {
		if n -= before.pauses.Counts[i]; n > 0 {
			pause := time.Duration(max(0, after.pauses.Buckets[i]) * float64(time.Second))
			m.paused += pause * time.Duration(n)
			m.longest = max(m.longest, pause)
		}
	}
	return m, nil
}

// fill stores other objects and makes garbage, as misses would.
func (t *traffic) fill(ctx context.Context, tier *l1.Tier, f *filling) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	dropped := make([]byte, 8<<10)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for range t.garbage << 20 / 100 / len(dropped) {
			dropped = make([]byte, len(dropped))
		}
		for range t.fills / 100 {
			f.objects++
			if _, _, err := f.store(tier, f.objects); err != nil {
				return err
			}
		}
	}
}

// collections is what the runtime says of its collector.
type collections struct {
	cycles, heap uint64
	cpu          float64                  // seconds
	pauses       metrics.Float64Histogram // seconds
}

func collected() collections {
	s := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/sched/pauses/total/gc:seconds"},
		{Name: "/cpu/classes/gc/total:cpu-seconds"},
	}
	metrics.Read(s)
	return collections{
		cycles: s[0].Value.Uint64(), heap: s[1].Value.Uint64(), pauses: *s[2].Value.Float64Histogram(), cpu: s[3].Value.Float64(),
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail for oneself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// report is a table of medians, and of sums and extremes of what the collector did.
func report(gogc []string, results [][]measuredHits) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-6s %10s %7s %8s %8s %8s %8s %5s %8s %10s %10s %9s\n",
		"GOGC", "requests/s", "us", "p50", "p99", "p99.9", "max", "GCs", "GC us", "paused", "longest", "heap MiB")
	for i, runs := range results {
		var all measuredHits
		for _, m := range runs {
			all.cycles += m.cycles
			all.paused += m.paused
			all.gc += m.gc
			all.Requests += m.Requests
			all.longest = max(all.longest, m.longest)
			all.heap = max(all.heap, m.heap)
			all.Max = max(all.Max, m.Max)
		}
		fmt.Fprintf(&b, "%-6s %10.0f %7.2f %8.3f %8.3f %8.3f %8.3f %5d %8.2f %10s %10s %9d\n", gogc[i],
			median(runs, func(m measuredHits) float64 { return float64(m.Requests) / float64(m.Micros) * 1e6 }),
			median(runs, func(m measuredHits) float64 { return float64(m.cpu.Microseconds()) / float64(m.Requests) }),
			median(runs, func(m measuredHits) float64 { return m.P50 }), median(runs, func(m measuredHits) float64 { return m.P99 }),
			median(runs, func(m measuredHits) float64 { return m.P999 }), all.Max,
			all.cycles, float64(all.gc.Microseconds())/float64(all.Requests), all.paused.Round(time.Microsecond), all.longest.Round(time.Microsecond), all.heap>>20)
	}
	return b.String()
}

func median(runs []measuredHits, of func(measuredHits) float64) float64 {
	values := make([]float64, 0, len(runs))
	for _, m := range runs {
		values = append(values, of(m))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
