package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"weir/keying"
	"weir/l2"
	"weir/rfc9111"
	"weir/shield"
)

// smallTarget is the path of small object n.
func smallTarget(n int64) string { return "/s/" + strconv.FormatInt(n, 10) }

// smallBody is its body: some hundred bytes.
func smallBody(n int64) []byte {
	return fmt.Appendf(nil, "small object %d: %0*d\n", n, 64+n%256, n*n)
}

// timeStart fills the disk tier in this process, then starts weir on it a few times
// and measures from exec to the end of the first hit.
func (b *bench) timeStart(ctx context.Context) error {
	begin := time.Now()
	if err := fillStore(ctx, b.node.Data, b.fill); err != nil {
		return err
	}
	fmt.Fprintf(b.out, "filled %d objects in %v\n", b.fill, time.Since(begin).Round(time.Millisecond))
	var times []time.Duration
	for round := range 7 {
		took, err := b.firstHit(ctx)
		if err != nil {
			return err
		}
		if err := b.sample(); err != nil {
			return err
		}
		memory, err := b.node.Memory()
		if err != nil {
			return err
		}
		how := "killed before"
		if round == 0 {
			how = "closed before"
		}
		fmt.Fprintf(b.out, "exec to first hit %v (%s); %d MiB anonymous memory after 1000 hits\n",
			took.Round(time.Millisecond), how, memory.Anonymous>>20)
		times = append(times, took)
		b.node.Kill()
	}
	slices.Sort(times)
	fmt.Fprintf(b.out, "\n%d objects: exec to first hit median %v, longest %v\n",
		b.fill, times[len(times)/2].Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond))
	return nil
}

// firstHit starts weir and asks for one object until it is answered.
func (b *bench) firstHit(ctx context.Context) (time.Duration, error) {
	b.client.CloseIdleConnections()
	if err := b.node.Start(ctx); err != nil {
		return 0, err
	}
	n := rand.Int64N(b.fill)
	for ctx.Err() == nil {
		use, err := b.small(n)
		switch {
		case err == nil && use == "hit":
			return time.Since(b.node.Started), nil
		case err == nil:
			return 0, fmt.Errorf("object %d is a %s", n, use)
		case time.Since(b.node.Started) > time.Minute:
			return 0, fmt.Errorf("no answer in a minute: %w", err)
		}
		time.Sleep(500 * time.Microsecond) // not listening yet
	}
	return 0, context.Cause(ctx)
}

// sample checks that a thousand objects are hits with the right bytes.
func (b *bench) sample() error {
	for range 1000 {
		n := rand.Int64N(b.fill)
		if use, err := b.small(n); err != nil || use != "hit" {
			return fmt.Errorf("object %d: %q, %w", n, use, err)
		}
	}
	return nil
}

// small asks for small object n.
func (b *bench) small(n int64) (use string, err error) {
	a, got, err := get(b.client, b.node.Listen, smallTarget(n))
	if err == nil && string(got) != string(smallBody(n)) {
		err = fmt.Errorf("wrong body: %.80q", got)
	}
	return a.use, err
}

// fillStore writes n small objects as a node would have.
func fillStore(ctx context.Context, dir string, n int64) (err error) {
	store, err := l2.Open(dir, l2.Options{})
	if err != nil {
		return err
	}
	defer func() {
		if e := store.Close(); err == nil {
			err = e
		}
	}()
	purges, err := shield.NewPurges(store.Log())
	if err != nil {
		return err
	}
	spec := keying.Spec{Recoded: true} // as routes have it unless they say otherwise
	now := time.Now()
	for i := range n {
		if i%4096 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		keyed, err := spec.Build(&keying.Request{Method: http.MethodGet, Scheme: "http", Host: host, Target: smallTarget(i)})
		if err != nil {
			return err
		}
		b := smallBody(i)
		head := &rfc9111.Response{
			Status: http.StatusOK,
			Header: http.Header{
				"Cache-Control": {"max-age=86400"}, "Content-Type": {"text/plain"},
				"Date": {now.UTC().Format(http.TimeFormat)}, "Content-Length": {strconv.Itoa(len(b))},
			},
			RequestTime: now, ResponseTime: now, Length: int64(len(b)),
			Terms: rfc9111.Terms{Lifetime: 24 * time.Hour}, Epoch: purges.Current(),
		}
		if err := put(store, keyed.Key, head, b); err != nil {
			return fmt.Errorf("object %d: %w", i, err)
		}
	}
	return nil
}

func put(store *l2.Store, key keying.Key, head *rfc9111.Response, body []byte) error {
	writer, err := store.Create(key, head)
	if err != nil {
		return err
	}
	if _, err := writer.Write(body); err != nil {
		writer.Abort()
		return err
	}
	return writer.Commit(head)
}
