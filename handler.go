package weir

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"weir/api"
	"weir/internal/tiers"
	"weir/l1"
	"weir/l2"
	"weir/policy"
	"weir/shield"
)

// HandlerOptions are the tiers of a [Middleware].
type HandlerOptions struct {
	Folder      string      // of the disk tier, and nothing else's; "": memory alone
	MemoryBytes int64       // of the memory tier, 0: 64 MiB
	DiskBytes   int64       // of the disk tier, 0: 1 GiB
	Region      string      // in Cache-Status, "": local
	Report      func(error) // told of what no client sees; nil: slog.Warn
}

func (o HandlerOptions) withDefaults() HandlerOptions {
	o.MemoryBytes = orElse(o.MemoryBytes, 64<<20)
	o.DiskBytes = orElse(o.DiskBytes, 1<<30)
	if o.Report == nil {
		o.Report = func(err error) { slog.Warn("weir", "err", err) }
	}
	return o
}

// A Middleware is a node in this process, with an http.Handler in the place of its origins.
type Middleware struct {
	next   *inProcess
	store  *l2.Store // nil: memory alone
	shield *shield.Shield
	memory *l1.Tier
	door   *api.Door
	live   *policy.Live
}

// Handler applies a policy file to next: what that answers is cached as the file says, and
// each response tells what happened to it. Whatever origins the file names, next answers for all of
// them. The Middleware is to be closed when its server has ended.
//
// Requests that many wait for have a context of their own, which ends when nobody wants the
// answer any more. So what next answers must follow from the request itself: handlers that put values into a
// request's context, such as who has logged in, belong behind the Middleware, not in front.
// Requests for another protocol (Connection: Upgrade) go to next directly.
func Handler(policyFile string, next http.Handler, o HandlerOptions) (*Middleware, error) {
	src, err := os.ReadFile(policyFile)
	if err != nil {
		return nil, fmt.Errorf("weir: the policy file: %w", err)
	}
	table, err := policy.Compile(policyFile, src)
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	m := &Middleware{next: &inProcess{next: next, report: o.Report}, live: policy.NewLive(table)}
	if err := m.open(o); err != nil {
		return nil, errors.Join(err, m.Close(context.Background()))
	}
	m.shield.SetTable(table)
	return m, nil
}

// open puts the tiers on top of each other.
func (m *Middleware) open(o HandlerOptions) (err error) {
	var store shield.Store
	var purges *shield.Purges
	if o.Folder == "" {
		purges, err = shield.NewPurges(nil)
	} else {
		if m.store, err = l2.Open(o.Folder, l2.Options{MaxBytes: o.DiskBytes, Report: o.Report}); err != nil {
			return fmt.Errorf("weir: the folder %s: %w", o.Folder, err)
		}
		store = tiers.Store{Store: m.store}
		purges, err = tiers.OpenPurges(m.store.Log(), o.Report)
	}
	if err != nil {
		return fmt.Errorf("weir: the purge log: %w", err)
	}
	filled := new(tiers.Listener)
	m.shield = shield.New(store, purges, shield.Options{
		Listener: filled, Report: o.Report,
		Transport: func(*policy.Origin, policy.Upstream) http.RoundTripper { return m.next },
	})
	epochs := tiers.InForce{Purges: purges}
	if m.memory, err = l1.New(m.shield, epochs, l1.Options{MaxBytes: max(o.MemoryBytes, l1.MinBytes)}); err != nil {
		return err
	}
	filled.Use(m.memory)
	m.door = api.NewDoor(m.memory, m.live.Load, api.DoorOptions{Region: o.Region, Epoch: purges.Current, Settling: m.live.Settling})
	return nil
}

// ServeHTTP answers from the caches, or with what next says.
func (m *Middleware) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if api.WantsUpgrade(r) {
		m.next.running.Add(1)
		defer m.next.running.Done()
		m.next.next.ServeHTTP(w, r)
		return
	}
	m.door.ServeHTTP(w, r)
}

// Purge makes all responses with one of the tags go.
func (m *Middleware) Purge(ctx context.Context, tags ...string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	_, err := m.shield.Purge(m.live.Load(), shield.PurgeOrder{Tags: tags})
	return err
}

// Use puts another policy in force. A bad one changes nothing.
func (m *Middleware) Use(name string, policySource []byte) error {
	table, err := policy.Compile(name, policySource)
	if err != nil {
		return err
	}
	m.shield.SetTable(table) // first, so that no request comes with an origin that is not there
	m.live.Swap(table, time.Now())
	return nil
}

// Close waits for fills and handlers until ctx ends, cancels them then, and closes the tiers. The server of the
// Middleware is to be shut down before.
func (m *Middleware) Close(ctx context.Context) (err error) {
	if m.door != nil {
		m.door.Close()
	}
	if m.shield != nil {
		err = m.shield.Close(ctx)
	}
	err = errors.Join(err, within(ctx, &m.next.running))
	if m.memory != nil {
		m.memory.Close()
	}
	if m.store != nil {
		err = errors.Join(err, m.store.Close())
	}
	return err
}

// within waits for what runs until ctx ends.
func within(ctx context.Context, running *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() { // ends with the last of them
		running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("weir: close: handlers are still running: %w", context.Cause(ctx))
	}
}
