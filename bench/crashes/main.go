// Command crashes purges pages of three regions while the shield and the edges are killed
// again and again, and checks that no region serves what it said it had purged.
//
// It runs one shield and three edges as processes. Clients ask random edges for random
// pages, whose bodies carry their version. A writer changes a page at the origin, purges its
// tag through a random node, and notes which regions the answer names: from then on none of
// them may serve an older version to a request that begins later, whatever is killed. The
// regions that it does not name may do so for maxBlindSeconds and what is on its way.
// Meanwhile one process after another gets SIGKILL and is started again.
//
//	go run ./bench/crashes                  about a minute
//	go run ./bench/crashes -time 10m -seed 7
//
// It ends with status 1 when an old version was served.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"weir/bench/process"
)

const (
	pages   = 40
	clients = 16

	// How long a region that no answer named may serve what is purged: maxBlindSeconds, and
	// what a loaded machine adds to that.
	unnamed = 10 * time.Second
)

var regions = [...]string{"fra", "lhr", "nrt"}

func main() {
	b := &bench{}
	length := flag.Duration("time", time.Minute, "how long to go on")
	flag.Uint64Var(&b.seed, "seed", uint64(time.Now().UnixNano()), "of what is asked, purged and killed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.run(ctx, *length); err != nil {
		fmt.Fprintln(os.Stderr, "crashes:", err)
		os.Exit(1)
	}
}

// bench is one run of the program.
type bench struct {
	seed   uint64
	origin *origin
	shield *process.Node
	edges  []*process.Node
	client *http.Client
	ledger ledger

	answers, failures, purges, refused, kills atomic.Int64
}

func (b *bench) run(ctx context.Context, length time.Duration) error {
	dir, err := os.MkdirTemp("", "weir-crashes-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if b.origin, err = startOrigin(ctx); err != nil {
		return err
	}
	defer b.origin.close()
	b.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: clients}}
	defer b.stop()
	if err := b.start(ctx, dir); err != nil {
		return err
	}
	fmt.Printf("seed %d, %v\n", b.seed, length)
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { b.read(ctx, b.random(uint64(i))) })
	}
	wg.Go(func() { b.write(ctx, b.random(100)) })
	err = b.kill(ctx, b.random(200))
	cancel()
	wg.Wait()
	fmt.Printf("%d kills; %d purges, %d more got no answer; %d answers, %d requests without one\n",
		b.kills.Load(), b.purges.Load(), b.refused.Load(), b.answers.Load(), b.failures.Load())
	if old := b.ledger.violations(); len(old) > 0 {
		return fmt.Errorf("%d answers were older than a purge that the region had applied; the first: %s", len(old), old[0])
	}
	fmt.Println("no answer was older than a purge that its region had applied")
	return err
}

func (b *bench) random(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(b.seed, stream)) }

// start starts the nodes.
func (b *bench) start(ctx context.Context, dir string) error {
	binary, err := process.Build(ctx, dir)
	if err != nil {
		return err
	}
	var addresses [2 + 2*len(regions)]string
	for i := range addresses {
		if addresses[i], err = process.FreeAddress(ctx); err != nil {
			return err
		}
	}
	const secret = "a secret of this program alone"
	b.shield = &process.Node{
		Binary: binary, Origin: b.origin.url, Admin: addresses[0], Data: filepath.Join(dir, "data"),
		Args: []string{"--role", "shield", "--peer-listen", addresses[1], "--peer-secret", secret},
	}
	for i, region := range regions {
		b.edges = append(b.edges, &process.Node{
			Binary: binary, Origin: b.origin.url, Listen: addresses[2+2*i], Admin: addresses[3+2*i],
			Args: []string{"--role", "edge", "--shield", "https://" + addresses[1], "--region", region, "--peer-secret", secret},
		})
	}
	for _, n := range b.nodes() {
		if err := n.Start(ctx); err != nil {
			return err
		}
		if err := n.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) nodes() []*process.Node { return append([]*process.Node{b.shield}, b.edges...) }

func (b *bench) stop() {
	for _, n := range b.nodes() {
		if n != nil {
			n.Kill()
		}
	}
}

// read asks for random pages at random edges.
func (b *bench) read(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		page, region := r.IntN(pages), r.IntN(len(regions))
		floor, since := b.ledger.floor(page, region)
		version, err := b.get(ctx, fmt.Sprintf("http://%s/page/%d", b.edges[region].Listen, page))
		if err != nil {
			b.failures.Add(1)
			pause(ctx, 20*time.Millisecond)
			continue
		}
		b.answers.Add(1)
		if version < floor {
			b.ledger.report(fmt.Sprintf("page %d at %s: version %d, purged up to %d %v before the request",
				page, regions[region], version, floor, since.Round(time.Millisecond)))
		}
		pause(ctx, time.Duration(r.IntN(5))*time.Millisecond)
	}
}

func (b *bench) get(ctx context.Context, url string) (version int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	req.Host = "shop.example"
	resp, err := b.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %d", resp.StatusCode)
	}
	_, err = fmt.Sscanf(string(body), "version %d", &version)
	return version, err
}

// write changes pages and purges them.
func (b *bench) write(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		page := r.IntN(pages)
		version := b.origin.change(page)
		named, err := b.purge(ctx, b.nodes()[r.IntN(1+len(regions))].Admin, page)
		if err != nil {
			b.refused.Add(1)
		} else {
			b.purges.Add(1)
			b.ledger.purged(page, version, named)
		}
		pause(ctx, time.Duration(r.IntN(40))*time.Millisecond)
	}
}

// purge purges a page, and returns the regions that have applied it.
func (b *bench) purge(ctx context.Context, admin string, page int) (named []string, err error) {
	order, err := json.Marshal(map[string]any{"tags": []string{fmt.Sprintf("page:%d", page)}})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+admin+"/v1/purge", bytes.NewReader(order))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	var report struct{ Regions []struct{ Region string } }
	if err := json.NewDecoder(resp.Body).Decode(&report); err != nil {
		return nil, err
	}
	for _, region := range report.Regions {
		named = append(named, region.Region)
	}
	return named, nil
}

// kill kills one process after another, and starts it again after a while.
func (b *bench) kill(ctx context.Context, r *rand.Rand) error {
	for ctx.Err() == nil {
		n := b.shield
		if r.IntN(2) == 0 {
			n = b.edges[r.IntN(len(b.edges))]
		}
		pause(ctx, time.Duration(500+r.IntN(1500))*time.Millisecond)
		n.Kill()
		b.kills.Add(1)
		pause(ctx, time.Duration(r.IntN(4)*r.IntN(2500))*time.Millisecond)
		// Not with ctx: what runs at the end is stopped by stop.
		if err := n.Start(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		ready, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		err := n.Ready(ready)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
