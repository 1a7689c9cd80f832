package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"weir/keying"
	"weir/l1"
	"weir/l2"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

const (
	theTag = "everything"
	others = 20_000 // objects without it
	sample = 1000   // objects that are looked at
)

// tiers are what hits come from.
var tiers = []string{"memory", "disk"}

// latencies are those of hits, sorted, by tier.
type latencies [2][]time.Duration

// node is the tiers of one process.
type node struct {
	table  *policy.Table
	store  *l2.Store
	purges *shield.Purges
	shield *shield.Shield
	memory *l1.Tier
}

// diskStore is the disk tier as the shield declares it.
type diskStore struct{ *l2.Store }

func (s diskStore) Lookup(key keying.Key, h http.Header) (shield.Object, error) {
	object, err := s.Store.Lookup(key, h)
	if object == nil || err != nil {
		return nil, err
	}
	return object, nil
}

func (s diskStore) Create(key keying.Key, resp *rfc9111.Response) (shield.Writer, error) {
	writer, err := s.Store.Create(key, resp)
	if err != nil {
		return nil, err
	}
	return writer, nil
}

// epochs are the purges of a node that has its log itself.
type epochs struct{ *shield.Purges }

func (e epochs) Current() uint64 { return e.Newest() }

func (epochs) Sight(context.Context, time.Time, uint64) l1.Sight { return l1.Sight{} }

func open(dir string) (n *node, err error) {
	n = new(node)
	if n.table, err = policy.ForOrigin("http://127.0.0.1:9"); err != nil {
		return nil, err
	}
	if n.store, err = l2.Open(dir, l2.Options{}); err != nil {
		return nil, err
	}
	if n.purges, err = shield.NewPurges(n.store.Log()); err != nil {
		return nil, errors.Join(err, n.store.Close())
	}
	n.shield = shield.New(diskStore{n.store}, n.purges, shield.Options{})
	n.shield.SetTable(n.table)
	if n.memory, err = l1.New(n.shield, epochs{n.purges}, l1.Options{}); err != nil {
		return nil, errors.Join(err, n.shield.Close(context.Background()), n.store.Close())
	}
	return n, nil
}

func (n *node) close() error {
	err := n.shield.Close(context.Background())
	n.memory.Close()
	return errors.Join(err, n.store.Close())
}

func taggedTarget(i int64) string { return "/tagged/" + strconv.FormatInt(i, 10) }
func otherTarget(i int64) string  { return "/other/" + strconv.FormatInt(i, 10) }

// fill stores the objects on disk, and the others in memory too.
func (n *node) fill(tagged int64) error {
	for i := range tagged {
		if err := n.put(taggedTarget(i), theTag); err != nil {
			return err
		}
	}
	for i := range int64(others) {
		if err := n.put(otherTarget(i), "other"); err != nil {
			return err
		}
	}
	return n.store.Sync()
}

func (n *node) put(target, tag string) error {
	req, err := n.request(target, "")
	if err != nil {
		return err
	}
	body, now := []byte("a small object at "+target+"\n"), time.Now()
	head := &rfc9111.Response{
		Status: http.StatusOK, Header: http.Header{"Content-Type": {"text/plain"}, "Cache-Tag": {tag}},
		RequestTime: now, ResponseTime: now, Length: int64(len(body)),
		Terms: rfc9111.Terms{Lifetime: 24 * time.Hour}, Tags: []string{tag}, Epoch: n.purges.Current(),
	}
	writer, err := n.store.Create(req.Keyed.Key, head)
	if err != nil {
		return err
	}
	if _, err := writer.Write(body); err != nil {
		writer.Abort()
		return err
	}
	if err := writer.Commit(head); err != nil {
		return err
	}
	if tag != theTag {
		n.memory.Filled(req.Keyed.Key, head, body)
	}
	return nil
}

func (n *node) request(target, control string) (*policy.Request, error) {
	h := http.Header{}
	if control != "" {
		h.Set("Cache-Control", control)
	}
	plan, params := n.table.Match(&policy.MatchRequest{Method: http.MethodGet, Host: "example.com", Path: target, Header: h})
	keyed, err := plan.Key.Build(&keying.Request{Method: http.MethodGet, Scheme: "http", Host: "example.com", Target: target, Header: h})
	if err != nil {
		return nil, err
	}
	return &policy.Request{
		Plan: plan, Params: params, Keyed: keyed, Method: http.MethodGet, Scheme: "http", Host: "example.com",
		Target: keyed.Target, Header: h, Origin: plan.Origin, At: time.Now(),
	}, nil
}

// used says how many of a sample of the tagged objects are answered from the disk.
func (n *node) used(ctx context.Context, tagged int64) (int, error) {
	used := 0
	for range min(sample, tagged) {
		req, err := n.request(taggedTarget(rand.Int64N(tagged)), "only-if-cached")
		if err != nil {
			return 0, err
		}
		ans, err := n.shield.Fetch(ctx, req)
		switch {
		case errors.Is(err, shield.ErrOnlyIfCached):
		case err != nil:
			return 0, err
		default:
			used++
			if err := finish(ans); err != nil {
				return 0, err
			}
		}
	}
	return used, nil
}

// hits measures hits of the other objects, by turns from memory and from disk.
func (n *node) hits(ctx context.Context, until <-chan time.Time) (l latencies, err error) {
	for {
		select {
		case <-until:
			for i := range l {
				slices.Sort(l[i])
			}
			return l, nil
		default:
		}
		req, err := n.request(otherTarget(rand.Int64N(others)), "")
		if err != nil {
			return l, err
		}
		for i, fetch := range []func(context.Context, *policy.Request) (*rfc9111.Answer, error){n.memory.Fetch, n.shield.Fetch} {
			began := time.Now()
			ans, err := fetch(ctx, req)
			if err == nil {
				err = finish(ans)
			}
			took := time.Since(began)
			if err != nil {
				return l, err
			}
			if ans.Decision.Use != rfc9111.Hit || (i == 0) != (ans.Decision.Outer == rfc9111.TierHit) {
				return l, fmt.Errorf("%s: no hit of the %s tier: %+v", req.Target, tiers[i], ans.Decision)
			}
			l[i] = append(l[i], took)
		}
	}
}

func finish(ans *rfc9111.Answer) error {
	if ans.Body == nil {
		return nil
	}
	_, err := ans.Body.(interface{ Read([]byte) (int, error) }).Read(make([]byte, 256))
	return errors.Join(err, ans.Body.Close())
}
