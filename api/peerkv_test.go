package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/api/peer"
	"weir/kv"
	"weir/shield"
)

// valuesPair is a pair whose shield keeps values, by a clock that is an hour ahead.
func valuesPair(t *testing.T) (p *pair, store *fakeStore, values kv.Store) {
	t.Helper()
	const ahead = time.Hour
	store = newFakeStore(func() time.Time { return time.Now().Add(ahead) })
	p = newPair(t, pairOptions{secret: secret, shieldClock: ahead, values: store}, func(http.ResponseWriter, *http.Request) {})
	return p, store, p.client.KV()
}

func TestPeerValues(t *testing.T) {
	_, store, values := valuesPair(t)
	ctx := t.Context()
	if _, err := values.Get(ctx, "a"); !errors.Is(err, kv.ErrMissing) {
		t.Fatal(err)
	}
	draft := kv.Draft{
		Bytes: bytes.Repeat([]byte("x"), kv.MaxValue), Type: "a/b", Metadata: []byte(`{"m":1}`), Tags: []string{"t", "u"},
		TTL: time.Minute, Stale: time.Hour,
	}
	before := time.Now()
	version, err := values.Set(ctx, "a", draft, kv.Condition{Absent: true, Since: 7})
	if err != nil || store.lastSet != (kv.Condition{Absent: true, Since: 7}) {
		t.Fatalf("%v, %+v", err, store.lastSet)
	}
	asked := time.Now()
	v, err := values.Get(ctx, "a")
	if err != nil || !bytes.Equal(v.Bytes, draft.Bytes) || v.Type != draft.Type || string(v.Metadata) != `{"m":1}` || len(v.Tags) != 2 || v.Version != version || v.Epoch != 101 {
		t.Fatalf("%d bytes, %+v, %v", len(v.Bytes), v.Version, err)
	}
	// By the edge's clock, and no later than it is.
	if v.Written.After(asked) || v.Fresh.After(asked.Add(time.Minute)) || v.Fresh.Before(before.Add(50*time.Second)) || v.Until.Sub(v.Fresh) != time.Hour {
		t.Errorf("written %v ago, fresh for %v, there for %v", asked.Sub(v.Written), v.Fresh.Sub(asked), v.Until.Sub(asked))
	}
	if _, err := values.Set(ctx, "a", kv.Draft{}, kv.Condition{Absent: true}); !errors.Is(err, kv.ErrCondition) {
		t.Error(err)
	}
	if _, err := values.Incr(ctx, "a", kv.Increment{By: 1}); !errors.Is(err, kv.ErrNotNumber) {
		t.Error(err)
	}
	for want := range int64(3) {
		count, err := values.Incr(ctx, "n", kv.Increment{By: 1, TTL: time.Minute})
		if err != nil || count.Number != want+1 || count.Version == 0 || count.Fresh.After(time.Now().Add(time.Minute)) || count.Fresh.Before(before) {
			t.Errorf("%+v, %v", count, err)
		}
	}
	if err := values.Delete(ctx, "a", kv.Condition{Version: version}); err != nil {
		t.Error(err)
	}
	if err := values.Delete(ctx, "a", kv.Condition{}); !errors.Is(err, kv.ErrMissing) {
		t.Error(err)
	}
	if _, err := values.Get(ctx, strings.Repeat("k", kv.MaxKey+1)); !errors.Is(err, kv.ErrKey) {
		t.Error(err)
	}
	store.fails = errors.New("disk")
	var said *peer.Refusal
	if _, err := values.Set(ctx, "a", kv.Draft{}, kv.Condition{}); !errors.As(err, &said) || said.Status != 500 {
		t.Error(err)
	}
}

func TestPeerManyValues(t *testing.T) {
	_, store, values := valuesPair(t)
	ctx := t.Context()
	var keys []string
	for i := range 40 {
		key := fmt.Sprint("k", i)
		keys = append(keys, key, "none"+key)
		if _, err := store.Set(ctx, key, kv.Draft{Bytes: bytes.Repeat([]byte{byte(i)}, 1<<20)}, kv.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := values.GetMany(ctx, keys, kv.MaxManyBytes)
	if err != nil || len(got) != len(keys) {
		t.Fatal(len(got), err)
	}
	for i, v := range got {
		if there := i%2 == 0; (v != nil) != there || there && (len(v.Bytes) != 1<<20 || v.Bytes[77] != byte(i/2)) {
			t.Errorf("%s: %v", keys[i], v != nil)
		}
	}
	if _, err := values.GetMany(ctx, append(keys, keys...), kv.MaxManyBytes); !errors.Is(err, kv.ErrTooMuch) {
		t.Errorf("80 MiB: %v", err)
	}
	if _, err := values.GetMany(ctx, keys, 39<<20); !errors.Is(err, kv.ErrTooMuch) {
		t.Errorf("40 MiB where 39 are allowed: %v", err)
	}
	if got, err := values.GetMany(ctx, nil, kv.MaxManyBytes); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
}

// lossy is a shield that does what it is asked for and says nothing about it, for a while.
type lossy struct {
	asked atomic.Int64
	lose  atomic.Int64 // answers that are still to be lost
	also  http.Handler
}

func (l *lossy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.asked.Add(1)
	lost := l.lose.Add(-1) >= 0
	if !lost {
		l.also.ServeHTTP(w, r)
		return
	}
	l.also.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// A read whose answer was lost is sent again. A write is not: it may have happened.
func TestAnswersThatAreLost(t *testing.T) {
	p, _, _ := valuesPair(t)
	l := &lossy{also: p.peers}
	client, err := peer.NewClient(peer.ClientOptions{URLs: []string{"http://" + serveOn(t, l)}, Purges: shield.NewFollower(), Grace: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	values, ctx := client.KV(), t.Context()
	if count, err := values.Incr(ctx, "n", kv.Increment{By: 1}); err != nil || count.Number != 1 {
		t.Fatal(count, err)
	}
	for name, write := range map[string]func() error{
		"incr":   func() error { _, err := values.Incr(ctx, "n", kv.Increment{By: 1}); return err },
		"set":    func() error { _, err := values.Set(ctx, "s", kv.Draft{}, kv.Condition{}); return err },
		"delete": func() error { return values.Delete(ctx, "n", kv.Condition{Version: 1000}) },
	} {
		l.lose.Store(1)
		before := l.asked.Load()
		if err := write(); !errors.Is(err, kv.ErrUnavailable) || l.asked.Load() != before+1 {
			t.Errorf("%s: sent %d times, %v", name, l.asked.Load()-before, err)
		}
	}
	l.lose.Store(2)
	before := l.asked.Load()
	if v, err := values.Get(ctx, "n"); err != nil || string(v.Bytes) != "2" || l.asked.Load() < before+3 {
		t.Errorf("asked %d times, %v", l.asked.Load()-before, err)
	}
}

// A shield that cannot be reached has done nothing, and a write may wait for it.
func TestAShieldThatStartsAgain(t *testing.T) {
	p, store, _ := valuesPair(t)
	var down atomic.Bool
	down.Store(true)
	client, err := peer.NewClient(peer.ClientOptions{
		URLs: []string{"http://" + p.addr}, Secret: secret, Purges: shield.NewFollower(), Grace: 20 * time.Second,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if down.Swap(false) {
				return nil, errors.New("connection refused")
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if count, err := client.KV().Incr(t.Context(), "n", kv.Increment{By: 1}); err != nil || count.Number != 1 || store.version != 1 {
		t.Errorf("%+v, %v", count, err)
	}
	nowhere, err := peer.NewClient(peer.ClientOptions{URLs: []string{"http://127.0.0.1:1"}, Purges: shield.NewFollower(), Grace: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nowhere.Close)
	if _, err := nowhere.KV().Get(t.Context(), "n"); !errors.Is(err, kv.ErrUnavailable) {
		t.Error(err)
	}
	nowhere.Close()
	if _, err := nowhere.KV().Get(t.Context(), "n"); !errors.Is(err, kv.ErrUnavailable) {
		t.Error(err)
	}
}

// What cannot be a call is refused, and nothing is stored of a value that does not come whole.
func TestMalformedCalls(t *testing.T) {
	store := newFakeStore(time.Now)
	p := newPair(t, pairOptions{values: store}, func(http.ResponseWriter, *http.Request) {})
	set := func(size uint64) []byte {
		return peer.AppendFrame(nil, (&peer.KVAsk{Op: peer.KVSet, Keys: []string{"a"}, Size: size}).Encode())
	}
	for name, body := range map[string][]byte{
		"nothing":       {},
		"no frame":      []byte("nonsense"),
		"no ask":        peer.AppendFrame(nil, []byte("nonsense")),
		"too short":     append(set(5), "1234"...),
		"too long":      append(set(5), "123456"...),
		"empty":         set(5),
		"a huge frame":  {0xff, 0xff, 0xff, 0xff, 0x7f},
		"a value twice": append(append(set(1), 'x'), append(set(1), 'x')...),
	} {
		for _, src := range []io.Reader{bytes.NewReader(body), struct{ io.Reader }{bytes.NewReader(body)}} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.addr+peer.PathKV, src)
			if err != nil {
				t.Fatal(err)
			}
			transport := &http.Transport{}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			transport.CloseIdleConnections()
			if resp.StatusCode != 400 {
				t.Errorf("%s: status %d", name, resp.StatusCode)
			}
		}
	}
	if store.calls != 0 {
		t.Errorf("%d calls", store.calls)
	}
}
