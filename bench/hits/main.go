// Command hits measures what a hit costs: weir beside the other caches that are on
// the PATH, in front of one origin, with one load generator (wrk), in turn.
//
//	go run ./bench/hits
//	go run ./bench/hits -peers weir,nginx -bodies 1 -conns 64 -rounds 5 -for 3s
//
// How to read it: "us" is the server's CPU time for one request, user and system of all its
// processes together, from /proc; the column behind it is weir's divided by this
// server's. Each round measures each server once, so that a busy machine is busy for all of them;
// the figures are medians of the rounds. p50, p99 and p99.9 are in milliseconds and are those of a
// server that is asked as fast as it can answer. MiB is resident memory after the last round. "stolen" is how much of the
// processors' time the host gave to others meanwhile, in percent: beyond a few, latency says nothing. A run
// that lost more than 3 in a hundred is repeated, up to 4 times, and the one that lost least counts.
// One half of the processors is for the servers, the other one for the load and the origin; with -together they share
// all, and the tail of each latency is the load's time, too.
// With -misses 1 one request in a hundred is for a page that was never asked for, with -misses 100 each, which
// weir stores in both of its tiers.
//
// No server writes an access log. nginx keeps its files on /dev/shm if there is one. The request
// head has 600 bytes, as a browser's with cookies.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"
)

type options struct {
	peers  []string
	bodies []int // KiB
	conns  []int
	rounds int
	each   time.Duration
	misses []int // percent
	check  bool
	binary string // of weir; "" to build it
	where  places
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	o, err := parse()
	if err == nil {
		err = run(ctx, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hits:", err)
		os.Exit(1)
	}
}

func parse() (o options, err error) {
	peers := flag.String("peers", "weir,nginx,haproxy,varnish", "which servers, of those on the PATH")
	bodies := flag.String("bodies", "1,16,256", "KiB of the bodies")
	conns := flag.String("conns", "1,64,1000", "how many connections")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each is measured")
	flag.DurationVar(&o.each, "for", 3*time.Second, "how long each time")
	misses := flag.String("misses", "0,1,100", "how many requests, in percent, are misses; with any, the body has 1 KiB and there are 64 connections")
	flag.BoolVar(&o.check, "check", false, "end with status 1 unless weir's CPU time over 64 connections is within its bounds, for hits and for misses, and its p99")
	together := flag.Bool("together", false, "have the servers and the load share all processors")
	flag.StringVar(&o.binary, "weir", "", "a weir binary to measure instead of one that is built")
	flag.Parse()
	o.peers = strings.Split(*peers, ",")
	if o.where, err = share(*together); err != nil {
		return o, err
	}
	if o.bodies, err = numbers(*bodies, 1, 1024); err != nil {
		return o, err
	}
	if o.conns, err = numbers(*conns, 1, 1<<20); err != nil {
		return o, err
	}
	o.misses, err = numbers(*misses, 0, 100)
	return o, err
}

func numbers(list string, low, high int) (out []int, err error) {
	for _, field := range strings.Split(list, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < low || n > high {
			return nil, fmt.Errorf("%q is not a list of numbers from %d to %d", list, low, high)
		}
		out = append(out, n)
	}
	return out, nil
}

// scene is one table: a body, a number of connections, and how many requests, in percent, are misses.
type scene struct {
	body, conns, misses int
}

func (s scene) String() string {
	name := fmt.Sprintf("%d KiB, %d connections", s.body, s.conns)
	if s.misses > 0 {
		name += fmt.Sprintf(", %d %% misses", s.misses)
	}
	return name
}

func run(ctx context.Context, o options) error {
	if _, err := exec.LookPath("wrk"); err != nil {
		return errors.New("wrk is not on the PATH")
	}
	dir, err := os.MkdirTemp(tempDir(), "weir-hits-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // some servers read as another user
		return err
	}
	origin, err := startOrigin(ctx)
	if err != nil {
		return err
	}
	defer origin.close()
	servers, err := startAll(ctx, o, dir, origin.addr)
	defer func() {
		for _, s := range servers {
			s.stop()
		}
	}()
	if err != nil {
		return err
	}
	load := loader{dir: dir, each: o.each, threads: o.where.others.Count()}
	fmt.Printf("%s\n\n", o.where)
	broken := false
	for _, sc := range scenes(o) {
		results, err := measure(ctx, load, servers, origin, sc, o.rounds)
		if err != nil {
			return err
		}
		broken = show(sc, results) || broken
	}
	if broken && o.check {
		return errors.New("a bound does not hold")
	}
	return nil
}

func scenes(o options) (out []scene) {
	for _, misses := range o.misses {
		if misses > 0 {
			out = append(out, scene{1, 64, misses})
			continue
		}
		for _, body := range o.bodies {
			for _, conns := range o.conns {
				out = append(out, scene{body, conns, 0})
			}
		}
	}
	return out
}

// result is what was measured of one server in one scene.
type result struct {
	server *server
	runs   []sample
	memory int64
	asked  int64 // requests that the origin got while this was measured
}

// sample is one run.
type sample struct {
	rate          float64 // requests a second
	cpu           float64 // microseconds for each
	p50, p99, p3n float64 // milliseconds
	stolen        float64 // percent
}

func measure(ctx context.Context, load loader, servers []*server, from *origin, sc scene, rounds int) ([]*result, error) {
	results := make([]*result, len(servers))
	for i, s := range servers {
		results[i] = &result{server: s}
		if err := warm(ctx, s, sc); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for range rounds {
		for _, r := range results {
			before := from.asked.Load()
			one, err := load.quietest(ctx, r.server, sc)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.server.name, err)
			}
			r.runs = append(r.runs, one)
			r.asked += from.asked.Load() - before
		}
	}
	for _, r := range results {
		r.memory = memoryOf(r.server.pids())
	}
	return results, nil
}

// bounds are what weir's CPU time may be, as a share of another's.
var bounds = map[scene]map[string]float64{
	{1, 64, 0}:   {"nginx": 0.8, "haproxy": 0.9, "varnish": 0.45},
	{1, 64, 100}: {"nginx": 2.5},
	{256, 64, 0}: {"nginx": 1},
}

// prompt are the scenes in which weir's p99 is not above a server's.
var prompt = map[scene]string{{1, 64, 0}: "nginx"}

// show prints a scene's table and says whether a bound is broken.
func show(sc scene, results []*result) (broken bool) {
	fmt.Printf("%s\n%-9s %10s %8s %7s %8s %8s %8s %7s %7s\n", sc, "", "requests/s", "us", "weir's", "p50", "p99", "p99.9", "MiB", "stolen")
	var own sample
	for _, r := range results {
		if r.server.name == "weir" {
			own = r.median()
		}
	}
	for _, r := range results {
		it := r.median()
		note := beyond(sc, r.server.name, own, it)
		broken = broken || strings.Contains(note, "BROKEN")
		if sc.misses == 0 && r.asked > 0 {
			note += fmt.Sprintf("  %d requests were no hits", r.asked)
		}
		fmt.Printf("%-9s %10.0f %8.2f %7.2f %8.3f %8.3f %8.3f %7.1f %7.1f%s\n", r.server.name,
			it.rate, it.cpu, own.cpu/it.cpu, it.p50, it.p99, it.p3n, float64(r.memory)/(1<<20), it.stolen, note)
	}
	fmt.Println()
	return broken
}

// beyond tells of weir's bounds beside another server.
func beyond(sc scene, name string, own, other sample) (note string) {
	if own == (sample{}) {
		return ""
	}
	if bound, ok := bounds[sc][name]; ok {
		note = fmt.Sprintf("  bound %.2f", bound)
		if own.cpu/other.cpu > bound {
			note += " BROKEN"
		}
	}
	if prompt[sc] == name && own.p99 > other.p99 {
		note += "  p99 BROKEN"
	}
	return note
}

// median takes each figure's of its own.
func (r *result) median() sample {
	of := func(figure func(sample) float64) float64 {
		values := make([]float64, 0, len(r.runs))
		for _, s := range r.runs {
			values = append(values, figure(s))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return sample{
		rate: of(func(s sample) float64 { return s.rate }), cpu: of(func(s sample) float64 { return s.cpu }),
		p50: of(func(s sample) float64 { return s.p50 }), p99: of(func(s sample) float64 { return s.p99 }),
		p3n: of(func(s sample) float64 { return s.p3n }), stolen: of(func(s sample) float64 { return s.stolen }),
	}
}
