package weir

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"weir/api/peer"
	"weir/shield"
)

// silence is how long a stream without a word is taken for alive. A node says something each second.
const silence = 3 * time.Second

// reachTimeout bounds how long a purge waits until this process has heard of it.
const reachTimeout = 2 * time.Second

// follower is what this process knows of a node's purge log.
type follower struct {
	node   *node
	purges *shield.Purges
	report func(error)
	bound  time.Duration // Options.MaxBlind
	heard  atomic.Int64  // since node.start, in ns: what came into the log before is known here
	floor  atomic.Int64  // the same of a purge that did not arrive: nothing from before is used
}

// neverHeard is long before the start.
const neverHeard = -int64(100 * 365 * 24 * time.Hour)

// openNode is for values that a node keeps.
func openNode(o Options) (backend, error) {
	n, err := newNode(o.Node, o.Token)
	if err != nil {
		return backend{}, err
	}
	f := &follower{node: n, purges: shield.NewFollower(), report: o.Report, bound: o.MaxBlind}
	f.heard.Store(neverHeard)
	f.floor.Store(neverHeard)
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { f.run(ctx) })
	return backend{
		store: n, purges: f.purges, memory: o.MemoryBytes, blind: f.blind, purge: f.purge,
		close: func() error {
			cancel()
			following.Wait()
			n.http.CloseIdleConnections()
			return nil
		},
	}, nil
}

// blind says what may be used at a time: all that was read since a moment that is at most the
// bound ago, and while the stream of the log is well, everything.
func (f *follower) blind(now time.Time) (since time.Time) {
	at := now.Sub(f.node.start)
	oldest := time.Duration(f.floor.Load())
	if at-time.Duration(f.heard.Load()) > f.bound {
		oldest = max(oldest, at-f.bound)
	}
	if oldest == time.Duration(neverHeard) {
		return time.Time{}
	}
	return f.node.start.Add(oldest)
}

// purge returns when this process has heard of it, too.
func (f *follower) purge(ctx context.Context, tags []string) error {
	epoch, err := f.node.purge(ctx, tags)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	if f.purges.Current() < epoch && f.purges.Await(ctx, epoch-1) != nil {
		f.floor.Store(int64(time.Since(f.node.start)))
	}
	return nil
}

// run follows the log until ctx ends. That the stream is lost is told once, and so is that it is back.
func (f *follower) run(ctx context.Context) {
	wait, lost := 50*time.Millisecond, false
	for ctx.Err() == nil {
		began := f.heard.Load()
		err := f.stream(ctx)
		if ctx.Err() != nil {
			return
		}
		if f.heard.Load() > began {
			wait, lost = 50*time.Millisecond, false
		}
		if !lost {
			lost = true
			f.report(fmt.Errorf("weir: changes from %s are lost, and memory is used for %v at most until they are back: %w", f.node.base.Host, f.bound, err))
		}
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-ctx.Done():
		}
		wait = min(2*wait, time.Second)
	}
}

// stream reads one stream to its end.
func (f *follower) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer quiet.Stop()
	id := f.purges.ID()
	c := call{method: http.MethodGet, path: "/v1/changes"}
	if id != (shield.LogID{}) {
		c.path += "?log=" + hex.EncodeToString(id[:]) + "&after=" + strconv.FormatUint(f.purges.Current(), 10)
	}
	resp, err := f.node.send(ctx, c)
	if err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
		return f.node.refusal(resp.StatusCode, said)
	}
	r := bufio.NewReader(&awake{resp.Body, quiet})
	for {
		frame, err := peer.ReadFrame(r, peer.MaxBatch)
		if err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		b, err := shield.DecodeBatch(frame)
		if err != nil {
			return err
		}
		f.purges.Apply(b)
		if f.purges.ID() != b.Log || f.purges.Current() < b.Epoch {
			return errors.New("weir: a batch of changes for another place")
		}
		f.heard.Store(int64(time.Since(f.node.start)))
		f.node.out.Store(false)
	}
}

var errSilent = fmt.Errorf("weir: nothing was heard for %v", silence)

// awake puts off what a timer does with every byte that comes.
type awake struct {
	src   io.Reader
	quiet *time.Timer
}

func (a *awake) Read(p []byte) (int, error) {
	n, err := a.src.Read(p)
	if n > 0 {
		a.quiet.Reset(silence)
	}
	return n, err
}
