package api_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/api"
	"weir/api/peer"
	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
)

// changesOf is the listener for values with a stream of log's changes.
func changesOf(t *testing.T, log *shield.Purges, sees func(context.Context) bool) (*api.Changes, *api.Admin) {
	t.Helper()
	changes := api.NewChanges(api.ChangesOptions{Purges: func() *shield.Purges { return log }, Sees: sees})
	t.Cleanup(changes.Close)
	return changes, api.NewKV(api.KVOptions{Changes: changes})
}

// program follows changes over one connection, as a program would.
type program struct {
	t    *testing.T
	from *bufio.Reader
	log  *shield.Purges
}

// begin asks for changes on conn.
func begin(t *testing.T, conn net.Conn, log *shield.Purges) *program {
	t.Helper()
	id := log.ID()
	_, err := fmt.Fprintf(conn, "GET /v1/changes?log=%s&after=%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", hex.EncodeToString(id[:]), log.Current())
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v, %v", resp, err)
	}
	return &program{t: t, from: bufio.NewReader(resp.Body), log: log}
}

// next applies the next batch.
func (p *program) next() shield.Batch {
	p.t.Helper()
	frame, err := peer.ReadFrame(p.from, peer.MaxBatch)
	if err != nil {
		p.t.Fatal(err)
	}
	b, err := shield.DecodeBatch(frame)
	if err != nil {
		p.t.Fatal(err)
	}
	p.log.Apply(b)
	if p.log.ID() != b.Log || p.log.Current() != b.Epoch {
		p.t.Fatalf("a batch that does not fit: %+v", b)
	}
	return b
}

func (p *program) purged(tag string, epoch uint64) bool {
	return p.log.Purged(keying.Key{}, &rfc9111.Response{Tags: []string{tag}, Epoch: epoch})
}

func TestChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, err := shield.NewPurges(nil)
		if err != nil {
			t.Fatal(err)
		}
		var blind atomic.Bool
		changes, door := changesOf(t, log, func(context.Context) bool { return !blind.Load() })
		conn, _ := pipeTo(t, door)
		p := begin(t, conn, shield.NewFollower())
		if b := p.next(); !b.Reset || b.Epoch != log.Current() {
			t.Errorf("the first batch: %+v", b)
		}
		epoch, err := log.Add(shield.TagRule("a"))
		if err != nil {
			t.Fatal(err)
		}
		for p.log.Current() < epoch { // the first heartbeat may be on its way
			p.next()
		}
		if !p.purged("a", epoch-1) || p.purged("b", epoch-1) || p.purged("a", epoch) {
			t.Error("the program does not know what was purged")
		}
		began := time.Now()
		for range 100 {
			if b := p.next(); b.Reset || len(b.Rules) != 0 || b.Epoch != epoch {
				t.Errorf("a heartbeat: %+v", b)
			}
		}
		if took := time.Since(began); took < 99*time.Second || took > 101*time.Second {
			t.Errorf("100 heartbeats took %v", took)
		}
		blind.Store(true) // what this node says is not known to be all: no heartbeats, but what it knows
		time.AfterFunc(time.Minute, func() { _, _ = log.Add(shield.TagRule("b")) })
		began = time.Now()
		for p.log.Current() == epoch { // a heartbeat may be on its way
			p.next()
		}
		if took := time.Since(began); took < 58*time.Second {
			t.Errorf("a heartbeat without sight, after %v", took)
		}
		changes.Close()
		if rest, _ := io.ReadAll(p.from); len(rest) != 0 {
			t.Errorf("the stream of a node that stops goes on: %x", rest)
		}
	})
}

// Whoever goes on where it was gets what it lacks, and nothing else.
func TestChangesGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, err := shield.NewPurges(nil)
		if err != nil {
			t.Fatal(err)
		}
		edge, mine := shield.NewFollower(), shield.NewFollower()
		edge.Apply(log.Since(edge.ID(), edge.Current()))
		mine.Apply(edge.Since(mine.ID(), mine.Current()))
		for _, tag := range []string{"a", "b"} {
			if _, err := log.Add(shield.TagRule(tag)); err != nil {
				t.Fatal(err)
			}
		}
		edge.Apply(log.Since(edge.ID(), edge.Current()))
		_, door := changesOf(t, edge, nil)
		conn, _ := pipeTo(t, door)
		p := begin(t, conn, mine)
		if b := p.next(); b.Reset || len(b.Rules) != 2 || !p.purged("a", 0) || !p.purged("b", 0) {
			t.Errorf("%+v", b)
		}
	})
}

// A program that does not read is dropped, and holds nobody up until then.
func TestChangesOfASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, err := shield.NewPurges(nil)
		if err != nil {
			t.Fatal(err)
		}
		_, door := changesOf(t, log, nil)
		conn, handled := pipeTo(t, door)
		began := time.Now()
		begin(t, conn, shield.NewFollower())
		<-handled
		if took := time.Since(began); took < 5*time.Second || took > 10*time.Second {
			t.Errorf("dropped after %v", took)
		}
	})
}

func TestChangesAreBounded(t *testing.T) {
	log, err := shield.NewPurges(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, door := changesOf(t, log, nil)
	addr := serveOn(t, door)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	get := func(query string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/v1/changes"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	first := get("")
	for range 255 {
		if resp := get(""); resp.StatusCode != 200 {
			t.Fatalf("status %d", resp.StatusCode)
		}
	}
	if resp := get(""); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d", resp.StatusCode)
	}
	_ = first.Body.Close()
	eventually(t, "a place is free again", func() bool { return get("").StatusCode == 200 })
	for _, query := range []string{"?log=00&after=1", "?log=&after=", "?after=1", "?log=00000000000000000000000000000000&after=-1"} {
		if resp := get(query); resp.StatusCode != 400 {
			t.Errorf("%s: %d", query, resp.StatusCode)
		}
	}
}

// While a node starts there is nothing to follow.
func TestChangesOfANodeThatStarts(t *testing.T) {
	for _, log := range []*shield.Purges{nil, shield.NewFollower()} {
		door := api.NewKV(api.KVOptions{Changes: api.NewChanges(api.ChangesOptions{Purges: func() *shield.Purges { return log }})})
		if resp := ask(t, door, "GET /v1/changes", "Host: 127.0.0.1"); resp.StatusCode != 503 {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
}
