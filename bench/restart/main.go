// Command restart kills weir again and again and checks what is left.
//
// Each round starts weir on one data folder, loads it from several goroutines with
// objects whose bodies are functions of their URLs, notes when each response that
// said sc=cached had ended, kills weir with SIGKILL at a random moment and starts it
// again. Every object that was stored more than a second before the kill must then
// be a hit with exactly its bytes, and no answer that ended cleanly may ever be torn
// or foreign.
//
//	go run ./bench/restart              100 rounds, about 8 minutes
//	go run ./bench/restart -rounds 5
//	go run ./bench/restart -fill 1000000   time from exec to the first hit
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/bench/process"
)

func main() {
	b := &bench{out: os.Stdout}
	flag.IntVar(&b.rounds, "rounds", 100, "kills")
	flag.IntVar(&b.clients, "clients", 8, "concurrent clients")
	flag.IntVar(&b.objects, "objects", 2000, "at most this many new objects a round")
	flag.Int64Var(&b.fill, "fill", 0, "instead: fill the disk tier with this many small objects and time a start")
	flag.StringVar(&b.dir, "dir", "", "parent of the temporary folder (default: the system's)")
	limit := flag.Duration("limit", time.Hour, "give up after this long")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "restart:", err)
		os.Exit(1)
	}
}

// bench is one run of the program.
type bench struct {
	rounds, clients, objects int
	fill                     int64
	dir                      string
	out                      io.Writer

	origin *origin
	node   *process.Node
	client *http.Client
	next   int64 // number of the next new object

	// durable are objects that were a hit after a kill; they stay hits.
	durable []int64

	total tally
	ready []time.Duration // from exec to the first hit, one a round
}

// tally counts what was seen.
type tally struct {
	acknowledged int64 // stored more than a second before a kill
	hits         int64 // of those
	lost         int64 // of those
	late         int64 // stored in the last second before a kill
	lateHits     int64
	broken       int64 // connections that a kill ended visibly
	answers      int64
	wrong        int64
}

func (t *tally) add(o tally) {
	t.acknowledged += o.acknowledged
	t.hits += o.hits
	t.lost += o.lost
	t.late += o.late
	t.lateHits += o.lateHits
	t.broken += o.broken
	t.answers += o.answers
	t.wrong += o.wrong
}

func (b *bench) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp(b.dir, "weir-restart-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if b.origin, err = startOrigin(ctx); err != nil {
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
	b.client = &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: b.clients},
	}
	defer b.node.Kill()
	if b.fill > 0 {
		return b.timeStart(ctx)
	}
	return b.kills(ctx)
}

// kills runs the rounds and prints what they showed.
func (b *bench) kills(ctx context.Context) error {
	if err := b.start(ctx); err != nil {
		return err
	}
	for round := range b.rounds {
		stored, seen, killed, err := b.load(ctx)
		if err != nil {
			return err
		}
		if err := b.start(ctx); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
		b.check(stored, killed, &seen)
		b.total.add(seen)
		fmt.Fprintf(b.out, "round %3d: %5d stored in time, %5d hits, %d lost; %4d stored late, %4d hits; %3d cut by the kill; %d wrong; first hit %v\n",
			round+1, seen.acknowledged, seen.hits, seen.lost, seen.late, seen.lateHits, seen.broken, seen.wrong,
			b.ready[len(b.ready)-1].Round(time.Millisecond))
	}
	if err := b.node.Stop(ctx); err != nil {
		return err
	}
	slices.Sort(b.ready)
	t := b.total
	fmt.Fprintf(b.out, "\n%d kills: %d objects stored more than 1 s before, %d hits, %d lost; %d of %d stored later were hits; %d answers checked, %d wrong\n",
		b.rounds, t.acknowledged, t.hits, t.lost, t.lateHits, t.late, t.answers, t.wrong)
	fmt.Fprintf(b.out, "exec to ready: median %v, longest %v\n",
		b.ready[len(b.ready)/2].Round(time.Millisecond), b.ready[len(b.ready)-1].Round(time.Millisecond))
	if t.lost > 0 || t.wrong > 0 {
		return fmt.Errorf("%d lost, %d wrong", t.lost, t.wrong)
	}
	return nil
}

// start starts weir and notes how long it took to be ready.
func (b *bench) start(ctx context.Context) error {
	b.client.CloseIdleConnections()
	if err := b.node.Start(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := b.node.Ready(ctx)
	b.ready = append(b.ready, time.Since(b.node.Started))
	return err
}

// storedAt is an object and when the response that stored it had ended.
type storedAt struct {
	n  int64
	at time.Time
}

// load asks for objects until it kills weir at a random moment.
func (b *bench) load(ctx context.Context) (stored []storedAt, seen tally, killed time.Time, err error) {
	first, last := b.next, b.next+int64(b.objects)
	var next atomic.Int64
	next.Store(first)
	var mu sync.Mutex // guards stored and seen
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var clients sync.WaitGroup
	for range b.clients {
		clients.Go(func() {
			for ctx.Err() == nil {
				n := next.Add(1) - 1
				if n >= last || rand.IntN(4) == 0 { // one that was asked for before
					n = rand.Int64N(min(n, last-1) + 1)
				}
				a, wrong, err := fetch(b.client, b.node.Listen, target(n))
				now := time.Now()
				mu.Lock()
				seen.answers++
				switch {
				case wrong:
					seen.wrong++
					fmt.Fprintln(b.out, "WRONG", err)
				case err != nil:
					seen.broken++
				case strings.Contains(a.tiers, "sc=cached"):
					stored = append(stored, storedAt{n, now})
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-time.After(1200*time.Millisecond + rand.N(1800*time.Millisecond)):
	}
	killed = time.Now() // before the kill: nothing counts as stored earlier than it was
	b.node.Kill()
	stop()
	clients.Wait()
	b.next = min(next.Load(), last)
	return stored, seen, killed, err
}

// check asks for everything that was stored, and for objects that earlier kills left.
func (b *bench) check(stored []storedAt, killed time.Time, seen *tally) {
	old := b.durable
	for _, s := range stored {
		if !b.expect(s.n, seen) {
			seen.late++ // not acknowledged in time; lost is fair
			if killed.Sub(s.at) > time.Second {
				seen.late--
				seen.acknowledged++
				seen.lost++
				fmt.Fprintf(b.out, "LOST %s, stored %v before the kill\n", target(s.n), killed.Sub(s.at))
			}
			continue
		}
		b.durable = append(b.durable, s.n)
		if killed.Sub(s.at) > time.Second {
			seen.acknowledged++
			seen.hits++
		} else {
			seen.late++
			seen.lateHits++
		}
	}
	for range min(200, len(old)) {
		if n := old[rand.IntN(len(old))]; !b.expect(n, seen) {
			seen.lost++
			fmt.Fprintf(b.out, "LOST %s, which an earlier kill had left\n", target(n))
		}
	}
}

// expect asks for object n and says whether it was a hit.
func (b *bench) expect(n int64, seen *tally) bool {
	a, wrong, err := fetch(b.client, b.node.Listen, target(n))
	seen.answers++
	if wrong || err != nil {
		seen.wrong++
		fmt.Fprintln(b.out, "WRONG", err)
	}
	return a.use == "hit"
}
